//! The chat application's data as Arrow: the only crate that knows the shape of its documents and rows.
//!
//! # What it does
//! An [`ExportFolder`] lists the files of a dump, a [`SourceTable`] is one [`Collection`] of it as a DataFusion
//! table, and [`SourceScanExec`] reads it on as many executors as there are. Each file is cut into splits; a split
//! is read as a stream, framed into lines or records, decoded straight into Arrow builders, and ends with one
//! tally row that says how many documents the framing found. Media objects are not decoded but listed; a range of
//! their keys takes the place of a split.
//!
//! # Invariants
//! * Every document that is framed comes out exactly once, as a row of the collection or as a reject with its
//!   reason, so documents + rejects = the tally. Nothing is dropped silently.
//! * What a document means does not depend on where its bytes came from: [`decode`] knows nothing of files.
//! * Memory is bounded by a few chunks and one batch a task, whatever the size of a file.
//! * Only faults that a retry can cure are reported as `DataFusionError::IoError`, the one kind that Ballista
//!   retries.
//!
//! # Adding a collection
//! A collection is one table of columns in `collection/<name>.rs` (names, kinds, accepted source fields, what a
//! missing value becomes) and one arm in [`Collection`]. Schema, decoding, building and quarantine follow from it.
//!
//! # Rejected
//! * Inferring schemas or going through `arrow-json`: it cannot take two document shapes, extended JSON or aliases,
//!   and one bad document fails a file.
//! * `serde` structs per collection: they allocate per field, and a wrong type cannot be told from a bad date
//!   without a second error channel.

mod bson;
pub mod codec;
mod collection;
mod column;
pub mod decode;
mod error;
mod exec;
mod export;
mod health;
mod instant;
mod json;
mod live;
mod media;
mod mongodb;
mod mysql;
mod read;
mod schema;
mod split;
mod table;

pub use collection::{Collection, Origin};
pub use error::{Fault, SourceError};
pub use exec::SourceScanExec;
pub use export::{ExportFile, ExportFolder, FileFormat};
pub use health::Health;
pub use live::{Connections, LiveNames, LiveRequest};
pub use media::{MediaError, MediaFolder, MediaHealth};
pub use mongodb::{MongoError, MongoSettings};
pub use mysql::{MySqlError, MySqlSettings};
pub use schema::{
    ORDINAL_COLUMN, OUTPUT_COLUMN, OUTPUT_DOCUMENT, OUTPUT_REJECT, OUTPUT_TALLY, READ_COLUMN, REJECT_COLUMN,
    output_schema, reject_fields,
};
pub use split::SplitPolicy;
pub use table::SourceTable;
