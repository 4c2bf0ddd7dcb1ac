//! What a table's rows were computed from, as the commit that wrote them says.
//!
//! The note stands in the same commit as the rows, so the two cannot disagree: a run that dies before its commit leaves
//! the old rows with the old note. A note is believed only if nobody else changed the table's rows since, nor between
//! the version that the rows were computed on and the commit.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use quickchat_lake::changes::LastNote;
use quickchat_lake::snapshot::{PinnedTable, Tables};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::COMMIT_KEY;
use super::decide::{Reason, date};
use super::source_files::TakenIn;
use crate::error::RunError;

/// The basis of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Basis {
    /// The run's instant.
    pub(super) as_of_micros: i64,
    /// The job's fingerprint.
    pub(super) definition: String,
    /// The versions of the tables that were read.
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, InputVersion>,
    /// What was read of the source, now or earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<TakenIn>,
    /// How new the newest row of a live system is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) watermark: Option<Watermark>,
    /// The version of the table itself before the commit.
    pub(super) base: Option<u64>,
}

/// An input as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputVersion {
    /// The table's id.
    pub(super) id: String,
    /// Its version.
    pub(super) version: u64,
    /// Its files as a number, see [`PinnedTable::files_id`], in hexadecimal digits.
    #[serde(default)]
    pub(super) files: String,
    /// The first instant from which on its rows count otherwise, microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<i64>,
}

impl InputVersion {
    /// A version as it is read now, without what is known of its future.
    pub(super) fn of(pinned: &PinnedTable) -> Self {
        Self {
            id: pinned.metadata.id().to_owned(),
            version: pinned.version,
            files: format!("{:016x}", pinned.files_id),
            next: None,
        }
    }

    /// Whether it is this version of this table, and not another one that has taken its number.
    pub(super) fn is(&self, pinned: &PinnedTable) -> bool {
        self.is_same(&Self::of(pinned))
    }

    /// Whether both are one version, whatever was known of its future.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.version == other.version && self.files == other.files
    }
}

/// The largest value of the column that says which rows are newer, of all rows that were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watermark {
    /// The column.
    pub(super) field: String,
    /// Its value, ISO 8601.
    pub(super) value: String,
}

impl Watermark {
    /// The value in microseconds since 1970.
    pub(super) fn micros(&self) -> Option<i64> {
        DateTime::parse_from_rfc3339(&self.value).ok().map(|instant| instant.timestamp_micros())
    }

    /// The watermark, but not after an instant: a row whose time lies ahead of the run must not make later runs
    /// overlook what comes before it.
    pub(super) fn at_most(self, micros: i64) -> Self {
        match (self.micros(), DateTime::from_timestamp_micros(micros)) {
            (Some(own), Some(limit)) if own > micros => {
                Self { value: limit.to_rfc3339_opts(SecondsFormat::Micros, true), ..self }
            }
            _ => self,
        }
    }
}

impl Basis {
    /// The basis as entries of a commit's note.
    pub(super) fn facts(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(facts)) => facts,
            // A struct of strings and numbers is always an object; without a note the next run computes everything.
            _ => Map::new(),
        }
    }

    /// Whether it says something that the stored one does not, so that the next run would look at it again.
    pub(super) fn is_news(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| {
            known.inputs != self.inputs
                || known.source != self.source
                || known.definition != self.definition
                || date(known.as_of_micros) != date(self.as_of_micros)
        })
    }

    /// The basis of this run's next commit to the same table, after one that made `version`. Where somebody else's came
    /// in between it stays what it was, for the next run to notice.
    pub(super) fn after(self, version: Option<u64>) -> Self {
        let base = match (self.base, version) {
            (None, Some(0)) => Some(0),
            (Some(base), Some(version)) if version == base + 1 => Some(version),
            (base, _) => base,
        };
        Self { base, ..self }
    }

    /// The basis of the newest version of a table, or why there is none to build on.
    pub(super) async fn of(tables: &Tables, table: &PinnedTable) -> Result<Result<Self, Reason>, RunError> {
        let note = tables.last_note(&table.url, table.version, COMMIT_KEY).await?;
        let (version, note) = match note {
            LastNote::Found { version, note } => (version, note),
            LastNote::Foreign { version, operation } => return Ok(Err(Reason::Foreign { version, operation })),
            LastNote::Gone => return Ok(Err(Reason::NoBasis)),
        };
        // A note of another release may say less.
        let Ok(basis) = serde_json::from_value::<Self>(note) else { return Ok(Err(Reason::NoBasis)) };
        let before = version.saturating_sub(1);
        match basis.base {
            Some(base) if base < before => match tables.changes(&table.url, base, before).await? {
                Some(changes) if changes.is_empty() => Ok(Ok(basis)),
                Some(_) => Ok(Err(Reason::Foreign { version: before, operation: "a concurrent commit".to_owned() })),
                None => Ok(Err(Reason::NoBasis)),
            },
            _ => Ok(Ok(basis)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_not_after_an_instant() {
        let at = |value: &str| Watermark { field: "updated_at".to_owned(), value: value.to_owned() };
        let limit = at("2026-01-02T03:04:05Z").micros().unwrap();
        assert_eq!(at("2029-01-01T00:00:00Z").at_most(limit).micros(), Some(limit));
        assert_eq!(at("2026-01-02T03:04:04.999Z").at_most(limit), at("2026-01-02T03:04:04.999Z"));
    }

    #[test]
    fn only_a_commit_right_behind_the_base_is_taken_for_ones_own() {
        let basis = |base| Basis {
            as_of_micros: 0,
            definition: "job".to_owned(),
            inputs: BTreeMap::new(),
            source: None,
            watermark: None,
            base,
        };
        for (base, version, after) in [
            (None, Some(0), Some(0)),
            (None, None, None),
            (Some(4), Some(5), Some(5)),
            (Some(4), None, Some(4)),
            // Somebody else's version 5 came in between.
            (Some(4), Some(6), Some(4)),
        ] {
            assert_eq!(basis(base).after(version).base, after, "{base:?}, {version:?}");
        }
    }
}
