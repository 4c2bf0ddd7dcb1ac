//! What the stand-in claims to be and to support, and what follows from it.

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Client;
use mongodb::error::ErrorKind;
use quickchat_mongodb_stand_in::{Access, Deployment, Fault, Refusal, Script, Snapshots, StandIn, When};

use crate::{PEOPLE, by_id, code_of, connect, find, ids};

#[tokio::test]
async fn a_snapshot_sees_its_own_time() {
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, (0..3).map(|id| doc! { "_id": id }))).unwrap();
    let client = connect(&stand_in).await;
    let people = client.database("chat").collection::<Document>("people");
    let mut session = client.start_session().snapshot(true).await.unwrap();
    let mut first = people.find(doc! { "_id": { "$lt": 1 } }).session(&mut session).await.unwrap();
    assert_eq!(first.stream(&mut session).try_collect::<Vec<_>>().await.unwrap().len(), 1);

    stand_in.insert(PEOPLE, &doc! { "_id": 9 });
    assert_eq!(stand_in.remove(PEOPLE, 2), 1);
    let mut second = people.find(doc! { "_id": { "$gte": 1 } }).session(&mut session).await.unwrap();
    let seen = second.stream(&mut session).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(ids(&seen), [1.into(), 2.into()]);
    assert_eq!(ids(&find(&client, doc! { "_id": { "$gte": 1 } }, by_id()).await.unwrap()), [1.into(), 9.into()]);

    let finds = stand_in.requests_named("find");
    let concern = |at: usize| finds[at].body.get_document("readConcern").unwrap().clone();
    assert_eq!(concern(0), doc! { "level": "snapshot" });
    assert!(concern(1).get_timestamp("atClusterTime").is_ok());
}

#[tokio::test]
async fn snapshots_can_be_refused() {
    let cases = [
        (Script::new().snapshots(Snapshots::Unknown), 72),
        (Script::new().snapshots(Snapshots::Unavailable), 246),
        (Script::new().deployment(Deployment::Standalone), 123),
    ];
    for (script, code) in cases {
        let stand_in = StandIn::start(script.collection(PEOPLE)).unwrap();
        let client = connect(&stand_in).await;
        let read = doc! { "find": "people", "readConcern": { "level": "snapshot" } };
        let refused = client.database("chat").run_command(read).await.unwrap_err();
        assert_eq!(code_of(&refused), Some(code), "{refused}");
    }
}

#[tokio::test]
async fn counts_samples_and_statistics_are_answered() {
    let documents = (0..500).map(|id| doc! { "_id": id, "even": id % 2 == 0 });
    let stand_in = StandIn::start(Script::new().documents(PEOPLE, documents)).unwrap();
    let client = connect(&stand_in).await;
    let people = client.database("chat").collection::<Document>("people");
    assert_eq!(people.estimated_document_count().await.unwrap(), 500);
    assert_eq!(people.count_documents(doc! { "even": true }).await.unwrap(), 250);
    assert_eq!(people.count_documents(doc! { "even": 3 }).await.unwrap(), 0);
    let aggregate = async |pipeline: Vec<Document>| -> Vec<Document> {
        people.aggregate(pipeline).await.unwrap().try_collect().await.unwrap()
    };
    let sample = vec![
        doc! { "$match": { "even": true } },
        doc! { "$sample": { "size": 120 } },
        doc! { "$project": { "_id": 1 } },
    ];
    let sampled = aggregate(sample).await;
    let distinct: std::collections::BTreeSet<i32> =
        sampled.iter().map(|document| document.get_i32("_id").unwrap()).collect();
    assert_eq!((sampled.len(), distinct.len()), (120, 120));
    assert!(distinct.iter().all(|id| id % 2 == 0) && distinct.iter().any(|&id| id > 400));
    assert_eq!(sampled[0].len(), 1);
    assert_eq!(aggregate(vec![doc! { "$match": { "_id": 7 } }, doc! { "$count": "n" }]).await, [doc! { "n": 1 }]);
    let stats = &aggregate(vec![doc! { "$collStats": { "storageStats": {}, "count": {} } }]).await[0];
    let storage = stats.get_document("storageStats").unwrap();
    assert_eq!((stats.get_i64("count").unwrap(), storage.get_i64("count").unwrap()), (500, 500));
    let bytes = doc! { "_id": 0, "even": true }.to_vec().unwrap().len() as i64;
    assert_eq!(storage.get_i64("avgObjSize").unwrap(), bytes);
    assert_eq!(client.database("chat").list_collection_names().await.unwrap(), ["people"]);
}

