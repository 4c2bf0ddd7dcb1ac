//! The catalog of jobs: what every table of the lake holds and how it is computed.
//!
//! A job is a pair of files, `<layer>/<table>.sql` (one plain SELECT) and `<layer>/<table>.rs` (its
//! contract, write mode, checks and schedule). Everything else is derived from the pair: which tables a job
//! reads from its SQL, the order of a run from what jobs read, the command line and the
//! documentation from the contracts. Where SQL falls short, a function over data frames stands in the
//! place of the `.sql` file ([`Query::Frames`]; `silver.conversations` is one). So there is one list of jobs ([`Catalog::builtin`]) and nothing
//! that could disagree with it.
//!
//! This crate knows the data's meaning. It does not know how plans travel to a cluster, how sources
//! are read, or how tables are stored; the SQL names tables as `layer.table` and sources as
//! `mongodb.messages`, and whoever runs a job decides what stands behind these names.
//!
//! # What runs a job
//! 1. [`functions::all`] is registered wherever a plan is made or run.
//! 2. The tables of [`Job::reads`] are registered under their two-part names. A source table (schema
//!    `mongodb`, `mysql` or `s3`) has the columns of [`Job::source_schema`].
//! 3. [`Job::plan`] plans the query and binds the parameters of [`RunParameters`].
//! 4. The result is cast to [`Contract::arrow_schema`] and written as [`Job::write_mode`] says.
//! 5. Before it is committed, the checks of [`Job::checks`] are asked, see [`check`].
//!
//! # Rejected
//! All jobs as functions over data frames: an analyst cannot read them, and dependencies must then
//! be declared a second time. Contracts in YAML: they drift from the SQL, and no compiler reads them.

mod bronze;
mod catalog;
pub mod check;
mod column;
mod contract;
pub mod functions;
mod gold;
mod graph;
mod incremental;
mod job;
mod ops;
mod parameters;
mod quarantine;
mod query;
mod selector;
mod silver;
mod table_name;
mod view;

pub use catalog::{Catalog, CatalogError};
pub use check::{Check, Rule, Severity};
pub use column::{Column, ColumnType, Role, StructField};
pub use contract::{Contract, METADATA_COLUMNS};
pub use incremental::{Concern, Dependency, EventTime, Incremental};
pub use job::{Job, JobDefinition, Schedule, WriteMode};
pub use ops::runs_contract;
pub use parameters::{RunParameters, as_of, as_of_date, run_id};
pub use quarantine::quarantine_contract;
pub use query::{Frames, Query};
pub use selector::SelectError;
pub use table_name::{ParseTableNameError, TableName};
pub use view::{View, ViewDefinition};
