//! Writing data files on the executors.
//!
//! A [`WriteNode`] takes a query's rows, spreads them over tasks, and writes Parquet files in the folder of a table.
//! Its result is a [`Receipt`] per file (the Delta `add` action as JSON) and, for tallies and counts, per task. Nothing is
//! visible to readers before the client commits the receipts; files of tasks that failed or were run twice are never
//! named by a receipt that counts, and vacuum removes them.
//!
//! Shape of the physical plan, from the bottom: rows, hash by partition value, sort by partition value, one writer per
//! task, all tasks into one. The sort (which spills) lets a writer keep a single file open, so its memory does not
//! grow with the number of partitions; the hash puts each partition value into one task, so a commit adds one file per
//! partition value and 128 MiB however many tasks there are. The collecting node above the writers keeps them in an
//! intermediate stage: in the final one Ballista may hand out results of an executor that died.
//!
//! `INSERT INTO` and `COPY TO` were rejected: DataFusion runs both in a single task.

mod counts;
mod exec;
mod files;
mod fingerprint;
mod node;
mod output;
mod planner;
mod receipt;

pub use counts::Groups;
pub use exec::WriteExec;
pub use files::refuses_nulls;
pub use node::WriteNode;
pub use output::{Distribution, FILE_BYTES, FileOutput, Output, Sink, WriteSpec};
pub use planner::WritePlanner;
pub use receipt::{Receipt, Receipts};

pub(crate) use fingerprint::{FINGERPRINT_TAG, tag as fingerprint_tag, total as fingerprint_total};
