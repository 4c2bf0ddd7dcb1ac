//! A realistic export folder of the chat application, of any size, for `quickchat-etl sample`, benches and tests.
//!
//! [`generate`] writes what `mongoexport` and a MySQL dump of a live installation would give: messages, users,
//! conversations, calls and notifications as newline-delimited extended JSON, the auth database as CSV, and a few
//! media objects. The data have the properties that make pipelines fail or slow: skewed activity, a daily rhythm,
//! two document shapes and two JSON dialects side by side, late updates, repeats, orphans, and a chosen share of
//! documents that cannot be decoded, one reason each, counted in the [`SampleSummary`].
//!
//! Invariants:
//! - The same options give the same bytes, on every platform. All randomness comes from one integer generator keyed
//!   by (seed, kind, index); no hash-map order, no clock, no `pow` or `ln` of the platform enters the output. With
//!   `gzip` the uncompressed bytes have this property; the compressed ones depend on the deflate library too.
//! - Memory holds one small record a user and a conversation; messages are streamed in time order.
//! - Two valid documents with one id are either byte for byte equal or differ in their update time.
//! - Text that begins with `CANARY-` stands only in fields that must never be ingested, so finding it in a table
//!   proves a leak.
//! - The target folder appears complete or not at all.
//!
//! Rejected: the `rand` and `rand_distr` crates. Neither promises equal values across releases, and Zipf sampling
//! there uses floating-point functions whose last bit differs between platforms.

mod documents;
mod error;
mod flawed;
mod generate;
mod json;
mod media;
mod object_id;
mod options;
mod output;
mod population;
mod random;
mod rhythm;
mod style;
mod summary;
mod tables;
mod traffic;
mod vocabulary;
mod world;

pub use error::SampleError;
pub use generate::generate;
pub use options::{DEFAULT_END, SampleOptions};
pub use summary::{BadCounts, Collection, CollectionSummary, FileSummary, Reason, SampleSummary};
