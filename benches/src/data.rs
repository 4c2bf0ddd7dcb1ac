//! Samples, made once and kept, and folders for lakes, which are not kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use quickchat_sample::{SampleOptions, generate};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::progress;

/// Where data is kept.
#[derive(Debug, Clone, Args, Serialize)]
pub struct DataOptions {
    /// Folder for samples and lakes; samples are kept [default: bench-data in Cargo's target folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Make samples anew, for example after the generator has changed
    #[arg(long)]
    fresh: bool,
}

/// An export folder.
#[derive(Debug, Clone)]
pub struct Exports {
    /// Where it is, absolute.
    pub folder: PathBuf,
    /// Bytes of all documents and rows; media objects are not counted.
    pub bytes: u64,
}

impl DataOptions {
    /// The export folder for these options, made if it is not there, and read once, so that it is in the cache of the
    /// operating system.
    pub fn exports(&self, options: &SampleOptions) -> Result<Exports> {
        let folder = self.folder()?.join(name(options));
        if self.fresh && folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        if !folder.exists() {
            progress(&format!("making a sample of {} messages in {}", options.messages, folder.display()));
            generate(options, &folder)?;
        }
        let bytes = read_through(&folder)?;
        Ok(Exports { folder, bytes })
    }

    /// An empty folder that is removed with the value.
    pub fn scratch(&self) -> Result<TempDir> {
        let folder = self.folder()?;
        let scratch = tempfile::Builder::new().prefix("lake-").tempdir_in(&folder);
        scratch.with_context(|| format!("cannot make a folder in {}", folder.display()))
    }

    fn folder(&self) -> Result<PathBuf> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => beside_the_build()?,
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        folder.canonicalize().with_context(|| format!("cannot use the folder {}", folder.display()))
    }
}

/// `target/bench-data`, for a program in `target/<profile>/`.
fn beside_the_build() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find out where this program is; give --data")?;
    match program.parent().and_then(Path::parent) {
        Some(target) => Ok(target.join("bench-data")),
        None => bail!("this program is not in Cargo's target folder; give --data"),
    }
}

/// A name that differs where the options that benchmarks set differ.
fn name(options: &SampleOptions) -> String {
    let mut name = format!("exports-{}", options.messages);
    if let Some(users) = options.users {
        name.push_str(&format!("-{users}-users"));
    }
    if options.bad_share == 0.0 {
        name.push_str("-clean");
    }
    name
}

/// Files of a sub-folder of an export, sorted.
pub fn files(folder: &Path, origin: &str) -> Result<Vec<PathBuf>> {
    let folder = folder.join(origin);
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// An export folder with the same files and one more, in which the last `count` messages are edited at `at`.
///
/// Edits are mostly of what was written lately. The files are hard links, so the folder takes no room.
pub fn with_edits(exports: &Exports, folder: &Path, count: usize, at: DateTime<Utc>) -> Result<Exports> {
    let place = || format!("cannot make an export folder in {}", folder.display());
    let mut messages = Vec::new();
    for origin in ["mongodb", "mysql", "media"] {
        if !exports.folder.join(origin).is_dir() {
            continue;
        }
        let mut open = vec![PathBuf::from(origin)];
        while let Some(part) = open.pop() {
            fs::create_dir_all(folder.join(&part)).with_context(place)?;
            for file in files(&exports.folder, &part.to_string_lossy())? {
                let inner = file.strip_prefix(&exports.folder).with_context(place)?.to_owned();
                if file.is_dir() {
                    open.push(inner);
                    continue;
                }
                fs::hard_link(&file, folder.join(&inner)).with_context(place)?;
                messages.extend(inner.starts_with("mongodb/").then_some(file));
            }
        }
    }
    messages.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("messages")));
    messages.sort();
    let last = messages.last().context("the sample has no messages")?;
    let text = fs::read(last).with_context(|| format!("cannot read {}", last.display()))?;
    let mut edited = Vec::new();
    let documents = text.rsplit(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    for mut document in documents.filter(|document| document.get("_id").is_some()).take(count) {
        document["isEdited"] = Value::Bool(true);
        document["updatedAt"] = json!({"$date": at.to_rfc3339_opts(SecondsFormat::Millis, true)});
        serde_json::to_writer(&mut edited, &document).with_context(place)?;
        edited.push(b'\n');
    }
    fs::write(folder.join("mongodb/messages-edited.json"), &edited).with_context(place)?;
    Ok(Exports { folder: folder.to_owned(), bytes: exports.bytes + edited.len() as u64 })
}

fn read_through(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for origin in ["mongodb", "mysql"] {
        for file in files(folder, origin)? {
            let read = fs::File::open(&file).and_then(|mut input| io::copy(&mut input, &mut io::sink()));
            bytes += read.with_context(|| format!("cannot read {}", file.display()))?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_made_once_and_again_when_asked() {
        let place = tempfile::tempdir().unwrap();
        let options = DataOptions { data: Some(place.path().to_owned()), fresh: false };
        let sample = SampleOptions { messages: 50, bad_share: 0.0, ..SampleOptions::default() };
        let made = options.exports(&sample).unwrap();
        assert!(made.folder.ends_with("exports-50-clean"), "{made:?}");
        let mark = made.folder.join("mongodb/messages-extra.json");
        fs::write(&mark, "x").unwrap();
        let kept = options.exports(&sample).unwrap();
        assert_eq!(kept.bytes, made.bytes + 1);
        let fresh = DataOptions { fresh: true, ..options }.exports(&sample).unwrap();
        assert_eq!(fresh.bytes, made.bytes);
        assert!(!mark.exists());
    }

    #[test]
    fn a_scratch_folder_disappears() {
        let place = tempfile::tempdir().unwrap();
        let options = DataOptions { data: Some(place.path().to_owned()), fresh: false };
        let scratch = options.scratch().unwrap();
        assert!(scratch.path().is_dir());
        drop(scratch);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
