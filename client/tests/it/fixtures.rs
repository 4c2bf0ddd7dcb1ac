//! Exports and lakes that several tests look at. Each is made once, by whichever test comes first, and is never
//! changed: a test that wants to change a lake copies it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::lake::Tables;
use crate::process::{Ended, etl, python, run, scratch};

/// In the middle of an afternoon, so that the last day is not over, and before the last days of the sample.
pub const SAMPLE_AS_OF: &str = "2026-01-25T13:00:00Z";

/// The instant that the random exports lie around.
pub const RANDOM_AS_OF: &str = "2024-05-20T00:00:00Z";

/// Values that look like secrets of the process itself.
pub const PROCESS_SECRETS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "CANARY-AWS-KEY"),
    ("AWS_SECRET_ACCESS_KEY", "CANARY-AWS-SECRET"),
    ("MYSQL_PASSWORD", "CANARY-MYSQL-PASSWORD"),
];

/// A sample of the chat application, and the lake that one run made of it.
pub struct Sample {
    pub exports: PathBuf,
    pub lake: PathBuf,
    /// The run, with everything logged.
    pub ended: Ended,
    pub tables: Tables,
}

/// See [`Sample`].
pub fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = scratch("sample");
        let (exports, lake) = (folder.join("exports"), folder.join("lake"));
        make_sample(&exports, &["--messages", "150", "--days", "30", "--bad-share", "0.05"]);
        let mut command = pipeline(&exports, &lake, SAMPLE_AS_OF);
        command.env("RUST_LOG", "debug").envs(PROCESS_SECRETS);
        let ended = run(&mut command).expect(0);
        let tables = Tables::read(&lake);
        Sample { exports, lake, ended, tables }
    })
}

/// Random documents full of border cases, whose versions are spread over three exports.
pub struct Steps {
    pub exports: [PathBuf; 3],
    /// The lake after the first, the second and the third run.
    pub lakes: [PathBuf; 3],
    pub tables: [Tables; 3],
    /// Lines of messages of the second run.
    pub second_run_messages: usize,
}

/// See [`Steps`].
pub fn steps() -> &'static Steps {
    static STEPS: OnceLock<Steps> = OnceLock::new();
    STEPS.get_or_init(|| {
        let folder = scratch("steps");
        let exports = folder.join("exports");
        random_export(&exports, 20, &["--documents", "150", "--runs", "3"]);
        let exports = ["1", "2", "3"].map(|run| exports.join(run));
        let lakes = ["lake-1", "lake-2", "lake-3"].map(|name| folder.join(name));
        let mut messages = 0;
        for step in 0..3 {
            if step > 0 {
                crate::lake::copy(&lakes[step - 1], &lakes[step]);
            }
            let ended = run(&mut pipeline(&exports[step], &lakes[step], RANDOM_AS_OF)).expect(0);
            if step == 1 {
                messages = ended.stderr.lines().count();
            }
        }
        let tables = [0, 1, 2].map(|step| Tables::read(&lakes[step]));
        Steps { exports, lakes, tables, second_run_messages: messages }
    })
}

/// The whole pipeline over an export, reporting as JSON.
pub fn pipeline(exports: &Path, lake: &Path, as_of: &str) -> Command {
    select("full-pipeline", exports, lake, as_of)
}

/// Some jobs over an export, reporting as JSON.
pub fn select(selector: &str, exports: &Path, lake: &Path, as_of: &str) -> Command {
    let mut command = etl(&["run", selector, "-o", "json", "--as-of", as_of]);
    command.arg("--exports").arg(exports).arg("--lake").arg(lake);
    command
}

/// Has `quickchat-etl sample` write an export.
pub fn make_sample(exports: &Path, options: &[&str]) {
    let mut command = etl(&["sample"]);
    command.arg(exports).args(options);
    run(&mut command).expect(0);
}

/// Has the reference write an export.
pub fn random_export(exports: &Path, seed: u32, options: &[&str]) {
    let mut command = python("random_export.py", &["--seed", &seed.to_string()]);
    command.arg("--out").arg(exports).args(options);
    run(&mut command).expect(0);
}

/// Fails unless the reference computes the same tables, and other engines read the same rows.
#[track_caller]
pub fn assert_equals_reference(lake: &Path, exports: &[&Path], as_of: &str) {
    compare_with_reference(lake, exports, as_of, &[]).unwrap_or_else(|differences| panic!("{differences}"));
}

/// What the reference finds different in a lake.
pub fn compare_with_reference<P: AsRef<Path>>(
    lake: &Path,
    exports: &[P],
    as_of: &str,
    options: &[&str],
) -> Result<(), String> {
    let mut command = python("compare.py", options);
    command.arg(lake).args(exports.iter().map(AsRef::as_ref)).args(["--as-of", as_of]);
    let compared = run(&mut command);
    if compared.code != Some(0) {
        return Err(compared.to_string());
    }
    // Every table of bronze, silver and gold was looked at.
    let equal = compared.stdout.lines().filter(|line| line.ends_with("equal")).count();
    assert!(equal >= 23, "{compared}");
    Ok(())
}

/// The report of one job of a run.
#[track_caller]
pub fn job<'a>(report: &'a Value, name: &str) -> &'a Value {
    let jobs = report["jobs"].as_array().expect("a report has jobs");
    jobs.iter().find(|job| job["job"] == name).unwrap_or_else(|| panic!("{name} is not in {report}"))
}
