//! Running the jobs of the catalog on a cluster: the library behind the command `quickchat-etl`.
//!
//! * [`cluster`]: a Ballista cluster, inside this process or remote, and plans submitted to it.
//! * [`run`]: the jobs of the catalog, from pinned inputs to committed tables.
//! * [`record`]: what ran, when, and why it failed, in a table of the lake.
//! * [`checks`]: what must hold for tables, before a commit and on demand.
//! * [`tables`]: the lake as it stands, for queries and for looking at it.
//! * [`export`]: a table as files for those who do not read Delta.
//! * [`maintenance`]: what keeps the lake fast and small.
//! * [`doctor`]: what is configured, and whether it works.
//! * [`config`]: flags over environment over file over defaults, validated once.
//! * [`commands`]: the command line.
//!
//! A query over a layer of the lake, as SQL and as data frames, submitted to a cluster (`examples/layer_query.rs`):
//!
//! ```no_run
#![doc = include_str!("../examples/layer_query.rs")]
//! ```

pub mod checks;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod doctor;
mod error;
pub mod export;
mod instant;
pub mod maintenance;
mod output;
mod progress;
#[cfg(test)]
mod readme;
pub mod record;
pub mod run;
mod sources;
pub mod tables;
mod time_travel;

pub use error::{ErrorClass, RunError, with_causes};
pub use sources::{ExportsError, LiveSources, Sources};
