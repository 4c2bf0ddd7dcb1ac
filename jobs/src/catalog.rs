//! The catalog: every job and view, checked against each other when the catalog is made.
//!
//! Invariants of a [`Catalog`]: every query parses and is one SELECT; every table that a query reads
//! is written by another job of the catalog or is that job's own source; no job depends on itself, except that one
//! that replaces partitions may read its own table as the run before left it;
//! [`Catalog::jobs`] is in an order that may be run from first to last; a view reads tables that jobs write, and no job
//! reads a view.

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

use crate::contract::Contract;
use crate::job::{Job, JobDefinition, WriteMode};
use crate::query::{Frames, Query, reference};
use crate::selector::{self, SelectError};
use crate::table_name::TableName;
use crate::view::{View, ViewDefinition};
use crate::{bronze, check, gold, graph, silver};

/// All jobs, in an order in which each comes after everything it reads, and all views.
#[derive(Debug, Clone)]
pub struct Catalog {
    jobs: Vec<Job>,
    views: Vec<View>,
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
    /// Two jobs write one table, or a view has the name of another table.
    #[error("{table} is defined twice; keep one of the definitions")]
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
    /// The jobs and views of this crate.
    ///
    /// # Errors
    /// None in a build whose tests pass; callers pass the error on instead of hiding it.
    pub fn builtin() -> Result<Self, CatalogError> {
        let jobs = [bronze::definitions(), silver::definitions(), gold::definitions()].concat();
        Self::with_views(jobs, gold::views())
    }

    /// A catalog of the given jobs.
    ///
    /// # Errors
    /// One of [`CatalogError`] for the first mistake that is found.
    pub fn new(definitions: Vec<JobDefinition>) -> Result<Self, CatalogError> {
        Self::with_views(definitions, Vec::new())
    }

    /// A catalog of the given jobs, and views of their tables.
    ///
    /// # Errors
    /// One of [`CatalogError`] for the first mistake that is found.
    pub fn with_views(definitions: Vec<JobDefinition>, views: Vec<ViewDefinition>) -> Result<Self, CatalogError> {
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
        let mut catalog = Self { jobs: graph::topological_order(jobs)?, views: Vec::with_capacity(views.len()) };
        let with_text = |job: &Job| {
            let text = catalog
                .definition(job)
                .map_err(|source| CatalogError::InvalidFrames { job: job.name().clone(), source: Box::new(source) })?;
            Ok(job.clone().with_text(text))
        };
        let jobs = catalog.jobs.iter().map(with_text).collect::<Result<_, _>>()?;
        catalog.jobs = jobs;
        for definition in views {
            let view = catalog.view_of(definition)?;
            catalog.views.push(view);
        }
        Ok(catalog)
    }

    /// A view of tables that jobs of the catalog write.
    fn view_of(&self, definition: ViewDefinition) -> Result<View, CatalogError> {
        let ViewDefinition { table, summary, columns_of, sql } = definition;
        let reads = graph::read_by(&table, sql)?;
        let job = |name: &TableName| self.jobs.iter().find(|job| job.name() == name);
        if job(&table).is_some() || self.views.iter().any(|view| *view.name() == table) {
            return Err(CatalogError::DuplicateJob { table });
        }
        if let Some(unknown) = reads.iter().find(|name| job(name).is_none()) {
            return Err(CatalogError::UnknownTable { job: table, table: unknown.clone() });
        }
        let columns = match job(&columns_of) {
            Some(job) => job.contract().columns,
            None => return Err(CatalogError::UnknownTable { job: table, table: columns_of }),
        };
        Ok(View::new(Contract { table, summary, columns }, sql, reads))
    }

    /// All jobs, each after everything it reads.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The job that writes `name`, for example `silver.messages`.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name().to_string() == name)
    }

    /// All views, in the order of definition.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// The view of that name, for example `gold.ml_features_latest`.
    pub fn view(&self, name: &str) -> Option<&View> {
        self.views.iter().find(|view| view.name().to_string() == name)
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

    fn view(table: &'static str, columns_of: &'static str, sql: &'static str) -> ViewDefinition {
        let columns_of = TableName::new("silver", columns_of);
        ViewDefinition { table: TableName::new("silver", table), summary: "Test.", columns_of, sql }
    }

    #[test]
    fn views_have_the_columns_of_their_table_and_are_no_jobs() {
        let views = vec![view("v", "a", "SELECT id FROM silver.a"), view("w", "a", "SELECT id FROM silver.a")];
        let catalog = Catalog::with_views(vec![job("a", "SELECT 'x' AS id")], views).unwrap();
        assert_eq!(catalog.jobs().len(), 1);
        assert!(catalog.job("silver.v").is_none());
        let found = catalog.view("silver.v").unwrap();
        assert_eq!(found.contract().columns, catalog.job("silver.a").unwrap().contract().columns);
        assert_eq!(found.reads(), [TableName::new("silver", "a")]);
        assert_eq!(catalog.views().len(), 2);
    }

    #[test]
    fn mistakes_in_views_are_told_apart() {
        let error = |jobs, views| Catalog::with_views(jobs, views).unwrap_err();
        let a = || job("a", "SELECT 'x' AS id");
        let of_a = |table| view(table, "a", "SELECT id FROM silver.a");
        assert!(matches!(error(vec![a()], vec![of_a("a")]), CatalogError::DuplicateJob { .. }));
        assert!(matches!(error(vec![a()], vec![of_a("v"), of_a("v")]), CatalogError::DuplicateJob { .. }));
        let of_view = view("w", "a", "SELECT id FROM silver.v");
        assert!(matches!(error(vec![a()], vec![of_a("v"), of_view]), CatalogError::UnknownTable { .. }));
        let of_source = view("messages", "a", "SELECT id FROM mongodb.messages");
        assert!(matches!(error(vec![a()], vec![of_source]), CatalogError::UnknownTable { .. }));
        let no_columns = view("v", "b", "SELECT id FROM silver.a");
        assert!(matches!(error(vec![a()], vec![no_columns]), CatalogError::UnknownTable { .. }));
        let of_reader = job("b", "SELECT id FROM silver.v");
        assert!(matches!(error(vec![a(), of_reader], vec![of_a("v")]), CatalogError::UnknownTable { .. }));
        assert!(matches!(error(vec![a()], vec![view("v", "a", "SELEC")]), CatalogError::InvalidSql { .. }));
    }
}
