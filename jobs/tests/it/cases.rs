//! Every job on given rows: `cases/<layer>_<table>/<case>/{case.json, given/<layer>.<table>.jsonl, expected.jsonl}`.
//!
//! `case.json` says what the case is about and when it runs. Expected rows are written by hand from the
//! definitions, never taken from a run. Each case is run in several layouts of the same rows, and once with
//! its plans sent through their serialised form; all must give the expected rows, in any order, and these
//! must pass the job's checks. What rows leave out is described in the module `rows`.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use quickchat_jobs::{Catalog, Job, RunParameters, TableName};
use serde_json::Value;

use crate::checks;
use crate::lake::{self, Layout, PLAIN, Tables};
use crate::plans;
use crate::rows::{self, Row};

/// The run of every case.
const RUN_ID: &str = "run-1";

/// Layouts in which every case is run as it is.
const LAYOUTS: [Layout; 2] = [PLAIN, Layout { partitions: 3, is_reversed: true, skips_partial_aggregation: true }];

/// The layout in which every case is run with its plans sent as bytes.
const SENT: Layout = Layout { partitions: 3, ..PLAIN };

/// Reading a plan from bytes takes almost 3 MB of stack in a build without optimisation; threads of tests
/// have 2.
const STACK_BYTES: usize = 16 << 20;

/// Fewer cases than this for a job leave its borders untested.
const MIN_CASES_OF_JOB: usize = 2;

struct Case {
    name: String,
    tables: Tables,
    parameters: RunParameters,
    expected: Vec<String>,
}

#[test]
fn bronze_jobs_give_the_expected_rows() {
    run_cases_of("bronze");
}

#[test]
fn silver_jobs_give_the_expected_rows() {
    run_cases_of("silver");
}

#[test]
fn gold_jobs_give_the_expected_rows() {
    run_cases_of("gold");
}

#[test]
fn every_folder_of_cases_belongs_to_a_job() {
    let catalog = Catalog::builtin().unwrap();
    for folder in folders_of(&cases_folder()) {
        let name = folder.file_name().unwrap().to_str().unwrap().replacen('_', ".", 1);
        assert!(catalog.job(&name).is_some(), "no job {name}");
    }
}

fn run_cases_of(layer: &'static str) {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let running = thread.spawn(move || runtime().block_on(failures_of(layer))).unwrap();
    let failures = running.join().unwrap();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

async fn failures_of(layer: &str) -> Vec<String> {
    let catalog = Catalog::builtin().unwrap();
    let mut failures = Vec::new();
    for job in catalog.jobs().iter().filter(|job| job.name().schema() == layer) {
        let folders = folders_of(&cases_folder().join(job.name().to_string().replace('.', "_")));
        assert!(folders.len() >= MIN_CASES_OF_JOB, "{} has {} cases", job.name(), folders.len());
        for folder in folders {
            let case = read_case(&catalog, job, &folder);
            failures.extend(run_case(&catalog, job, &case).await.err());
        }
    }
    failures
}

/// Runs a case in every layout; the error says how the first wrong result differs.
async fn run_case(catalog: &Catalog, job: &Job, case: &Case) -> Result<(), String> {
    for layout in LAYOUTS {
        let context = lake::session(catalog, job, &case.tables, layout);
        let plan = lake::plan(&context, job, &case.parameters).await;
        let batches = lake::under_contract(job, &lake::collect(&context, plan).await);
        check(case, job, rows::from_batches(&batches), &format!("{layout:?}"))?;
        let errors = checks::errors(catalog, job, &case.tables, &batches, &case.parameters).await;
        if !errors.is_empty() {
            return Err(format!("{} fails its own checks: {errors:#?}", case.name));
        }
    }
    let context = lake::session(catalog, job, &case.tables, SENT);
    let plan = lake::plan(&context, job, &case.parameters).await;
    let sent = plans::send(&context, plan).await;
    check(case, job, rows::from_batches(&lake::under_contract(job, &sent)), "sent as bytes")
}

fn check(case: &Case, job: &Job, actual: Vec<Row>, how: &str) -> Result<(), String> {
    check_key(case, job, &actual, how);
    let mut lines: Vec<String> = actual.into_iter().map(|row| line(job, row)).collect();
    lines.sort_unstable();
    if lines == case.expected {
        return Ok(());
    }
    let missing: Vec<_> = case.expected.iter().filter(|line| !lines.contains(line)).collect();
    let surplus: Vec<_> = lines.iter().filter(|line| !case.expected.contains(line)).collect();
    Err(format!(
        "{} ({how}), {} rows of {}\nexpected, but not there: {missing:#?}\nthere, but not expected: {surplus:#?}",
        case.name,
        lines.len(),
        case.expected.len()
    ))
}

fn check_key(case: &Case, job: &Job, rows: &[Row], how: &str) {
    let key = job.contract().key();
    let mut keys: Vec<Vec<String>> =
        rows.iter().map(|row| key.iter().map(|column| row[*column].to_string()).collect()).collect();
    keys.sort_unstable();
    // A bronze query gives every version of a document; the write chooses among them.
    if job.source().is_none() {
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{} ({how}): a key occurs twice", case.name);
    }
}

/// A row as text, columns in the contract's order.
fn line(job: &Job, row: Row) -> String {
    let cells = job.contract().columns.iter().map(|column| format!("{}={}", column.name, row[column.name]));
    cells.collect::<Vec<_>>().join(" ")
}

fn read_case(catalog: &Catalog, job: &Job, folder: &Path) -> Case {
    let name = format!("{}/{}", job.name(), folder.file_name().unwrap().to_str().unwrap());
    let about: Value = serde_json::from_str(&read(&folder.join("case.json"))).unwrap();
    assert!(about["about"].as_str().is_some_and(|text| !text.is_empty()), "{name}: case.json lacks `about`");
    let as_of = about["as_of"].as_str().unwrap_or_else(|| panic!("{name}: case.json lacks `as_of`"));
    let as_of_micros = DateTime::parse_from_rfc3339(as_of).unwrap().timestamp_micros();

    let mut tables = Tables::new();
    for file in files_of(&folder.join("given")) {
        let table: TableName = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert!(
            job.reads().contains(&table) || (job.reads_itself() && table == *job.name()),
            "{name}: the job does not read {table}"
        );
        let schema = lake::schema_of(catalog, job, &table);
        let whence = format!("{name}: {table}");
        tables.insert(table, rows::to_batch(rows::parse(&read(&file), &whence), &schema, &whence));
    }
    let whence = format!("{name}: expected");
    let expected = rows::parse(&read(&folder.join("expected.jsonl")), &whence);
    let expected = rows::to_batch(expected, &job.contract().arrow_schema(), &whence);
    let mut expected: Vec<String> = rows::from_batches(&[expected]).into_iter().map(|row| line(job, row)).collect();
    expected.sort_unstable();
    Case { name, tables, parameters: RunParameters { as_of_micros, run_id: RUN_ID.to_owned() }, expected }
}

fn cases_folder() -> PathBuf {
    // Asked for when the test runs, as it may have been compiled for another checkout with the same target folder.
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("cases")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folders_of(path: &Path) -> Vec<PathBuf> {
    entries_of(path).into_iter().filter(|path| path.is_dir()).collect()
}

fn files_of(path: &Path) -> Vec<PathBuf> {
    entries_of(path).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
}

fn entries_of(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}
