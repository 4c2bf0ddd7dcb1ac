//! Live collections, from a server that does as it is told, and from a real one.

mod changes;
mod failures;
mod places;
mod planning;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Bson, DateTime, Document, doc};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use quickchat_mongodb_stand_in::{Script, StandIn};
use quickchat_sources::{
    Collection, Connections, LiveNames, LiveRequest, MongoSettings, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN,
    SourceTable, SplitPolicy,
};

const USERS: &str = "chat.users";

/// What a read brought.
#[derive(Debug, Default)]
struct Found {
    ids: Vec<String>,
    /// Of users, their names by their ids.
    names: BTreeMap<String, String>,
    /// Reason and position.
    rejects: Vec<(String, String)>,
    tally: i64,
    partitions: usize,
}

/// A live table of users, cut into many ranges.
fn table(uri: String, database: &str, request: LiveRequest) -> SourceTable {
    patient_table(uri, database, request, Duration::from_secs(60))
}

fn patient_table(uri: String, database: &str, request: LiveRequest, patience: Duration) -> SourceTable {
    let settings = MongoSettings { uri: uri.into(), database: Some(database.to_owned()), patience };
    users_table(request, Connections::with_mongodb(settings))
}

fn users_table(request: LiveRequest, connections: Connections) -> SourceTable {
    let policy = SplitPolicy { target_bytes: 20_000, min_bytes: 1, spread: 20, max_partitions: 1_000 };
    SourceTable::live(Collection::Users, request, connections).with_split_policy(policy)
}

/// The table in so many ranges, so few that each takes several batches.
fn cut_into(table: SourceTable, ranges: u64) -> SourceTable {
    table.with_split_policy(SplitPolicy { target_bytes: 100_000, min_bytes: 1, spread: ranges, max_partitions: ranges })
}

async fn read(table: &SourceTable) -> Result<Found, DataFusionError> {
    run(plan(table).await?).await
}

async fn plan(table: &SourceTable) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    table.scan(&SessionContext::new().state(), None, &[], None).await
}

async fn run(plan: Arc<dyn ExecutionPlan>) -> Result<Found, DataFusionError> {
    let partitions = plan.properties().partitioning.partition_count();
    let batches = collect(plan, SessionContext::new().task_ctx()).await?;
    Ok(Found { partitions, ..found(&batches) })
}

fn found(batches: &[RecordBatch]) -> Found {
    let mut found = Found::default();
    for batch in batches {
        let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
        let reject = batch.column_by_name(REJECT_COLUMN).unwrap().as_struct();
        let read = batch.column_by_name(READ_COLUMN).unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let text = |name: &str| reject.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
            match output.value(row) {
                0 => {
                    let id = batch.column(0).as_string::<i32>().value(row).to_owned();
                    if let Some(names) = batch.column_by_name("display_name") {
                        found.names.insert(id.clone(), names.as_string::<i32>().value(row).to_owned());
                    }
                    found.ids.push(id);
                }
                1 => found.rejects.push((text("reason"), text("source_position"))),
                _ => found.tally += read.value(row),
            }
        }
    }
    assert_eq!(found.tally, i64::try_from(found.ids.len() + found.rejects.len()).unwrap());
    found.ids.sort();
    found
}

async fn read_from(server: &StandIn) -> Result<Found, DataFusionError> {
    read(&table(server.uri(), "chat", LiveRequest::default())).await
}

fn start(script: Script) -> StandIn {
    StandIn::start(script).unwrap()
}

fn user(id: impl Into<Bson>) -> Document {
    doc! { "_id": id, "createdAt": DateTime::from_millis(1_000), "displayName": "x".repeat(40), "password": "CANARY" }
}

