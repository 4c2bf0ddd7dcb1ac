//! What a job computes: one SELECT, or a function that builds the same kind of plan from data frames.
//!
//! SQL is the rule, since analysts read and change it. A function is for a query that SQL says badly: one that is put
//! together in a loop, or whose expressions repeat with small differences. Both give a logical plan over the tables
//! that the job reads, with the same placeholders, so all that follows is the same for both.
//!
//! Invariant: a function asks for tables by [`Frames::table`] only, which has those that it declares and no others. So
//! what a job reads is known before it is planned, as with SQL, and a declaration that is too short fails in the first
//! test; one that is too long is found by a test that looks at the plans.
//!
//! Columns are named by `ident`, which takes a name as it is; `col` would parse it as SQL.

use std::collections::BTreeMap;

use datafusion::common::{TableReference, plan_datafusion_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::parameters::RunParameters;
use crate::table_name::TableName;

/// A job's query, with the placeholders of [`RunParameters`].
#[derive(Debug, Clone, Copy)]
pub enum Query {
    /// One SELECT that gives the contract's columns in order. What it reads is found out by parsing it.
    Sql(&'static str),
    /// A function that gives a data frame with the contract's columns in order.
    Frames {
        /// The tables that the function asks for.
        reads: &'static [TableName],
        /// The function.
        build: fn(&Frames) -> Result<DataFrame>,
    },
}

/// The tables that a function reads, as data frames.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    tables: BTreeMap<TableName, DataFrame>,
}

impl Frames {
    /// The given tables, by name.
    pub fn new(tables: BTreeMap<TableName, DataFrame>) -> Self {
        Self { tables }
    }

    /// All rows of the table `layer.name`.
    ///
    /// # Errors
    /// When the query does not declare that it reads the table.
    pub fn table(&self, layer: &str, name: &str) -> Result<DataFrame> {
        let table = TableName::from_parts(layer, name);
        self.tables.get(&table).cloned().ok_or_else(|| {
            plan_datafusion_err!("the query reads {table}, which is not among its declared `reads`; add it there")
        })
    }
}

impl Query {
    /// The plan over the tables that `context` knows by the names `reads`, with placeholders in place of parameters.
    pub(crate) async fn plan(&self, context: &SessionContext, reads: &[TableName]) -> Result<LogicalPlan> {
        match self {
            Self::Sql(sql) => context.state().create_logical_plan(sql).await,
            Self::Frames { build, .. } => {
                let mut tables = BTreeMap::new();
                for name in reads {
                    let frame = context.table(reference(name)).await?;
                    tables.insert(name.clone(), frame);
                }
                Ok(build(&Frames::new(tables))?.into_unoptimized_plan())
            }
        }
    }
}

/// The name as queries write it.
pub(crate) fn reference(name: &TableName) -> TableReference {
    TableReference::partial(name.schema(), name.table())
}

impl RunParameters {
    /// A plan with this run's values in place of the placeholders.
    ///
    /// # Errors
    /// When a placeholder stands where its value's type does not fit.
    pub fn bind(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        plan.with_param_values(self.values())
    }
}
