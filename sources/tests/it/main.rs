//! The crate through its public surface: folders, tables, plans, codecs.

// Helpers outside of test functions may panic too: a broken fixture is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod folder;
mod health;
mod media;
mod mongodb;
mod mysql;
mod parquet;
mod plan;
mod scan;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// An export folder with these files.
fn export(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, bytes) in files {
        write(folder.path(), path, bytes);
    }
    folder
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn location(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}
