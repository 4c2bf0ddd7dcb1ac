//! Secrets of the sources and of the process are nowhere to be found.
//!
//! The sample puts texts that begin with `CANARY-` into every field that must never be ingested, and the run of the
//! sample has such texts in its environment.

use crate::fixtures::sample;
use crate::lake::files;

const CANARY: &str = "CANARY-";

#[test]
fn no_table_log_or_output_holds_a_secret() {
    let sample = sample();
    // The canaries are there to be found.
    let exported: usize =
        files(&sample.exports).keys().map(|file| count(&std::fs::read(sample.exports.join(file)).unwrap())).sum();
    assert!(exported > 100, "{exported} canaries in the exports");

    assert_eq!(count(sample.ended.stdout.as_bytes()), 0, "standard output");
    assert!(sample.ended.stderr.contains("DEBUG"), "everything is logged");
    if let Some(line) = sample.ended.stderr.lines().find(|line| line.contains(CANARY)) {
        panic!("logged: {line}");
    }
    for (name, table) in &sample.tables.0 {
        if let Some(row) = table.rows.iter().find(|row| row.contains(CANARY)) {
            panic!("{name} holds {row}");
        }
    }
    for file in files(&sample.lake).keys() {
        assert_eq!(count(&std::fs::read(sample.lake.join(file)).unwrap()), 0, "{}", file.display());
    }
    assert!(!sample.tables.rows("quarantine.users").is_empty(), "rejected documents are there too");
}

fn count(bytes: &[u8]) -> usize {
    bytes.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count()
}
