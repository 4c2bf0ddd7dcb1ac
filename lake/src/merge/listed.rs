//! Rows by a short list of keys.

use std::cmp::Ordering;
use std::fmt;

use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use serde::{Deserialize, Serialize};

use crate::inputs::exactly;

/// Which rows stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keep {
    /// Those whose key is in the list.
    Listed,
    /// Those whose key is not in the list.
    Others,
}

/// How rows are matched with the list: the part of [`Listed`] that travels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Match {
    /// Pairs of a column of the rows and the column of the list that it must equal. Null equals nothing.
    pub(crate) on: Vec<(String, String)>,
    pub(crate) keep: Keep,
}

/// Rows whose key stands, or does not stand, in a list that is short enough for the memory of every task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listed {
    rows: LogicalPlan,
    list: LogicalPlan,
    how: Match,
}

impl Listed {
    /// `rows` by `list`, where each pair names a column of the rows and the column of the list that it must equal.
    pub fn new(rows: LogicalPlan, list: LogicalPlan, on: Vec<(String, String)>, keep: Keep) -> Self {
        Self { rows, list, how: Match { on, keep } }
    }

    pub(crate) fn from_match(rows: LogicalPlan, list: LogicalPlan, how: Match) -> Self {
        Self { rows, list, how }
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: std::sync::Arc::new(self) })
    }

    pub(crate) fn how(&self) -> &Match {
        &self.how
    }
}

impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Listed {
    fn name(&self) -> &str {
        "Listed"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.rows, &self.list]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.rows.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        // Columns are matched by name, so there is nothing that an optimizer could rewrite.
        Vec::new()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let index = |plan: &LogicalPlan, name: &String| plan.schema().index_of_column(&Column::from_name(name)).ok();
        let mut rows = output_columns.to_vec();
        for (ours, _) in &self.how.on {
            rows.push(index(&self.rows, ours)?);
        }
        rows.sort_unstable();
        rows.dedup();
        let list = self.how.on.iter().map(|(_, theirs)| index(&self.list, theirs)).collect::<Option<Vec<_>>>()?;
        Some(vec![rows, list])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listed: {:?} on {:?}", self.how.keep, self.how.on)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [rows, list] = exactly("Listed", inputs)?;
        Ok(Self { rows, list, how: self.how.clone() })
    }
}
