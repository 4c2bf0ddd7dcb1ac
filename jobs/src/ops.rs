//! Contract of `ops.runs`, which holds what ran, when, how much it did and why it failed.
//!
//! It has no job: the process that runs jobs writes it, a row for the run and a row for each job. The run's own row is
//! written when the run starts, in the state `running`, and replaced when it ends. So there is one row per run and job
//! at any time, and a run that died is one whose row says `running` while nothing of it lives any more.

use crate::column::{Column, ColumnType};
use crate::contract::Contract;
use crate::table_name::TableName;

const SUMMARY: &str = "One row per run, and one per run and job that it started or skipped. A run's row says running \
    from its start until it ends; one that still says so when its process is gone has crashed, and `runs list` shows \
    it as such. Jobs of a run that crashed have no rows; their tables' histories tell what they committed.";

const COLUMNS: &[Column] = &[
    Column::required("run_id", ColumnType::String, "The run; ids of later runs are greater.").key(),
    Column::required("job", ColumnType::String, "The job, such as silver.messages; empty in the row of the run.").key(),
    Column::required("kind", ColumnType::String, "run or job."),
    Column::required(
        "state",
        ColumnType::String,
        "Of a run: running, succeeded, failed or interrupted. Of a job: changed, unchanged, failed, skipped or \
         interrupted.",
    ),
    Column::required("as_of", ColumnType::Timestamp, "What the run took for now, exclusive."),
    Column::required("started_at", ColumnType::Timestamp, "When it started, by the clock of its host."),
    Column::optional("ended_at", ColumnType::Timestamp, "When it ended, by the same clock; null while it runs."),
    Column::optional("seconds", ColumnType::Double, "How long it took; null while it runs."),
    Column::optional(
        "decision",
        ColumnType::String,
        "What the job decided to compute, such as full or incremental; null for a run, and for a job that did not get \
         so far.",
    ),
    Column::optional("why", ColumnType::String, "Why it decided so, or why it was skipped."),
    Column::optional(
        "error",
        ColumnType::String,
        "Why it failed, with all causes; of a run, that of its first failed job.",
    ),
    Column::optional(
        "error_class",
        ColumnType::String,
        "Who has to act on the error: user (the request, the data or the configuration), external (an outside system; \
         trying again may help), internal (the makers of this program), or another word for a kind of its own.",
    ),
    Column::required(
        "input_versions",
        ColumnType::Map(&ColumnType::String, &ColumnType::Long),
        "The versions of the tables that the job read, by name; empty for a run and for a job that reads a source.",
    ),
    Column::optional("version", ColumnType::Long, "The version that the job committed; null when it committed none."),
    Column::required(
        "rows_read",
        ColumnType::Long,
        "Rows or documents that were looked at; of a run, of all its jobs.",
    ),
    Column::required("rows_written", ColumnType::Long, "New or different rows; of a run, of all its jobs."),
    Column::required("rows_unchanged", ColumnType::Long, "Rows that were there already; of a run, of all its jobs."),
    Column::required(
        "rows_quarantined",
        ColumnType::Long,
        "Documents that could not be decoded; of a run, of all its jobs.",
    ),
    Column::required("files_written", ColumnType::Long, "Data files added; of a run, of all its jobs."),
    Column::required("bytes_written", ColumnType::Long, "Their size in bytes; of a run, of all its jobs."),
    Column::required("selectors", ColumnType::List(&ColumnType::String), "What the run was asked to run."),
    Column::required("program_version", ColumnType::String, "Version of the program that ran it."),
    Column::optional("host", ColumnType::String, "Name of the machine or container that it ran on."),
    Column::optional(
        "process",
        ColumnType::String,
        "The process on that machine: boot, process namespace, process id and start time, which no other process \
         shares; null where the system does not tell.",
    ),
];

/// The contract of `ops.runs`.
pub fn runs_contract() -> Contract {
    Contract { table: TableName::new("ops", "runs"), summary: SUMMARY, columns: COLUMNS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_run_and_a_job() {
        let contract = runs_contract();
        assert_eq!(contract.key(), ["run_id", "job"]);
        assert_eq!(contract.partition(), None);
        for column in contract.columns {
            assert!(column.about.ends_with('.'), "{}: {}", column.name, column.about);
            let is_collection = matches!(column.kind, ColumnType::List(_) | ColumnType::Map(_, _));
            assert!(!(column.nullable && is_collection), "{} may be empty but not null", column.name);
        }
    }
}
