//! `quickchat-executor`: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use quickchat_engine::Engine;
use quickchat_executor::cli::{Options, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(&Engine::default(), &Options::parse())
}
