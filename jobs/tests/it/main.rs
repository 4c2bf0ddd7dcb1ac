//! Tests of the catalog as a whole: its contracts, its plans, and every job on given rows.

// A test fails by panicking, also in the functions that it calls.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;
mod checks;
mod contracts;
mod incremental;
mod lake;
mod plans;
mod rows;
