//! The crate through its public surface: whole operations on whole tables, run by an in-process stand-in for a cluster
//! that sends every plan through the codecs.

// Helpers outside of test functions may panic too: a broken fixture is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod cluster;
mod commit;
mod evolution;
mod failure;
mod fixtures;
mod foreign;
mod gate;
mod history;
mod interoperability;
mod log;
mod optimize;
mod put;
mod reopen;
mod replace;
mod review;
mod s3;
mod scan;
mod store;
mod upsert;
mod upsert_random;
mod vacuum;
mod write;
