//! What a table has taken in of its source already.
//!
//! Of a live system it is known by the newest change that was seen, which kind of system it was, and what was read there
//! by other names than usual: a table that was filled from an export or from another collection is read as a whole once,
//! as nobody knows what those had left out. Where there are several usual names, the one that was found counts: an
//! application that moves from `users` to `auth_users` has other rows in it, and old ones among them. Where the system is
//! is not known to the process that runs jobs; whoever has it moved to other data asks for a full refresh.
//!
//! Media are listed as a whole every time, so of them nothing is known but the folder.
//!
//! A file is known by its path and by a tag of the store that changes whenever the content may have: an export that
//! grew by a file costs reading that file. A file that itself grew is read as a whole; the merge by key finds what is
//! new in it.

use std::collections::BTreeMap;

use quickchat_sources::ExportFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::sources::SourceInput;

/// More files than this are remembered as one: the note of a commit should stay small.
const MAX_LISTED: usize = 1_000;
/// The path under which all files together are remembered.
const TOGETHER: &str = "*";

/// What a table has taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum TakenIn {
    /// Of a live system: its kind and names, or the address of a media folder. The path of a file is never `live`.
    Live {
        live: String,
        /// The table that was read, where there are several usual names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table: Option<String>,
    },
    /// Of an export.
    Files(SourceFiles),
}

impl TakenIn {
    /// What will have been taken in when a source has been read.
    pub(super) fn of(source: &SourceInput<'_>) -> Self {
        match source.live_system() {
            Some(system) => Self::Live { live: system, table: source.table_found().map(str::to_owned) },
            None => Self::Files(SourceFiles::of(source.files())),
        }
    }

    /// Whether a live system is the one that was taken in. While nobody has looked which table it has, that is not held
    /// against it.
    pub(super) fn is_still(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Live { live: known, .. }, Self::Live { live, table: None }) => known == live,
            (known, now) => known == now,
        }
    }
}

/// Files of an export, by path, with the tags of their contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SourceFiles(BTreeMap<String, String>);

impl SourceFiles {
    /// The files as they are listed.
    pub(super) fn of(files: &[ExportFile]) -> Self {
        let listed = files.iter().map(|file| (file.path.clone(), tag(file)));
        if files.len() <= MAX_LISTED {
            return Self(listed.collect());
        }
        let mut hash = Sha256::new();
        for (path, tag) in listed {
            hash.update(format!("{path}\n{tag}\n"));
        }
        let together = hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self(BTreeMap::from([(TOGETHER.to_owned(), together)]))
    }

    /// Those of `files` that are new, or other than they were.
    pub(super) fn not_among(&self, files: &[ExportFile]) -> Vec<ExportFile> {
        let now = Self::of(files);
        if self.0.contains_key(TOGETHER) || now.0.contains_key(TOGETHER) {
            return if *self == now { Vec::new() } else { files.to_vec() };
        }
        // Without a tag nobody knows whether the content is the same.
        let is_known = |file: &&ExportFile| file.e_tag.is_some() && self.0.get(&file.path) == now.0.get(&file.path);
        files.iter().filter(|file| !is_known(file)).cloned().collect()
    }
}

fn tag(file: &ExportFile) -> String {
    format!("{} bytes, {}", file.size, file.e_tag.as_deref().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, tag: Option<&str>) -> ExportFile {
        let format = quickchat_sources::FileFormat::Json;
        ExportFile { path: path.to_owned(), format, gzip: false, size: 1, e_tag: tag.map(str::to_owned) }
    }

    fn paths(files: &[ExportFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    fn live(system: &str, table: Option<&str>) -> TakenIn {
        TakenIn::Live { live: system.to_owned(), table: table.map(str::to_owned) }
    }

    #[test]
    fn another_table_is_another_source() {
        let (users, auth_users) = (live("mysql", Some("users")), live("mysql", Some("auth_users")));
        assert!(users.is_still(&users) && !users.is_still(&auth_users));
        // Nobody has looked yet, or did when the rows were read.
        assert!(users.is_still(&live("mysql", None)) && !live("mysql", None).is_still(&users));
        assert!(!users.is_still(&live("mysql name=\"users\"", None)));
        assert!(!TakenIn::Files(SourceFiles::default()).is_still(&live("mysql", None)));
    }

    #[test]
    fn a_live_system_and_files_are_told_apart() {
        for taken_in in [
            live("mongodb", None),
            live("mysql", Some("auth_users")),
            TakenIn::Files(SourceFiles::of(&[file("mongodb/a.json", Some("1"))])),
            TakenIn::Files(SourceFiles::default()),
        ] {
            let json = serde_json::to_string(&taken_in).unwrap();
            assert_eq!(serde_json::from_str::<TakenIn>(&json).unwrap(), taken_in, "{json}");
        }
    }

    #[test]
    fn new_and_changed_files_are_read_again_and_known_ones_are_not() {
        let known = SourceFiles::of(&[file("a", Some("1")), file("b", Some("1")), file("gone", Some("1"))]);
        let now = [file("a", Some("1")), file("b", Some("2")), file("c", Some("1"))];
        assert_eq!(paths(&known.not_among(&now)), ["b", "c"]);
        assert!(SourceFiles::of(&now).not_among(&now).is_empty());
    }

    #[test]
    fn a_file_without_a_tag_is_read_every_time() {
        let files = [file("a", None)];
        assert_eq!(paths(&SourceFiles::of(&files).not_among(&files)), ["a"]);
    }

    #[test]
    fn very_many_files_are_known_together_or_not_at_all() {
        let many: Vec<ExportFile> = (0..=MAX_LISTED).map(|index| file(&index.to_string(), Some("1"))).collect();
        let known = SourceFiles::of(&many);
        assert_eq!(known.0.len(), 1);
        assert!(known.not_among(&many).is_empty());
        assert_eq!(known.not_among(&many[1..]).len(), MAX_LISTED);
        assert_eq!(SourceFiles::of(&many[1..]).not_among(&many).len(), MAX_LISTED + 1);
    }
}
