//! Delta Lake tables for Ballista: distributed scans, writes and upserts.
//!
//! Ballista runs a query on many executors, but has no notion of a Delta table; delta-rs knows Delta, but reads and
//! writes inside one process. This crate joins the two without sending a row through the client:
//!
//! * [`scan`]: a table travels inside a logical plan as *url + version*. The scheduler turns it into Parquet file
//!   groups, pruned by partition values, file statistics and projection.
//! * [`write`]: a plan node that runs one bounded-memory writer per task on the executors and returns one row per
//!   written file, the Delta `add` action, and nothing else.
//! * [`commit`]: the client turns these rows into one Delta version with a transaction id, so that a commit is never
//!   applied twice and never half.
//! * [`merge`]: plan nodes that an upsert needs and SQL has only slowly.
//! * [`operation`]: append, replace and upsert, built from these; and `put`, for the few rows of a process
//!   itself.
//! * [`heartbeat`]: signs of life of a process that works in the lake.
//! * [`changes`]: what changed between two versions, for whoever keeps a derived table up to date.
//! * [`history`]: what the versions of a table are, and what each changed.
//! * [`maintenance`]: what keeps tables fast and small: optimize, vacuum, checkpoints.
//!
//! Delta's log is read and its actions are written with `deltalake`, without that crate's own query engine: its scan
//! cannot be serialised and its writers run where the call is made.
//!
//! Nothing secret is ever part of a plan: object stores are opened by [`stores::ObjectStores`] in each process from
//! that process's own environment.

pub mod changes;
pub mod codec;
pub mod commit;
mod error;
pub mod health;
pub mod heartbeat;
pub mod history;
mod inputs;
mod location;
pub mod maintenance;
pub mod merge;
pub mod operation;
pub mod scan;
mod schema;
pub mod snapshot;
pub mod stores;
pub mod write;

pub use error::{ErrorClass, LakeError, Result};
pub use location::{LakeRoot, TableUrl};
pub use schema::COMMENT;
