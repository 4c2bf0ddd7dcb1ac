//! How this crate's nodes travel between client, scheduler and executors.
//!
//! Each encoded node starts with a prefix of its own, so that a codec that is composed of several crates' codecs knows
//! whose bytes it has. The rest is JSON of plain data; schemas and inputs travel by DataFusion's own means.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Extension, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::scan::DeltaScan;
use crate::snapshot::Tables;
use crate::write::{WriteExec, WriteNode};

const SCAN: &[u8] = b"quickchat.lake.scan:";
const WRITE: &[u8] = b"quickchat.lake.write:";

/// Encodes a table provider of this crate; none for any other.
pub fn encode_provider(provider: &dyn TableProvider) -> Option<Result<Vec<u8>>> {
    let any: &dyn std::any::Any = provider;
    any.downcast_ref::<DeltaScan>().map(|scan| encode(SCAN, scan.encoded()))
}

/// Decodes a table provider of this crate; none if the bytes are not of one.
pub fn decode_provider(bytes: &[u8], schema: SchemaRef, tables: &Tables) -> Option<Result<Arc<dyn TableProvider>>> {
    let scan = decode(SCAN, bytes)?;
    Some(scan.map(|scan| Arc::new(DeltaScan::decode(tables, scan, schema)) as _))
}

/// Encodes a logical node of this crate; none for any other.
pub fn encode_logical(node: &dyn UserDefinedLogicalNode) -> Option<Result<Vec<u8>>> {
    node.as_any().downcast_ref::<WriteNode>().map(|write| encode(WRITE, write.spec().as_ref()))
}

/// Decodes a logical node of this crate; none if the bytes are not of one.
pub fn decode_logical(bytes: &[u8], inputs: &[LogicalPlan]) -> Option<Result<Extension>> {
    let spec = decode(WRITE, bytes)?;
    Some(spec.and_then(|spec| {
        let node = WriteNode::try_new(only(inputs)?.clone(), Arc::new(spec))?;
        Ok(Extension { node: Arc::new(node) })
    }))
}

/// Encodes a physical node of this crate; none for any other.
pub fn encode_physical(plan: &dyn ExecutionPlan) -> Option<Result<Vec<u8>>> {
    let any: &dyn std::any::Any = plan;
    any.downcast_ref::<WriteExec>().map(|write| encode(WRITE, write.spec().as_ref()))
}

/// Decodes a physical node of this crate; none if the bytes are not of one.
pub fn decode_physical(bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Option<Result<Arc<dyn ExecutionPlan>>> {
    let spec = decode(WRITE, bytes)?;
    Some(spec.and_then(|spec| {
        Ok(Arc::new(WriteExec::try_new(Arc::clone(only(inputs)?), Arc::new(spec))?) as Arc<dyn ExecutionPlan>)
    }))
}

fn encode(prefix: &[u8], value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    serde_json::to_writer(&mut bytes, value).map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(prefix: &[u8], bytes: &[u8]) -> Option<Result<T>> {
    let json = bytes.strip_prefix(prefix)?;
    Some(serde_json::from_slice(json).map_err(|error| {
        DataFusionError::Plan(format!("a plan node of another version of this program was received: {error}"))
    }))
}

fn only<T>(inputs: &[T]) -> Result<&T> {
    match inputs {
        [input] => Ok(input),
        _ => Err(DataFusionError::Plan(format!("a write has exactly one input, not {}", inputs.len()))),
    }
}
