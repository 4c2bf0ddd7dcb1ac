//! The command `quickchat-etl`.

use std::process::ExitCode;

use clap::Parser;
use quickchat_client::commands::{CommandLine, execute};
use quickchat_client::with_causes;
use tracing_subscriber::EnvFilter;

/// Many small allocations from many threads: mimalloc is measurably faster here than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged unless `RUST_LOG` says otherwise: our own notices, and only what goes wrong below us.
const DEFAULT_LOG: &str = "warn,quickchat_client=info,ballista_core=error,ballista_scheduler=error,ballista_executor=error,\
     datafusion=error,buoyant_kernel=off,deltalake_core=off";

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}"), 1),
    };
    match runtime.block_on(execute(line)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&with_causes(&error), error.exit_code()),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}
