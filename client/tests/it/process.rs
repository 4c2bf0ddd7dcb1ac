//! Programs of the project as processes: started, watched with a deadline, ended by their own id.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far more than anything takes; a process that hangs fails its test instead of stopping the whole run.
const DEADLINE: Duration = Duration::from_secs(400);

/// `quickchat-etl` with the given arguments, and without any configuration of the machine that runs the tests.
pub fn etl<S: AsRef<str>>(arguments: &[S]) -> Command {
    clean(env!("CARGO_BIN_EXE_quickchat-etl").as_ref(), arguments)
}

/// Another program of the workspace; it lies beside `quickchat-etl`.
pub fn program<S: AsRef<str>>(name: &str, arguments: &[S]) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_quickchat-etl")).with_file_name(name);
    assert!(path.is_file(), "{} is not built; run the tests by scripts/test.sh", path.display());
    clean(&path, arguments)
}

/// The Python that has the packages of the reference.
pub fn python<S: AsRef<str>>(script: &str, arguments: &[S]) -> Command {
    let python = std::env::var("QUICKCHAT_REFERENCE_PYTHON").unwrap_or_else(|_| {
        panic!("QUICKCHAT_REFERENCE_PYTHON is not set: run the tests by scripts/test.sh, which installs what {script} needs")
    });
    let mut command = Command::new(python);
    let reference = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../reference");
    command.arg(reference.join(script)).args(arguments.iter().map(AsRef::as_ref));
    command.stdin(Stdio::null());
    command
}

/// A program without any configuration of the machine that runs the tests.
pub fn clean<S: AsRef<str>>(program: &Path, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    let configured = |name: &str| {
        let prefixes = ["AWS_", "MONGODB_", "MYSQL_", "KAFKA_", "QUICKCHAT_", "SCHEDULER_", "EXECUTOR_"];
        let names = ["RUST_LOG", "DATA_LAKE_PATH", "EXPORTS_PATH", "MEDIA_PATH"];
        names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars().filter(|(name, _)| configured(name)) {
        command.env_remove(name);
    }
    // A folder without a configuration file.
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// A process that ended.
pub struct Ended {
    /// The command, for messages.
    command: String,
    /// Exit code, none after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Fails unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails unless standard error holds all of `parts`.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not said by {self}");
        }
        self
    }

    /// Standard output, which must be one JSON value and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let beginning = |text: &str| text.chars().take(6000).collect::<String>();
        let mut text = String::new();
        writeln!(text, "{} ended with {:?}", self.command, self.code)?;
        writeln!(text, "--- stdout\n{}\n--- stderr\n{}", beginning(&self.stdout), beginning(&self.stderr))?;
        f.write_str(&text)
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ended {
    Running::start(command).wait()
}

/// A process that may still run. Dropping it kills it.
pub struct Running {
    command: String,
    started: Instant,
    child: Child,
    output: [Output; 2],
}

/// What a process says on one of its ways, read on a thread.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a command and reads what it prints.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = [Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap())];
        Self { command: name, started: Instant::now(), child, output }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Fails with all that the process has said if it has ended.
    #[track_caller]
    pub fn expect_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let [stdout, stderr] = self.output.each_mut().map(Output::all);
            let ended = Ended { command: self.command.clone(), code: status.code(), stdout, stderr };
            panic!("it should still run: {ended}");
        }
    }

    /// How many lines of messages it has said so far.
    pub fn messages(&self) -> usize {
        self.output[1].bytes.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
    }

    /// All messages so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.output[1].bytes.lock().unwrap()).into_owned()
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// SIGKILL; false if the process had ended by itself before.
    pub fn kill(mut self) -> bool {
        let hit = self.is_running();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        hit
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(self.started.elapsed() < DEADLINE, "{} hangs", self.command);
            std::thread::sleep(Duration::from_millis(10));
        };
        let [stdout, stderr] = self.output.each_mut().map(Output::all);
        Ended { command: std::mem::take(&mut self.command), code: status.code(), stdout, stderr }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when the process has ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let reading = std::thread::spawn(move || {
            let mut buffer = vec![0; 8 << 10];
            while let length @ 1.. = pipe.read(&mut buffer).unwrap() {
                read.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, reading: Some(reading) }
    }

    /// Everything, once the process has ended.
    fn all(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Sends a signal to one process. By the `kill` that every shell has built in: there is not a program of that name on
/// every machine.
pub fn signal(id: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id.to_string()]).status().unwrap();
    assert!(sent.success(), "cannot send SIG{name} to process {id}");
}

/// A new folder for one test, below the build's folder for temporary files. What test runs of the past left there is
/// removed.
pub fn scratch(name: &str) -> PathBuf {
    static SWEPT: std::sync::Once = std::sync::Once::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    SWEPT.call_once(|| sweep(all));
    let folder = all.join(format!("{PREFIX}{}", std::process::id())).join(name);
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

const PREFIX: &str = "client-";

/// Removes the folders of processes that are no more.
fn sweep(all: &Path) {
    for entry in std::fs::read_dir(all).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(PREFIX).filter(|id| id.parse::<u32>().is_ok()) else { continue };
        if !Path::new("/proc").join(process).exists() {
            // Another test run may be sweeping the same folder.
            let _gone = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
