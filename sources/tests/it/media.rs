//! Media folders and inventories through DataFusion: on a real server where what it does matters, by the stores that all
//! processes use.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parquet::arrow::ArrowWriter;
use quickchat_lake::stores::ObjectStores;
use quickchat_sources::{MediaError, MediaFolder, ORDINAL_COLUMN, OUTPUT_COLUMN, READ_COLUMN, SourceTable};
use quickchat_testing::Bucket;
use url::Url;

/// A row without its place: key, size, etag, time in microseconds, content type.
type Row = (String, i64, Option<String>, i64, String);

fn folder(url: &str) -> MediaFolder {
    MediaFolder::at(&Url::parse(url).unwrap()).unwrap()
}

fn context(stores: &[(&str, Arc<dyn ObjectStore>)]) -> SessionContext {
    let context = SessionContext::new();
    for (url, store) in stores {
        context.register_object_store(&Url::parse(url).unwrap(), Arc::clone(store));
    }
    context
}

fn context_of(buckets: &[&Bucket]) -> SessionContext {
    context_by(buckets.iter().map(|bucket| (bucket.name.as_str(), bucket.builder(&bucket.server.endpoint))).collect())
}

/// The stores of a process, with clients of the test's own.
fn context_by(clients: Vec<(&str, AmazonS3Builder)>) -> SessionContext {
    let stores = ObjectStores::new();
    for (bucket, client) in clients {
        stores.register_s3(bucket, client).unwrap();
    }
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(stores)).build_arc().unwrap();
    SessionContext::new_with_config_rt(SessionConfig::new(), runtime)
}

/// Into how many parts a listing is cut.
async fn partitions(context: &SessionContext, table: &SourceTable) -> usize {
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    plan.properties().partitioning.partition_count()
}

/// All rows, sorted. Checks that the tallies count them, and that their ordinals differ.
async fn read(context: &SessionContext, table: &SourceTable) -> Result<Vec<Row>, DataFusionError> {
    let plan = table.scan(&context.state(), None, &[], None).await?;
    let mut rows = Vec::new();
    let mut ordinals = std::collections::BTreeSet::new();
    let mut tally = 0;
    for batch in collect(plan, context.task_ctx()).await? {
        let column = |name: &str| Arc::clone(batch.column_by_name(name).unwrap());
        tally += arrow::compute::sum(column(READ_COLUMN).as_primitive::<Int64Type>()).unwrap_or(0);
        let (keys, etags, types) = (column("key"), column("etag"), column("content_type"));
        let text = |array: &ArrayRef, row| array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned());
        for row in 0..batch.num_rows() {
            if column(OUTPUT_COLUMN).as_primitive::<arrow::datatypes::UInt8Type>().value(row) != 0 {
                continue;
            }
            ordinals.insert(column(ORDINAL_COLUMN).as_primitive::<Int64Type>().value(row));
            rows.push((
                text(&keys, row).unwrap(),
                column("size_bytes").as_primitive::<Int64Type>().value(row),
                text(&etags, row),
                column("last_modified").as_primitive::<TimestampMicrosecondType>().value(row),
                text(&types, row).unwrap(),
            ));
        }
    }
    assert_eq!(tally, i64::try_from(rows.len()).unwrap());
    assert_eq!(ordinals.len(), rows.len(), "ordinals are unique");
    rows.sort();
    Ok(rows)
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.0.as_str()).collect()
}

#[track_caller]
fn assert_says(error: &DataFusionError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text} should contain {part}");
    }
}

