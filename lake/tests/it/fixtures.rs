//! A lake in memory, rows as JSON, and operations in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::{ArrayWriter, ReaderBuilder};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::provider_as_source;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Add;
use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use quickchat_lake::commit::TransactionId;
use quickchat_lake::maintenance::Optimized;
use quickchat_lake::operation::{
    CommitNote, Lake, LandingColumns, QueryRunner, Review, Scope, Target, Upsert, Written,
};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::{PinnedTable, Tables};
use quickchat_lake::stores::ObjectStores;
use quickchat_lake::{LakeRoot, Result, TableUrl};
use serde_json::{Map, Value, json};
use url::Url;

use crate::cluster::{LocalRunner, session};
use crate::store::TestStore;

pub const LANDING: LandingColumns =
    LandingColumns { output: "_output", ordinal: "_ordinal", reject: "_reject", read: "_read" };

/// A lake, its store and its cluster.
#[derive(Clone)]
pub struct Bench {
    pub store: Arc<TestStore>,
    pub tables: Tables,
    pub runner: Arc<LocalRunner>,
    pub lake: Lake,
    pub root: LakeRoot,
    sequence: Arc<AtomicI64>,
}

impl Bench {
    /// A lake in memory.
    pub fn new() -> Self {
        let store = Arc::new(TestStore::new(Arc::new(InMemory::new())));
        Self::over(store, "s3://test/lake")
    }

    /// A lake at an address of the given store.
    pub fn over(store: Arc<TestStore>, root: &str) -> Self {
        use datafusion::execution::object_store::ObjectStoreRegistry;
        let stores = ObjectStores::new();
        let root = LakeRoot::parse(root).unwrap();
        let address = Url::parse(&root.url()[..url::Position::BeforePath]).unwrap();
        stores.register_store(&address, Arc::clone(&store) as _);
        Self::with_tables(store, Tables::new(stores), root)
    }

    /// A lake in a bucket, by a client with settings of its own. What [`Self::store`] counts and holds is not of it.
    pub fn in_bucket(bucket: &str, client: AmazonS3Builder) -> Self {
        let stores = ObjectStores::new();
        stores.register_s3(bucket, client).unwrap();
        let unused = Arc::new(TestStore::new(Arc::new(InMemory::new())));
        Self::with_tables(unused, Tables::new(stores), LakeRoot::parse(&format!("s3://{bucket}/lake")).unwrap())
    }

    /// The same lake, seen by another process.
    pub fn other_process(&self) -> Self {
        let other = Self::over(Arc::clone(&self.store), self.root.url().as_str());
        Self { sequence: Arc::clone(&self.sequence), ..other }
    }

    fn with_tables(store: Arc<TestStore>, tables: Tables, root: LakeRoot) -> Self {
        let runner = Arc::new(LocalRunner::new(&tables));
        let lake = Lake::new(tables.clone(), session(&tables), Arc::clone(&runner) as _);
        Self { store, tables, runner, lake, root, sequence: Arc::new(AtomicI64::new(1)) }
    }

    /// The same lake, with queries run by another runner.
    pub fn with_runner(&self, runner: Arc<dyn QueryRunner>) -> Self {
        Self { lake: self.lake.with_runner(runner), ..self.clone() }
    }

    /// The same lake, with every change looked at before it is committed.
    pub fn with_review(&self, review: Arc<dyn Review>) -> Self {
        Self { lake: self.lake.with_review(review), ..self.clone() }
    }

    pub async fn latest(&self, target: &Target) -> Arc<PinnedTable> {
        self.tables.latest(&target.url).await.unwrap().expect("the table is there")
    }

