//! What happened to a table between two versions, read from its log alone.
//!
//! Whoever keeps a derived table up to date asks two questions: which version was mine, and what changed in my inputs
//! since the versions that I used then. Both are answered by the entries of the log, at the price of one small read a
//! version, without opening a data file. Commits that only move rows about (compaction) or record something change
//! nothing.
//!
//! The alternative, comparing the lists of live files of two versions, takes a compaction for a change of everything.

use std::collections::{BTreeMap, BTreeSet};

use deltalake::kernel::{Add, Remove};
use serde_json::{Map, Value};

use crate::scan::FileStatistics;
use crate::snapshot::{Tables, corrupt};
use crate::{LakeError, Result, TableUrl};

/// How many versions are looked at one by one. What is further back is as good as unknown: reading it would take
/// longer than computing everything anew.
const MAX_VERSIONS: u64 = 512;

/// Values of the partition columns, as the log writes them.
pub type PartitionValues = BTreeMap<String, Option<String>>;

/// One entry of a table's log.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The version.
    pub version: u64,
    /// Its `commitInfo`, empty if there is none.
    pub info: Map<String, Value>,
    /// Files that it added, those included that hold moved rows only.
    pub added: Files,
    /// Files that it removed, likewise.
    pub removed: Files,
    /// What it did to the rows; nothing, if it only moved them about.
    pub changes: Changes,
}

/// Some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// Their size in bytes, as far as the log knows it.
    pub bytes: u64,
}

impl Files {
    fn count(&mut self, size: i64) {
        self.count += 1;
        self.bytes += u64::try_from(size).unwrap_or(0);
    }
}

/// What one or several commits did to the rows of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Partitions in which a file was added or removed; of a table without partitions the one without values.
    pub partitions: BTreeSet<PartitionValues>,
    /// Files added.
    pub files_added: u64,
    /// Their size in bytes.
    pub bytes_added: u64,
    /// Their rows, as far as the log knows. Rows that were there before and stand in a rewritten file are among them.
    pub rows_added: u64,
    /// Files removed.
    pub files_removed: u64,
    /// When the first of them was removed, milliseconds since 1970. From then on it may be vacuumed one day.
    pub first_removal: Option<i64>,
}

impl Changes {
    /// Whether no row was added or removed.
    pub fn is_empty(&self) -> bool {
        self.files_added == 0 && self.files_removed == 0
    }

    fn merge(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
        self.files_added += other.files_added;
        self.bytes_added += other.bytes_added;
        self.rows_added += other.rows_added;
        self.files_removed += other.files_removed;
        self.first_removal = match (self.first_removal, other.first_removal) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }
}

/// The newest commit of a table that tells something, found by [`Tables::last_note`].
#[derive(Debug, Clone, PartialEq)]
pub enum LastNote {
    /// The `commitInfo` of this version has the key; nothing but compaction and the like came after it.
    Found {
        /// The version.
        version: u64,
        /// What stands under the key.
        note: Value,
    },
    /// A commit without the key changed rows after the last one with it.
    Foreign {
        /// The version.
        version: u64,
        /// What it says it did.
        operation: String,
    },
    /// The log no longer goes back to a commit with the key, or it never had one.
    Gone,
}

impl Tables {
    /// One entry of the log; none if it is not there, or no longer.
    pub async fn entry(&self, table: &TableUrl, version: u64) -> Result<Option<Entry>> {
        let lines: Option<Vec<Map<String, Value>>> = self.commit_lines(table, version).await?;
        let Some(lines) = lines else { return Ok(None) };
        let mut entry = Entry { version, ..Entry::default() };
        for (kind, action) in lines.into_iter().flatten() {
            entry.take(&kind, action).map_err(|error| LakeError::log("read a commit", table, corrupt(error)))?;
        }
        Ok(Some(entry))
    }

    /// What the versions after `from`, up to and including `to`, did to the rows; none if the log no longer tells.
    pub async fn changes(&self, table: &TableUrl, from: u64, to: u64) -> Result<Option<Changes>> {
        if to.saturating_sub(from) > MAX_VERSIONS {
            return Ok(None);
        }
        let mut changes = Changes::default();
        for version in from + 1..=to {
            match self.entry(table, version).await? {
                Some(entry) => changes.merge(entry.changes),
                None => return Ok(None),
            }
        }
        Ok(Some(changes))
    }

    /// Looks back from `newest` for the last commit whose `commitInfo` has `key`.
    pub async fn last_note(&self, table: &TableUrl, newest: u64, key: &str) -> Result<LastNote> {
        for version in (newest.saturating_sub(MAX_VERSIONS)..=newest).rev() {
            let Some(mut entry) = self.entry(table, version).await? else { break };
            if let Some(note) = entry.info.remove(key) {
                return Ok(LastNote::Found { version, note });
            }
            if !entry.changes.is_empty() {
                let operation = entry.info.get("operation").and_then(Value::as_str).unwrap_or("an unknown operation");
                return Ok(LastNote::Foreign { version, operation: operation.to_owned() });
            }
        }
        Ok(LastNote::Gone)
    }
}

impl Entry {
    fn take(&mut self, kind: &str, action: Value) -> serde_json::Result<()> {
        let changes = &mut self.changes;
        match kind {
            "add" => {
                let add: Add = serde_json::from_value(action)?;
                self.added.count(add.size);
                if add.data_change {
                    changes.files_added += 1;
                    changes.bytes_added += u64::try_from(add.size).unwrap_or(0);
                    changes.rows_added += FileStatistics::rows(&add).unwrap_or(0) as u64;
                    changes.partitions.insert(add.partition_values.into_iter().collect());
                }
            }
            "remove" => {
                let remove: Remove = serde_json::from_value(action)?;
                self.removed.count(remove.size.unwrap_or(0));
                if remove.data_change {
                    changes.files_removed += 1;
                    changes.first_removal =
                        [changes.first_removal, remove.deletion_timestamp].into_iter().flatten().min();
                    changes.partitions.insert(remove.partition_values.unwrap_or_default().into_iter().collect());
                }
            }
            "commitInfo" => {
                if let Value::Object(info) = action {
                    self.info = info;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
