//! A generated sample in a temporary folder, and its lines.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use quickchat_sample::{Collection, SampleOptions, SampleSummary, generate};
use serde_json::Value;
use tempfile::TempDir;

use crate::rules;

/// A sample on disk.
pub(crate) struct Export {
    _parent: TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) summary: SampleSummary,
}

impl Export {
    pub(crate) fn new(options: &SampleOptions) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("export");
        let summary = generate(options, &folder).unwrap();
        Self { _parent: parent, folder, summary }
    }

    /// Every line of a MongoDB collection, in order.
    pub(crate) fn lines(&self, collection: Collection) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = self.contents(collection).concat();
        bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect()
    }

    /// Every valid document of a MongoDB collection, in order.
    pub(crate) fn documents(&self, collection: Collection) -> Vec<Value> {
        self.lines(collection).iter().filter_map(|line| rules::check(collection, line).ok()).collect()
    }

    /// The files of a collection, decompressed.
    pub(crate) fn contents(&self, collection: Collection) -> Vec<Vec<u8>> {
        let files = &self.summary.collection(collection).unwrap().files;
        files.iter().map(|file| read(&self.folder.join(&file.path))).collect()
    }

    /// Every file with its bytes, by relative path.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.folder, &self.folder, &mut found);
        found
    }
}

fn read(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
    plain
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.insert(relative, fs::read(&path).unwrap());
        }
    }
}

/// The hex digits of an id, however it is written.
pub(crate) fn id(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["$oid"].as_str())
}

/// Milliseconds since 1970 of a date, however it is written.
pub(crate) fn millis(value: &Value) -> Option<i64> {
    rules::date_millis(value)
}
