//! One codec out of three: the lake's, the sources', and Ballista's for all the rest.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use quickchat_lake::snapshot::Tables;
use quickchat_sources::Connections;

/// Codec of logical plans.
#[derive(Debug)]
pub(crate) struct LogicalCodec {
    tables: Tables,
    connections: Connections,
    rest: BallistaLogicalExtensionCodec,
}

impl LogicalCodec {
    pub(crate) fn new(tables: Tables, connections: Connections) -> Self {
        Self { tables, connections, rest: BallistaLogicalExtensionCodec::default() }
    }
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        match quickchat_lake::codec::decode_logical(buf, inputs) {
            Some(node) => node,
            None => self.rest.try_decode(buf, inputs, ctx),
        }
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        match quickchat_lake::codec::encode_logical(node.node.as_ref()) {
            Some(bytes) => append(buf, bytes),
            None => self.rest.try_encode(node, buf),
        }
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        if let Some(provider) = quickchat_lake::codec::decode_provider(buf, Arc::clone(&schema), &self.tables) {
            return provider;
        }
        if quickchat_sources::codec::is_provider(buf) {
            return quickchat_sources::codec::decode_provider(buf, &self.connections);
        }
        self.rest.try_decode_table_provider(buf, table_ref, schema, ctx)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        let ours = quickchat_lake::codec::encode_provider(node.as_ref())
            .or_else(|| quickchat_sources::codec::encode_provider(node.as_ref()));
        match ours {
            Some(bytes) => append(buf, bytes),
            None => self.rest.try_encode_table_provider(table_ref, node, buf),
        }
    }

    fn try_decode_file_format(&self, buf: &[u8], ctx: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        self.rest.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(&self, buf: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.rest.try_encode_file_format(buf, node)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.rest.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.rest.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.rest.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udwf(node, buf)
    }
}

/// Codec of physical plans.
#[derive(Debug, Default)]
pub(crate) struct PhysicalCodec {
    connections: Connections,
    rest: BallistaPhysicalExtensionCodec,
}

impl PhysicalCodec {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections, rest: BallistaPhysicalExtensionCodec::default() }
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match quickchat_lake::codec::decode_physical(buf, inputs) {
            Some(plan) => plan,
            None if quickchat_sources::codec::is_plan(buf) => {
                quickchat_sources::codec::decode_plan(buf, inputs, &self.connections)
            }
            None => self.rest.try_decode(buf, inputs, ctx, proto_converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let ours = quickchat_lake::codec::encode_physical(node.as_ref())
            .or_else(|| quickchat_sources::codec::encode_plan(&node));
        match ours {
            Some(bytes) => append(buf, bytes),
            None => self.rest.try_encode(node, buf, proto_converter),
        }
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.rest.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.rest.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.rest.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.rest.try_encode_udwf(node, buf)
    }
}

fn append(buf: &mut Vec<u8>, bytes: Result<Vec<u8>>) -> Result<()> {
    buf.extend_from_slice(&bytes?);
    Ok(())
}