#[tokio::test]
async fn keys_of_every_kind_are_listed_as_they_are() {
    let bucket = Bucket::new();
    let odd = [
        "a b.jpg",
        "a%20b.jpg",
        "a+b.jpg",
        "\u{e4}\u{4e2d}\u{1f600}.PNG",
        "quo\"te'.txt",
        "#~[1].webm",
        "?x=1&y=<2>.pdf",
        "2024/01/02/x.mp4",
        "..hidden/a..b.ogg",
        "empty",
    ];
    for key in odd {
        bucket.put(&format!("chat/media/{key}"), if key == "empty" { b"" } else { b"12345" });
    }
    bucket.put("chat/mediaother/x.jpg", b"1");
    bucket.put("chat/top.jpg", b"1");
    let rows = read(&context_of(&[&bucket]), &SourceTable::media(folder(&bucket.url("chat/media/")))).await.unwrap();
    let mut expected = odd.to_vec();
    expected.sort_unstable();
    assert_eq!(keys(&rows), expected);
    for (key, size, etag, modified, _) in &rows {
        // The MD5 of the content.
        let (bytes, digest) = if key == "empty" {
            (0, "d41d8cd98f00b204e9800998ecf8427e")
        } else {
            (5, "827ccb0eea8a706c4c34a16891f84e7b")
        };
        assert_eq!((*size, etag.as_deref()), (bytes, Some(digest)), "{key}");
        assert!(*modified > 1_700_000_000_000_000);
    }
    // A whole bucket is a folder too.
    let all = read(&context_of(&[&bucket]), &SourceTable::media(folder(&bucket.url("")))).await.unwrap();
    assert_eq!(all.len(), odd.len() + 2);
    assert!(keys(&all).contains(&"chat/media/a b.jpg"), "{all:?}");
}

/// What consoles make for folders: an empty object whose key ends in a slash.
#[tokio::test]
async fn the_objects_of_folders_lose_their_slash_and_are_listed_once() {
    let bucket = Bucket::new();
    let pictures: Vec<String> = (0..1_100).map(|number| format!("m/a-{number:04}.jpg")).collect();
    fill(&bucket, pictures).await;
    bucket.put("m/a/b.jpg", b"1");
    for marker in ["m/", "m/a/", "m/z/"] {
        bucket.put_marker(marker);
    }
    let rows = read(&context_of(&[&bucket]), &SourceTable::media(folder(&bucket.url("m")))).await.unwrap();
    let found = keys(&rows);
    assert_eq!(found.len(), 1_103);
    assert_eq!([found[0], found[1], found[1_101], found[1_102]], ["a", "a-0000.jpg", "a/b.jpg", "z"]);
    assert_eq!(rows[0].1, 0);
}

