//! What the benchmark programs share: samples, a lake to work in, clocks, and the form of their results.
//!
//! The programs are plain binaries (`src/bin/`), not `cargo bench` targets: the largest of them measures another
//! process, all of them take sizes as arguments, and their result is one JSON object on standard output that can be
//! kept and compared. Progress goes to standard error. None of them asserts a time, since a figure depends on the
//! machine; they fail when a result is wrong, because the time of wrong work means nothing.
//!
//! Errors are `anyhow`: nobody but the reader of a terminal handles them.

pub mod clock;
pub mod data;
pub mod messages;
pub mod process;
pub mod report;

/// The allocator of the command `quickchat-etl`, so that what is measured here is what runs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells the one who waits what happens.
#[expect(clippy::print_stderr, reason = "the purpose of this function")]
pub fn progress(message: &str) {
    eprintln!("{message}");
}
