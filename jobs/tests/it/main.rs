//! Tests of the catalog as a whole: its contracts, its plans, and every job on given rows.

mod cases;
mod contracts;
mod lake;
mod plans;
mod rows;
