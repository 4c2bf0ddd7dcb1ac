//! How a collection is cut, and what planning takes from a server.

use std::time::Duration;

use quickchat_mongodb_stand_in::{Deployment, Fault, Refusal, Script, Snapshots, StandIn, When};
use quickchat_sources::{LiveRequest, SourceTable};

use bson::doc;

use super::{USERS, cut_into, expected, patient_table, plan, read, read_from, start, table, told, user, users};

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

/// As servers say now and then of a collection from which much was deleted.
fn no_sample() -> Fault {
    Fault::Refusal(Refusal::new(28799, "Location28799", "$sample stage could not find a non-duplicate document"))
}

#[tokio::test]
async fn without_a_sample_ranges_are_less_even_and_nothing_else() {
    // The first aggregation is that of the sizes.
    let sample = || When::command("aggregate").nth(2).always();
    for fault in [no_sample(), Fault::MaxTimeMsExpired, Fault::CutBeforeReply, Fault::Unauthorized, Fault::Hang] {
        let server = start(Script::new().documents(USERS, users(500)).fault(fault.clone(), sample()));
        let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(1));
        let found = read(&table).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(found.ids, expected(500), "{fault:?}");
        assert!(found.partitions > 5, "{fault:?}: {}", found.partitions);
        assert!(server.fired(&fault) > 0, "{fault:?} did not strike");
        assert_eq!(server.requests_named("aggregate").len(), 2, "{fault:?}: one try");
    }
}

#[tokio::test]
async fn a_sample_is_small_and_may_not_take_long() {
    let server = start(Script::new().documents(USERS, users(1_000)));
    assert_eq!(read_from(&server).await.unwrap().ids, expected(1_000));
    let asked = server.requests_named("aggregate").pop().unwrap().body;
    let stage = asked.get_array("pipeline").unwrap()[0].as_document().unwrap();
    assert_eq!(stage, &doc! { "$sample": { "size": 40_i64 } });
    assert!(asked.get_i64("maxTimeMS").is_ok() && asked.get_bool("allowDiskUse").unwrap(), "{asked}");

    // Of a view, whose documents would all have to be made and sorted, none is taken.
    let server = start(Script::new().documents(USERS, users(1_000)).without("$collStats"));
    assert_eq!(read_from(&server).await.unwrap().ids, expected(1_000));
    assert_eq!(server.requests_named("aggregate").len(), 1);
}

#[tokio::test]
async fn sizes_are_asked_for_again_and_a_count_is_only_advice() {
    let sizes = || When::command("aggregate");
    for (fault, when) in [(Fault::Hang, sizes()), (Fault::PrimarySteppedDown, sizes().times(4))] {
        let server = start(Script::new().documents(USERS, users(500)).fault(fault.clone(), when));
        let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(1));
        let found = read(&table).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(found.ids, expected(500), "{fault:?}");
        assert!(found.partitions > 5, "{fault:?}: {}", found.partitions);
        assert!(server.unfired().is_empty());
    }
    let server = start(Script::new().documents(USERS, users(500)).fault(Fault::Hang, sizes().always()));
    let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(1));
    let (text, is_retried) = told(read(&table).await);
    assert!(text.contains("has not answered for 2 s while planning to read chat.users"), "{text}");
    assert!(is_retried);

    let count = When::command("count");
    let script = Script::new().documents(USERS, users(500)).without("$collStats");
    let server = start(script.fault(Fault::Hang, count.always()));
    let since = LiveRequest { changed_since: Some(0), ..LiveRequest::default() };
    let table = patient_table(server.uri(), "chat", since, Duration::from_secs(1));
    assert_eq!(read(&table).await.unwrap().ids, expected(500));
    assert_eq!(server.fired(&Fault::Hang), 2, "of all and of the changes");
}

#[tokio::test]
async fn a_server_that_knows_no_majority_is_read_as_it_is() {
    for snapshots in [Snapshots::Unknown, Snapshots::Unavailable] {
        let script = Script::new().documents(USERS, users(500)).without_majority().snapshots(snapshots);
        let server = start(script);
        assert_eq!(read_from(&server).await.unwrap().ids, expected(500), "{snapshots:?}");
        let concern = server.requests_named("find").pop().unwrap().body.get_document("readConcern").unwrap().clone();
        assert_eq!(concern, doc! { "level": "local" }, "{snapshots:?}");
    }
    // Also when that is found out in the middle of a range, after its snapshot.
    let lost = When::get_more().nth(2);
    let script = Script::new().documents(USERS, users(1_500)).without_majority().fault(Fault::SnapshotTooOld, lost);
    let server = start(script);
    let table = cut_into(table(server.uri(), "chat", LiveRequest::default()), 1);
    assert_eq!(read(&table).await.unwrap().ids, expected(1_500));
    assert_eq!(server.fired(&Fault::SnapshotTooOld), 1);
    let concern = server.requests_named("find").pop().unwrap().body.get_document("readConcern").unwrap().clone();
    assert_eq!(concern, doc! { "level": "local" });
}

/// Plans until that is done by the secondary: a driver that knows only the primary yet takes that.
pub(super) async fn until_both_are_known(table: &SourceTable, primary: &StandIn, secondary: &StandIn) {
    while secondary.requests_named("find").is_empty() {
        plan(table).await.unwrap();
    }
    primary.forget_requests();
    secondary.forget_requests();
}

#[tokio::test]
async fn the_read_preference_of_the_address_counts_for_every_command() {
    let (primary, secondary) = StandIn::start_pair(Script::new().documents(USERS, users(1_500))).unwrap();
    let uri = format!("{}&readPreference=secondaryPreferred", primary.uri());
    let table = cut_into(table(uri, "chat", LiveRequest::default()), 3);
    until_both_are_known(&table, &primary, &secondary).await;
    assert_eq!(read(&table).await.unwrap().ids, expected(1_500));
    for name in ["listCollections", "find", "aggregate"] {
        assert!(primary.requests_named(name).is_empty(), "{name}");
        let asked = secondary.requests_named(name);
        assert!(!asked.is_empty(), "{name}");
        for request in asked {
            let preference = request.body.get_document("$readPreference").unwrap();
            assert_eq!(preference.get_str("mode").unwrap(), "secondaryPreferred", "{name}");
        }
    }
    assert!(primary.requests_named("getMore").is_empty() && !secondary.requests_named("getMore").is_empty());
}
