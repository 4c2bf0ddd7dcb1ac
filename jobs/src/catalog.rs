//! The catalog: every job, checked against each other when the catalog is made.
//!
//! Invariants of a [`Catalog`]: every query parses and is one SELECT; every table that a query reads
//! is written by another job of the catalog or is that job's own source; no job depends on itself, except that one
//! that replaces partitions may read its own table as the run before left it;
//! [`Catalog::jobs`] is in an order that may be run from first to last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::empty::EmptyTable;
use datafusion::common::plan_datafusion_err;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::SessionContext;

use crate::job::{Job, JobDefinition, WriteMode};
use crate::query::{Frames, Query, reference};
use crate::selector::{self, SelectError};
use crate::table_name::TableName;
use crate::{bronze, check, gold, graph, silver};

/// All jobs, in an order in which each comes after everything it reads.
#[derive(Debug, Clone)]
pub struct Catalog {
    jobs: Vec<Job>,
}

/// Why definitions do not make a catalog. All of these are mistakes in a job's files.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The query is not SQL.
    #[error("the query of {job} cannot be parsed; correct its .sql file")]
    InvalidSql {
        /// The job.
        job: TableName,
        /// What the parser says.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The function does not fit the tables that it declares.
    #[error("the query of {job} cannot be built over the tables that it declares; correct its .rs file")]
    InvalidFrames {
        /// The job.
        job: TableName,
        /// What DataFusion says.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The query is empty, several statements, or does something else than select.
    #[error("the query of {job} is not one SELECT; a job's .sql file holds exactly one")]
    NotOneSelect {
        /// The job.
        job: TableName,
    },
    /// A table is not named `layer.table`.
    #[error("the query of {job} reads `{table}`; tables are named `layer.table`")]
    NotTwoParts {
        /// The job.
        job: TableName,
        /// The name as it stands in the query.
        table: String,
    },
    /// A job reads another table's source.
    #[error("the query of {job} reads {table}; a source is read only by the bronze table of the same name")]
    ForeignSource {
        /// The job.
        job: TableName,
        /// The source.
        table: TableName,
    },
    /// No job writes a table that is read.
    #[error("the query of {job} reads {table}, which no job writes; correct the name or add the job")]
    UnknownTable {
        /// The job.
        job: TableName,
        /// The table.
        table: TableName,
    },
    /// A check does not fit its table.
    #[error("check {check} of {job} is wrong: {detail}; correct its .rs file")]
    Check {
        /// The job.
        job: TableName,
        /// The check.
        check: &'static str,
        /// What does not fit.
        detail: String,
    },
    /// Two jobs write one table.
    #[error("{table} is written by two jobs; keep one of them")]
    DuplicateJob {
        /// The table.
        table: TableName,
    },
    /// Jobs wait for each other.
    #[error("jobs read each other in a circle: {}", arrows(tables))]
    Cycle {
        /// The circle; the first table stands at the end again.
        tables: Vec<TableName>,
    },
}

fn arrows(tables: &[TableName]) -> String {
    tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(" reads ")
}

impl Catalog {
    /// The jobs of this crate.
    ///
    /// # Errors
    /// None in a build whose tests pass; callers pass the error on instead of hiding it.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::new([bronze::definitions(), silver::definitions(), gold::definitions()].concat())
    }

    /// A catalog of the given jobs.
    ///
    /// # Errors
    /// One of [`CatalogError`] for the first mistake that is found.
    pub fn new(definitions: Vec<JobDefinition>) -> Result<Self, CatalogError> {
        let mut names = BTreeSet::new();
        for definition in &definitions {
            if !names.insert(definition.contract.table.clone()) {
                return Err(CatalogError::DuplicateJob { table: definition.contract.table.clone() });
            }
        }
        let mut jobs = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let mut reads = graph::reads(&definition)?;
            // Only a job that keeps rows of earlier runs can make sense of its own table.
            let keeps_rows = definition.write_mode == WriteMode::ReplacePartitions;
            let itself = definition.contract.table.clone();
            let reads_itself = keeps_rows && reads.contains(&itself);
            reads.retain(|table| !reads_itself || *table != itself);
            if let Some(unknown) = reads.iter().find(|table| !table.is_source() && !names.contains(*table)) {
                return Err(CatalogError::UnknownTable {
                    job: definition.contract.table.clone(),
                    table: unknown.clone(),
                });
            }
            check::validate(&definition.contract, definition.checks, &reads).map_err(|mistake| {
                CatalogError::Check {
                    job: definition.contract.table.clone(),
                    check: mistake.check,
                    detail: mistake.detail,
                }
            })?;
            jobs.push(Job::new(definition, reads, reads_itself));
        }
        let catalog = Self { jobs: graph::topological_order(jobs)? };
        let with_text = |job: &Job| {
            let text = catalog
                .definition(job)
                .map_err(|source| CatalogError::InvalidFrames { job: job.name().clone(), source: Box::new(source) })?;
            Ok(job.clone().with_text(text))
        };
        Ok(Self { jobs: catalog.jobs.iter().map(with_text).collect::<Result<_, _>>()? })
    }

    /// All jobs, each after everything it reads.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The job that writes `name`, for example `silver.messages`.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name().to_string() == name)
    }

    /// The jobs that write what `job` reads, in the order of the catalog.
    pub fn upstream<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Job> {
        self.jobs.iter().filter(|other| job.reads().contains(other.name()))
    }

    /// The jobs that read what `job` writes, in the order of the catalog.
    pub fn downstream<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Job> {
        self.jobs.iter().filter(|other| other.reads().contains(job.name()))
    }

    /// What a job computes, as text: the SQL, or the plan that a function builds, with placeholders.
    ///
    /// # Errors
    /// When a function does not fit the tables that it declares.
    pub fn definition(&self, job: &Job) -> Result<String, DataFusionError> {
        let build = match job.query() {
            Query::Sql(sql) => return Ok(sql.to_owned()),
            Query::Frames { build, .. } => build,
        };
        let state = SessionContext::new().state();
        let mut tables = BTreeMap::new();
        for name in job.reads() {
            let empty = provider_as_source(Arc::new(EmptyTable::new(self.schema_of(job, name)?)));
            let plan = LogicalPlanBuilder::scan(reference(name), empty, None)?.build()?;
            tables.insert(name.clone(), DataFrame::new(state.clone(), plan));
        }
        Ok(build(&Frames::new(tables))?.into_unoptimized_plan().display_indent().to_string())
    }

    /// The columns under which `reader` reads a table or source.
    fn schema_of(&self, reader: &Job, table: &TableName) -> Result<SchemaRef, DataFusionError> {
        let written = self.job(&table.to_string()).map(|job| job.contract().arrow_schema());
        let read = if table.is_source() { reader.source_schema() } else { written };
        read.ok_or_else(|| plan_datafusion_err!("no job writes {table}"))
    }

    /// The jobs that the selectors name together, each once, each after everything it reads.
    ///
    /// A selector is a table (`silver.messages`, or the older `silver-messages`), a layer (`silver`,
    /// or `silver-all`), a schedule (`hourly`, `daily`, `weekly`) or `full-pipeline`; a `+` before it
    /// adds everything upstream, a `+` after it everything downstream.
    ///
    /// # Errors
    /// [`SelectError`] names the selector that means nothing, with the nearest ones that do.
    pub fn select<S: AsRef<str>>(&self, selectors: &[S]) -> Result<Vec<&Job>, SelectError> {
        selector::select(self, selectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::column::{Column, ColumnType};
    use crate::contract::Contract;
    use crate::incremental::Incremental;
    use crate::job::Schedule;
    use crate::query::Query;

    fn job(table: &'static str, sql: &'static str) -> JobDefinition {
        const COLUMNS: &[Column] = &[Column::required("id", ColumnType::String, "Key.").key()];
        let contract = Contract { table: TableName::new("silver", table), summary: "Test.", columns: COLUMNS };
        JobDefinition {
            contract,
            write_mode: WriteMode::ReplaceTable,
            incremental: Incremental::EVERYTHING,
            schedule: Schedule::Daily,
            checks: &[],
            query: Query::Sql(sql),
        }
    }

    #[test]
    fn jobs_are_ordered_by_what_they_read() {
        let catalog = Catalog::new(vec![
            job("c", "WITH a AS (SELECT id FROM silver.b) SELECT a.id FROM a JOIN silver.a AS x ON x.id = a.id"),
            job("b", "SELECT id FROM silver.a"),
            job("a", "SELECT 'x' AS id"),
        ])
        .unwrap();
        let names: Vec<_> = catalog.jobs().iter().map(|job| job.name().table()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let c = catalog.job("silver.c").unwrap();
        assert_eq!(c.reads(), [TableName::new("silver", "a"), TableName::new("silver", "b")]);
        assert_eq!(catalog.upstream(c).count(), 2);
        assert_eq!(catalog.downstream(c).count(), 0);
    }

    #[test]
    fn a_circle_is_named() {
        let error = Catalog::new(vec![
            job("d", "SELECT id FROM silver.b"),
            job("a", "SELECT id FROM silver.b"),
            job("b", "SELECT id FROM silver.c"),
            job("c", "SELECT id FROM silver.b"),
        ])
        .unwrap_err();
        assert_eq!(error.to_string(), "jobs read each other in a circle: silver.b reads silver.c reads silver.b");
    }

    #[test]
    fn mistakes_are_told_apart() {
        let error = |sql| Catalog::new(vec![job("a", sql)]).unwrap_err();
        assert!(matches!(error("SELECT id FROM silver.mesages"), CatalogError::UnknownTable { .. }));
        assert!(matches!(error("SELECT id FROM messages"), CatalogError::NotTwoParts { .. }));
        assert!(matches!(error("SELECT id FROM mongodb.b"), CatalogError::ForeignSource { .. }));
        assert!(matches!(error("SELEC id"), CatalogError::InvalidSql { .. }));
        assert!(matches!(error("SELECT 1; SELECT 2"), CatalogError::NotOneSelect { .. }));
        assert!(matches!(error("DROP TABLE x"), CatalogError::NotOneSelect { .. }));
        assert!(matches!(error(""), CatalogError::NotOneSelect { .. }));
        assert!(matches!(error("SELECT id FROM silver.a"), CatalogError::Cycle { .. }));
        const CHECKS: &[Check] = &[Check::relation("known", "id", "silver.b", "id", "Test.")];
        let checked = JobDefinition { checks: CHECKS, ..job("a", "SELECT 'x' AS id") };
        let wrong = Catalog::new(vec![checked, job("b", "SELECT 'x' AS id")]).unwrap_err().to_string();
        assert!(wrong.contains("check known of silver.a") && wrong.contains("does not read"), "{wrong}");
        let twice = Catalog::new(vec![job("a", "SELECT 1"), job("a", "SELECT 1")]).unwrap_err();
        assert!(matches!(twice, CatalogError::DuplicateJob { .. }));
    }
}
