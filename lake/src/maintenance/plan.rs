//! Which files are worth writing anew.
//!
//! Found out from the log alone, partition by partition. *Compaction* takes the files that are smaller than half of
//! the size that files aim for, if fewer files come out of them; so a partition that has settled holds at most twice
//! as many files as it needs. *Ordering* takes a whole partition once more than a fifth of its bytes are out of order:
//! rows of a few late documents are not worth rewriting the rest. Files that were ordered carry a tag that says by
//! which columns, and are not compacted, or the two would undo each other's work for ever.
//!
//! A partition that is smaller than 1/32 of a file (4 MiB) is not ordered: a filter reads its few pages anyway.

use std::collections::{BTreeMap, HashMap};

use deltalake::kernel::Add;

use crate::commit::partition_path;
use crate::snapshot::PinnedTable;

/// Key of the tag on `add` actions that names the columns by which the file's rows are in z-order.
pub(super) const ORDER_TAG: &str = "quickchat.order";

/// A partition is ordered anew when more than one part in so many of its bytes is out of order.
const LOOSE_PARTS: u64 = 5;

/// Partitions smaller than one part in so many of a file are not ordered.
const SMALL_PARTS: u64 = 32;

/// No more than this in one batch, which is one query and one commit: what a conflict makes vain is bounded.
const BATCH_BYTES: u64 = 16 << 30;

/// Work that is worth doing on a table.
#[derive(Debug, Default)]
pub struct OptimizePlan {
    pub(super) partitions: Vec<Rewrite>,
    file_bytes: u64,
}

/// Files of one partition that are to be written anew.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// Which partition.
    pub(super) path: String,
    pub(super) files: Vec<Add>,
    pub(super) bytes: u64,
    /// Whether rows are put in order.
    pub(super) orders: bool,
}

/// Rewrites that are one query and one commit.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) partitions: Vec<&'a Rewrite>,
}

impl OptimizePlan {
    /// What is worth doing on a version of a table, if files aim for `file_bytes` and rows are to be in z-order by
    /// the columns `z_order` (none: rows stay in whatever order they are).
    pub fn of(pinned: &PinnedTable, z_order: &[String], file_bytes: u64) -> Self {
        let mut partitions: BTreeMap<String, Vec<&Add>> = BTreeMap::new();
        for file in &pinned.files {
            partitions.entry(partition_path(&file.partition_values)).or_default().push(file);
        }
        let tag = order_tag(z_order);
        let chosen = partitions.into_iter().filter_map(|(path, files)| {
            let (files, orders) = choose(&files, tag.as_deref(), file_bytes)?;
            let bytes = files.iter().map(|file| size(file)).sum();
            Some(Rewrite { path, files: files.into_iter().cloned().collect(), bytes, orders })
        });
        Self { partitions: chosen.collect(), file_bytes }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Partitions with work.
    pub fn partitions(&self) -> u64 {
        self.partitions.len() as u64
    }

    /// Partitions whose rows are to be put in order.
    pub fn ordered_partitions(&self) -> u64 {
        self.partitions.iter().filter(|partition| partition.orders).count() as u64
    }

    /// Files that are to be replaced.
    pub fn files(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.files.len() as u64).sum()
    }

    /// About how many files take their place.
    pub fn expected_files(&self) -> u64 {
        self.partitions.iter().map(|partition| file_count(partition.bytes, self.file_bytes)).sum()
    }

    /// Bytes that are to be read, and about as many to be written.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes).sum()
    }

    /// The next rewrites to do together, leaving out partitions that were tried `limit` times.
    ///
    /// A partition that is ordered into several files is alone, since its rows are spread by ranges of its own.
    pub(super) fn next_batch(&self, attempts: &HashMap<String, u8>, limit: u8) -> Option<Batch<'_>> {
        let open = |partition: &&Rewrite| attempts.get(&partition.path).is_none_or(|tried| *tried < limit);
        let alone = |partition: &Rewrite| partition.orders && file_count(partition.bytes, self.file_bytes) > 1;
        let mut open = self.partitions.iter().filter(open);
        let first = open.next()?;
        let mut partitions = vec![first];
        if !alone(first) {
            let mut bytes = first.bytes;
            for partition in open.filter(|other| other.orders == first.orders && !alone(other)) {
                bytes += partition.bytes;
                if bytes > BATCH_BYTES {
                    break;
                }
                partitions.push(partition);
            }
        }
        Some(Batch { partitions })
    }
}

impl Batch<'_> {
    pub(super) fn files(&self) -> impl Iterator<Item = &Add> {
        self.partitions.iter().flat_map(|partition| &partition.files)
    }

    /// Whether rows are put in order.
    pub(super) fn orders(&self) -> bool {
        self.partitions.iter().any(|partition| partition.orders)
    }

    /// Into how many files the rows of an ordered partition go; 1 if there are several partitions.
    pub(super) fn ranges(&self, file_bytes: u64) -> u64 {
        match self.partitions.as_slice() {
            [partition] => file_count(partition.bytes, file_bytes),
            _ => 1,
        }
    }
}

/// The value of the tag of files that are in order; none if no order is asked for.
pub(super) fn order_tag(z_order: &[String]) -> Option<String> {
    (!z_order.is_empty()).then(|| z_order.join(","))
}

