//! How the crate's tables and plan nodes travel.
//!
//! Plain functions, since a cluster has one codec that asks each crate in turn. Each kind of bytes begins with its
//! own magic, so the composite can tell whose they are. Nothing secret is in them: stores are named by URL, and the
//! process that reads has the credentials.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{exec_datafusion_err, internal_datafusion_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;

use crate::exec::{Scan, SourceScanExec};
use crate::live::Connections;
use crate::{SourceError, SourceTable};

/// First bytes of an encoded [`SourceTable`]. The last one rises with every change that another release would
/// misunderstand, or not see.
pub const PROVIDER_MAGIC: &[u8] = b"quickchat-source-table\x02";
/// First bytes of an encoded [`SourceScanExec`], of which the same holds.
pub const PLAN_MAGIC: &[u8] = b"quickchat-source-scan\x02";

/// Encodes a table of this crate; `None` for any other.
///
/// # Errors
/// If the table cannot be written as JSON.
pub fn encode_provider(provider: &dyn TableProvider) -> Option<Result<Vec<u8>>> {
    let table = (provider as &dyn std::any::Any).downcast_ref::<SourceTable>()?;
    Some(table.to_json().map(|json| [PROVIDER_MAGIC, &json].concat()).map_err(Into::into))
}

/// Whether these bytes are a table of this crate.
#[must_use]
pub fn is_provider(bytes: &[u8]) -> bool {
    bytes.starts_with(PROVIDER_MAGIC)
}

/// Decodes a table that [`encode_provider`] encoded; live systems are reached over these connections.
///
/// # Errors
/// If the bytes are no table of this crate and version.
pub fn decode_provider(bytes: &[u8], connections: &Connections) -> Result<Arc<dyn TableProvider>> {
    let json =
        bytes.strip_prefix(PROVIDER_MAGIC).ok_or_else(|| exec_datafusion_err!("these bytes are no source table"))?;
    let table = SourceTable::from_json(json, connections).map_err(DataFusionError::from)?;
    Ok(Arc::new(table))
}

/// Encodes a plan node of this crate without its input; `None` for any other.
///
/// # Errors
/// If the node cannot be written as JSON.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Option<Result<Vec<u8>>> {
    let exec = (plan.as_ref() as &dyn std::any::Any).downcast_ref::<SourceScanExec>()?;
    let json = exec.scan().to_json();
    Some(json.map(|json| [PLAN_MAGIC, &json].concat()).map_err(Into::into))
}

/// Whether these bytes are a plan node of this crate.
#[must_use]
pub fn is_plan(bytes: &[u8]) -> bool {
    bytes.starts_with(PLAN_MAGIC)
}

/// Decodes a plan node that [`encode_plan`] encoded, over its decoded input; live systems are reached over these
/// connections.
///
/// # Errors
/// If the bytes are no plan node of this crate and version, or there is not exactly one input.
pub fn decode_plan(
    bytes: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
    connections: &Connections,
) -> Result<Arc<dyn ExecutionPlan>> {
    let json = bytes.strip_prefix(PLAN_MAGIC).ok_or_else(|| exec_datafusion_err!("these bytes are no source scan"))?;
    let [input] = inputs else {
        return Err(internal_datafusion_err!("a source scan has one input, not {}", inputs.len()));
    };
    let scan = Scan::from_json(json, connections).map_err(|error: SourceError| DataFusionError::from(error))?;
    Ok(Arc::new(SourceScanExec::new(scan, Arc::clone(input))?))
}
