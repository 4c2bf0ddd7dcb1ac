//! Replace: a query's rows take the place of a table, or of some of its partitions.
//!
//! Only what differs is replaced. Each partition's rows are fingerprinted while they are written; a partition whose
//! fingerprint and row count equal those of the stored files keeps these, and the new files are deleted again. So a
//! job that recomputes everything commits the dates that changed, and a rerun commits nothing. Writing in vain costs
//! less than reading back and comparing, and holds no rows.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::LogicalPlan;
use deltalake::kernel::{Add, Remove};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::buckets::{BUCKET, Buckets};
use super::discard::discard;
use super::review::Proposal;
use super::{CommitNote, Lake, Target, Written};
use crate::changes::PartitionValues;
use crate::commit::{Commit, Outcome, ReadSet, partition_path};
use crate::scan::FileStatistics;
use crate::snapshot::PinnedTable;
use crate::write::{FINGERPRINT_TAG, fingerprint_total};
use crate::{LakeError, Result};

/// What a replace may remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The whole table: what the query does not yield is no longer there.
    Table,
    /// The given partitions alone (values as the log writes them); the query must not yield rows of others.
    Partitions(Vec<PartitionValues>),
    /// The given partitions, and every other one that occurs in the query's rows.
    Occurring(Vec<PartitionValues>),
}

impl Scope {
    /// Paths of the partitions that may be replaced, given the new files; none if all may.
    fn partitions(&self, new: &[Add]) -> Option<BTreeSet<String>> {
        let path = |values: &PartitionValues| partition_path(&values.clone().into_iter().collect());
        match self {
            Self::Table => None,
            Self::Partitions(partitions) => Some(partitions.iter().map(path).collect()),
            Self::Occurring(partitions) => {
                let occurring = new.iter().map(|file| partition_path(&file.partition_values));
                Some(partitions.iter().map(path).chain(occurring).collect())
            }
        }
    }
}

impl Lake {
    /// Replaces what `scope` names by the rows of `query`, creating the table if need be.
    ///
    /// A commit by others in between that touches the scope is answered by one recomputation on the newer version,
    /// then by an error.
    pub async fn replace(
        &self,
        target: &Target,
        query: LogicalPlan,
        scope: &Scope,
        note: &CommitNote<'_>,
    ) -> Result<Written> {
        let mut base = self.tables().latest(&target.url).await?;
        if let Some(base) = &base {
            target.check_is_ours(base)?;
        }
        let files = base.iter().flat_map(|base| base.adds());
        let buckets = Buckets::expected(files, 0, self.file_bytes);
        let mut rows = target.conform(self.frame(query), &[])?;
        if !buckets.is_empty() {
            let spread = buckets.column(target).and_then(|bucket| rows.with_column(BUCKET, bucket));
            rows = spread.map_err(|error| LakeError::query("spread rows over writers", &target.url, error))?;
        }
        let receipts = self.write(rows, target.write_spec(true, &buckets, self.file_bytes)?).await?;
        let new = receipts.files(0);
        // The written rows do not depend on the table's own state, so a conflict needs a new comparison only.
        for _ in 0..2 {
            let change = match Change::between(base.as_deref(), &new, scope, target) {
                Ok(change) => change,
                Err(error) => {
                    discard(self.tables(), &target.url, &new).await;
                    return Err(error);
                }
            };
            if change.is_empty() && base.is_some() {
                discard(self.tables(), &target.url, &change.dropped).await;
                return Ok(change.written(None));
            }
            let proposal = Proposal::new(self.tables(), target, base.as_deref(), &change.adds, &change.removes);
            if let Err(error) = self.review(&proposal).await {
                discard(self.tables(), &target.url, &new).await;
                return Err(error);
            }
            let commit = change.commit(base.as_deref(), scope, target, note)?;
            match self.commit(target, base.as_deref(), commit).await {
                Ok(Outcome::Committed(version)) => {
                    discard(self.tables(), &target.url, &change.dropped).await;
                    return Ok(change.written(Some(version)));
                }
                Ok(Outcome::Outdated { reason }) => {
                    tracing::info!(table = %target.url, reason, "another writer came first; comparing with its version");
                    base = self.tables().latest(&target.url).await?;
                    if let Some(Err(error)) = base.as_deref().map(|base| target.check_is_ours(base)) {
                        discard(self.tables(), &target.url, &new).await;
                        return Err(error);
                    }
                }
                Err(error) => {
                    // Whether the version is there is unknown after some faults, so its files must stay.
                    return Err(error);
                }
            }
        }
        discard(self.tables(), &target.url, &new).await;
        Err(LakeError::Conflict { table: target.url.to_string(), reason: "it happened twice".to_owned() })
    }
}