    pub fn transaction(&self, application: &str) -> TransactionId {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst);
        TransactionId { application: application.to_owned(), sequence, run: format!("run {sequence}") }
    }

    /// Replaces a table (or partitions) by rows that come in one partition.
    pub async fn replace(&self, target: &Target, scope: Scope, rows: &[Value]) -> Result<Written> {
        self.replace_by(target, scope, source(vec![batch(&target.schema, rows)])).await
    }

    /// Replaces a table (or partitions) by a query's rows.
    pub async fn replace_by(&self, target: &Target, scope: Scope, query: LogicalPlan) -> Result<Written> {
        let info = |_: &Written| Map::new();
        let note = CommitNote { transaction: self.transaction(&target.name), info: &info };
        self.lake.replace(target, query, &scope, &note).await
    }

    /// Optimizes a table.
    pub async fn optimize(&self, target: &Target, z_order: &[&str]) -> Result<Optimized> {
        let z_order: Vec<String> = z_order.iter().map(|column| (*column).to_owned()).collect();
        let info = |_: &Written| Map::new();
        let transaction = self.transaction(&format!("optimize {}", target.name));
        self.lake.optimize(target, &z_order, &CommitNote { transaction, info: &info }).await
    }

    /// Lands documents and merges them.
    pub async fn upsert(&self, target: &Target, documents: &[Value]) -> Result<Written> {
        self.upsert_split(target, &[documents]).await
    }

    /// Lands documents that come in several partitions of a source, and merges them.
    pub async fn upsert_split(&self, target: &Target, parts: &[&[Value]]) -> Result<Written> {
        let landing = landing_source(target, parts, &[], None);
        self.upsert_landing(target, landing, Some("updated")).await
    }

    pub async fn upsert_landing(
        &self,
        target: &Target,
        landing: Arc<dyn TableProvider>,
        newest: Option<&str>,
    ) -> Result<Written> {
        let number = self.sequence.fetch_add(1, Ordering::SeqCst);
        let folder = self.root.folder("_landing").folder(&number.to_string());
        let noted: Vec<String> = target.key.iter().cloned().chain(newest.map(str::to_owned)).collect();
        let landed = self.lake.land(landing, LANDING, &target.name, &noted, folder).await?;
        let query = scan_plan("landed", Arc::new(landed.documents(&self.tables)));
        let upsert = Upsert { target, query, landed: &landed, ordinal: LANDING.ordinal, newest, ranges_known: true };
        let info = |_: &Written| Map::new();
        let note = CommitNote { transaction: self.transaction(&target.name), info: &info };
        let written = self.lake.upsert(&upsert, &note).await;
        landed.remove(&self.tables).await;
        written
    }

    /// All rows of the newest version, sorted by their JSON text.
    pub async fn rows(&self, target: &Target) -> Vec<Value> {
        let pinned = self.latest(target).await;
        self.rows_of(DeltaScan::of(&self.tables, &pinned)).await
    }

    pub async fn rows_of(&self, scan: DeltaScan) -> Vec<Value> {
        self.query("SELECT * FROM t", scan).await
    }

    /// The rows of a query over one table `t`.
    pub async fn query(&self, sql: &str, scan: DeltaScan) -> Vec<Value> {
        let plan = self.sql(sql, scan).await;
        let mut rows = json_rows(&self.runner.run(plan, "test").await.unwrap());
        rows.sort_by_key(Value::to_string);
        rows
    }

    /// The plan of a query over one table `t`.
    pub async fn sql(&self, sql: &str, scan: DeltaScan) -> LogicalPlan {
        let context = SessionContext::new_with_state(session(&self.tables));
        context.register_table("t", Arc::new(scan)).unwrap();
        context.sql(sql).await.unwrap().into_unoptimized_plan()
    }

    /// The paths, below the table, of the files that a query over one table `t` reads.
    pub async fn files_read(&self, sql: &str, scan: DeltaScan) -> BTreeSet<String> {
        let plan = self.runner.plan(&self.sql(sql, scan).await).await.unwrap();
        scanned_files(&plan)
    }
}