#[tokio::test]
async fn what_is_taken_away_is_refused_as_an_old_server_refuses_it() {
    let script = Script::new().collection(PEOPLE).without("$sample").without("listCollections");
    let stand_in = StandIn::start(script).unwrap();
    let client = connect(&stand_in).await;
    let database = client.database("chat");
    let pipeline = [doc! { "$sample": { "size": 1 } }];
    let refused = database.collection::<Document>("people").aggregate(pipeline).await.unwrap_err();
    assert_eq!(code_of(&refused), Some(40324));
    assert_eq!(code_of(&database.list_collection_names().await.unwrap_err()), Some(59));
    assert_eq!(code_of(&database.run_command(doc! { "frobnicate": 1 }).await.unwrap_err()), Some(59));
    assert!(database.run_command(doc! { "ping": 1 }).await.is_ok());
}

#[tokio::test]
async fn the_server_is_what_it_claims_to_be() {
    let standalone = StandIn::start(Script::new().deployment(Deployment::Standalone).collection(PEOPLE)).unwrap();
    let sharded = StandIn::start(Script::new().deployment(Deployment::Sharded).collection(PEOPLE)).unwrap();
    for stand_in in [&standalone, &sharded] {
        assert!(find(&connect(stand_in).await, doc! {}, by_id()).await.unwrap().is_empty());
    }
    let hello = connect(&sharded).await.database("admin").run_command(doc! { "hello": 1 }).await.unwrap();
    assert_eq!(hello.get_str("msg").unwrap(), "isdbgrid");

    let old = StandIn::start(Script::new().version("4.2.24", 0, 8).collection(PEOPLE)).unwrap();
    let refused = connect(&old).await.database("chat").run_command(doc! { "ping": 1 }).await.unwrap_err();
    assert!(refused.to_string().contains("wire version"), "{refused}");

    let newer = StandIn::start(Script::new().version("8.0.4", 0, 25)).unwrap();
    let info = connect(&newer).await.database("admin").run_command(doc! { "buildInfo": 1 }).await.unwrap();
    assert_eq!(info.get_array("versionArray").unwrap(), &[8, 0, 4, 0].map(Bson::Int32));
}

#[tokio::test]
async fn nobody_is_let_in() {
    let stand_in = StandIn::start(Script::new().access(Access::Refused).collection(PEOPLE)).unwrap();
    let refused = find(&connect(&stand_in).await, doc! {}, by_id()).await.unwrap_err();
    assert_eq!(code_of(&refused), Some(13));

    let client = Client::with_uri_str(stand_in.uri_as("reader", "secret")).await.unwrap();
    let refused = find(&client, doc! {}, by_id()).await.unwrap_err();
    assert!(matches!(*refused.kind, ErrorKind::Authentication { .. }), "{refused}");
    assert!(!stand_in.requests_named("saslStart").is_empty());
}

#[tokio::test]
async fn any_error_can_be_scripted() {
    let overloaded =
        Refusal { labels: vec!["Overloaded".into()], ..Refusal::new(462, "IngressRequestRateLimit", "no") };
    let fault = Fault::Refusal(overloaded);
    let when = When::command("ping");
    let stand_in = StandIn::start(Script::new().fault(fault.clone(), when)).unwrap();
    let refused = connect(&stand_in).await.database("admin").run_command(doc! { "ping": 1 }).await.unwrap_err();
    assert!(refused.contains_label("Overloaded"));
    assert_eq!((code_of(&refused), stand_in.fired(&fault)), (Some(462), 1));
}

