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

use crate::merge::{Listed, Newest, NewestExec};
use crate::scan::DeltaScan;
use crate::snapshot::Tables;
use crate::write::{WriteExec, WriteNode};

const SCAN: &[u8] = b"quickchat.lake.scan:";
const WRITE: &[u8] = b"quickchat.lake.write:";
const LISTED: &[u8] = b"quickchat.lake.listed:";
const NEWEST: &[u8] = b"quickchat.lake.newest:";

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
    let node = node.as_any();
    let write = node.downcast_ref::<WriteNode>().map(|write| encode(WRITE, write.spec().as_ref()));
    let listed = || node.downcast_ref::<Listed>().map(|listed| encode(LISTED, listed.how()));
    let newest = || node.downcast_ref::<Newest>().map(|newest| encode(NEWEST, newest.order()));
    write.or_else(listed).or_else(newest)
}

/// Decodes a logical node of this crate; none if the bytes are not of one.
pub fn decode_logical(bytes: &[u8], inputs: &[LogicalPlan]) -> Option<Result<Extension>> {
    let write = |spec| Ok(WriteNode::try_new(only(inputs)?.clone(), Arc::new(spec))?.into_plan());
    let newest = |order| Ok(Newest::from_order(only(inputs)?.clone(), order)?.into_plan());
    let listed = |how| {
        let [rows, list] = inputs else { return Err(wrong_inputs(2, inputs.len())) };
        Ok(Listed::from_match(rows.clone(), list.clone(), how).into_plan())
    };
    let plan = decode(WRITE, bytes)
        .map(|spec| spec.and_then(write))
        .or_else(|| decode(LISTED, bytes).map(|how| how.and_then(listed)))
        .or_else(|| decode(NEWEST, bytes).map(|order| order.and_then(newest)))?;
    Some(plan.and_then(|plan| match plan {
        LogicalPlan::Extension(extension) => Ok(extension),
        other => Err(DataFusionError::Internal(format!("a node of the lake became {other:?}"))),
    }))
}

/// Encodes a physical node of this crate; none for any other.
pub fn encode_physical(plan: &dyn ExecutionPlan) -> Option<Result<Vec<u8>>> {
    let any: &dyn std::any::Any = plan;
    let write = any.downcast_ref::<WriteExec>().map(|write| encode(WRITE, write.spec().as_ref()));
    write.or_else(|| any.downcast_ref::<NewestExec>().map(|newest| encode(NEWEST, newest.order())))
}

/// Decodes a physical node of this crate; none if the bytes are not of one.
pub fn decode_physical(bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Option<Result<Arc<dyn ExecutionPlan>>> {
    let write = |spec| Ok(Arc::new(WriteExec::try_new(Arc::clone(only(inputs)?), Arc::new(spec))?) as _);
    let newest = |order| Ok(Arc::new(NewestExec::try_new(Arc::clone(only(inputs)?), order)?) as _);
    let plan = decode(WRITE, bytes).map(|spec| spec.and_then(write));
    plan.or_else(|| decode(NEWEST, bytes).map(|order| order.and_then(newest)))
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
        _ => Err(wrong_inputs(1, inputs.len())),
    }
}

fn wrong_inputs(expected: usize, found: usize) -> DataFusionError {
    DataFusionError::Plan(format!("a node of the lake has {expected} inputs, not {found}"))
}
