//! How plans travel and are sliced.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{Int64Type, Schema};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{ExecutionPlan, collect, collect_partitioned};
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use quickchat_sources::{Collection, Connections, ExportFolder, SourceTable, SplitPolicy, codec};
use url::Url;

use crate::{export, location};

#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _context: &TaskContext,
        _proto: &dyn datafusion_proto::physical_plan::PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        assert!(codec::is_plan(bytes));
        codec::decode_plan(bytes, inputs, &Connections::default())
    }

    fn try_encode(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _proto: &dyn datafusion_proto::physical_plan::PhysicalProtoConverterExtension,
    ) -> Result<()> {
        bytes.extend(codec::encode_plan(&plan).unwrap()?);
        Ok(())
    }
}

fn many_splits(table: SourceTable) -> SourceTable {
    table.with_split_policy(SplitPolicy { target_bytes: 100, min_bytes: 1, spread: 1_000, max_partitions: 1_000 })
}

fn users(count: usize) -> String {
    (0..count).map(|at| format!("{{\"_id\":\"u{at}\",\"createdAt\":{at}}}\n")).collect()
}

async fn scan(table: &SourceTable) -> Arc<dyn ExecutionPlan> {
    let context = SessionContext::new();
    table.scan(&context.state(), None, &[], None).await.unwrap()
}

async fn ids(plan: Arc<dyn ExecutionPlan>) -> Vec<String> {
    let batches = collect(plan, SessionContext::new().task_ctx()).await.unwrap();
    let columns = batches.iter().map(|batch| batch.column(0).as_string::<i32>());
    let mut ids: Vec<String> = columns.flat_map(StringArray::iter).flatten().map(str::to_owned).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_table_and_a_plan_survive_their_codecs() {
    let folder = export(&[("mongodb/users.json", users(50).as_bytes())]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    let table = many_splits(opened.table(Collection::Users));
    let bytes = codec::encode_provider(&table).unwrap().unwrap();
    assert!(codec::is_provider(&bytes) && !codec::is_plan(&bytes));
    let decoded = codec::decode_provider(&bytes, &Connections::default()).unwrap();
    assert_eq!(decoded.schema(), table.schema());
    let context = SessionContext::new();
    let plan = decoded.scan(&context.state(), None, &[], None).await.unwrap();
    assert!(plan.properties().partitioning.partition_count() > 10);
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &Codec).unwrap();
    let travelled = physical_plan_from_bytes_with_extension_codec(&bytes, &context.task_ctx(), &Codec).unwrap();
    assert_eq!(travelled.properties().partitioning.partition_count(), plan.properties().partitioning.partition_count());
    let found = ids(travelled).await;
    assert_eq!(found.len(), 50);
    assert_eq!(found, ids(plan).await);
}

#[tokio::test]
async fn foreign_and_damaged_bytes_are_refused() {
    let foreign: Arc<dyn ExecutionPlan> =
        MemorySourceConfig::try_new_exec(&[vec![]], Arc::new(Schema::empty()), None).unwrap();
    assert!(codec::encode_plan(&foreign).is_none());
    let provider = datafusion::datasource::empty::EmptyTable::new(Arc::new(Schema::empty()));
    assert!(codec::encode_provider(&provider).is_none());
    assert!(codec::decode_provider(b"something else", &Connections::default()).is_err());
    assert!(codec::decode_plan(b"something else", &[], &Connections::default()).is_err());
    let error = codec::decode_provider(&[codec::PROVIDER_MAGIC, b"{}"].concat(), &Connections::default()).unwrap_err();
    assert!(error.to_string().contains("one version"), "{error}");
}

#[tokio::test]
async fn slices_of_the_leaf_cover_every_document_once() {
    let folder = export(&[
        ("mongodb/users.json", users(50).as_bytes()),
        ("mongodb/users_2.json", b"{\"_id\":\"z\",\"createdAt\":5}"),
    ]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    let plan = scan(&many_splits(opened.table(Collection::Users))).await;
    let leaf = Arc::clone(plan.children()[0]);
    let source = leaf.downcast_ref::<DataSourceExec>().unwrap();
    let memory = (source.data_source().as_ref() as &dyn std::any::Any).downcast_ref::<MemorySourceConfig>().unwrap();
    let partitions = memory.partitions();
    let mut found = Vec::new();
    for slice in partitions.chunks(3) {
        let input = MemorySourceConfig::try_new_exec(slice, leaf.schema(), None).unwrap();
        for mode in [ChildrenPropertiesMode::Recompute, ChildrenPropertiesMode::Keep] {
            let options = ReplaceChildrenOptions::new(mode);
            let sliced = Arc::clone(&plan).replace_children(vec![Arc::clone(&input) as _], options).unwrap();
            assert_eq!(sliced.properties().partitioning.partition_count(), slice.len());
            if mode == ChildrenPropertiesMode::Keep {
                found.extend(ids(sliced).await);
            }
        }
    }
    found.sort();
    assert_eq!(found, ids(plan).await);
    assert_eq!(found.len(), 51);
}

#[tokio::test]
async fn every_partition_ends_with_one_tally_a_split() {
    let folder = export(&[("mongodb/users.json", users(50).as_bytes())]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    let plan = scan(&many_splits(opened.table(Collection::Users))).await;
    let partitions = collect_partitioned(plan, SessionContext::new().task_ctx()).await.unwrap();
    let mut total = 0;
    for batches in partitions {
        let rows: i64 = batches.iter().map(|batch| i64::try_from(batch.num_rows()).unwrap()).sum();
        let read: i64 = batches
            .iter()
            .map(|batch| {
                arrow::compute::sum(batch.column_by_name("_read").unwrap().as_primitive::<Int64Type>()).unwrap_or(0)
            })
            .sum();
        assert_eq!(rows, read + 1);
        total += read;
    }
    assert_eq!(total, 50);
}

/// A store whose reads fail.
#[derive(Debug)]
struct Failing(InMemory);

impl fmt::Display for Failing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.0.put_opts(to, bytes, options).await
    }
    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, options).await
    }
    async fn get_opts(&self, _from: &Path, _options: GetOptions) -> object_store::Result<GetResult> {
        Err(object_store::Error::Generic { store: "failing", source: "503 slow down".into() })
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn transient_faults_are_io_errors_and_others_are_not() {
    let store = Arc::new(Failing(InMemory::new()));
    let payload = PutPayload::from_static(b"{}");
    store.put(&Path::from("x/mongodb/users.json"), payload).await.unwrap();
    let url = Url::parse("failing://bucket/x").unwrap();
    let opened = ExportFolder::open_in(&url, store.as_ref()).await.unwrap();
    let context = SessionContext::new();
    let plan = scan(&opened.table(Collection::Users)).await;
    // Nobody registered the store: a mistake that a retry does not cure.
    let error = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap_err();
    assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
    context.register_object_store(&url, store);
    let error = collect(plan, context.task_ctx()).await.unwrap_err();
    assert!(matches!(error, DataFusionError::IoError(_)), "{error:?}");
    assert!(error.to_string().contains("mongodb/users.json"), "{error}");
}
