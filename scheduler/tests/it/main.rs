//! The scheduler as a library and as a process. Jobs are run in the client's tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use quickchat_engine::Engine;
use quickchat_scheduler::{SchedulerConfig, SchedulerError, SchedulerHandle, start};

/// How long something may take that must come about. Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

async fn started() -> SchedulerHandle {
    let config = SchedulerConfig { port: 0, http_port: Some(0), ..SchedulerConfig::default() };
    start(&Engine::default(), config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_free_ports_and_gives_them_back() {
    let scheduler = started().await;
    let (grpc, http) = (scheduler.addr(), scheduler.http_addr().unwrap());
    assert!(grpc.port() != 0 && http.port() != 0 && grpc != http);
    assert_eq!(scheduler.url(), format!("df://{grpc}"));
    scheduler.shutdown().await;
    for address in [grpc, http] {
        // A port of the system's choice may be taken for a moment by a connection of another test.
        let started = Instant::now();
        while let Err(error) = TcpListener::bind(address) {
            assert!(started.elapsed() < PATIENCE, "{address} is not given back: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_http_and_leads_nobody_to_the_internet() {
    let scheduler = started().await;
    // Progress is asked for over the gRPC port too.
    for address in [scheduler.http_addr().unwrap(), scheduler.addr()] {
        let answers = tokio::task::spawn_blocking(move || {
            [
                "/",
                "/healthz",
                "/readyz",
                "/api/state",
                "/api/executors",
                "/api/progress/none",
                "/redirect-is-not-served",
            ]
            .map(|path| get(address, path))
        });
        let [root, health, ready, state, executors, progress, redirect] = answers.await.unwrap();
        assert!(root.0 == 200 && root.1.contains("/api/jobs"), "{root:?}");
        assert_eq!((health.0, health.1.as_str()), (200, "ok"));
        assert_eq!(ready.0, 503, "no executor yet: {ready:?}");
        assert!(state.0 == 200 && state.1.contains("scheduler_id"), "{state:?}");
        assert_eq!((executors.0, executors.1.as_str()), (200, "[]"));
        assert_eq!(progress.0, 404);
        assert_eq!(redirect.0, 404);
    }
    let http = scheduler.http_addr().unwrap();
    for (origin, allowed) in [(format!("http://{http}"), true), ("https://nightlies.apache.org".to_owned(), false)] {
        let headers = tokio::task::spawn_blocking(move || headers_for_origin(http, &origin)).await.unwrap();
        assert_eq!(headers.contains("access-control-allow-origin: http"), allowed, "{headers}");
    }
    scheduler.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (config, option) in [
        (SchedulerConfig { port, http_port: None, ..SchedulerConfig::default() }, "--bind-port"),
        (SchedulerConfig { port: 0, http_port: Some(port), ..SchedulerConfig::default() }, "--http-bind-port"),
    ] {
        let error = start(&Engine::default(), config).await.unwrap_err();
        assert!(matches!(error, SchedulerError::Bind { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&port.to_string()) && text.contains(option), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn the_process_stops_on_sigterm() {
    let mut process = Process::start(&["--bind-port", "0", "--http-bind-port", "0"]);
    process.wait_for("scheduler is listening");
    // By the shell's own `kill`: there is not a program of that name on every machine.
    let sent =
        Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &process.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(process.exit_code(), 0);
}

#[test]
fn the_process_ends_with_2_when_the_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut process = Process::start(&["--bind-port", &port]);
    process.wait_for("cannot listen on");
    assert_eq!(process.exit_code(), 2);
}

/// The real binary, with the lines that it logs, which are read on a thread.
struct Process {
    child: Child,
    log: Receiver<String>,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickchat-scheduler"));
        let mut child = command.args(args).env_remove("RUST_LOG").stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        // Ends with the process, or with the test.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, log }
    }

    fn wait_for(&self, words: &str) {
        let started = Instant::now();
        let mut seen = String::new();
        while !seen.contains(words) {
            match self.log.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
                Ok(line) => seen.extend([line.as_str(), "\n"]),
                Err(why) => panic!("`{words}` is not in the log ({why}): {seen}"),
            }
        }
    }

    fn exit_code(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(started.elapsed() < PATIENCE, "the process does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended, as it should have.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn headers_for_origin(address: SocketAddr, origin: &str) -> String {
    let request = format!("GET /api/state HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n");
    exchange(address, &request).split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase()
}

fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