/// The difference between a table and the rows that shall take its place.
#[derive(Debug, Default)]
struct Change {
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// New files whose rows equal stored ones.
    dropped: Vec<Add>,
    written: u64,
    unchanged: u64,
    partitions: BTreeSet<String>,
}

impl Change {
    fn between(base: Option<&PinnedTable>, new: &[Add], scope: &Scope, target: &Target) -> Result<Self> {
        let scoped = scope.partitions(new);
        let new = by_partition(new);
        if let Some(stray) =
            new.keys().find(|partition| scoped.as_ref().is_some_and(|scoped| !scoped.contains(*partition)))
        {
            return Err(LakeError::Counts {
                table: target.name.clone(),
                detail: format!("rows of partition {stray:?}, which was not to be replaced"),
            });
        }
        let mut old = by_partition(base.into_iter().flat_map(PinnedTable::adds));
        old.retain(|partition, _| scoped.as_ref().is_none_or(|scoped| scoped.contains(partition)));
        let mut change = Self::default();
        for (partition, files) in &new {
            let rows = files.iter().filter_map(|file| FileStatistics::rows(file)).sum::<usize>() as u64;
            if total(files).is_some_and(|total| old.get(partition).and_then(|old| self::total(old)) == Some(total)) {
                change.unchanged += rows;
                change.dropped.extend(files.iter().map(|file| (*file).clone()));
                old.remove(partition);
            } else {
                change.written += rows;
                change.partitions.insert(partition.clone());
                change.adds.extend(files.iter().map(|file| (*file).clone()));
            }
        }
        for (partition, files) in old {
            change.partitions.insert(partition);
            change.removes.extend(files.into_iter().map(removal));
        }
        Ok(change)
    }

    fn is_empty(&self) -> bool {
        self.adds.is_empty() && self.removes.is_empty()
    }

    fn written(&self, version: Option<u64>) -> Written {
        Written {
            version,
            written: self.written,
            unchanged: self.unchanged,
            files: self.adds.len() as u64,
            bytes: self.adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0)).sum(),
        }
    }

    fn commit(
        &self,
        base: Option<&PinnedTable>,
        scope: &Scope,
        target: &Target,
        note: &CommitNote<'_>,
    ) -> Result<Commit> {
        let written = self.written(None);
        let partitioned = !target.partition_columns.is_empty();
        let predicate = partitioned.then(|| predicate(&self.adds, &self.removes)).flatten();
        Ok(Commit {
            adds: self.adds.clone(),
            removes: self.removes.clone(),
            metadata: target.metadata_after(base)?,
            operation: DeltaOperation::Write {
                mode: SaveMode::Overwrite,
                partition_by: partitioned.then(|| target.partition_columns.clone()),
                predicate,
            },
            transaction: note.transaction.clone(),
            info: (note.info)(&written),
            reads: match scope.partitions(&self.adds) {
                None => ReadSet::Everything,
                Some(partitions) => ReadSet::Partitions(partitions.into_iter().collect()),
            },
        })
    }
}

fn by_partition<'a>(files: impl IntoIterator<Item = &'a Add>) -> BTreeMap<String, Vec<&'a Add>> {
    let mut partitions: BTreeMap<String, Vec<&Add>> = BTreeMap::new();
    for file in files {
        partitions.entry(partition_path(&file.partition_values)).or_default().push(file);
    }
    partitions
}

fn total(files: &Vec<&Add>) -> Option<(u64, u128)> {
    fingerprint_total(files.iter().map(|file| file.tags.as_ref()?.get(FINGERPRINT_TAG)?.as_deref()))
}

/// The `remove` action of a file.
pub(crate) fn removal(file: &Add) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone()),
        size: Some(file.size),
        tags: file.tags.clone(),
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

/// The partitions that a commit replaces, as SQL.
fn predicate(adds: &[Add], removes: &[Remove]) -> Option<String> {
    let added = adds.iter().map(|add| &add.partition_values);
    let removed = removes.iter().filter_map(|remove| remove.partition_values.as_ref());
    let partitions: BTreeSet<String> = added
        .chain(removed)
        .map(|values| {
            let mut terms: Vec<String> = values
                .iter()
                .map(|(column, value)| match value {
                    Some(value) => format!("{column} = '{}'", value.replace('\'', "''")),
                    None => format!("{column} IS NULL"),
                })
                .collect();
            terms.sort();
            terms.join(" AND ")
        })
        .collect();
    (!partitions.is_empty()).then(|| partitions.into_iter().collect::<Vec<_>>().join(" OR "))
}
