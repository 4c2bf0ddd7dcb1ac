//! Files of a local folder that are not listed.
//!
//! `object_store` takes a file whose name ends in `#` and digits for a temporary file of its own, and lists it in no way.
//! Users are told, since nothing else would. A listing of our own in its place was rejected: it would have to follow
//! links, find their circles, and make paths of names as `object_store` does, for names that hardly anybody gives.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path as LocalPath, PathBuf};

use object_store::path::Path;

/// Warns, in its own time, if there are such files in a folder. Whatever cannot be looked at, the listing itself meets.
pub(super) fn warn_of_unlisted(root: &Path) {
    let folder = PathBuf::from(format!("/{root}"));
    tokio::task::spawn_blocking(move || {
        if let Some(file) = first_unlisted(&folder) {
            tracing::warn!(
                file = %file.display(),
                "media files whose names end in # and digits cannot be listed, and get no rows; rename them"
            );
        }
    });
}

/// One of the files that are not listed.
fn first_unlisted(folder: &LocalPath) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) if is_unlisted(&entry.file_name()) => return Some(entry.path()),
                _ => {}
            }
        }
    }
    None
}

fn is_unlisted(name: &OsStr) -> bool {
    let suffix = name.to_str().and_then(|name| name.split_once('#')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    use object_store::local::LocalFileSystem;

    use super::*;

    /// What is warned of is what `object_store` leaves out.
    #[tokio::test]
    async fn names_that_are_not_listed_are_known() {
        for (name, unlisted) in [
            ("a.jpg", false),
            ("a#1", true),
            ("#2024", true),
            ("deep/er/a.jpg#7", true),
            ("a#", false),
            ("a#1.jpg", false),
            ("a#1#2", false),
            ("a#1/b", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "1").unwrap();
            let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
            let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
            assert_eq!(listed.is_empty(), unlisted, "{name}");
            assert_eq!(first_unlisted(folder.path()), unlisted.then_some(file), "{name}");
        }
    }
}
