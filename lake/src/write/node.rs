//! The logical node.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::output::WriteSpec;
use super::receipt;
use crate::inputs::exactly;

/// Writes its input's rows into data files and yields a receipt per file.
#[derive(Debug, Clone)]
pub struct WriteNode {
    input: LogicalPlan,
    spec: Arc<WriteSpec>,
    schema: DFSchemaRef,
}

impl WriteNode {
    /// A node above `input`.
    pub fn try_new(input: LogicalPlan, spec: Arc<WriteSpec>) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(receipt::schema().as_ref().clone())?);
        Ok(Self { input, spec, schema })
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// What is written where.
    pub fn spec(&self) -> &Arc<WriteSpec> {
        &self.spec
    }

    fn identity(&self) -> String {
        // The specification is plain data, and compared only when plans are compared, that is almost never.
        serde_json::to_string(self.spec.as_ref()).unwrap_or_else(|_| self.spec.name.clone())
    }
}

impl PartialEq for WriteNode {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input && self.spec == other.spec
    }
}

impl Eq for WriteNode {}

impl Hash for WriteNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.identity().hash(state);
    }
}

impl PartialOrd for WriteNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for WriteNode {
    fn name(&self) -> &str {
        "DeltaWrite"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeltaWrite: {} {:?}", self.spec.name, self.spec.distribution)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [input] = exactly("a write", inputs)?;
        Self::try_new(input, Arc::clone(&self.spec))
    }
}
