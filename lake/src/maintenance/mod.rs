//! What keeps tables fast and small over the years.
//!
//! * [`Lake::optimize`](crate::operation::Lake::optimize) makes few large files out of many small ones, and puts rows
//!   that are asked for together next to each other (z-order). It runs on the cluster.
//! * [`vacuum`] deletes files that no recent version names.
//! * [`checkpoint`] sums up a log and drops entries that nobody can need.
//!
//! None of them changes what a table says. An optimized version has the same rows, and its commit says so
//! (`dataChange` is false), so that a job that reads changes sees none. Each can be stopped at any point and run again.
//!
//! Nothing is locked. Optimizers of one table meet in the log: a commit that removes a file which is not there any more
//! is refused, whoever removed it, and so is one on top of another optimizer's. So a concurrent upsert or a second
//! optimizer costs the work of one batch, and never a row. delta-rs' own `optimize` was rejected: it runs in one
//! process, and two of them can both commit, which doubles rows.

mod log;
mod optimize;
mod plan;
mod vacuum;
mod z_order;

pub use log::{CheckpointOptions, Checkpointed, checkpoint};
pub use optimize::Optimized;
pub use plan::OptimizePlan;
pub use vacuum::{LEAST_RETENTION, VacuumOptions, Vacuumed, vacuum, vacuum_temporary};

pub(crate) use z_order::{interleave_bits, range_index};
