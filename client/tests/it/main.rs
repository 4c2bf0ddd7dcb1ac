//! Integration tests of the client, one binary. Run them by `scripts/test.sh`, which builds the programs that they
//! start and installs what the reference needs.

// Helpers outside of test functions may panic too: a broken fixture is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, unreachable_pub)]

mod bad_exports;
mod bad_lakes;
mod checks;
mod cluster;
mod commands;
mod example;
mod export;
mod fixtures;
mod forward;
mod histories;
mod incremental;
mod interrupt;
mod lake;
mod laws;
mod live;
mod live_changes;
mod maintenance;
mod media;
mod namespaces;
mod network;
mod odd_documents;
mod process;
mod reference;
mod remote;
mod results;
mod runs;
mod s3;
mod s3_faults;
mod s3_refusals;
mod secrets;
mod time_travel;
