//! Reading tables on the cluster.
//!
//! A [`DeltaScan`] is what a logical plan holds for a table: *which files* (a pinned version or an explicit list) and
//! the schema, nothing else. It is planned where the scheduler is: the log is read there, files are pruned by
//! partition values and statistics, and what is left becomes a plain Parquet `DataSourceExec`, which Ballista knows
//! how to cut into tasks. delta-rs' own scan node cannot be serialised.

mod files;
mod provider;
mod statistics;

pub(crate) use files::partition_value;
pub use provider::{DeltaScan, ScanSource, Subset, Volume};
pub(crate) use statistics::FileStatistics;
