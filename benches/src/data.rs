//! Samples, made once and kept, and folders for lakes, which are not kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use quickchat_sample::{SampleOptions, generate};
use serde::Serialize;
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