/// The paths of all data files in a physical plan.
pub fn scanned_files(plan: &Arc<dyn ExecutionPlan>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    if let Some(source) = plan.downcast_ref::<DataSourceExec>()
        && let Some((config, _)) = source.downcast_to_file_source::<ParquetSource>()
    {
        let paths = config.file_groups.iter().flat_map(|group| group.files());
        files.extend(paths.map(|file| file.object_meta.location.to_string()));
    }
    for child in plan.children() {
        files.extend(scanned_files(child));
    }
    files
}

/// The number of tasks that write in a physical plan.
pub fn writers(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = if plan.name() == "WriteExec" { plan.properties().partitioning.partition_count() } else { 0 };
    own + plan.children().into_iter().map(writers).sum::<usize>()
}

/// Columns of many kinds, with the partition column in the middle.
pub fn events(bench: &Bench) -> Target {
    let element = |kind| Arc::new(Field::new("element", kind, true));
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    let place =
        Fields::from(vec![Field::new("city", DataType::Utf8, true), Field::new("amount", DataType::Int64, true)]);
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("amount", DataType::Int64, true),
        Field::new("day", DataType::Date32, true),
        Field::new("updated", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("note", DataType::Utf8, true),
        Field::new("tags", DataType::List(element(DataType::Utf8)), true),
        Field::new("place", DataType::Struct(place), true),
        Field::new(
            "counts",
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false),
            true,
        ),
        Field::new("run_id", DataType::Utf8, true),
    ]);
    Target {
        name: "bronze.events".to_owned(),
        url: bench.root.table("bronze", "events"),
        schema: Arc::new(schema),
        partition_columns: vec!["day".to_owned()],
        key: vec!["id".to_owned()],
        metadata_columns: vec!["run_id".to_owned()],
        statistics_columns: vec!["id".to_owned(), "amount".to_owned(), "updated".to_owned()],
    }
}

/// A narrow table: an id, a time, a number; without partitions.
pub fn readings(bench: &Bench) -> Target {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("updated", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("amount", DataType::Int64, true),
    ]);
    Target {
        name: "bronze.readings".to_owned(),
        url: bench.root.table("bronze", "readings"),
        schema: Arc::new(schema),
        partition_columns: Vec::new(),
        key: vec!["id".to_owned()],
        metadata_columns: Vec::new(),
        statistics_columns: vec!["id".to_owned(), "updated".to_owned()],
    }
}

/// A row of [`events`] with the columns that most tests look at.
pub fn event(id: &str, day: &str, amount: i64) -> Value {
    json!({"id": id, "day": day, "amount": amount, "updated": format!("{day}T00:00:00Z")})
}

/// A row of [`readings`]; the time is in seconds.
pub fn reading(id: &str, updated: i64, amount: i64) -> Value {
    let updated = chrono::DateTime::from_timestamp(updated, 0).unwrap();
    json!({"id": id, "updated": updated.format("%Y-%m-%dT%H:%M:%SZ").to_string(), "amount": amount})
}

pub fn day(value: &str) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([("day".to_owned(), Some(value.to_owned()))])
}

pub fn days(values: &[&str]) -> Scope {
    Scope::Partitions(values.iter().map(|value| day(value)).collect())
}

pub fn batch(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder =
        ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema)))
}

pub fn json_rows(batches: &[RecordBatch]) -> Vec<Value> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() }
}

/// Rows sorted as [`Bench::rows`] sorts them.
pub fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

/// A partition that yields batches and then nothing more, without ever coming to its end.
#[derive(Debug)]
struct Endless(SchemaRef, Vec<RecordBatch>);

impl PartitionStream for Endless {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = futures::stream::iter(self.1.clone().into_iter().map(Ok)).chain(futures::stream::pending());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), batches))
    }
}

/// A table of one partition that never ends.
pub fn endless(batches: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
    let schema = batches[0].schema();
    let part = Arc::new(Endless(Arc::clone(&schema), batches));
    Arc::new(StreamingTable::try_new(schema, vec![part]).unwrap())
}

