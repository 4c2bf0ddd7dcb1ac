//! `quickchat-scheduler`: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use quickchat_engine::Engine;
use quickchat_scheduler::cli::{Options, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    run(&Engine::default(), &options)
}
