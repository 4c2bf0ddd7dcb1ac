//! Documents and collections that change between planning and reading, and while they are read.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use datafusion::error::DataFusionError;
use quickchat_mongodb_stand_in::{Fault, Script, Snapshots, StandIn, When};
use quickchat_sources::{LiveNames, LiveRequest};

use super::{Found, USERS, cut_into, expected, object_id, plan, read, run, start, table, told, user, users};

/// The document under another name.
fn renamed(id: impl Into<Bson>, name: &str) -> Document {
    let mut document = user(id);
    document.insert("displayName", name);
    document
}

fn change(server: &StandIn, number: u32) {
    assert_eq!(server.remove(USERS, object_id(number)), 1);
    server.insert(USERS, &renamed(object_id(number), "changed"));
}

fn is_changed(found: &Found, number: u32) -> bool {
    found.names[&object_id(number).to_hex()] == "changed"
}

#[tokio::test]
async fn what_changes_after_planning_is_read_as_of_the_snapshot_or_as_of_now() {
    for snapshots in [Snapshots::Supported, Snapshots::Unknown] {
        let server = start(Script::new().documents(USERS, users(300)).snapshots(snapshots));
        let plan = plan(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap();
        change(&server, 150);
        assert_eq!(server.remove(USERS, object_id(10)), 1);
        // Moved to the other end, and into types that were not there.
        assert_eq!(server.remove(USERS, object_id(20)), 1);
        server.insert(USERS, &user(object_id(900)));
        server.insert(USERS, &user("late"));
        server.insert(USERS, &user(Bson::Int32(5)));
        let found = run(plan).await.unwrap();
        if snapshots == Snapshots::Supported {
            assert_eq!(found.ids, expected(300));
            assert!(!is_changed(&found, 150) && found.rejects.is_empty());
            continue;
        }
        let mut now = expected(300);
        now.retain(|id| ![object_id(10).to_hex(), object_id(20).to_hex()].contains(id));
        now.extend([object_id(900).to_hex(), "late".to_owned()]);
        assert_eq!(found.ids, now);
        assert!(is_changed(&found, 150));
        assert_eq!(found.rejects.len(), 1, "the id that is a number is put aside, and not unread");
    }
}

#[tokio::test]
async fn a_collection_that_was_empty_when_it_was_planned_is_read_whatever_came_into_it() {
    let server = start(Script::new().collection(USERS).snapshots(Snapshots::Unknown));
    let plan = plan(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap();
    server.insert(USERS, &user(object_id(1)));
    server.insert(USERS, &user("late"));
    server.insert(USERS, &user(Bson::Boolean(true)));
    let found = run(plan).await.unwrap();
    assert_eq!(found.ids, [object_id(1).to_hex(), "late".to_owned()]);
    assert_eq!(found.rejects.len(), 1);
}

/// Reads 1,500 users as one range, in batches of about a hundred; before the answer to the third request for more, something
/// happens, and then a fault strikes.
async fn read_while(
    snapshots: Snapshots,
    fault: Option<Fault>,
    happens: impl FnOnce(&StandIn),
) -> Result<Found, DataFusionError> {
    let third = || When::get_more().nth(3);
    let mut script = Script::new().documents(USERS, users(1_500)).snapshots(snapshots);
    script = script.fault(Fault::Hold, third());
    if let Some(fault) = fault.clone() {
        script = script.fault(fault, third());
    }
    let server = start(script);
    let table = cut_into(table(server.uri(), "chat", LiveRequest::default()), 1);
    let (found, ()) = tokio::join!(read(&table), async {
        while server.fired(&Fault::Hold) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        happens(&server);
        server.release();
    });
    assert!(server.unfired().is_empty(), "{:?} did not strike", server.unfired());
    found
}

#[tokio::test]
async fn what_changes_during_a_read_is_neither_missed_nor_doubled() {
    // About 300 documents have been read when this happens, and the cursor is lost.
    let happens = |server: &StandIn| {
        for number in [100, 1_000] {
            change(server, number);
        }
        for gone in [101, 1_001] {
            assert_eq!(server.remove(USERS, object_id(gone)), 1);
        }
        // One that was read comes again under a later id, which makes it another document, and one that was not comes
        // under an earlier one, where nobody looks any more: the next run finds it among the changes.
        let mut early = object_id(102).bytes();
        early[11] = 0;
        for (from, to) in [(102, object_id(2_000)), (1_002, ObjectId::from_bytes(early))] {
            assert_eq!(server.remove(USERS, object_id(from)), 1);
            server.insert(USERS, &renamed(to, "moved"));
        }
    };
    for fault in [Fault::CursorNotFound, Fault::CutBeforeReply] {
        let found = read_while(Snapshots::Supported, Some(fault.clone()), happens).await.unwrap();
        assert_eq!(found.ids, expected(1_500), "{fault:?}");
        assert!(found.names.values().all(|name| !["changed", "moved"].contains(&name.as_str())), "{fault:?}");

        let found = read_while(Snapshots::Unknown, Some(fault.clone()), happens).await.unwrap();
        let mut now = expected(1_500);
        now.retain(|id| ![object_id(1_001).to_hex(), object_id(1_002).to_hex()].contains(id));
        now.push(object_id(2_000).to_hex());
        assert_eq!(found.ids, now, "{fault:?}");
        assert!(!is_changed(&found, 100) && is_changed(&found, 1_000), "{fault:?}");
    }
    // When the snapshot is gone, what is left is read as of now.
    let found = read_while(Snapshots::Supported, Some(Fault::SnapshotTooOld), happens).await.unwrap();
    assert!(!is_changed(&found, 100) && is_changed(&found, 1_000));
    assert!(!found.ids.contains(&object_id(1_001).to_hex()) && found.ids.contains(&object_id(101).to_hex()));
}

#[tokio::test]
async fn a_collection_that_goes_during_a_read_is_no_end_of_the_read() {
    let drop = |server: &StandIn| assert!(server.drop_collection(USERS));
    let rename = |server: &StandIn| assert!(server.rename_collection(USERS, "chat.people"));
    let replace = |server: &StandIn| {
        assert!(server.drop_collection(USERS));
        for document in users(1_500) {
            server.insert(USERS, &document);
        }
    };
    type Happens<'h> = &'h dyn Fn(&StandIn);
    for (name, happens) in [("drop", &drop as Happens<'_>), ("rename", &rename), ("replace", &replace)] {
        for snapshots in [Snapshots::Supported, Snapshots::Unknown] {
            let killed = Fault::SnapshotUnavailable;
            for fault in [None, Some(Fault::CursorNotFound), Some(killed)] {
                let (text, is_retried) = told(read_while(snapshots, fault.clone(), happens).await);
                assert!(text.contains("chat.users is not at"), "{name} {snapshots:?} {fault:?}: {text}");
                assert!(!is_retried, "{name}: another attempt would not find it either");
            }
        }
    }
}

#[tokio::test]
async fn a_collection_that_goes_before_it_is_read_is_no_empty_one() {
    // The second: its UUID is not told, as to accounts that may read one collection and see no more than its name.
    for script in [Script::new(), Script::new().fault(Fault::Unauthorized, When::command("listCollections"))] {
        let server = start(script.documents(USERS, users(300)));
        let plan = plan(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap();
        assert!(server.unfired().is_empty());
        assert_eq!(run(plan.clone()).await.unwrap().ids, expected(300));
        server.insert("chat.people", &user("somebody"));
        assert!(server.drop_collection(USERS));
        let (text, _) = told(run(plan).await);
        assert!(text.contains("chat.users is not at") && text.contains("dropped"), "{text}");
    }
}

#[tokio::test]
async fn a_collection_that_may_be_absent_is_planned_as_one_empty_partition() {
    let server = start(Script::new().documents("chat.people", users(5)));
    let names = LiveNames { optional: true, ..LiveNames::default() };
    let found = read(&table(server.uri(), "chat", LiveRequest { names, ..LiveRequest::default() })).await.unwrap();
    assert_eq!((found.tally, found.partitions), (0, 1));
}

#[tokio::test]
async fn what_is_asked_of_a_document_does_not_depend_on_what_is_asked_of_the_collection() {
    // Else a document that is put aside would be another one in the next run.
    let mut broken = user("broken");
    broken.insert("createdAt", "never");
    broken.insert("seenAt", DateTime::from_millis(5_000));
    let server = start(Script::new().documents(USERS, [broken]));
    let names = || LiveNames { changed_field: Some("seenAt".to_owned()), ..LiveNames::default() };
    for changed_since in [None, Some(1_000)] {
        let request = LiveRequest { changed_since, names: names(), ..LiveRequest::default() };
        assert_eq!(read(&table(server.uri(), "chat", request)).await.unwrap().rejects.len(), 1);
    }
    let finds = server.requests_named("find").into_iter().filter(|find| !find.body.contains_key("singleBatch"));
    let projections: Vec<Document> = finds.map(|find| find.body.get_document("projection").unwrap().clone()).collect();
    assert_eq!(projections.len(), 2);
    assert_eq!(projections[0], projections[1]);
    assert!(projections[0].contains_key("displayName") && !projections[0].contains_key("seenAt"));
}

#[tokio::test]
async fn one_type_stays_one_range_for_all_others() {
    // Without a snapshot a range for texts and one for what is neither, besides those of the ids that there are.
    let server = start(Script::new().documents(USERS, users(300)).snapshots(Snapshots::Unknown));
    assert_eq!(read(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap().ids, expected(300));
    let filters: Vec<Document> = server
        .requests_named("find")
        .iter()
        .filter(|find| !find.body.contains_key("singleBatch"))
        .map(|find| find.body.get_document("filter").unwrap().clone())
        .collect();
    assert!(filters.contains(&doc! { "_id": { "$gte": "" } }), "{filters:?}");
    assert_eq!(filters.iter().filter(|filter| filter.contains_key("$and")).count(), 1, "{filters:?}");
}
