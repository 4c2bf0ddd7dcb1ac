//! Functions of SQL that only tests have: one that leaves a trace, one that waits, one that fails.

use std::hash::{Hash, Hasher};
use std::io::{Error, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use quickchat_engine::Engine;

use super::queries::{ints, wait_until};

pub static IO_FAILURES: AtomicUsize = AtomicUsize::new(0);
pub static OTHER_FAILURES: AtomicUsize = AtomicUsize::new(0);

/// The engine of every process of these tests.
pub fn engine() -> Engine {
    let functions = [
        TestFunction::new("trace", &[DataType::Int64, DataType::Int64, DataType::Utf8], trace),
        TestFunction::new("gate", &[DataType::Int64, DataType::Utf8], gate),
        TestFunction::new("fail", &[DataType::Int64, DataType::Utf8], fail),
    ];
    Engine::new(functions.map(|function| Arc::new(ScalarUDF::from(function))).into())
}

/// `trace(v, milliseconds, file)`: v, after a pause for each row, with a line for each row in the file of a [`Trace`].
fn trace(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let file = text(&args[2]);
    let pauses = args[1].to_array(rows)?;
    for pause in ints(&pauses) {
        std::thread::sleep(Duration::from_millis(pause.unsigned_abs()));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&file)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
    }
    args[0].to_array(rows)
}

/// `gate(v, file)`: v, once the [`Gate`] of that file is open; at once where the file's name is empty.
fn gate(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let files = args[1].to_array(rows)?;
    for file in files.as_string::<i32>().iter().flatten().filter(|file| !file.is_empty()).map(Path::new) {
        while !file.exists() {
            if !file.parent().is_some_and(Path::exists) {
                return Err(DataFusionError::Execution("the test has ended with its gate closed".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    args[0].to_array(rows)
}

/// `fail(v, kind)`: v, but the first call fails, or with the kind `always` every one.
fn fail(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let kind = text(&args[1]);
    if kind == "always" {
        return Err(DataFusionError::IoError(Error::other("a lasting fault of a disk")));
    }
    if kind == "io" {
        if IO_FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n == 0).then_some(1)).is_ok() {
            return Err(DataFusionError::IoError(Error::other("a passing fault")));
        }
    } else if OTHER_FAILURES.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n == 0).then_some(1)).is_ok() {
        return Err(DataFusionError::Execution("a lasting fault".to_owned()));
    }
    args[0].to_array(rows)
}

fn text(value: &ColumnarValue) -> String {
    match value {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => text.clone(),
        other => panic!("expected a literal, got {other:?}"),
    }
}

type Body = fn(&[ColumnarValue], usize) -> Result<ArrayRef>;

#[derive(Debug)]
struct TestFunction {
    name: &'static str,
    signature: Signature,
    body: Body,
}

impl TestFunction {
    fn new(name: &'static str, types: &[DataType], body: Body) -> Self {
        Self { name, signature: Signature::exact(types.to_vec(), Volatility::Volatile), body }
    }
}

impl PartialEq for TestFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for TestFunction {}

impl Hash for TestFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for TestFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows == 0 {
            return Ok(ColumnarValue::Array(Arc::new(Int64Array::from(Vec::<i64>::new()))));
        }
        Ok(ColumnarValue::Array((self.body)(&args.args, args.number_rows)?))
    }
}

/// What `trace` has written. It must live as long as the job, whose tasks fail where the file cannot be.
pub struct Trace {
    dir: tempfile::TempDir,
}

impl Trace {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("trace")
    }

    /// Rows that the process has processed.
    pub fn of(&self, pid: u32) -> usize {
        let pid = pid.to_string();
        self.text().lines().filter(|line| *line == pid).count()
    }

    /// Rows that were processed, by whomever.
    pub fn len(&self) -> usize {
        self.text().lines().count()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// Soon no further row is processed. What stands still is told by looks, not by time: while none of a hundred finds
    /// anything new, a task that still ran would have come to dozens of rows.
    pub async fn assert_stands_still(&self) {
        let (mut last, mut looks_in_vain) = (self.len(), 0);
        wait_until("the end of a cancelled job's tasks", async || {
            let now = self.len();
            looks_in_vain = if now == last { looks_in_vain + 1 } else { 0 };
            last = now;
            looks_in_vain == 100
        })
        .await;
    }
}

/// Where the rows that `gate` is called on wait until the test opens it. It must live as long as they wait, or they fail.
pub struct Gate {
    dir: tempfile::TempDir,
}

impl Gate {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The file that is there once the gate is open.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("open")
    }

    pub fn open(&self) {
        std::fs::write(self.path(), "").unwrap();
    }
}
