//! Vacuum: deletes files that no recent version of a table names.
//!
//! A file goes if all of this is so:
//!
//! * no version that was the newest at some time within the retention names it: it is not live now, and no commit of
//!   that time has removed it (so time travel within the retention works; the commits themselves are asked, since
//!   checkpoints forget removed files after a week),
//! * it is older than the retention, by the store's own clock: what a running job has written and not committed yet is
//!   younger, for no job runs that long,
//! * it lies in a folder for data, that is not in one whose name begins with `_` or `.` (but for partitions).
//!
//! The retention is at least a week. Clocks that differ by minutes or hours do no harm at that length.
//!
//! The table's folder is listed and deleted from as a stream: only the names of files that must stay are held, which
//! any reader of the table holds too.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use deltalake::kernel::Action;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::operation::remove_folder;
use crate::snapshot::{PinnedTable, Tables};
use crate::{LakeError, Result, TableUrl};

/// The shortest time for which vacuum keeps what is no longer part of the newest version.
pub const LEAST_RETENTION: TimeDelta = TimeDelta::days(7);

/// How many objects are deleted at a time: what one request of S3 takes.
const BATCH: usize = 1000;

/// How many commits are read at a time.
const CONCURRENT_READS: usize = 8;

/// How a vacuum is to be done.
#[derive(Debug, Clone, Copy)]
pub struct VacuumOptions {
    /// How long files stay that are not part of the newest version.
    pub retention: TimeDelta,
    /// Whether to delete; otherwise it is only found out what would be.
    pub execute: bool,
    /// What time it is.
    pub now: DateTime<Utc>,
}

/// Files that were deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// How many.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl VacuumOptions {
    fn cutoff(&self) -> Result<DateTime<Utc>> {
        if self.retention < LEAST_RETENTION {
            let (days, least_days) = (self.retention.num_days(), LEAST_RETENTION.num_days());
            return Err(LakeError::Retention { days, least_days });
        }
        Ok(self.now.checked_sub_signed(self.retention).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }
}

/// Deletes the files of a table that nobody needs, or finds out which these are. `found` hears of each: its path below
/// the table, and its size in bytes.
pub async fn vacuum(
    tables: &Tables,
    table: &TableUrl,
    options: &VacuumOptions,
    found: &mut (dyn FnMut(&str, u64) + Send),
) -> Result<Vacuumed> {
    let cutoff = options.cutoff()?;
    let pinned = tables.latest(table).await?.ok_or_else(|| LakeError::NoTable { table: table.to_string() })?;
    let needed = needed_files(tables, &pinned, cutoff).await?;
    let store = tables.log_store(table)?.object_store(None);
    let objects = store.list(None).map_err(|error| LakeError::object("list the files of", table, error));
    let unused = objects.try_filter(|object| {
        let goes = object.last_modified < cutoff && is_data(&object.location) && !needed.contains(&object.location);
        std::future::ready(goes)
    });
    let mut batches = std::pin::pin!(unused.try_chunks(BATCH));
    let mut done = Vacuumed::default();
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| error.1)?;
        for object in &batch {
            found(object.location.as_ref(), object.size);
            done.files += 1;
            done.bytes += object.size;
        }
        if options.execute {
            delete(store.as_ref(), table, batch).await?;
        }
    }
    Ok(done)
}

async fn delete(store: &dyn ObjectStore, table: &TableUrl, objects: Vec<ObjectMeta>) -> Result<()> {
    let paths = futures::stream::iter(objects.into_iter().map(|object| Ok(object.location))).boxed();
    let mut deleted = store.delete_stream(paths);
    while let Some(outcome) = deleted.next().await {
        match outcome {
            // Somebody else was faster.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(LakeError::object("delete unused files of", table, error)),
        }
    }
    Ok(())
}

