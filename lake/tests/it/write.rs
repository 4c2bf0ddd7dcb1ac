//! The write node by itself: files, routes, statistics, and what is refused.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::kernel::Add;
use object_store::local::LocalFileSystem;
use parquet::file::reader::{FileReader, SerializedFileReader};
use quickchat_lake::operation::{QueryRunner, Scope, Target};
use quickchat_lake::write::{Distribution, FileOutput, Output, Receipts, Sink, WriteNode, WriteSpec};
use quickchat_lake::{ErrorClass, LakeError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::SLOTS;
use crate::fixtures::{Bench, batch, endless, event, events, readings, scan_plan, source, stream_of, writers};
use crate::store::{Request, TestStore};

async fn write(bench: &Bench, rows: Vec<RecordBatch>, spec: WriteSpec) -> Result<Receipts, String> {
    let plan = WriteNode::try_new(source(rows), Arc::new(spec)).unwrap().into_plan();
    let batches = bench.runner.run(plan, "write").await.map_err(|error| error.to_string())?;
    Ok(Receipts::decode(&batches).unwrap())
}

pub fn output(target: &Target) -> FileOutput {
    let mut output = FileOutput::new(target.url.clone(), &target.schema).unwrap();
    output.partition_columns.clone_from(&target.partition_columns);
    output.statistics_columns.clone_from(&target.statistics_columns);
    output
}

pub fn spec(target: &Target, output: FileOutput) -> WriteSpec {
    WriteSpec {
        name: target.name.clone(),
        distribution: Distribution::ByColumns(target.partition_columns.clone()),
        count_by: Vec::new(),
        route: None,
        outputs: vec![Output { route: 0, sink: Sink::Files(Box::new(output)) }],
    }
}

pub fn many_rows(count: usize) -> (SchemaRef, RecordBatch) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("amount", DataType::Int64, true),
    ]));
    // Texts that do not compress, so that sizes are predictable.
    let text = |at: usize| {
        let word = |part: usize| (at * 4 + part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        format!("{:016x}{:016x}{:016x}{:016x}", word(0), word(1), word(2), word(3))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..count).map(|at| Some(text(at))).collect::<StringArray>()),
        Arc::new((0..count).map(|at| Some(at as i64)).collect::<Int64Array>()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    (schema, batch)
}

fn by_partition(files: &[Add]) -> BTreeMap<Option<String>, usize> {
    let mut counts = BTreeMap::new();
    for file in files {
        *counts.entry(file.partition_values["day"].clone()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn one_file_per_partition_value_however_many_tasks() {
    let bench = Bench::new();
    let target = events(&bench);
    let days: Vec<String> = (1..=20).map(|day| format!("2026-01-{day:02}")).collect();
    // Ten tasks read, and each has rows of all days and of none.
    let parts: Vec<RecordBatch> = (0..10)
        .map(|task| {
            let mut rows: Vec<Value> = days.iter().map(|day| event(&format!("{day}-{task}"), day, task)).collect();
            rows.push(json!({"id": format!("none-{task}")}));
            batch(&target.schema, &rows)
        })
        .collect();
    let receipts = write(&bench, parts, spec(&target, output(&target))).await.unwrap();
    let (_, plan) = bench.runner.take_runs().pop().unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(writers(&plan), SLOTS, "there are several writers:\n{text}");
    let files = receipts.files(0);
    assert_eq!(by_partition(&files).len(), 21);
    assert!(by_partition(&files).values().all(|count| *count == 1), "{:?}", by_partition(&files));
    assert_eq!(receipts.count(0), 210);
}

#[tokio::test]
async fn a_file_is_closed_when_it_has_its_size() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let (schema, rows) = many_rows(100_000);
    target.schema = schema;
    target.statistics_columns = vec!["id".to_owned()];
    let mut small = output(&target);
    small.file_bytes = 1 << 20;
    small.fingerprint_columns = vec!["id".to_owned()];
    let receipts = write(&bench, vec![rows], spec(&target, small)).await.unwrap();
    let files = receipts.files(0);
    let bytes: i64 = files.iter().map(|file| file.size).sum();
    assert!(files.len() > 2 && files.len() as i64 <= 2 * bytes / (1 << 20), "{} files of {bytes} bytes", files.len());
    assert_eq!(receipts.count(0), 100_000);
    let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths.len(), files.len());
    let fingerprints: HashSet<&str> =
        files.iter().map(|file| file.tags.as_ref().unwrap()["quickchat.rows"].as_deref().unwrap()).collect();
    assert_eq!(fingerprints.len(), 2, "the first file has the rows' sum, the others have nothing: {fingerprints:?}");
}

#[tokio::test]
async fn wide_rows_do_not_make_wide_row_groups() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let mut state = 1_u64;
    let noise: String = (0..2 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from(state >> 58).unwrap())
        })
        .collect();
    // Different texts of 64 KiB; within a page, which is what is compressed at once, none repeats a part of another.
    let text = |at: usize| &noise[(at % 31) * (1 << 16) + at..][..1 << 16];
    let parts = (0..16)
        .map(|part| {
            let texts: StringArray = (0..100).map(|at| Some(text(part * 100 + at))).collect();
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts) as ArrayRef]).unwrap()
        })
        .collect();
    target.schema = Arc::clone(&schema);
    target.statistics_columns = Vec::new();
    let receipts = write(&bench, parts, spec(&target, output(&target))).await.unwrap();
    for file in receipts.files(0) {
        let path = format!("{}/{}", target.url.path().unwrap(), file.path);
        let reader = SerializedFileReader::new(bench.store.read(&path).await).unwrap();
        for group in reader.metadata().row_groups() {
            assert!(group.compressed_size() <= 80 << 20, "{} bytes in a row group", group.compressed_size());
        }
    }
    assert_eq!(receipts.count(0), 1600);
    let bytes: i64 = receipts.files(0).iter().map(|file| file.size).sum();
    assert!(bytes > 70 << 20, "{bytes} bytes are more than a row group's")
}

