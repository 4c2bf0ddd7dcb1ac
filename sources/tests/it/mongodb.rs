//! Live collections, from a server that does as it is told, and from a real one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt8Type};
use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use quickchat_mongodb_stand_in::{Access, Deployment, Fault, Script, Snapshots, StandIn, When};
use quickchat_sources::{
    Collection, Connections, LiveNames, LiveRequest, MongoSettings, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN,
    SourceTable, SplitPolicy,
};

const USERS: &str = "chat.users";

/// What a read brought.
#[derive(Debug, Default)]
struct Found {
    ids: Vec<String>,
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
    let policy = SplitPolicy { target_bytes: 20_000, min_bytes: 1, spread: 20, max_partitions: 1_000 };
    SourceTable::live(Collection::Users, request, Connections::with_mongodb(settings)).with_split_policy(policy)
}

async fn read(table: &SourceTable) -> Result<Found, DataFusionError> {
    let context = SessionContext::new();
    let plan = table.scan(&context.state(), None, &[], None).await?;
    let mut found = Found { partitions: plan.properties().partitioning.partition_count(), ..Found::default() };
    for batch in collect(plan, context.task_ctx()).await? {
        let output = batch.column_by_name(OUTPUT_COLUMN).unwrap().as_primitive::<UInt8Type>();
        let reject = batch.column_by_name(REJECT_COLUMN).unwrap().as_struct();
        let read = batch.column_by_name(READ_COLUMN).unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let text = |name: &str| reject.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
            match output.value(row) {
                0 => found.ids.push(batch.column(0).as_string::<i32>().value(row).to_owned()),
                1 => found.rejects.push((text("reason"), text("source_position"))),
                _ => found.tally += read.value(row),
            }
        }
    }
    assert_eq!(found.tally, i64::try_from(found.ids.len() + found.rejects.len()).unwrap());
    found.ids.sort();
    Ok(found)
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
    documents.extend([Bson::Int32(5), Bson::Double(7.5), Bson::MinKey, Bson::MaxKey, Bson::Boolean(true)].map(user));
    documents.push(user(doc! { "a": 1 }));
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
        // The empty text is a missing key.
        assert_eq!(reasons, [vec!["missing_key"], vec!["wrong_type"; 6]].concat(), "{without:?}");
        assert_eq!(server.open_cursors(), 0);
    }
}

