//! What commands print: tables for people, JSON for programs; always to standard output.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::JsonArray;
use datafusion::arrow::util::pretty::pretty_format_batches;
use serde::Serialize;
use serde_json::Value;

use crate::checks::{CheckState, ShownRows, TableChecks, shortened};
use crate::config::OutputForm;
use crate::doctor::{Finding, State};
use crate::run::decide::Decision;
use crate::run::plan::PlannedJob;
use crate::run::report::{JobState, RunReport};

/// Prints a serialisable value as JSON, or else its table or tables.
pub(crate) fn print<T: Serialize, D: Display>(
    form: OutputForm,
    value: &T,
    table: impl FnOnce() -> D,
) -> io::Result<()> {
    match form {
        OutputForm::Json => print_json(form, value),
        OutputForm::Table => writeln!(io::stdout().lock(), "{}", table()),
    }
}

/// Prints a serialisable value where JSON is wanted, and nothing otherwise.
pub(crate) fn print_json<T: Serialize + ?Sized>(form: OutputForm, value: &T) -> io::Result<()> {
    if form != OutputForm::Json {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// Prints rows of a query.
pub(crate) fn print_rows(form: OutputForm, batches: &[RecordBatch]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match form {
        OutputForm::Json => {
            // With nulls, so that every row has every column.
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut out);
            writer.write_batches(&batches.iter().collect::<Vec<_>>()).map_err(io::Error::other)?;
            writer.finish().map_err(io::Error::other)?;
            writeln!(out)
        }
        OutputForm::Table => writeln!(out, "{}", pretty_format_batches(batches).map_err(io::Error::other)?),
    }
}

/// An empty table with the given column titles; those that start with `#` hold numbers.
pub(crate) fn table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(titles.iter().map(|title| title.trim_start_matches('#')));
    for (index, title) in titles.iter().enumerate() {
        if let Some(column) = table.column_mut(index).filter(|_| title.starts_with('#')) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What was found out about each system, a line each; what is to be said of it stands below it.
pub(crate) fn findings(findings: &[Finding]) -> String {
    let mut rows = table(&["system", "state", "place", "version", "#latency", "#clock", "holds"]);
    for finding in findings {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let holds: Vec<String> = finding
            .counts
            .iter()
            .map(|(name, count)| format!("{} {name}", count.map_or("no".to_owned(), |count| count.to_string())))
            .collect();
        rows.add_row([
            finding.system.to_owned(),
            match finding.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "FAILED",
                State::NotConfigured => "-",
            }
            .to_owned(),
            text(&finding.place),
            text(&finding.version),
            finding.latency_ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
            finding.clock_ahead_ms.map(|ms| format!("{ms:+} ms")).unwrap_or_default(),
            holds.join(", "),
        ]);
    }
    let notes =
        findings.iter().flat_map(|finding| finding.notes.iter().map(|note| format!("{}: {note}", finding.system)));
    std::iter::once(rows.to_string()).chain(notes).collect::<Vec<_>>().join("\n")
}

/// Prints a run as a table, followed by the rows of its failed checks; nothing where JSON is wanted.
pub(crate) fn print_run_table(form: OutputForm, report: &RunReport) -> io::Result<()> {
    if form != OutputForm::Table {
        return Ok(());
    }
    writeln!(io::stdout().lock(), "{}", run_table(report))?;
    for job in &report.jobs {
        for check in &job.failed_checks {
            let title = format!("{}: {}: check {}. {}", job.job, check.severity, check.describe(), check.reason);
            print_failing(&title, &check.rows)?;
        }
    }
    Ok(())
}

/// Prints what came of checks: a table of all, then the rows that fail.
pub(crate) fn print_checks(form: OutputForm, tables: &[TableChecks]) -> io::Result<()> {
    print(form, &tables, || checks_table(tables))?;
    if form == OutputForm::Table {
        for table in tables {
            for check in &table.checks {
                if let CheckState::Failed { rows, .. } = &check.state {
                    let title = format!("{}: {}: check {}. {}", table.table, check.severity, check.check, check.reason);
                    print_failing(&title, rows)?;
                }
            }
        }
    }
    Ok(())
}

fn checks_table(tables: &[TableChecks]) -> Table {
    let mut out = table(&["table", "check", "severity", "result", "rule"]);
    for table in tables {
        if table.checks.is_empty() {
            let result = table.error.as_deref().map_or("never written", |_| "could not be checked");
            out.add_row([table.table.as_str(), "", "", result, table.error.as_deref().unwrap_or_default()]);
        }
        for check in &table.checks {
            let result = match &check.state {
                CheckState::Passed => "passed".to_owned(),
                CheckState::Failed { failing: Some(failing), .. } => format!("failed: {}", count(*failing)),
                CheckState::Failed { failing: None, .. } => "failed".to_owned(),
                CheckState::Skipped { .. } => "not asked".to_owned(),
            };
            out.add_row([table.table.as_str(), check.check, check.severity, &result, &shortened(&check.rule)]);
        }
    }
    out
}

fn print_failing(title: &str, failing: &ShownRows) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{title}")?;
    if failing.rows.is_empty() {
        return Ok(());
    }
    let mut shown = table(&failing.columns.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &failing.rows {
        shown.add_row(failing.columns.iter().map(|column| match row.get(column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }));
    }
    writeln!(out, "{shown}")
}

/// The closing table of a run.
pub(crate) fn run_table(report: &RunReport) -> Table {
    let mut table =
        table(&["job", "#read", "#written", "#unchanged", "#quarantined", "#files", "#bytes", "#seconds", "#version"]);
    for job in &report.jobs {
        let numbers = [job.read, job.written, job.unchanged, job.quarantined, job.files].map(count);
        let version = match &job.state {
            JobState::Changed => job.version.map(|version| version.to_string()).unwrap_or_default(),
            JobState::Unchanged => "nothing changed".to_owned(),
            JobState::Failed { .. } => "failed".to_owned(),
            JobState::Skipped { because } => format!("skipped: {because} failed"),
        };
        let mut row = vec![job.job.clone()];
        row.extend(numbers);
        row.extend([bytes(job.bytes), format!("{:.2}", job.seconds), version]);
        table.add_row(row);
    }
    table
}

/// What a run would do.
pub(crate) fn plan_table(plan: &[PlannedJob]) -> Table {
    let mut table = table(&["job", "would do", "#rows", "#bytes", "after"]);
    for job in plan {
        let (rows, size) = match &job.decision {
            Decision::Incremental(increment) => (count(increment.rows()), bytes(increment.bytes())),
            Decision::Nothing | Decision::Full { .. } => Default::default(),
        };
        table.add_row([job.job.clone(), job.decision.to_string(), rows, size, job.after.join(", ")]);
    }
    table
}

/// A count with separators: `1 234 567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size in the largest unit that gives at least 1.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::BinaryBytes(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
