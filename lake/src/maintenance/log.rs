//! A table's log: summed up on demand, and shortened.
//!
//! Commits make a checkpoint every few versions. Entries before a checkpoint serve time travel only, and go when they
//! are older than the table's `delta.logRetentionDuration`, 30 days unless it says otherwise. What stays can still be
//! read at every version that was the newest within that time: only entries before the last checkpoint that is older
//! than all of these are dropped, and only after that checkpoint was read.
//!
//! delta-rs' clean-up was rejected: it goes on when the store fails to list the log, and starts from the first version
//! *made* within the retention, so that the one that was the newest when it began is lost.

use chrono::{DateTime, TimeDelta, Utc};
use deltalake::table::config::TablePropertiesExt;
use futures::StreamExt;

use crate::commit::write_checkpoint;
use crate::history::LogEntry;
use crate::snapshot::Tables;
use crate::{LakeError, Result, TableUrl};

/// How a log is to be summed up.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointOptions {
    /// Whether to do it; otherwise it is only found out what would be done.
    pub execute: bool,
    /// What time it is.
    pub now: DateTime<Utc>,
}

/// What was done to a log, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpointed {
    /// The newest version.
    pub version: u64,
    /// Whether a checkpoint of it was made; otherwise there was one.
    pub made: bool,
    /// Entries of the log that were dropped.
    pub dropped: u64,
    /// Their size.
    pub dropped_bytes: u64,
}

/// Makes a checkpoint of a table's newest version, unless there is one, and drops entries of the log that have expired.
pub async fn checkpoint(tables: &Tables, table: &TableUrl, options: &CheckpointOptions) -> Result<Checkpointed> {
    let pinned = tables.latest(table).await?.ok_or_else(|| LakeError::NoTable { table: table.to_string() })?;
    let version = pinned.version;
    let entries = tables.log_entries(table).await?;
    let made = !entries.iter().any(|entry| entry.version == version && entry.is_checkpoint());
    let handle = match made && options.execute {
        true => write_checkpoint(tables, table, version).await?,
        false => tables.handle(table, version).await?,
    };
    let state = handle.snapshot().map_err(|error| LakeError::log("read the log", table, error))?;
    let retention = TimeDelta::from_std(state.table_config().log_retention_duration()).unwrap_or(TimeDelta::MAX);
    let cutoff = options.now.checked_sub_signed(retention).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let expired = expired(&entries, version, cutoff);
    if options.execute && !expired.is_empty() {
        drop_entries(tables, table, &expired).await?;
    }
    let dropped_bytes = expired.iter().map(|entry| entry.bytes).sum();
    Ok(Checkpointed { version, made, dropped: expired.len() as u64, dropped_bytes })
}

/// The entries that no version since `cutoff` needs.
fn expired(entries: &[LogEntry], newest: u64, cutoff: DateTime<Utc>) -> Vec<&LogEntry> {
    let commits = entries.iter().filter(|entry| entry.is_commit());
    let first_recent = commits.filter(|entry| entry.modified >= cutoff).map(|entry| entry.version).min();
    // The version before the first recent one was the newest at the cutoff.
    let first_needed = first_recent.map_or(newest, |version| version.saturating_sub(1));
    let checkpoints = entries.iter().filter(|entry| entry.is_checkpoint() && entry.version <= first_needed);
    let Some(start) = checkpoints.map(|entry| entry.version).max() else { return Vec::new() };
    entries.iter().filter(|entry| entry.version < start && entry.modified < cutoff).collect()
}

async fn drop_entries(tables: &Tables, table: &TableUrl, expired: &[&LogEntry]) -> Result<()> {
    let last = expired.iter().map(|entry| entry.version).max().unwrap_or(0);
    let entries = tables.log_entries(table).await?;
    let start = entries.iter().filter(|entry| entry.is_checkpoint() && entry.version > last);
    if let Some(start) = start.map(|entry| entry.version).min() {
        // A checkpoint that cannot be read must not become the beginning of the log.
        tables.version(table, start, None).await?;
    }
    let store = tables.log_store(table)?.object_store(None);
    // The oldest first: whenever this is stopped, what is left has no hole.
    let mut oldest_first = expired.to_vec();
    oldest_first.sort_by_key(|entry| entry.version);
    for entry in oldest_first {
        let paths = futures::stream::iter([Ok(entry.location.clone())]).boxed();
        let mut deleted = store.delete_stream(paths);
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::object("drop old entries of the log of", table, error)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries named like `c5` (a commit) and `k5` (a checkpoint), each a day younger than the one of the version
    /// before; versions from 100 on are of today.
    fn entries(names: &[&str]) -> Vec<LogEntry> {
        let entry = |name: &&str| {
            let version: u64 = name[1..].parse().unwrap();
            let kind = if name.starts_with('c') { "json" } else { "checkpoint.parquet" };
            let path = object_store::path::Path::parse(format!("_delta_log/{version:020}.{kind}")).unwrap();
            let age = TimeDelta::days(100 - i64::try_from(version).unwrap());
            LogEntry::parse(&path, 1, now() - age).unwrap()
        };
        names.iter().map(entry).collect()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }

    fn dropped(names: &[&str], newest: u64, days: i64) -> Vec<String> {
        let entries = entries(names);
        let kind = |entry: &LogEntry| if entry.is_commit() { 'c' } else { 'k' };
        let cutoff = now() - TimeDelta::days(days) + TimeDelta::hours(1);
        expired(&entries, newest, cutoff).into_iter().map(|entry| format!("{}{}", kind(entry), entry.version)).collect()
    }

    #[test]
    fn entries_before_the_last_checkpoint_that_all_recent_versions_come_after_go() {
        let log = ["c1", "c2", "k2", "c3", "c4", "k4", "c5", "c6", "k6"];
        // Version 4 is 96 days old.
        assert_eq!(dropped(&log, 6, 97), ["c1"], "version 3 was the newest then: it needs checkpoint 2");
        assert_eq!(dropped(&log, 6, 96), ["c1", "c2", "k2", "c3"], "version 4 was");
        assert_eq!(dropped(&log, 6, 30), ["c1", "c2", "k2", "c3", "c4", "k4", "c5"], "nothing is recent");
        assert_eq!(dropped(&log, 6, 1000), Vec::<String>::new(), "everything is recent");
    }

    #[test]
    fn without_a_checkpoint_nothing_goes() {
        assert_eq!(dropped(&["c1", "c2", "c3"], 3, 30), Vec::<String>::new());
        assert_eq!(dropped(&["c1", "c2", "k3", "c3"], 3, 98), Vec::<String>::new(), "it is too young");
    }
}
