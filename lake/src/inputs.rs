//! How many inputs a plan node has: DataFusion and decoded plans give them as a list.

use datafusion::error::{DataFusionError, Result};

/// The inputs, if there are as many as the node `what` has.
pub(crate) fn exactly<const N: usize, T>(what: &str, inputs: impl Into<Vec<T>>) -> Result<[T; N]> {
    <[T; N]>::try_from(inputs.into())
        .map_err(|given| DataFusionError::Internal(format!("{what} has {N} inputs, not {}", given.len())))
}
