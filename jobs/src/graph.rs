//! The graph of jobs: its edges are found by parsing the SQL, or declared beside a function.
//!
//! Invariants: every table that a query names is written by a job or is a source; the order that
//! [`topological_order`] gives puts a job after everything it reads and is otherwise the order of
//! definition, so it is the same in every process.
//!
//! Rejected: a `depends_on` list per job. It repeats what the query says, and nothing notices when
//! the two differ. A function, which cannot be parsed, is given only the tables that it declares.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;

use crate::catalog::CatalogError;
use crate::job::{Job, JobDefinition};
use crate::query::Query;
use crate::table_name::TableName;

/// The tables and sources that the query of `definition` reads, by name.
pub(crate) fn reads(definition: &JobDefinition) -> Result<Vec<TableName>, CatalogError> {
    let job = &definition.contract.table;
    let mut tables = match definition.query {
        Query::Sql(sql) => read_by(job, sql)?,
        Query::Frames { reads, .. } => reads.to_vec(),
    };
    if let Some(table) = tables.iter().find(|table| table.is_source() && table.table() != job.table()) {
        return Err(CatalogError::ForeignSource { job: job.clone(), table: table.clone() });
    }
    tables.sort_unstable();
    Ok(tables)
}

/// The tables that a SELECT names.
pub(crate) fn read_by(job: &TableName, sql: &str) -> Result<Vec<TableName>, CatalogError> {
    let statement = parse_select(job, sql)?;
    let (references, _) = resolve_table_references(&statement, true)
        .map_err(|source| CatalogError::InvalidSql { job: job.clone(), source: Box::new(source) })?;
    let name = |reference: &TableReference| match reference {
        TableReference::Partial { schema, table } => Ok(TableName::from_parts(schema.as_ref(), table.as_ref())),
        _ => Err(CatalogError::NotTwoParts { job: job.clone(), table: reference.to_string() }),
    };
    references.iter().map(name).collect()
}

pub(crate) fn parse_select(job: &TableName, sql: &str) -> Result<Statement, CatalogError> {
    let mut statements = DFParser::parse_sql(sql)
        .map_err(|source| CatalogError::InvalidSql { job: job.clone(), source: Box::new(source) })?;
    let statement = statements.pop_front();
    match statement {
        Some(Statement::Statement(inner)) if statements.is_empty() && matches!(*inner, ast::Statement::Query(_)) => {
            Ok(Statement::Statement(inner))
        }
        _ => Err(CatalogError::NotOneSelect { job: job.clone() }),
    }
}

/// The jobs in an order in which each comes after everything it reads.
pub(crate) fn topological_order(jobs: Vec<Job>) -> Result<Vec<Job>, CatalogError> {
    let mut waiting: Vec<Job> = jobs;
    let mut unfinished: BTreeSet<TableName> = waiting.iter().map(|job| job.name().clone()).collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|job| job.reads().iter().all(|table| !unfinished.contains(table)));
        let Some(ready) = ready else {
            return Err(CatalogError::Cycle { tables: find_cycle(&waiting) });
        };
        let job = waiting.remove(ready);
        unfinished.remove(job.name());
        ordered.push(job);
    }
    Ok(ordered)
}

/// A cycle among jobs each of which waits for another one of them, first table repeated at the end.
fn find_cycle(waiting: &[Job]) -> Vec<TableName> {
    let waits_for: BTreeMap<&TableName, &TableName> = waiting
        .iter()
        .filter_map(|job| {
            let other = job.reads().iter().find(|table| waiting.iter().any(|other| other.name() == *table))?;
            Some((job.name(), other))
        })
        .collect();
    let mut path: Vec<&TableName> = waiting.iter().map(Job::name).take(1).collect();
    while let Some(next) = path.last().and_then(|last| waits_for.get(*last)) {
        if let Some(start) = path.iter().position(|table| table == next) {
            path.drain(..start);
            path.push(next);
            break;
        }
        path.push(next);
    }
    path.into_iter().cloned().collect()
}