#[tokio::test]
async fn a_null_where_none_may_be_is_refused_and_nothing_is_committed() {
    let bench = Bench::new();
    let target = events(&bench);
    let fields: Vec<Field> =
        target.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let rows = batch(&Arc::new(Schema::new(fields)), &[event("a", "2026-01-01", 1), json!({"day": "2026-01-01"})]);
    let error = bench.replace_by(&target, Scope::Table, source(vec![rows])).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("column id is null in 1 of 2 rows") && text.contains("bronze/events"), "{text}");
    assert!(bench.tables.latest(&target.url).await.unwrap().is_none());
    assert!(bench.store.objects().await.iter().all(|path| !path.contains("_delta_log")));
}

#[tokio::test]
async fn an_empty_text_as_partition_value_is_refused() {
    let bench = Bench::new();
    let mut target = events(&bench);
    target.partition_columns = vec!["note".to_owned()];
    let rows = [json!({"id": "a", "note": ""})];
    let error = bench.replace(&target, Scope::Table, &rows).await.unwrap_err().to_string();
    assert!(error.contains("column note holds an empty text"), "{error}");
}

#[tokio::test]
async fn the_log_has_statistics_of_named_columns_alone() {
    let bench = Bench::new();
    let target = events(&bench);
    // `place.amount` is named like a column with statistics, `note` is what somebody wrote.
    let rows = [json!({"id": "a", "amount": 1, "day": "2026-01-01", "note": "secret words",
                       "tags": ["secret"], "place": {"city": "secret", "amount": 4711}})];
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    let pinned = bench.latest(&target).await;
    let stats: Value = serde_json::from_str(pinned.files[0].stats.as_ref().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 1);
    assert_eq!(stats["minValues"], json!({"id": "a", "amount": 1}));
    assert_eq!(stats["maxValues"], json!({"id": "a", "amount": 1}));
    assert_eq!(stats["nullCount"], json!({"id": 0, "amount": 0, "updated": 1}));
    for path in bench.store.objects().await.into_iter().filter(|path| path.contains("_delta_log")) {
        let text = String::from_utf8(bench.store.read(&path).await.to_vec()).unwrap();
        assert!(!text.contains("secret") && !text.contains("4711"), "{text}");
    }
}

#[tokio::test]
async fn columns_may_have_names_that_are_no_identifiers() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let names = ["messageId", "created-at", "a.b", "group", "with space", "it\"s"];
    let mut fields = vec![Field::new("id", DataType::Utf8, false)];
    fields.extend(names.map(|name| Field::new(name, DataType::Int64, true)));
    target.schema = Arc::new(Schema::new(fields));
    target.statistics_columns = names.map(str::to_owned).to_vec();
    let mut row = json!({"id": "a"});
    for (at, name) in names.iter().enumerate() {
        row[*name] = json!(at);
    }
    bench.replace(&target, Scope::Table, std::slice::from_ref(&row)).await.unwrap();
    assert_eq!(bench.rows(&target).await, [row]);
    let pinned = bench.latest(&target).await;
    let stats: Value = serde_json::from_str(pinned.files[0].stats.as_ref().unwrap()).unwrap();
    assert_eq!(stats["minValues"].as_object().unwrap().len(), names.len(), "{stats}");
}