#[derive(Debug)]
struct Part(SchemaRef, Vec<RecordBatch>);

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(MemoryStream::try_new(self.1.clone(), Arc::clone(&self.0), None).unwrap())
    }
}

/// A table of which the planner knows neither size nor number of rows, with a partition per batch.
pub fn stream(batches: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
    stream_of(batches.into_iter().map(|batch| vec![batch]).collect())
}

/// The same with several batches in each partition.
pub fn stream_of(partitions: Vec<Vec<RecordBatch>>) -> Arc<dyn TableProvider> {
    let schema = partitions[0][0].schema();
    let part = |batches| Arc::new(Part(Arc::clone(&schema), batches)) as Arc<dyn PartitionStream>;
    let parts = partitions.into_iter().map(part).collect();
    Arc::new(StreamingTable::try_new(Arc::clone(&schema), parts).unwrap())
}

/// A query that yields the batches, each from a task of its own.
pub fn source(batches: Vec<RecordBatch>) -> LogicalPlan {
    scan_plan("rows", stream(batches))
}

pub fn scan_plan(name: &str, provider: Arc<dyn TableProvider>) -> LogicalPlan {
    LogicalPlanBuilder::scan(name, provider_as_source(provider), None).unwrap().build().unwrap()
}

/// A source as the sources crate makes them: documents, rejects and a count of what was read, which is right unless
/// `read` says otherwise.
pub fn landing_source(
    target: &Target,
    parts: &[&[Value]],
    rejects: &[Value],
    read: Option<usize>,
) -> Arc<dyn TableProvider> {
    let mut fields: Vec<Field> =
        target.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let reject = Fields::from(vec![Field::new("raw", DataType::Utf8, true)]);
    fields.push(Field::new(LANDING.output, DataType::UInt8, false));
    fields.push(Field::new(LANDING.ordinal, DataType::Int64, true));
    fields.push(Field::new(LANDING.reject, DataType::Struct(reject), true));
    fields.push(Field::new(LANDING.read, DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields));
    let mut ordinal = 0;
    let mut batches = Vec::new();
    for part in parts {
        let mut rows: Vec<Value> = Vec::new();
        for document in *part {
            let mut row = document.clone();
            row[LANDING.output] = json!(0);
            row[LANDING.ordinal] = json!(ordinal);
            ordinal += 1;
            rows.push(row);
        }
        batches.push(rows);
    }
    let mut last: Vec<Value> = Vec::new();
    for reject in rejects {
        last.push(json!({"_output": 1, "_ordinal": ordinal, "_reject": reject}));
        ordinal += 1;
    }
    let read = read.unwrap_or(usize::try_from(ordinal).unwrap());
    last.push(json!({"_output": 2, "_read": read}));
    batches.push(last);
    stream(batches.iter().map(|rows| batch(&schema, rows)).collect())
}

/// The `add` and `remove` actions of one version.
pub async fn actions(bench: &Bench, table: &TableUrl, version: u64) -> Vec<Value> {
    let path = format!("{}/_delta_log/{version:020}.json", table.path().unwrap());
    let text = String::from_utf8(bench.store.read(&path).await.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn count_of(actions: &[Value], kind: &str) -> usize {
    actions.iter().filter(|action| action.get(kind).is_some()).count()
}

pub fn paths(files: &[Arc<Add>]) -> BTreeSet<String> {
    files.iter().map(|file| file.path.clone()).collect()
}

/// The live file of one day.
pub fn file_of<'a>(pinned: &'a PinnedTable, day: &str) -> &'a Add {
    let mut files = pinned.files.iter().filter(|file| file.partition_values["day"].as_deref() == Some(day));
    let file = files.next().expect("the day has a file");
    assert!(files.next().is_none(), "the day has one file");
    file
}
