//! Samples as a whole: what is in the files, judged by a reader that shares no code with the generator.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests may")]

mod determinism;
mod documents;
mod export;
mod rules;
mod tables;
mod target;
