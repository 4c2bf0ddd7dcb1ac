//! An S3 server for tests, and a way to have it fail.
//!
//! [`Bucket`] makes a bucket for one test on the server that `scripts/services.sh` starts; [`FaultyProxy`] stands before
//! the server, counts requests, and answers some of them as a bad day would; [`StandIn`] needs no server, and says what no
//! server of ours would. Everything blocks, and may be called from asynchronous tests too.

// A broken fixture is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accept;
mod bucket;
mod proxy;
mod server;
mod stand_in;

pub use bucket::Bucket;
pub use proxy::{Fault, FaultyProxy, Request};
pub use server::{Keys, S3Server};
pub use stand_in::{Answer, StandIn};
