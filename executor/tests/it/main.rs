//! The executor's start as a library and as a process. Tasks are run in the client's tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quickchat_engine::Engine;
use quickchat_executor::{ExecutorConfig, ExecutorError, ExecutorHandle, MemoryLimit, SchedulerUrl, start};

/// How long something may take that must come about. Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Port 1: a port that is merely free now may be taken by a scheduler of another test before it is tried.
fn nobody() -> SchedulerUrl {
    SchedulerUrl::new("127.0.0.1", 1)
}

/// The end of a start that does not hang.
async fn started(config: ExecutorConfig) -> Result<ExecutorHandle, ExecutorError> {
    tokio::time::timeout(PATIENCE, start(&Engine::default(), config)).await.expect("the start does not end")
}

#[tokio::test]
async fn gives_up_on_a_scheduler_that_is_not_there() {
    let (url, limit) = (nobody(), Duration::from_millis(300));
    let config = ExecutorConfig { connect_timeout: limit, ..ExecutorConfig::new(url.clone()) };
    let error = started(config).await.unwrap_err();
    assert!(matches!(error, ExecutorError::Unreachable { waited, .. } if waited == limit), "{error:?}");
    assert!(error.to_string().contains(&url.to_string()), "{error}");
    assert_eq!(error.exit_code(), 4);
}

/// As a proxy does whose scheduler is not up.
#[tokio::test]
async fn who_takes_connections_and_hangs_up_is_no_scheduler() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = SchedulerUrl::new("127.0.0.1", listener.local_addr().unwrap().port());
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let proxy = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let config = ExecutorConfig { connect_timeout: Duration::from_millis(300), ..ExecutorConfig::new(url.clone()) };
    let error = started(config).await.unwrap_err();
    assert!(matches!(error, ExecutorError::Unreachable { .. }), "{error:?}");

    // With all the time of the world it tries again and again.
    let config = ExecutorConfig { connect_timeout: Duration::from_secs(3600), ..ExecutorConfig::new(url) };
    let before = taken.load(Ordering::SeqCst);
    let attempts = async {
        while taken.load(Ordering::SeqCst) < before + 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = started(config) => panic!("it does not try on: {ended:?}"),
        () = attempts => proxy.abort(),
    }
}

/// As a proxy does that has nobody to ask.
#[tokio::test]
async fn who_takes_connections_and_says_nothing_is_no_scheduler() {
    // Nobody accepts, but the system connects.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = SchedulerUrl::new("127.0.0.1", listener.local_addr().unwrap().port());
    let config = ExecutorConfig { connect_timeout: Duration::from_secs(1), ..ExecutorConfig::new(url) };
    let error = started(config).await.unwrap_err();
    assert!(matches!(error, ExecutorError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_cannot_work_is_said_before_the_scheduler_is_asked() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let flight_port = taken.local_addr().unwrap().port();
    let config = ExecutorConfig { flight_port, ..ExecutorConfig::new(nobody()) };
    let error = start(&Engine::default(), config).await.unwrap_err();
    assert!(error.to_string().contains(&flight_port.to_string()), "{error}");
    assert_eq!(error.exit_code(), 2);

    let config = ExecutorConfig { memory: MemoryLimit::Bytes(1 << 20), ..ExecutorConfig::new(nobody()) };
    let error = start(&Engine::default(), config).await.unwrap_err();
    assert!(matches!(error, ExecutorError::Memory(_)), "{error:?}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn the_process_ends_with_4_when_the_scheduler_is_out_of_reach() {
    let url = nobody().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_quickchat-executor"))
        .args(["--scheduler-url", &url, "--connect-timeout-seconds", "1", "--flight-bind-port", "0"])
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("cannot reach the scheduler") && log.contains(&url), "{log}");
}

#[test]
fn the_process_refuses_nonsense_on_its_command_line() {
    for args in [["--scheduler-url", "https://host"], ["--memory", "plenty"], ["--slots", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_quickchat-executor")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