#[tokio::test]
async fn who_knows_the_password_is_let_in() {
    let access = Access::Password { user: "reader".into(), password: "secret".into() };
    let stand_in = StandIn::start(Script::new().access(access).documents(PEOPLE, [doc! { "_id": 1 }])).unwrap();
    let client = Client::with_uri_str(stand_in.uri_as("reader", "secret")).await.unwrap();
    assert_eq!(find(&client, doc! {}, by_id()).await.unwrap(), [doc! { "_id": 1 }]);
    let status = client.database("admin").run_command(doc! { "connectionStatus": 1 }).await.unwrap();
    let users = status.get_document("authInfo").unwrap().get_array("authenticatedUsers").unwrap();
    assert_eq!(users, &[Bson::Document(doc! { "user": "reader", "db": "admin" })]);

    for (user, password) in [("reader", "wrong"), ("writer", "secret")] {
        let client = Client::with_uri_str(stand_in.uri_as(user, password)).await.unwrap();
        let refused = find(&client, doc! {}, by_id()).await.unwrap_err();
        assert!(matches!(*refused.kind, ErrorKind::Authentication { .. }), "{refused}");
    }
    assert_eq!(code_of(&find(&connect(&stand_in).await, doc! {}, by_id()).await.unwrap_err()), Some(13));
}

#[tokio::test]
async fn collections_are_told_by_name_and_by_uuid() {
    let script = Script::new().collection(PEOPLE).collection("chat.pets").collection("other.people");
    let stand_in = StandIn::start(script).unwrap();
    let database = connect(&stand_in).await.database("chat");
    let listed = async |filter: Document| -> Vec<Document> {
        let command = doc! { "listCollections": 1, "filter": filter };
        database.run_cursor_command(command).await.unwrap().try_collect().await.unwrap()
    };
    let uuid = async |name: &str| -> Bson {
        let [found] = listed(doc! { "name": name }).await.try_into().unwrap();
        found.get_document("info").unwrap().get("uuid").cloned().unwrap()
    };
    assert_eq!(listed(doc! {}).await.len(), 2);
    let people = uuid("people").await;
    assert_ne!(people, uuid("pets").await);
    assert!(stand_in.rename_collection("chat.pets", "chat.animals") && stand_in.drop_collection(PEOPLE));
    assert!(!stand_in.drop_collection(PEOPLE) && !stand_in.rename_collection(PEOPLE, "chat.pets"));
    assert_eq!(database.list_collection_names().await.unwrap(), ["animals"]);
    stand_in.insert(PEOPLE, &doc! { "_id": 1 });
    assert_ne!(uuid("people").await, people, "another collection of the same name");
}

#[tokio::test]
async fn a_read_of_a_majority_can_be_refused() {
    let stand_in = StandIn::start(Script::new().without_majority().collection(PEOPLE)).unwrap();
    let database = connect(&stand_in).await.database("chat");
    let read = |level: &str| doc! { "find": "people", "readConcern": { "level": level } };
    assert_eq!(code_of(&database.run_command(read("majority")).await.unwrap_err()), Some(148));
    assert!(database.run_command(read("local")).await.is_ok());
}

#[tokio::test]
async fn both_members_of_a_pair_hold_the_same() {
    let (primary, secondary) = StandIn::start_pair(Script::new().documents(PEOPLE, [doc! { "_id": 1 }])).unwrap();
    let client = connect(&primary).await;
    secondary.insert(PEOPLE, &doc! { "_id": 2 });
    let people = client.database("chat").collection::<Document>("people");
    let secondaries = mongodb::options::ReadPreference::Secondary { options: None };
    let found = people.find(doc! {}).sort(doc! { "_id": 1 }).selection_criteria(secondaries.into());
    assert_eq!(ids(&found.await.unwrap().try_collect::<Vec<_>>().await.unwrap()), [1.into(), 2.into()]);
    assert_eq!(people.find(doc! {}).await.unwrap().try_collect::<Vec<_>>().await.unwrap().len(), 2);
    assert_eq!((primary.requests_named("find").len(), secondary.requests_named("find").len()), (1, 1));
}

#[tokio::test]
async fn another_password_is_for_new_connections() {
    let access = |password: &str| Access::Password { user: "reader".into(), password: password.into() };
    let stand_in = StandIn::start(Script::new().access(access("old")).collection(PEOPLE)).unwrap();
    let old = Client::with_uri_str(stand_in.uri_as("reader", "old")).await.unwrap();
    assert!(find(&old, doc! {}, by_id()).await.is_ok());
    stand_in.set_access(access("new"));
    assert!(find(&old, doc! {}, by_id()).await.is_ok(), "who is logged in stays so");
    for (password, is_let_in) in [("old", false), ("new", true)] {
        let client = Client::with_uri_str(stand_in.uri_as("reader", password)).await.unwrap();
        assert_eq!(find(&client, doc! {}, by_id()).await.is_ok(), is_let_in, "{password}");
    }
}