#[tokio::test]
async fn a_local_folder_is_listed() {
    let local = crate::export(&[("deep/a.jpg", b"1"), ("b.jpg", b"12")]);
    let url = Url::from_directory_path(local.path()).unwrap();
    let media = MediaFolder::at(&url).unwrap();
    media.check().await.unwrap();
    let rows = read(&SessionContext::new(), &SourceTable::media(media)).await.unwrap();
    assert_eq!(keys(&rows), ["b.jpg", "deep/a.jpg"]);
    assert!(rows.iter().all(|row| row.2.is_none()), "the tags of files change when a folder is copied");

    let missing = MediaFolder::at(&url.join("nowhere").unwrap()).unwrap().check().await.unwrap_err();
    assert!(matches!(missing, MediaError::FolderMissing { .. }), "{missing}");
    let file = MediaFolder::at(&url.join("b.jpg").unwrap()).unwrap().check().await.unwrap_err();
    assert!(matches!(file, MediaError::NotAFolder { .. }), "{file}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_or_closed_is_the_users_to_mend() {
    let missing = Bucket::imaginary();
    let table = SourceTable::media(folder(&missing.url("media")));
    let error = read(&context_of(&[&missing]), &table).await.unwrap_err();
    assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
    assert_says(&error, &["does not exist", "MEDIA_PATH", &missing.url("media")]);

    let bucket = Bucket::new();
    let stranger = bucket.builder(&bucket.server.endpoint).with_secret_access_key("CANARY-SECRET");
    let context = context_by(vec![(&bucket.name, stranger)]);
    let error = read(&context, &SourceTable::media(folder(&bucket.url("media")))).await.unwrap_err();
    assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
    assert_says(&error, &["refuses to list", "s3:ListBucket"]);
    assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");

    let retry = object_store::RetryConfig { max_retries: 0, ..Default::default() };
    let silent = bucket.builder(&bucket.server.endpoint).with_endpoint("http://127.0.0.1:1").with_retry(retry);
    let context = context_by(vec![(&bucket.name, silent)]);
    let error = read(&context, &SourceTable::media(folder(&bucket.url("media")))).await.unwrap_err();
    assert!(matches!(error, DataFusionError::IoError(_)), "a retry may help: {error:?}");
}

/// What is wrong with the settings of a store is for whoever made them, and not called a matter of exports.
#[tokio::test]
async fn a_store_that_cannot_be_opened_says_why() {
    let context = context_by(Vec::new());
    let error = read(&context, &SourceTable::media(folder("gs://bucket/media"))).await.unwrap_err();
    assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
    let text = format!("{error:?}");
    assert!(text.contains("gs://bucket") && text.contains("neither file nor s3"), "{text}");
}

/// Many objects, put into a bucket several at a time.
async fn fill(bucket: &Bucket, keys: impl IntoIterator<Item = String>) {
    let store = bucket.store();
    let put = |key: String| {
        let store = &store;
        async move { drop(store.put(&Path::parse(key).unwrap(), PutPayload::from_static(b"1")).await.unwrap()) }
    };
    stream::iter(keys).for_each_concurrent(64, put).await;
}

/// More objects than one page has, in names of which the cuts are made by what they begin with.
#[tokio::test]
async fn the_ranges_of_a_bucket_are_read_from_where_they_begin_to_where_they_end() {
    let bucket = Bucket::new();
    let names = (0..3_180).map(|number| match number % 3 {
        0 => format!("2024/01/{number:05} .jpg"),
        1 => format!("b-{number:05}\u{4e2d}.mp4"),
        _ => format!("b.{number:05}"),
    });
    let mut names: Vec<String> = names.collect();
    fill(&bucket, names.iter().map(|name| format!("m/{name}"))).await;
    // Of `b/` only the marker is there, behind all that begins with `b-` and `b.`.
    bucket.put_marker("m/b/");
    bucket.put("other/x.jpg", b"1");
    names.push("b".to_owned());
    names.sort_unstable();
    for context in [context_of(&[&bucket]), context(&[(&bucket.url(""), Arc::new(bucket.store()))])] {
        let table = SourceTable::media(folder(&bucket.url("m")));
        let count = partitions(&context, &table).await;
        assert!((3..=32).contains(&count), "{count}");
        assert_eq!(keys(&read(&context, &table).await.unwrap()), names);
    }
}

#[tokio::test]
async fn a_new_content_of_an_object_is_a_new_etag() {
    let bucket = Bucket::new();
    bucket.put("m/a.jpg", b"12345");
    let context = context_of(&[&bucket]);
    let before = read(&context, &SourceTable::media(folder(&bucket.url("m")))).await.unwrap();
    bucket.put("m/a.jpg", b"54321");
    let after = read(&context, &SourceTable::media(folder(&bucket.url("m")))).await.unwrap();
    let (key, size, etag, modified, content_type) = &before[0];
    assert_eq!((key, size, content_type), (&after[0].0, &after[0].1, &after[0].4));
    assert!(*etag != after[0].2 && *modified <= after[0].3, "{before:?} {after:?}");
}

// Inventories.

const CSV_SCHEMA: &str = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
const PARQUET_SCHEMA: &str = "message s3.inventory {  required binary bucket (STRING);  required binary key (STRING);  \
    optional boolean is_latest;  optional boolean is_delete_marker;  optional int64 size;  \
    optional int64 last_modified_date (TIMESTAMP(MILLIS,true));  optional binary e_tag (STRING);}";

async fn put_manifest(
    inventories: &Bucket,
    source: &str,
    format: &str,
    schema: &str,
    files: &[(&str, usize)],
) -> String {
    let files: Vec<serde_json::Value> = files
        .iter()
        .map(|(key, size)| serde_json::json!({"key": key, "size": size, "MD5checksum": "f11166069f1990abeb9c97ace9cdfabc"}))
        .collect();
    let manifest = serde_json::json!({
        "sourceBucket": source, "destinationBucket": format!("arn:aws:s3:::{}", inventories.name),
        "version": "2016-11-30", "creationTimestamp": "1514944800000", "fileFormat": format, "fileSchema": schema,
        "files": files,
    });
    let key = format!("inv/{source}/daily/2024-01-02T00-00Z/{format}/manifest.json");
    inventories.put(&key, manifest.to_string().as_bytes());
    inventories.url(&key)
}

async fn put_csv(inventories: &Bucket, key: &str, text: &str) -> usize {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    inventories.put(key, &bytes);
    bytes.len()
}

/// As S3 encodes keys in CSV.
fn encoded(key: &str) -> String {
    url::form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>().replace("%2F", "/")
}

/// The objects of a bucket as S3 would write them down, with what an inventory of all versions has besides.
/// A row of an inventory: key, whether it is the latest version, whether it marks a deletion, size, milliseconds, tag.
type Listed = (String, bool, bool, Option<i64>, i64, String);

async fn objects_of(bucket: &Bucket) -> Vec<Listed> {
    let mut rows = Vec::new();
    let mut objects = bucket.store().list(None);
    while let Some(object) = objects.next().await {
        let object = object.unwrap();
        let etag = object.e_tag.unwrap().trim_matches('"').to_owned();
        let millis = object.last_modified.timestamp_millis();
        let key = object.location.to_string();
        let size = i64::try_from(object.size).unwrap();
        rows.push((key.clone(), false, false, Some(size + 7), millis - 10_000, "old".to_owned()));
        rows.push((key, true, false, Some(size), millis, etag));
    }
    rows.push(("media/gone.jpg".to_owned(), true, true, None, 1_514_944_800_000, String::new()));
    rows
}

#[tokio::test]
async fn an_inventory_gives_the_rows_of_a_listing() {
    let (bucket, inventories) = (Bucket::new(), Bucket::new());
    for key in ["media/a b+c%20.jpg", "media/2024/\u{4e2d}.mp4", "media/q\",'.txt", "media/empty", "elsewhere/x.jpg"] {
        bucket.put(key, if key.ends_with("empty") { b"" } else { b"12345" });
    }
    let context = context_of(&[&bucket, &inventories]);
    let listed = read(&context, &SourceTable::media(folder(&bucket.url("media")))).await.unwrap();
    assert_eq!(listed.len(), 4);
    let objects = objects_of(&bucket).await;

    let csv = |rows: &[Listed]| -> String {
        let row = |(key, latest, marker, size, millis, etag): &Listed| {
            let modified = chrono(*millis);
            let size = size.map(|size| size.to_string()).unwrap_or_default();
            let key = encoded(key);
            format!(
                "\"{}\",\"{key}\",\"v1\",\"{latest}\",\"{marker}\",\"{size}\",\"{modified}\",\"{etag}\",\"STANDARD\"\n",
                bucket.name
            )
        };
        rows.iter().map(row).collect()
    };
    let (half, rest) = objects.split_at(objects.len() / 2);
    let first = put_csv(&inventories, "inv/data/1.csv.gz", &csv(half)).await;
    let second = put_csv(&inventories, "inv/data/2.csv.gz", &csv(rest)).await;
    let files = [("inv/data/1.csv.gz", first), ("inv/data/2.csv.gz", second)];
    let manifest = put_manifest(&inventories, &bucket.name, "CSV", CSV_SCHEMA, &files).await;
    let inventoried =
        |manifest: &str| folder(&bucket.url("media")).with_inventory(&Url::parse(manifest).unwrap()).unwrap();
    let of_csv = read(&context, &SourceTable::media(inventoried(&manifest))).await.unwrap();
    assert_eq!(of_csv, listed);

    let parquet = parquet(&bucket.name, &objects);
    inventories.put("inv/data/3.parquet", &parquet);
    let files = [("inv/data/3.parquet", parquet.len())];
    let manifest = put_manifest(&inventories, &bucket.name, "Parquet", PARQUET_SCHEMA, &files).await;
    let of_parquet = read(&context, &SourceTable::media(inventoried(&manifest))).await.unwrap();
    assert_eq!(of_parquet, listed);
}

fn chrono(millis: i64) -> String {
    let array = TimestampMillisecondArray::from(vec![millis]);
    let text = arrow::util::display::array_value_to_string(&array, 0).unwrap();
    format!("{}Z", text.trim_end_matches('Z'))
}

fn parquet(bucket: &str, rows: &[Listed]) -> Vec<u8> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bucket", Arc::new(StringArray::from(vec![bucket; rows.len()]))),
        ("key", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0)))),
        ("is_latest", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.1))))),
        ("is_delete_marker", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.2))))),
        ("size", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3)))),
        (
            "last_modified_date",
            Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| Some(row.4))).with_timezone("UTC")),
        ),
        ("e_tag", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.5)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn inventories_that_cannot_be_used_say_why() {
    let (bucket, inventories) = (Bucket::new(), Bucket::new());
    let context = context_of(&[&bucket, &inventories]);
    let failure = async |manifest: &str| {
        let folder = folder(&bucket.url("media")).with_inventory(&Url::parse(manifest).unwrap()).unwrap();
        let error = read(&context, &SourceTable::media(folder)).await.unwrap_err();
        assert!(matches!(error, DataFusionError::External(_)), "nothing that a retry cures: {error:?}");
        error
    };
    let nowhere = inventories.url("inv/manifest.json");
    assert_says(&failure(&nowhere).await, &[&nowhere, "cannot be read", "MEDIA_INVENTORY"]);
    let source = bucket.name.as_str();
    let orc = put_manifest(&inventories, source, "ORC", "struct<bucket:string,key:string>", &[]).await;
    assert_says(&failure(&orc).await, &[&orc, "ORC", "Parquet"]);
    let lacking = put_manifest(&inventories, source, "CSV", "Bucket, Key, ETag", &[]).await;
    assert_says(&failure(&lacking).await, &[&lacking, "Size, LastModifiedDate"]);
    let foreign = put_manifest(&inventories, "another", "CSV", CSV_SCHEMA, &[]).await;
    assert_says(&failure(&foreign).await, &["another", &bucket.url("media")]);
    let gone = put_manifest(&inventories, source, "CSV", CSV_SCHEMA, &[("inv/gone.csv.gz", 10)]).await;
    assert_says(&failure(&gone).await, &[&inventories.url("inv/gone.csv.gz"), "MEDIA_INVENTORY"]);

    let good = "\"b\",\"media/a.jpg\",\"\",\"true\",\"false\",\"5\",\"2024-01-02T03:04:05.000Z\",\"e\",\"STANDARD\"\n";
    for (bad, why) in [
        ("\"b\",\"media/a.jpg\",\"5\"\n", "fields"),
        ("\"b\",\"media/%E4.jpg\",\"\",\"true\",\"false\",\"5\",\"2024-01-02T03:04:05.000Z\",\"e\",\"S\"\n", "UTF-8"),
        ("\"b\",\"media/a.jpg\",\"\",\"true\",\"false\",\"many\",\"2024-01-02T03:04:05.000Z\",\"e\",\"S\"\n", "size"),
        ("\"b\",\"media/a.jpg\",\"\",\"true\",\"false\",\"5\",\"yesterday\",\"e\",\"S\"\n", "date"),
        ("\"b\",\"media/a.jpg\",\"\",\"yes\",\"false\",\"5\",\"2024-01-02T03:04:05.000Z\",\"e\",\"S\"\n", "IsLatest"),
    ] {
        let size = put_csv(&inventories, "inv/bad.csv.gz", &format!("{good}{bad}")).await;
        let manifest = put_manifest(&inventories, source, "CSV", CSV_SCHEMA, &[("inv/bad.csv.gz", size)]).await;
        assert_says(&failure(&manifest).await, &["row 2", &inventories.url("inv/bad.csv.gz"), why]);
    }
    // A file that is not what the manifest says.
    put_csv(&inventories, "inv/short.csv.gz", &good.repeat(1_000)).await;
    let manifest = put_manifest(&inventories, source, "CSV", CSV_SCHEMA, &[("inv/short.csv.gz", 60)]).await;
    assert_says(&failure(&manifest).await, &["inv/short.csv.gz", "gzip"]);
}