#[tokio::test]
async fn rows_go_to_the_output_of_their_route() {
    let bench = Bench::new();
    let target = readings(&bench);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("route", DataType::UInt8, false),
        Field::new("n", DataType::Int64, true),
    ]));
    let narrow = Schema::new(vec![Field::new("id", DataType::Utf8, false)]);
    let files = |name: &str| Sink::Files(Box::new(FileOutput::new(target.url.folder(name), &narrow).unwrap()));
    let spec = WriteSpec {
        name: "routes".to_owned(),
        distribution: Distribution::InPlace,
        count_by: Vec::new(),
        route: Some("route".to_owned()),
        outputs: vec![
            Output { route: 0, sink: files("zero") },
            Output { route: 7, sink: files("seven") },
            Output { route: 9, sink: Sink::Tally("n".to_owned()) },
        ],
    };
    let part = |rows: &[Value]| batch(&schema, rows);
    let parts = vec![
        part(&[json!({"id": "a", "route": 0}), json!({"id": "b", "route": 7}), json!({"id": "", "route": 9, "n": 3})]),
        part(&[json!({"id": "c", "route": 7}), json!({"id": "", "route": 9, "n": 4})]),
    ];
    let receipts = write(&bench, parts, spec.clone()).await.unwrap();
    assert_eq!((receipts.count(0), receipts.count(7), receipts.count(9)), (1, 2, 7));
    assert_eq!((receipts.files(0).len(), receipts.files(7).len(), receipts.files(9).len()), (1, 2, 0));
    let stray = vec![part(&[json!({"id": "a", "route": 1})])];
    let error = write(&bench, stray, spec).await.unwrap_err();
    assert!(error.contains("output Some(1)"), "a row must not vanish: {error}");
}

#[tokio::test]
async fn a_write_that_fails_aborts_its_uploads() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let (schema, rows) = many_rows(400_000);
    target.schema = schema;
    let batches = (0..400).map(|at| rows.slice(at * 1000, 1000)).collect();
    // The input ends in an error, long after the first parts were sent.
    let context = datafusion::prelude::SessionContext::new_with_state(bench.lake.session().clone());
    context.register_table("r", stream_of(vec![batches])).unwrap();
    let broken = "SELECT id, CASE WHEN amount < 399000 THEN amount ELSE CAST(id AS BIGINT) END AS amount FROM r";
    let query = context.sql(broken).await.unwrap().into_unoptimized_plan();
    let mut files = output(&target);
    files.statistics_columns = Vec::new();
    let plan = WriteNode::try_new(query, Arc::new(spec(&target, files))).unwrap().into_plan();
    let error = bench.runner.run(plan, "write").await.unwrap_err();
    assert!(error.to_string().contains("Cast error"), "{error}");
    until(|| bench.store.open_uploads() == 0).await;
    let requests = bench.store.take_requests();
    assert!(requests.iter().any(|(request, _)| *request == Request::Part), "the upload had begun");
    assert_eq!(bench.store.open_uploads(), 0);
    assert_eq!(bench.store.aborted_uploads(), 1);
    assert!(bench.store.objects().await.is_empty());
}

#[tokio::test]
async fn a_lake_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let store = Arc::new(TestStore::new(Arc::new(LocalFileSystem::new())));
    let bench = Bench::over(store, file.join("lake").to_str().unwrap());
    let target = events(&bench);
    let error = bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(error.to_string().contains("file/lake/bronze/events"), "{error}");
    assert_eq!(error.class(), ErrorClass::External, "{error:?}");
    assert!(!matches!(error, LakeError::NoTable { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no folder");
}

#[tokio::test]
async fn a_write_that_is_cancelled_aborts_its_uploads() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let (schema, rows) = many_rows(300_000);
    target.schema = schema;
    target.statistics_columns = Vec::new();
    let rows = scan_plan("rows", endless((0..300).map(|at| rows.slice(at * 1000, 1000)).collect()));
    let plan = WriteNode::try_new(rows, Arc::new(spec(&target, output(&target)))).unwrap().into_plan();
    let runner = Arc::clone(&bench.runner);
    let write = tokio::spawn(async move { runner.run(plan, "write").await.map(|_| ()) });
    let store = Arc::clone(&bench.store);
    until(|| store.open_uploads() == 1).await;
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    until(|| store.open_uploads() == 0).await;
    assert_eq!((store.open_uploads(), store.aborted_uploads()), (0, 1));
    assert!(store.objects().await.is_empty());
}

/// Waits for something to become true; a test that waits in vain for half a minute has failed.
#[track_caller]
pub fn until(done: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..3000 {
            if done() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("what is waited for at {caller} does not come to pass");
    }
}
