//! Collections of MongoDB, read by ranges of `_id`.
//!
//! The process that plans asks the server for the bounds of `_id` and cuts them into ranges ([`plan`]); each executor
//! reads its ranges in the order of `_id` ([`fetch`]) and decodes the raw batches as they come ([`reader`]). The order
//! is what makes a read resumable: after a lost cursor or a step-down it goes on behind the last `_id` that it saw.
//!
//! # Consistency
//! Only what a majority has acknowledged is read. Where the server can, all ranges of a read look at the collection as
//! of one instant (`atClusterTime`), which the planning process takes and the ranges carry. Where it cannot, or the
//! instant has become too old during a long read, a document that changes meanwhile is read before or after its change:
//! it is never missed and never doubled, because `_id` does not change, and the next run reads whatever changed since
//! the watermark, less the lookback, once more.
//!
//! All ranges look at the same collection, too: the plan names the database and the collection's UUID, and a range whose
//! server has another one, or none, ends in an error ([`presence`]). Without that, a collection that is dropped during
//! the read, or an executor that is told another database, would be read as one with fewer documents.
//!
//! # What travels
//! Names, UUIDs, bounds of `_id`, instants. Address and password stay with the process that connects.
//!
//! # Rejected
//! * `splitVector`, which needs rights that a reader should not have, and `$bucketAuto`, which reads the whole
//!   collection before the first range is known.
//! * Ranges of a change field: it is indexed only sometimes and never unique, so neither resumable nor cheap.
//! * Sessions: a snapshot session belongs to one process; the instant alone can be shared by all.

mod address;
mod fault;
mod fetch;
mod health;
mod ids;
mod plan;
mod presence;
mod query;
mod reader;
mod server;

pub use fault::MongoError;
pub(crate) use plan::{DocumentRange, plan};
pub(crate) use reader::CollectionReader;
pub(crate) use server::MongoServer;
pub use server::MongoSettings;