// Stores that a real server cannot be made to be.

/// A store that lists and does nothing else.
trait Lists: fmt::Debug + Send + Sync + 'static {
    /// The objects behind a place, in the store's order.
    fn from(&self, offset: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>>;
}

#[derive(Debug)]
struct ListsOnly<L>(L);

impl<L: Lists> fmt::Display for ListsOnly<L> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

fn not_here<T>(operation: &str) -> StoreResult<T> {
    Err(object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: "ListsOnly".to_owned() })
}

#[async_trait]
impl<L: Lists> ObjectStore for ListsOnly<L> {
    async fn put_opts(&self, _to: &Path, _bytes: PutPayload, _options: PutOptions) -> StoreResult<PutResult> {
        not_here("put")
    }
    async fn put_multipart_opts(
        &self,
        _to: &Path,
        _options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        not_here("put_multipart")
    }
    async fn get_opts(&self, _from: &Path, _options: GetOptions) -> StoreResult<GetResult> {
        not_here("get")
    }
    fn delete_stream(
        &self,
        _locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        stream::once(async { not_here("delete") }).boxed()
    }
    fn list(&self, _prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.0.from(None)
    }
    fn list_with_offset(&self, _prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.0.from(Some(offset))
    }
    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> StoreResult<ListResult> {
        not_here("list_with_delimiter")
    }
    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> StoreResult<()> {
        not_here("copy")
    }
}

