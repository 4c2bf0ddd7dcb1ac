//! The versions of a table: which are in the log, what each changed, and whether an old one can still be read.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use deltalake::kernel::Action;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::snapshot::{PinnedTable, Tables, corrupt};
use crate::{LakeError, Result, TableUrl};

/// How many objects are looked for at a time.
const CONCURRENT_LOOKS: usize = 32;

/// Digits of the version in the name of an entry.
const VERSION_DIGITS: usize = 20;

/// An object of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    /// Where it is, below the table.
    pub(crate) location: Path,
    /// The version that it makes or sums up.
    pub(crate) version: u64,
    pub(crate) bytes: u64,
    /// When it was written, by the store's clock.
    pub(crate) modified: DateTime<Utc>,
    kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Commit,
    /// A checkpoint that is whole.
    Checkpoint,
    /// A part of a checkpoint, or a checksum: of use only together with others.
    Part,
}

impl LogEntry {
    /// Understands the name of an object; none if it is not about one version.
    pub(crate) fn parse(location: &Path, bytes: u64, modified: DateTime<Utc>) -> Option<Self> {
        let (version, kind) = location.filename()?.split_once('.')?;
        if version.len() != VERSION_DIGITS {
            return None;
        }
        let kind = match kind {
            "json" => EntryKind::Commit,
            "checkpoint.parquet" => EntryKind::Checkpoint,
            "crc" => EntryKind::Part,
            other if other.starts_with("checkpoint.") => EntryKind::Part,
            _ => return None,
        };
        Some(Self { location: location.clone(), version: version.parse().ok()?, bytes, modified, kind })
    }

    pub(crate) fn is_commit(&self) -> bool {
        self.kind == EntryKind::Commit
    }

    /// Whether it is a checkpoint that can be read by itself.
    pub(crate) fn is_checkpoint(&self) -> bool {
        self.kind == EntryKind::Checkpoint
    }
}

impl Tables {
    /// The actions of one commit; none if it is no longer in the log.
    pub(crate) async fn actions(&self, table: &TableUrl, version: u64) -> Result<Option<Vec<Action>>> {
        self.commit_lines(table, version).await
    }

    pub(crate) async fn commit_lines<T: serde::de::DeserializeOwned>(
        &self,
        table: &TableUrl,
        version: u64,
    ) -> Result<Option<Vec<T>>> {
        let entry = self.log_store(table)?.read_commit_entry(version).await;
        let Some(entry) = entry.map_err(|error| LakeError::log("read a commit", table, error))? else {
            return Ok(None);
        };
        let lines = entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let parsed = lines.map(serde_json::from_slice).collect::<std::result::Result<_, _>>();
        parsed.map(Some).map_err(|error| LakeError::log("read a commit", table, corrupt(error)))
    }

    /// All entries of a log, in the order of their names.
    pub(crate) async fn log_entries(&self, table: &TableUrl) -> Result<Vec<LogEntry>> {
        let log = self.log_store(table)?;
        let store = log.object_store(None);
        let listed: Vec<_> = store
            .list(Some(log.log_path()))
            .try_collect()
            .await
            .map_err(|error| LakeError::object("list the log of", table, error))?;
        let depth = log.log_path().parts().count() + 1;
        let mut entries: Vec<LogEntry> = listed
            .into_iter()
            .filter(|object| object.location.parts().count() == depth)
            .filter_map(|object| LogEntry::parse(&object.location, object.size, object.last_modified))
            .collect();
        entries.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(entries)
    }

    /// Refuses a version of which vacuum has deleted files.
    ///
    /// Files that are part of `newest` are there; the others are looked for, one by one, since nothing else tells.
    pub async fn check_readable(&self, pinned: &PinnedTable, newest: &PinnedTable) -> Result<()> {
        let live: HashSet<&str> = newest.files.iter().map(|file| file.path.as_str()).collect();
        let store = self.log_store(&pinned.url)?.object_store(None);
        let old = pinned.files.iter().filter(|file| !live.contains(file.path.as_str()));
        let looks = old.map(|file| {
            let store = &store;
            async move {
                let failed = |error| LakeError::object("look for a file of", &pinned.url, error);
                let path = Path::parse(&file.path).map_err(|error| failed(error.into()))?;
                match store.head(&path).await {
                    Ok(_) => Ok(None),
                    Err(object_store::Error::NotFound { .. }) => Ok(Some(file.path.clone())),
                    Err(error) => Err(failed(error)),
                }
            }
        });
        let looked: Vec<Option<String>> =
            futures::stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).try_collect().await?;
        let mut missing: Vec<String> = looked.into_iter().flatten().collect();
        missing.sort();
        match missing.first() {
            None => Ok(()),
            Some(file) => Err(LakeError::Vacuumed {
                table: pinned.url.to_string(),
                version: pinned.version,
                missing: missing.len(),
                file: file.clone(),
            }),
        }
    }
}

/// Sizes of a version's files, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileSizes {
    /// The smallest; 0 if there is no file.
    pub smallest: u64,
    /// Half of the files are not larger.
    pub median: u64,
    /// The largest.
    pub largest: u64,
}

impl PinnedTable {
    /// Sizes of the live files.
    pub fn file_sizes(&self) -> FileSizes {
        let mut sizes: Vec<u64> = self.files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).collect();
        sizes.sort_unstable();
        let at = |index: usize| sizes.get(index).copied().unwrap_or(0);
        let last = sizes.len().saturating_sub(1);
        FileSizes { smallest: at(0), median: at(last / 2), largest: at(last) }
    }

    /// Partitions with files; a table without partition columns is one partition.
    pub fn partitions(&self) -> u64 {
        let paths = self.files.iter().map(|file| crate::commit::partition_path(&file.partition_values));
        paths.collect::<HashSet<_>>().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_by_their_names() {
        let parse = |name: &str| {
            let path = Path::parse(format!("_delta_log/{name}")).unwrap();
            LogEntry::parse(&path, 1, DateTime::UNIX_EPOCH).map(|entry| (entry.version, entry.kind))
        };
        assert_eq!(parse("00000000000000000012.json"), Some((12, EntryKind::Commit)));
        assert_eq!(parse("00000000000000000012.checkpoint.parquet"), Some((12, EntryKind::Checkpoint)));
        assert_eq!(parse("00000000000000000012.crc"), Some((12, EntryKind::Part)));
        assert_eq!(
            parse("00000000000000000012.checkpoint.0000000001.0000000002.parquet"),
            Some((12, EntryKind::Part)),
            "one of two parts is no checkpoint"
        );
        for name in ["_last_checkpoint", "12.json", "00000000000000000001.00000000000000000009.compacted.json", "x.tmp"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
