//! The command `quickchat-etl`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use quickchat_client::commands::{CommandLine, execute};
use quickchat_client::with_causes;
use tracing_subscriber::EnvFilter;

/// Many small allocations from many threads: mimalloc is measurably faster here than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged unless `RUST_LOG` says otherwise: our own notices, and only what goes wrong below us. Of the embedded
/// scheduler three modules are silent: two repeat the failures of jobs, which we tell ourselves, the third takes a plan
/// that adaptive planning has changed for a mistake.
const DEFAULT_LOG: &str = "warn,quickchat_client=info,ballista_core=error,ballista_scheduler=error,\
     ballista_scheduler::scheduler_server::query_stage_scheduler=off,\
     ballista_scheduler::state::execution_graph=off,ballista_scheduler::display=off,\
     ballista_executor=error,datafusion=error,buoyant_kernel=off,deltalake_core=off";

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would tell them by printing, which panics, in whatever thread logs, when standard error is closed.
        .log_internal_errors(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}"), 1),
    };
    match runtime.block_on(execute(line)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&with_causes(&error), error.exit_code()),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // If standard error is closed, the exit code still tells.
    drop(writeln!(std::io::stderr(), "error: {message}"));
    ExitCode::from(code)
}