fn object(key: &str, size: u64) -> StoreResult<ObjectMeta> {
    let location = Path::parse(key)?;
    Ok(ObjectMeta { location, last_modified: Default::default(), size, e_tag: None, version: None })
}

/// A store that lists keys as they stand here, with whatever slashes, and answers as `object_store` does. Markers are
/// empty.
#[derive(Debug)]
struct Shelf(Vec<String>);

impl Lists for Shelf {
    fn from(&self, offset: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let is_behind = |key: &&String| offset.is_none_or(|offset| key.as_str() > offset.as_ref());
        let keys: Vec<String> = self.0.iter().filter(is_behind).cloned().collect();
        stream::iter(keys.into_iter().map(|key| object(&key, u64::from(!key.ends_with('/'))))).boxed()
    }
}

fn shelf(keys: Vec<String>) -> (SessionContext, SourceTable) {
    let context = context(&[("shelf://b", Arc::new(ListsOnly(Shelf(keys))))]);
    (context, SourceTable::media(folder("shelf://b/m")))
}

/// Where ranges end between `a` and `a/`, whichever of the two is there.
#[tokio::test]
async fn an_object_is_listed_and_not_the_marker_of_its_name() {
    let many = |beginning: &str| (0..1_500).map(|number| format!("m/{beginning}{number:04}")).collect::<Vec<_>>();
    for (object, marker) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut names = [many("a-"), many("a."), many("a-1/"), many("b")].concat();
        for (key, is_there) in [("a", object), ("a/", marker), ("a-1", object), ("a-1/", marker), ("a/b", true)] {
            names.extend(is_there.then(|| format!("m/{key}")));
        }
        names.sort_unstable();
        let (context, table) = shelf(names);
        assert!(partitions(&context, &table).await > 3);
        let rows = read(&context, &table).await.unwrap();
        let found = |key: &str| rows.iter().filter(|row| row.0 == key).map(|row| row.1).collect::<Vec<_>>();
        let expected: &[i64] = match (object, marker) {
            (true, _) => &[1],
            (false, true) => &[0],
            (false, false) => &[],
        };
        assert_eq!((&*found("a"), &*found("a-1")), (expected, expected), "{object} {marker}");
        assert_eq!(rows.len(), 6_001 + 2 * expected.len());
    }
}

