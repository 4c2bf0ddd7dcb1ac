//! A view: a name for a query over the lake that has no files of its own.
//!
//! Whoever asks for a view gets its query over the versions of its tables that are the newest at that moment. Nothing
//! runs for a view, nothing is stored and nothing can be stale, which is also why it has neither a schedule nor a
//! history. Queries of views have no parameters, since no run binds any.
//!
//! Rejected: a table that each run replaces. It would hold the same rows a second time, and between the commits of
//! the two tables a reader would see them disagree.

use crate::contract::Contract;
use crate::table_name::TableName;

/// What is written down about a view; [`crate::Catalog`] turns it into a [`View`].
#[derive(Debug, Clone)]
pub struct ViewDefinition {
    /// The view's name.
    pub table: TableName,
    /// What a row is.
    pub summary: &'static str,
    /// The table whose columns the view has.
    pub columns_of: TableName,
    /// One SELECT that gives these columns in order.
    pub sql: &'static str,
}

/// A view of the catalog, with what its SQL reads.
#[derive(Debug, Clone)]
pub struct View {
    contract: Contract,
    sql: &'static str,
    reads: Vec<TableName>,
}

impl View {
    pub(crate) fn new(contract: Contract, sql: &'static str, reads: Vec<TableName>) -> Self {
        Self { contract, sql, reads }
    }

    /// The view's name.
    pub fn name(&self) -> &TableName {
        &self.contract.table
    }

    /// Its columns and what they mean.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The query, without placeholders.
    pub fn sql(&self) -> &'static str {
        self.sql
    }

    /// The tables of the lake that the query reads, by name.
    pub fn reads(&self) -> &[TableName] {
        &self.reads
    }
}