fn choose<'a>(files: &[&'a Add], order: Option<&str>, file_bytes: u64) -> Option<(Vec<&'a Add>, bool)> {
    let bytes: u64 = files.iter().map(|file| size(file)).sum();
    let is_ordered = |file: &Add| order.is_some() && tag_of(file) == order;
    if order.is_some() && bytes >= file_bytes / SMALL_PARTS {
        let loose: u64 = files.iter().filter(|file| !is_ordered(file)).map(|file| size(file)).sum();
        if loose * LOOSE_PARTS > bytes {
            return Some((files.to_vec(), true));
        }
    }
    let small: Vec<&Add> =
        files.iter().copied().filter(|file| size(file) < file_bytes / 2 && !is_ordered(file)).collect();
    let expected = file_count(small.iter().map(|file| size(file)).sum(), file_bytes);
    ((small.len() as u64) > expected).then_some((small, false))
}

fn tag_of(file: &Add) -> Option<&str> {
    file.tags.as_ref()?.get(ORDER_TAG)?.as_deref()
}

/// The number of files that hold so many bytes.
fn file_count(bytes: u64, file_bytes: u64) -> u64 {
    bytes.div_ceil(file_bytes.max(1)).max(1)
}

fn size(file: &Add) -> u64 {
    u64::try_from(file.size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Option<&str> = Some("a,b");

    fn file(size: i64, order: Option<&str>) -> Add {
        let tags = order.map_or(serde_json::json!({}), |order| serde_json::json!({ORDER_TAG: order}));
        serde_json::from_value(serde_json::json!({
            "path": format!("f{size}"), "size": size, "partitionValues": {}, "modificationTime": 0,
            "dataChange": true, "tags": tags
        }))
        .unwrap()
    }

    /// Sizes of the files chosen out of files of the given sizes, ordered ones being negative.
    fn chosen(sizes: &[i64], order: Option<&str>) -> Option<(Vec<i64>, bool)> {
        let files: Vec<Add> = sizes.iter().map(|size| file(size.abs(), if *size < 0 { TAG } else { None })).collect();
        let (files, orders) = choose(&files.iter().collect::<Vec<_>>(), order, 1000)?;
        Some((files.iter().map(|file| file.size).collect(), orders))
    }

    #[test]
    fn small_files_are_compacted_if_fewer_come_out() {
        assert_eq!(chosen(&[], None), None);
        assert_eq!(chosen(&[1], None), None, "one file stays one file");
        assert_eq!(chosen(&[1, 1], None), Some((vec![1, 1], false)));
        assert_eq!(chosen(&[499, 500], None), None, "half a file is large enough");
        assert_eq!(chosen(&[499, 499, 499], None), Some((vec![499, 499, 499], false)));
        assert_eq!(chosen(&[2000, 3, 900, 4], None), Some((vec![3, 4], false)), "large files stay");
    }

    #[test]
    fn a_partition_is_ordered_when_more_than_a_fifth_is_loose() {
        assert_eq!(chosen(&[900], TAG), Some((vec![900], true)));
        assert_eq!(chosen(&[-900], TAG), None);
        assert_eq!(chosen(&[-800, 200], TAG), None);
        assert_eq!(chosen(&[-800, 201], TAG), Some((vec![800, 201], true)));
        assert_eq!(chosen(&[-900], Some("b")), Some((vec![900], true)), "by other columns is not in order");
        assert_eq!(chosen(&[-900], None), None, "no order is asked for any more");
        assert_eq!(chosen(&[31], TAG), Some((vec![31], true)));
        assert_eq!(chosen(&[30], TAG), None, "too small to matter");
    }

    #[test]
    fn ordered_files_are_not_compacted() {
        assert_eq!(chosen(&[-450, -450], TAG), None);
        assert_eq!(chosen(&[-450, -450, 10, 10], TAG), Some((vec![10, 10], false)));
        assert_eq!(chosen(&[-450, -450], None), Some((vec![450, 450], false)));
    }

    fn plan(partitions: &[(&str, u64, bool)]) -> OptimizePlan {
        let rewrite = |(path, bytes, orders): &(&str, u64, bool)| Rewrite {
            path: (*path).to_owned(),
            files: Vec::new(),
            bytes: *bytes,
            orders: *orders,
        };
        OptimizePlan { partitions: partitions.iter().map(rewrite).collect(), file_bytes: 100 }
    }

    #[test]
    fn batches_are_alike_and_bounded_and_come_to_an_end() {
        let plan = plan(&[
            ("a", 50, false),
            ("b", 50, true),
            ("c", 150, true),
            ("d", BATCH_BYTES - 50, false),
            ("e", 1, false),
            ("f", 50, true),
        ]);
        let mut attempts = HashMap::new();
        let mut batches = Vec::new();
        while let Some(batch) = plan.next_batch(&attempts, 2) {
            let paths: Vec<&str> = batch.partitions.iter().map(|partition| partition.path.as_str()).collect();
            for path in &paths {
                attempts.insert((*path).to_owned(), 2);
            }
            batches.push(paths);
        }
        assert_eq!(batches, [vec!["a", "d"], vec!["b", "f"], vec!["c"], vec!["e"]]);
    }

    #[test]
    fn a_partition_is_tried_as_often_as_allowed() {
        let plan = plan(&[("a", 50, false)]);
        assert!(plan.next_batch(&HashMap::from([("a".to_owned(), 1)]), 2).is_some());
        assert!(plan.next_batch(&HashMap::from([("a".to_owned(), 2)]), 2).is_none());
    }
}
