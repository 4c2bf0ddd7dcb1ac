//! Records of runs: what ran, when, how much it did and why it failed, in the table `ops.runs` of the lake itself.
//!
//! A run commits twice: one row when it starts, which says `running`, and, in place of that row, its final rows when it
//! ends: one for the run, one for each of its jobs. The process that runs the jobs writes them itself, a few rows in a
//! small file, since a job on the cluster would cost more and may be the very thing that fails. Both commits are
//! bounded in time, and the first one goes on beside the first jobs.
//!
//! Invariants: there is one row per run and job; a record that cannot be written is told loudly and never fails a run,
//! whose data it does not touch.
//!
//! *Running or crashed?* A process that is killed cannot say so. Its row still says `running`, and the reader decides,
//! see [`life`]: where the process can be looked at, by that; elsewhere by its signs of life.
//!
//! Rejected: rows that are only ever appended, the newest of which counts: every reader would have to know that. A row
//! per change of a job's state: a commit each, for what the progress display tells already.
//!
//! * [`row`]: a row, and batches of rows,
//! * [`recorder`]: writes them,
//! * [`life`]: whether a run still runs,
//! * [`log`]: reads them.

mod life;
mod log;
mod recorder;
mod row;

pub use log::{RecordError, RunLog};
pub use recorder::{Recorder, Request};
pub use row::{Kind, RunRow, State};
