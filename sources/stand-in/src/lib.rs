//! A server that speaks MongoDB's wire protocol and does as it is told.
//!
//! Tests need what no installable test database does: Decimal128 and the keys at both ends of the order, malformed BSON,
//! lost cursors, step-downs, hangs, versions that are too old. Benches need a server that costs nothing, so that the
//! reader is what is measured. A [`Script`] says what the server holds, what it claims to be and what shall go wrong;
//! [`StandIn`] runs it and tells which [`Request`]s came and how often each [`Fault`] struck.
//!
//! What a reader of ranges uses is answered as MongoDB answers it: comparisons are bracketed by type, values of all types
//! stand in one order, batches end where a server ends them. What is not understood is refused, never ignored: a test
//! must not pass because its server was kinder than the real one.
//!
//! Rejected: recorded conversations (they break with every change of the driver's options) and a mock of the driver's
//! traits (the driver's own handling of errors, cursors and topologies is half of what is to be tested).

mod aggregate;
mod answer;
mod batch;
mod command;
mod commands;
mod connection;
mod cursor;
mod element;
mod fault;
mod filter;
mod hello;
mod login;
mod number;
mod order;
mod projection;
mod read;
mod refusal;
mod script;
mod server;
mod store;
mod wire;

pub use batch::Batch;
pub use fault::{Fault, When};
pub use refusal::Refusal;
pub use script::{Access, Deployment, Script, Snapshots};
pub use server::{Request, StandIn};