/// One of each type that is neither text nor ObjectId, and can be an id.
fn ids_that_no_contract_takes() -> Vec<Bson> {
    let uuid = bson::Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] };
    let binary = bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 3] };
    vec![
        Bson::Int32(5),
        Bson::Double(7.5),
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Boolean(true),
        Bson::Document(doc! { "a": 1 }),
        Bson::Binary(uuid),
        Bson::Binary(binary),
        Bson::DateTime(DateTime::from_millis(1)),
        Bson::Null,
    ]
}

fn object_id(number: u32) -> ObjectId {
    let mut bytes = [7; 12];
    bytes[..4].copy_from_slice(&(0x6500_0000 + number * 1_000).to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn users(count: u32) -> Vec<Document> {
    (0..count).map(|number| user(object_id(number))).collect()
}

fn expected(count: u32) -> Vec<String> {
    (0..count).map(|number| object_id(number).to_hex()).collect()
}

/// The error, which must not hold any secret, and whether a task that failed with it is run again.
fn told(result: Result<Found, DataFusionError>) -> (String, bool) {
    let error = result.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("CANARY"), "{text}");
    (text, matches!(error.find_root(), DataFusionError::IoError(_)))
}

#[tokio::test]
async fn every_document_is_read_once_whatever_its_id_is() {
    let mut documents = users(300);
    documents.extend((0..200).map(|number| user(format!("user-{number:03}"))));
    documents.extend(["", "é", "\u{10ffff}"].map(user));
    documents.extend(ids_that_no_contract_takes().into_iter().map(user));
    for without in [None, Some("$sample"), Some("$collStats"), Some("listCollections")] {
        let script = Script::new().documents(USERS, documents.clone());
        let server = start(match without {
            Some(feature) => script.without(feature),
            None => script,
        });
        let found = read_from(&server).await.unwrap();
        assert!(found.partitions > 5, "{without:?}: {}", found.partitions);
        assert_eq!(found.ids.len(), 502, "{without:?}");
        let distinct: BTreeSet<&String> = found.ids.iter().collect();
        assert_eq!(distinct.len(), 502, "{without:?}");
        let mut reasons: Vec<&str> = found.rejects.iter().map(|(reason, _)| reason.as_str()).collect();
        reasons.sort_unstable();
        // The empty text and null are missing keys.
        assert_eq!(reasons, [vec!["missing_key"; 2], vec!["wrong_type"; 9]].concat(), "{without:?}");
        assert_eq!(server.open_cursors(), 0);
    }
}

#[tokio::test]
async fn ranges_look_at_one_instant_and_ask_for_nothing_secret() {
    let server = start(Script::new().documents(USERS, users(300)));
    read_from(&server).await.unwrap();
    let finds = server.requests_named("find");
    let (ends, ranges) = finds.split_at(2);
    assert_eq!(ends[0].body.get_document("readConcern").unwrap(), &doc! { "level": "snapshot" });
    let concern = ends[1].body.get_document("readConcern").unwrap();
    assert!(concern.contains_key("atClusterTime"), "{concern}");
    assert!(ranges.len() > 3);
    for find in ranges {
        assert_eq!(find.body.get_document("readConcern").unwrap(), concern);
        assert_eq!(find.body.get_document("sort").unwrap(), &doc! { "_id": 1 });
        let projection = find.body.get_document("projection").unwrap();
        assert!(projection.contains_key("displayName") && !projection.contains_key("password"), "{projection}");
    }
}

#[tokio::test]
async fn only_what_changed_is_read() {
    let at = |millis: i64| Bson::DateTime(DateTime::from_millis(millis));
    let documents = [
        ("old", doc! { "createdAt": at(10), "updatedAt": at(99) }),
        ("new", doc! { "createdAt": at(10), "updatedAt": at(100) }),
        ("created-old", doc! { "createdAt": at(99) }),
        ("created-new", doc! { "createdAt": at(100) }),
        ("null-old", doc! { "createdAt": at(99), "updatedAt": null }),
        ("text", doc! { "createdAt": at(10), "updatedAt": "1970-01-01T00:00:00Z" }),
        ("number", doc! { "createdAt": at(10), "updatedAt": 5_i64 }),
        ("created-text", doc! { "createdAt": "1970-01-01T00:00:00Z" }),
        // No times by the contract: they are put aside.
        ("zero", doc! { "createdAt": at(10), "updatedAt": at(-62_135_596_800_000) }),
        ("created-zero", doc! { "createdAt": at(-1) }),
    ];
    let documents = documents.map(|(id, mut document)| {
        document.insert("_id", id);
        document
    });
    let server = start(Script::new().documents(USERS, documents));
    let changed = |field: Option<&str>| LiveRequest {
        // Half a millisecond after what a date can hold: the millisecond is read.
        changed_since: Some(100_500),
        ids_only: false,
        names: LiveNames { changed_field: field.map(str::to_owned), ..LiveNames::default() },
    };
    let found = read(&table(server.uri(), "chat", changed(None))).await.unwrap();
    assert_eq!(found.ids, ["created-new", "created-text", "new", "number", "text"]);
    let bad_dates = |found: &Found| found.rejects.iter().filter(|(reason, _)| reason == "bad_date").count();
    assert_eq!((bad_dates(&found), found.rejects.len()), (2, 2));
    assert_eq!(found.partitions, 1);
    // A document without the field that was named may have changed at any time.
    let found = read(&table(server.uri(), "chat", changed(Some("createdAt")))).await.unwrap();
    assert_eq!(found.ids, ["created-new", "created-text"]);
    assert_eq!((bad_dates(&found), found.rejects.len()), (1, 1));
}

/// Notices that were created at 10 ms; what was read of them at 100 ms or later, or cannot be compared, is told by `new`.
fn notices() -> Vec<Document> {
    let at = |millis: i64| Bson::DateTime(DateTime::from_millis(millis));
    let notices = [
        ("old-unread", doc! {}),
        ("old-null", doc! { "readAt": null }),
        ("old-read", doc! { "readAt": at(99) }),
        ("old-updated", doc! { "readAt": at(200), "updatedAt": at(99) }),
        ("new-read", doc! { "readAt": at(100) }),
        ("new-null-updated", doc! { "readAt": at(100), "updatedAt": null }),
        ("new-text", doc! { "readAt": "1970-01-01T00:00:00.100Z" }),
        ("new-updated", doc! { "readAt": at(99), "updatedAt": at(100) }),
    ];
    let with_id = |(id, mut notice): (&str, Document)| {
        notice.extend(doc! { "_id": id, "userId": "u", "createdAt": at(10) });
        notice
    };
    notices.into_iter().map(with_id).collect()
}

async fn changed_notices(uri: &str, database: &str) -> Found {
    let settings = MongoSettings {
        uri: uri.to_owned().into(),
        database: Some(database.to_owned()),
        patience: Duration::from_secs(60),
    };
    let since = LiveRequest { changed_since: Some(100_000), ..LiveRequest::default() };
    let table = SourceTable::live(Collection::Notifications, since, Connections::with_mongodb(settings));
    read(&table).await.unwrap()
}

#[tokio::test]
async fn a_notice_changes_when_it_is_read() {
    let server = start(Script::new().documents("chat.notifications", notices()));
    let found = changed_notices(&server.uri(), "chat").await;
    assert_eq!(found.ids, ["new-null-updated", "new-read", "new-text", "new-updated"]);
}

#[tokio::test]
async fn ids_are_read_whatever_else_is_wrong() {
    let mut documents = users(50);
    documents.push(doc! { "_id": "no-time", "displayName": 5 });
    let server = start(Script::new().documents(USERS, documents));
    let found = read(&table(server.uri(), "chat", LiveRequest { ids_only: true, ..LiveRequest::default() })).await;
    let found = found.unwrap();
    assert_eq!(found.ids, [expected(50), vec!["no-time".to_owned()]].concat());
    let asked = server.requests_named("find").pop().unwrap();
    assert_eq!(asked.body.get_document("projection").unwrap(), &doc! { "_id": 1 });
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let server = start(Script::new().documents("chat.people", users(5)));
    let (text, _) = told(read_from(&server).await);
    assert!(text.contains("`chat` has no collection `users`") && text.contains("[mongodb.users]"), "{text}");
    let (text, _) = told(read(&table(server.uri(), "chta", LiveRequest::default())).await);
    assert!(text.contains("`chta` has no collections") && text.contains("MONGODB_DATABASE"), "{text}");
    let named = |names| LiveRequest { names, ..LiveRequest::default() };
    let people = named(LiveNames { name: Some("people".to_owned()), ..LiveNames::default() });
    assert_eq!(read(&table(server.uri(), "chat", people)).await.unwrap().ids, expected(5));
    let optional = named(LiveNames { optional: true, ..LiveNames::default() });
    assert_eq!(read(&table(server.uri(), "chat", optional)).await.unwrap().tally, 0);
}

#[tokio::test]
async fn a_broken_document_does_not_harm_its_neighbours() {
    let mut broken = bson::RawDocumentBuf::try_from(&user("user-b")).unwrap().into_bytes();
    let end_of_text = broken.windows(2).position(|pair| pair == b"x\0").unwrap() + 1;
    broken[end_of_text] = 1;
    let server = start(Script::new().documents(USERS, [user("user-a"), user("user-c")]).raw_document(
        USERS,
        Some("user-b".into()),
        broken,
    ));
    let found = read_from(&server).await.unwrap();
    assert_eq!(found.ids, ["user-a", "user-c"]);
    assert_eq!(found.rejects.len(), 1);
    assert_eq!(found.rejects[0].0, "invalid_bson");
}

#[tokio::test]
async fn a_real_server_is_read_in_ranges() {
    let uri = std::env::var("QUICKCHAT_TEST_MONGODB_URI")
        .expect("QUICKCHAT_TEST_MONGODB_URI is not set: run the tests by scripts/test.sh, or `scripts/services.sh start mongodb`");
    // No name comes twice: a server that runs longer than the tests keeps what was not removed.
    let name = format!("quickchat_test_{}", ObjectId::new().to_hex());
    let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
    let database = client.database(&name);
    let mut documents = users(400);
    documents.extend((0..100).map(|number| user(format!("user-{number:03}"))));
    documents.push(user(Bson::Int32(5)));
    database.collection::<Document>("users").insert_many(documents).await.unwrap();
    database.collection::<Document>("notifications").insert_many(notices()).await.unwrap();
    let found = read(&table(uri.clone(), &name, LiveRequest::default())).await;
    let since = LiveRequest { changed_since: Some(1_000_000), ..LiveRequest::default() };
    let changed = read(&table(uri.clone(), &name, since)).await;
    let since = LiveRequest { changed_since: Some(1_001_000), ..LiveRequest::default() };
    let unchanged = read(&table(uri.clone(), &name, since)).await;
    let notices = changed_notices(&uri, &name).await;
    // Planned, and gone before it is read.
    let planned = plan(&table(uri, &name, LiveRequest::default())).await.unwrap();
    database.collection::<Document>("users").drop().await.unwrap();
    let (gone, _) = told(run(planned).await);
    database.drop().await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.ids.len(), 500);
    assert_eq!(found.ids[..400], expected(400));
    assert_eq!(found.rejects, [("wrong_type".to_owned(), "mongodb/users:{\"$numberInt\":\"5\"}".to_owned())]);
    assert!(found.partitions > 5, "{}", found.partitions);
    assert_eq!(changed.unwrap().tally, 501);
    assert_eq!(unchanged.unwrap().tally, 0);
    assert_eq!(notices.ids, ["new-null-updated", "new-read", "new-text", "new-updated"]);
    assert!(gone.contains(&format!("{name}.users is not at")), "{gone}");
}