#[tokio::test]
async fn a_store_without_order_is_listed_in_one_go_or_not_at_all() {
    // At once: as directory buckets do.
    let mut keys: Vec<String> = (0..4_000).map(|number| format!("m/{:04}", number * 1_117 % 4_000)).collect();
    let (context, table) = shelf(keys.clone());
    assert_eq!(partitions(&context, &table).await, 1);
    let rows = read(&context, &table).await.unwrap();
    keys.sort_unstable();
    assert_eq!(keys, rows.iter().map(|row| format!("m/{}", row.0)).collect::<Vec<_>>());

    // Where nobody looked who made the cuts.
    let mut keys: Vec<String> =
        ('a'..='p').flat_map(|folder| (0..2_000).map(move |number| format!("m/{folder}/{number:04}"))).collect();
    keys.swap(7_500, 7_501);
    let (context, table) = shelf(keys);
    assert!(partitions(&context, &table).await > 8);
    let error = read(&context, &table).await.unwrap_err();
    assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
    assert_says(&error, &["lists the keys of shelf://b/m in no order"]);
}

#[tokio::test]
async fn a_key_that_is_no_path_is_named() {
    for key in ["m/a//b.jpg", "m/../b.jpg", "m/a\u{1}.jpg"] {
        let (context, table) = shelf(vec!["m/a.jpg".to_owned(), key.to_owned()]);
        let error = read(&context, &table).await.unwrap_err();
        assert!(matches!(error, DataFusionError::External(_)), "{error:?}");
        assert_says(&error, &["shelf://b/m", "MEDIA_INVENTORY"]);
        assert!(format!("{error:?}").contains(&key.escape_debug().to_string()), "{error:?}");
    }
}