/// The files of every version that was the newest at some time since `cutoff`.
async fn needed_files(tables: &Tables, newest: &PinnedTable, cutoff: DateTime<Utc>) -> Result<HashSet<Path>> {
    let mut needed = HashSet::with_capacity(newest.files.len());
    for file in &newest.files {
        needed.insert(parse(&file.path, &newest.url)?);
    }
    let entries = tables.log_entries(&newest.url).await?;
    let recent: Vec<u64> = entries
        .iter()
        .filter(|entry| entry.is_commit() && entry.modified >= cutoff)
        .map(|entry| entry.version)
        .collect();
    let read = recent.into_iter().map(|version| tables.actions(&newest.url, version));
    let mut commits = futures::stream::iter(read).buffer_unordered(CONCURRENT_READS);
    while let Some(actions) = commits.try_next().await? {
        for action in actions.into_iter().flatten() {
            if let Action::Remove(remove) = action {
                needed.insert(parse(&remove.path, &newest.url)?);
            }
        }
    }
    Ok(needed)
}

fn parse(path: &str, table: &TableUrl) -> Result<Path> {
    Path::parse(path).map_err(|error| LakeError::object("understand a path of", table, error.into()))
}

/// Whether a path below a table's folder is one of data, as the protocol defines it.
fn is_data(path: &Path) -> bool {
    path.parts().all(|part| {
        let part = part.as_ref();
        !(part.starts_with('_') || part.starts_with('.')) || part.contains('=')
    })
}

/// Deletes the folders below `folder` in which nothing was written within the retention: what runs that died have left
/// of their temporary files. `found` hears of each folder: its name, and the size of its files.
pub async fn vacuum_temporary(
    tables: &Tables,
    folder: &TableUrl,
    options: &VacuumOptions,
    found: &mut (dyn FnMut(&str, u64) + Send),
) -> Result<Vacuumed> {
    let cutoff = options.cutoff()?;
    let root = folder.path()?;
    let store = tables.stores().get(folder.url())?;
    let mut objects = store.list(Some(&root));
    let mut runs: HashMap<String, (Vacuumed, DateTime<Utc>)> = HashMap::new();
    loop {
        let object = match objects.try_next().await {
            Ok(Some(object)) => object,
            // A lake without temporary files has no such folder.
            Ok(None) | Err(object_store::Error::NotFound { .. }) => break,
            Err(error) => return Err(LakeError::object("list temporary files in", folder, error)),
        };
        let name = object.location.prefix_match(&root).and_then(|mut rest| Some(rest.next()?.as_ref().to_owned()));
        let Some(name) = name else { continue };
        let (size, youngest) = runs.entry(name).or_insert((Vacuumed::default(), object.last_modified));
        size.files += 1;
        size.bytes += object.size;
        *youngest = object.last_modified.max(*youngest);
    }
    let mut dead: Vec<(String, Vacuumed)> = runs
        .into_iter()
        .filter(|(_, (_, youngest))| *youngest < cutoff)
        .map(|(name, (size, _))| (name, size))
        .collect();
    dead.sort_by(|a, b| a.0.cmp(&b.0));
    let mut done = Vacuumed::default();
    for (name, size) in dead {
        found(&name, size.bytes);
        done.files += size.files;
        done.bytes += size.bytes;
        if options.execute {
            remove_folder(tables, &folder.folder(&name)).await;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_protocol_hold_no_data() {
        for (path, data) in [
            ("part-1.parquet", true),
            ("day=2026-01-01/part-1.parquet", true),
            ("_day=1/part-1.parquet", true),
            ("_delta_log/00000000000000000000.json", false),
            ("_change_data/x.parquet", false),
            (".hidden", false),
            ("day=1/_temporary/x.parquet", false),
        ] {
            assert_eq!(is_data(&Path::parse(path).unwrap()), data, "{path}");
        }
    }

    #[test]
    fn less_than_a_week_is_refused() {
        let options = |retention| VacuumOptions { retention, execute: true, now: Utc::now() };
        assert!(options(TimeDelta::days(7)).cutoff().is_ok());
        for retention in [TimeDelta::days(7) - TimeDelta::seconds(1), TimeDelta::zero(), TimeDelta::days(-30)] {
            let error = options(retention).cutoff().unwrap_err();
            assert!(error.to_string().contains("less than 7 days"), "{error}");
        }
    }
}
