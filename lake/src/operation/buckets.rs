//! Several writers for one large partition.
//!
//! All rows of a partition go to one writer, so that a commit adds one file for it. A partition of many gigabytes, or
//! a large table without partitions, would then be written by one task while all others are idle. So a partition that
//! holds more than one file's worth of bytes is spread over as many *buckets* as files are to be expected: a row's
//! bucket is the hash of its key modulo their number, and rows are spread over tasks by partition and bucket.
//!
//! The number follows from what the partition held before the write, since nobody has seen the new rows yet. It is 1
//! for anything smaller than a file. A partition that shrinks to a fraction within one write gets smaller files in
//! that version; the next one puts it right.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{lit, when};
use datafusion::prelude::{Expr, ident};
use deltalake::kernel::Add;

use super::Target;
use super::functions::row_bucket;
use crate::scan::partition_value;

/// Name of the column that holds a row's bucket. It exists only while rows are on their way to the writers.
pub(crate) const BUCKET: &str = "_bucket";

/// No more buckets than this in one partition: as many tasks write it at once.
const MAX_BUCKETS: u64 = 1024;

type PartitionValues = HashMap<String, Option<String>>;

/// Partitions that get more than one bucket, by the number of buckets.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    partitions: BTreeMap<i32, Vec<PartitionValues>>,
}

impl Buckets {
    /// The buckets for partitions that held `files`, and in a table without partitions `more` bytes besides.
    pub(crate) fn expected<'a>(files: impl Iterator<Item = &'a Add>, more: u64, file_bytes: u64) -> Self {
        let mut sizes: HashMap<String, (u64, PartitionValues)> = HashMap::new();
        for file in files {
            let path = crate::commit::partition_path(&file.partition_values);
            let (bytes, _) = sizes.entry(path).or_insert_with(|| (0, file.partition_values.clone()));
            *bytes += u64::try_from(file.size).unwrap_or(0);
        }
        let whole_table = sizes.keys().all(String::is_empty);
        if whole_table {
            sizes.entry(String::new()).or_default().0 += more;
        }
        let mut buckets = Self::default();
        for (bytes, partition) in sizes.into_values() {
            let count = bytes.div_ceil(file_bytes.max(1)).min(MAX_BUCKETS);
            if let (true, Ok(count)) = (count > 1, i32::try_from(count)) {
                buckets.partitions.entry(count).or_default().push(partition);
            }
        }
        buckets
    }

    /// Whether all partitions have a single bucket.
    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The bucket of a row.
    pub(crate) fn column(&self, target: &Target) -> Result<Expr> {
        let mut count = lit(1_i32);
        for (buckets, partitions) in &self.partitions {
            count = when(is_in(partitions, target)?, lit(*buckets)).otherwise(count)?;
        }
        let key = if target.key.is_empty() { target.content_columns() } else { target.key.clone() };
        let mut arguments = vec![count];
        arguments.extend(key.iter().map(ident));
        Ok(row_bucket().call(arguments).alias(BUCKET))
    }
}

/// Whether a row belongs to one of some partitions; always, in a table without partitions.
fn is_in(partitions: &[PartitionValues], target: &Target) -> Result<Expr> {
    let value = |partition: &PartitionValues, column: &String| {
        let kind = target.schema.field_with_name(column)?.data_type();
        partition_value(partition.get(column).and_then(Option::as_deref), kind)
    };
    if let [column] = target.partition_columns.as_slice() {
        // A list is looked up in one step, however many partitions there are.
        let values = partitions.iter().map(|partition| value(partition, column)).collect::<Result<Vec<_>>>()?;
        let (nulls, values): (Vec<_>, Vec<_>) = values.into_iter().partition(ScalarValue::is_null);
        let listed = ident(column).in_list(values.into_iter().map(lit).collect(), false);
        return Ok(if nulls.is_empty() { listed } else { listed.or(ident(column).is_null()) });
    }
    let mut any = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let mut all = Vec::with_capacity(target.partition_columns.len());
        for column in &target.partition_columns {
            let value = value(partition, column)?;
            all.push(if value.is_null() { ident(column).is_null() } else { ident(column).eq(lit(value)) });
        }
        any.push(conjunction(all).unwrap_or_else(|| lit(true)));
    }
    Ok(disjunction(any).unwrap_or_else(|| lit(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(day: Option<&str>, size: i64) -> Add {
        let values = day.map(|day| serde_json::json!({"day": day})).unwrap_or(serde_json::json!({}));
        serde_json::from_value(serde_json::json!({
            "path": "f", "size": size, "partitionValues": values, "modificationTime": 0, "dataChange": true
        }))
        .unwrap()
    }

    fn counts(files: &[Add], more: u64) -> Vec<(i32, usize)> {
        let buckets = Buckets::expected(files.iter(), more, 100);
        buckets.partitions.iter().map(|(count, partitions)| (*count, partitions.len())).collect()
    }

    #[test]
    fn a_partition_of_at_most_one_file_has_one_bucket() {
        assert_eq!(counts(&[], 0), []);
        assert_eq!(counts(&[file(None, 60), file(None, 40)], 0), []);
        assert_eq!(counts(&[file(Some("a"), 100), file(Some("b"), 100)], 0), []);
    }

    #[test]
    fn as_many_buckets_as_files_are_to_be_expected() {
        assert_eq!(counts(&[file(None, 60), file(None, 41)], 0), [(2, 1)]);
        assert_eq!(counts(&[file(Some("a"), 250), file(Some("b"), 299), file(Some("c"), 9)], 0), [(3, 2)]);
    }

    #[test]
    fn what_is_added_counts_where_its_partition_is_known() {
        assert_eq!(counts(&[], 350), [(4, 1)]);
        assert_eq!(counts(&[file(None, 60)], 350), [(5, 1)]);
        assert_eq!(counts(&[file(Some("a"), 60)], 350), []);
    }
}