/// A store that makes up the objects that it lists, and counts them.
#[derive(Debug)]
struct Endless {
    objects: u64,
    listed: Arc<AtomicU64>,
}

impl Endless {
    fn name(number: u64) -> String {
        format!("m/{number:012}.jpg")
    }
}

impl Lists for Endless {
    fn from(&self, offset: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let (mut low, mut high) = (0, self.objects);
        while let Some(offset) = offset
            && low < high
        {
            let middle = u64::midpoint(low, high);
            if Self::name(middle).as_str() > offset.as_ref() { high = middle } else { low = middle + 1 }
        }
        let listed = Arc::clone(&self.listed);
        let object = move |number| {
            listed.fetch_add(1, Ordering::Relaxed);
            object(&Self::name(number), number)
        };
        stream::iter((low..self.objects).map(object)).boxed()
    }
}

/// However many objects there are, no more of them are listed than were asked for: what a task holds is one batch.
#[tokio::test]
async fn a_million_objects_are_listed_batch_by_batch() {
    const OBJECTS: u64 = 1_000_000;
    let listed = Arc::new(AtomicU64::new(0));
    let endless = Endless { objects: OBJECTS, listed: Arc::clone(&listed) };
    let context = context(&[("endless://b", Arc::new(ListsOnly(endless)))]);
    let table = SourceTable::media(folder("endless://b/m"));
    let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
    let planning = listed.swap(0, Ordering::Relaxed);
    assert!(planning < 150_000, "planning looked at {planning} objects");
    let partitions = plan.properties().partitioning.partition_count();
    assert!((8..=32).contains(&partitions), "{partitions}");
    let (mut rows, mut largest_batch) = (0, 0);
    for partition in 0..partitions {
        let mut batches = plan.execute(partition, context.task_ctx()).unwrap();
        while let Some(batch) = batches.next().await {
            let batch = batch.unwrap();
            let documents = batch.num_rows() as u64
                - batch.column_by_name(READ_COLUMN).unwrap().null_count().abs_diff(batch.num_rows()) as u64;
            rows += documents;
            largest_batch = largest_batch.max(documents);
            // Each range looks at one object beyond its end.
            let ahead = listed.load(Ordering::Relaxed) - rows;
            assert!(ahead <= partitions as u64, "{ahead} objects were listed before they were asked for");
        }
    }
    assert_eq!(rows, OBJECTS);
    assert!(largest_batch <= 8_192, "{largest_batch}");
}
