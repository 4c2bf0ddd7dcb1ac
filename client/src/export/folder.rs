//! The folder of an export: hidden until it is complete.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{ExportError, Exported};

/// The file that says what a folder holds, and that an export made it.
const DESCRIPTION: &str = "_export.json";

/// Fails unless an export may take the place of `folder`.
pub(super) fn check(folder: &Path, overwrite: bool) -> Result<(), ExportError> {
    if let Some(to) = folder.to_str().filter(|text| text.contains("://")) {
        return Err(ExportError::NotLocal { to: to.to_owned() });
    }
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ExportError::file("look at", folder, error)),
        Ok(_) if !overwrite => Err(ExportError::Exists { folder: folder.to_owned() }),
        Ok(_) if folder.join(DESCRIPTION).is_file() => Ok(()),
        Ok(_) => Err(ExportError::NotAnExport { folder: folder.to_owned() }),
    }
}

/// The hidden sibling of the folder to be. Removed when dropped.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    folder: PathBuf,
}

impl Partial {
    /// Makes an empty one, and the folders above it.
    pub(super) fn make(folder: &Path) -> Result<Self, ExportError> {
        let folder = std::path::absolute(folder).map_err(|error| ExportError::file("name", folder, error))?;
        let path = sibling(&folder, "partial");
        fs::create_dir_all(&path).map_err(|error| ExportError::file("make the folder", &path, error))?;
        Ok(Self { path, folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what the folder holds.
    pub(super) fn describe(&self, exported: &Exported) -> Result<(), ExportError> {
        let path = self.path.join(DESCRIPTION);
        let text = serde_json::to_vec_pretty(exported).map_err(io::Error::other);
        let written = text.and_then(|text| fs::write(&path, text)).and_then(|()| fs::File::open(&path)?.sync_all());
        written.map_err(|error| ExportError::file("write", &path, error))
    }

    /// Gives the folder its name. What had that name before is removed.
    pub(super) fn publish(self, overwrite: bool) -> Result<(), ExportError> {
        // It may have come into being while the export ran.
        check(&self.folder, overwrite)?;
        if !self.folder.exists() {
            return self.rename(&self.path, &self.folder);
        }
        match exchange(&self.path, &self.folder) {
            // The old folder has the hidden name now, and is removed with it.
            Ok(()) => Ok(()),
            Err(error) if cannot_exchange(&error) => self.replace(),
            Err(error) => Err(ExportError::file("replace", &self.folder, error)),
        }
    }

    /// Where folders cannot be exchanged: for a moment there is none of that name.
    fn replace(&self) -> Result<(), ExportError> {
        let old = sibling(&self.folder, "replaced");
        self.rename(&self.folder, &old)?;
        if let Err(error) = self.rename(&self.path, &self.folder) {
            self.rename(&old, &self.folder)?;
            return Err(error);
        }
        fs::remove_dir_all(&old).map_err(|error| ExportError::file("remove the earlier export", &old, error))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), ExportError> {
        fs::rename(from, to).map_err(|error| ExportError::file("put the finished export in its place", to, error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Ok(()) => {}
            // It has its final name.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove what is no longer needed of an export");
            }
        }
    }
}

/// A hidden name beside `folder` that nobody else has.
fn sibling(folder: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(format!(".{}.{what}", uuid::Uuid::now_v7()));
    folder.with_file_name(name)
}

#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Whether the system or the disk, and not these folders, is the reason. Disks that do not know how to exchange call
/// the request invalid.
fn cannot_exchange(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn partial_with(folder: &Path, content: &str) -> Partial {
        let partial = Partial::make(folder).unwrap();
        fs::write(partial.path().join("part"), content).unwrap();
        fs::write(partial.path().join(DESCRIPTION), "{}").unwrap();
        partial
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        drop(partial_with(&folder, "given up"));
        assert_eq!(names(&place.path().join("a")), [""; 0]);
        partial_with(&folder, "one").publish(false).unwrap();
        assert_eq!(names(&folder), [DESCRIPTION, "part"]);
        assert_eq!(names(&place.path().join("a")), ["b"]);
    }

    #[test]
    fn an_earlier_export_is_replaced_only_when_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("b");
        partial_with(&folder, "one").publish(false).unwrap();
        assert!(matches!(partial_with(&folder, "two").publish(false), Err(ExportError::Exists { .. })));
        assert_eq!(fs::read_to_string(folder.join("part")).unwrap(), "one");
        partial_with(&folder, "two").publish(true).unwrap();
        assert_eq!(fs::read_to_string(folder.join("part")).unwrap(), "two");
        partial_with(&folder, "three").replace().unwrap();
        assert_eq!(fs::read_to_string(folder.join("part")).unwrap(), "three");
        assert_eq!(names(place.path()), ["b"], "nothing is left beside it");
    }

    #[test]
    fn nothing_else_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("precious"), "x").unwrap();
        assert!(matches!(check(place.path(), true), Err(ExportError::NotAnExport { .. })));
        assert!(matches!(check(&place.path().join("precious"), true), Err(ExportError::NotAnExport { .. })));
        assert!(matches!(check(Path::new("s3://bucket/x"), true), Err(ExportError::NotLocal { .. })));
        assert!(check(&place.path().join("new"), false).is_ok());
    }
}