#[tokio::test]
async fn one_type_of_ids_is_cut_by_a_sample_or_evenly() {
    for script in [Script::new(), Script::new().without("$sample"), Script::new().deployment(Deployment::Sharded)] {
        let server = start(script.documents(USERS, users(500)));
        let found = read_from(&server).await.unwrap();
        assert!(found.partitions > 5, "{}", found.partitions);
        assert_eq!(found.ids, expected(500));
        // No range is for other types.
        assert_eq!(server.requests_named("find").len(), 2 + found.partitions);
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
    assert_eq!(found.partitions, 1);
    // A document without the field that was named may have changed at any time.
    let found = read(&table(server.uri(), "chat", changed(Some("createdAt")))).await.unwrap();
    assert_eq!(found.ids, ["created-new", "created-text"]);
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
async fn a_read_goes_on_after_whatever_passes() {
    for (fault, when) in [
        (Fault::CursorNotFound, When::get_more().nth(2).times(2)),
        (Fault::PrimarySteppedDown, When::get_more().nth(2)),
        (Fault::InterruptedDueToReplStateChange, When::get_more().nth(1)),
        (Fault::NotWritablePrimary, When::find().nth(4)),
        (Fault::CutMidReply, When::get_more().nth(2).times(2)),
        (Fault::CutBeforeReply, When::find().nth(3)),
        (Fault::SnapshotTooOld, When::get_more().nth(2)),
        (Fault::SnapshotUnavailable, When::find().nth(3)),
        (Fault::MaxTimeMsExpired, When::get_more().nth(1)),
    ] {
        let server = start(Script::new().documents(USERS, users(1_500)).fault(fault.clone(), when));
        let mut table = table(server.uri(), "chat", LiveRequest::default());
        // Few ranges, so that each takes several batches.
        let policy = SplitPolicy { target_bytes: 100_000, min_bytes: 1, spread: 3, max_partitions: 1_000 };
        table = table.with_split_policy(policy);
        let found = read(&table).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(found.ids, expected(1_500), "{fault:?}");
        assert!(server.fired(&fault) > 0, "{fault:?} did not strike");
    }
}

#[tokio::test]
async fn servers_without_snapshots_are_read_too() {
    for script in [
        Script::new().snapshots(Snapshots::Unknown),
        Script::new().snapshots(Snapshots::Unavailable),
        Script::new().deployment(Deployment::Standalone),
    ] {
        let server = start(script.documents(USERS, users(200)));
        assert_eq!(read_from(&server).await.unwrap().ids, expected(200));
        let last = server.requests_named("find").pop().unwrap();
        assert_eq!(last.body.get_document("readConcern").unwrap(), &doc! { "level": "majority" });
    }
}

#[tokio::test]
async fn a_server_that_never_recovers_ends_the_read_in_time() {
    let server =
        start(Script::new().documents(USERS, users(500)).fault(Fault::CursorNotFound, When::get_more().always()));
    let policy = SplitPolicy { target_bytes: 1 << 30, min_bytes: 1, spread: 1, max_partitions: 1 };
    let one_range = table(server.uri(), "chat", LiveRequest::default()).with_split_policy(policy);
    // Every new query brings its first batch, so this one does end.
    assert_eq!(read(&one_range).await.unwrap().ids, expected(500));

    let server =
        start(Script::new().documents(USERS, users(5)).fault(Fault::CutBeforeReply, When::find().nth(3).always()));
    let (text, is_retried) = told(read_from(&server).await);
    assert!(text.contains("reading chat.users") && text.contains("failed 6 times"), "{text}");
    assert!(is_retried);

    let server = start(Script::new().documents(USERS, users(5)).fault(Fault::Hang, When::find().nth(3)));
    let started = Instant::now();
    let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(2));
    let (text, is_retried) = told(read(&table).await);
    assert!(text.contains("has not answered for 2 s while reading chat.users"), "{text}");
    assert!(is_retried && started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn who_may_not_read_is_told_so() {
    let access = Access::Password { user: "reader".to_owned(), password: "right".to_owned() };
    let server = start(Script::new().documents(USERS, users(5)).access(access));
    let with = |uri| table(uri, "chat", LiveRequest::default());
    assert_eq!(read(&with(server.uri_as("reader", "right"))).await.unwrap().ids, expected(5));
    for uri in [server.uri_as("reader", "CANARY"), server.uri()] {
        let (text, is_retried) = told(read(&with(uri)).await);
        assert!(text.contains("MongoDB refused") && text.contains("MONGODB_URI"), "{text}");
        assert!(!is_retried);
    }
    let server = start(Script::new().documents(USERS, users(5)).fault(Fault::Unauthorized, When::find().always()));
    let (text, is_retried) = told(read_from(&server).await);
    assert!(text.contains("grant the role `read`"), "{text}");
    assert!(!is_retried);
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
async fn a_server_that_is_too_old_is_told() {
    let server = start(Script::new().documents(USERS, users(5)).version("3.6.23", 0, 6));
    let (text, is_retried) = told(read_from(&server).await);
    assert!(text.contains("4.4 is the oldest"), "{text}");
    assert!(!is_retried);
}

#[tokio::test]
async fn an_unusable_address_is_told_without_its_password() {
    for uri in [
        "mongodb://u:CANARY:x@localhost",
        "mongodb://u:CANARY@",
        "http://u:CANARY@localhost",
        "mongodb://u:CANARY@h/?tls=maybe",
    ] {
        let (text, is_retried) = told(read(&table(uri.to_owned(), "chat", LiveRequest::default())).await);
        assert!(text.contains("MONGODB_URI cannot be used"), "{text}");
        assert!(!is_retried);
    }
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
async fn an_id_that_is_no_text_keeps_nobody_from_planning() {
    let mut broken = bson::RawDocumentBuf::try_from(&user("user-z")).unwrap().into_bytes();
    let last_of_id = broken.windows(2).position(|pair| pair == b"z\0").unwrap();
    broken[last_of_id] = 0xff;
    for without in [None, Some("$sample")] {
        let script = Script::new().documents(USERS, users(300).into_iter().chain([user("user-a"), user("user-c")]));
        let script = script.raw_document(USERS, Some("user-z".into()), broken.clone());
        let server = start(match without {
            Some(feature) => script.without(feature),
            None => script,
        });
        let found = read_from(&server).await.unwrap();
        assert_eq!(found.ids.len(), 302, "{without:?}");
        assert_eq!(found.rejects.len(), 1, "{without:?}");
        assert!(found.partitions > 5, "{without:?}: {}", found.partitions);
    }
}

#[tokio::test]
async fn an_empty_collection_is_empty() {
    let server = start(Script::new().collection(USERS));
    let found = read_from(&server).await.unwrap();
    assert_eq!((found.tally, found.partitions), (0, 1));
}

#[tokio::test]
async fn a_real_server_is_read_in_ranges() {
    let uri = std::env::var("QUICKCHAT_TEST_MONGODB_URI")
        .expect("QUICKCHAT_TEST_MONGODB_URI is not set: run the tests by scripts/test.sh, or `scripts/services.sh start mongodb`");
    let name = format!("quickchat_test_{}", std::process::id());
    let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
    let database = client.database(&name);
    let mut documents = users(400);
    documents.extend((0..100).map(|number| user(format!("user-{number:03}"))));
    documents.push(user(Bson::Int32(5)));
    database.collection::<Document>("users").insert_many(documents).await.unwrap();
    let found = read(&table(uri.clone(), &name, LiveRequest::default())).await;
    let since = LiveRequest { changed_since: Some(1_000_000), ..LiveRequest::default() };
    let changed = read(&table(uri.clone(), &name, since)).await;
    let since = LiveRequest { changed_since: Some(1_001_000), ..LiveRequest::default() };
    let unchanged = read(&table(uri, &name, since)).await;
    database.drop().await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.ids.len(), 500);
    assert_eq!(found.ids[..400], expected(400));
    assert_eq!(found.rejects, [("wrong_type".to_owned(), "mongodb/users:{\"$numberInt\":\"5\"}".to_owned())]);
    assert!(found.partitions > 5, "{}", found.partitions);
    assert_eq!(changed.unwrap().tally, 501);
    assert_eq!(unchanged.unwrap().tally, 0);
}
