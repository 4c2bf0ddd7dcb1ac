//! What is said of a MongoDB server for a person who sets things up. Of MySQL it is tested with its server.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{DateTime, Document, doc};
use quickchat_mongodb_stand_in::{Access, Deployment, Fault, Script, StandIn, When};
use quickchat_sources::{Collection, Connections, Health, LiveNames, MongoSettings};

const PASSWORD: &str = "CANARY";

/// A server with accounts, of which `reader` may find documents and do what this privilege says.
fn server(resource: Document, actions: &[&str]) -> Script {
    let found = doc! { "resource": { "db": "chat", "collection": "" }, "actions": ["find", "listCollections"] };
    Script::new()
        .documents("chat.users", [doc! { "_id": 1, "createdAt": DateTime::from_millis(1_000) }])
        .access(Access::Password { user: "reader".to_owned(), password: PASSWORD.to_owned() })
        .privilege(found)
        .privilege(doc! { "resource": resource, "actions": actions })
}

fn connections(uri: String) -> Connections {
    let patience = Duration::from_secs(20);
    Connections::with_mongodb(MongoSettings { uri: uri.into(), database: Some("chat".to_owned()), patience })
}

async fn look(server: &StandIn) -> Health {
    connections(server.uri_as("reader", PASSWORD)).check_mongodb(&BTreeMap::new()).await.unwrap()
}

#[tokio::test]
async fn an_account_that_may_do_more_than_read_is_warned_of() {
    for (resource, actions, may) in [
        (doc! { "db": "chat", "collection": "" }, vec!["collStats"], None),
        (doc! { "db": "chat", "collection": "" }, vec!["insert", "update", "remove"], Some("insert, update, remove")),
        (doc! { "db": "chat", "collection": "messages" }, vec!["dropCollection"], Some("dropCollection")),
        (doc! { "db": "", "collection": "" }, vec!["createCollection"], Some("createCollection")),
        (doc! { "anyResource": true }, vec!["dropDatabase"], Some("dropDatabase")),
        (doc! { "db": "other", "collection": "" }, vec!["insert"], None),
        (doc! { "cluster": true }, vec!["insert"], None),
    ] {
        let health = look(&StandIn::start(server(resource.clone(), &actions)).unwrap()).await;
        let expected = may.map(|may| format!("this account may {may}; the role `read` is enough"));
        assert_eq!(health.warnings, Vec::from_iter(expected), "{resource}");
    }
}

#[tokio::test]
async fn a_server_without_accounts_or_snapshots_is_warned_of() {
    let server = StandIn::start(Script::new().deployment(Deployment::Standalone)).unwrap();
    let health = connections(server.uri()).check_mongodb(&BTreeMap::new()).await.unwrap();
    let [everyone, snapshots] = health.warnings.as_slice() else { panic!("{health:?}") };
    assert!(everyone.contains("nobody is logged in") && snapshots.contains("takes no snapshots"), "{health:?}");
}

#[tokio::test]
async fn what_a_server_does_not_say_is_told() {
    let script = server(doc! { "anyResource": true }, &["insert"]).without("connectionStatus");
    let health = look(&StandIn::start(script).unwrap()).await;
    assert_eq!(health.warnings, ["the server does not say what this account may do"]);
}

#[tokio::test]
async fn a_server_is_described() {
    let server = StandIn::start(server(doc! { "db": "chat", "collection": "" }, &["find"])).unwrap();
    let health = look(&server).await;
    assert_eq!(health.place, format!("{}/chat", server.address()));
    assert_eq!(health.version, "7.0.14");
    assert!(health.clock_ahead_millis.is_some_and(|ahead| ahead.abs() < 10_000), "{health:?}");
    let count = |health: &Health, collection| health.counts.iter().find(|(known, _)| *known == collection).unwrap().1;
    assert_eq!((count(&health, Collection::Users), count(&health, Collection::Calls)), (Some(1), None));

    let called = LiveNames { name: Some("users".to_owned()), ..LiveNames::default() };
    let connections = connections(server.uri_as("reader", PASSWORD));
    let health = connections.check_mongodb(&BTreeMap::from([(Collection::Calls, called)])).await.unwrap();
    assert_eq!(count(&health, Collection::Calls), Some(1));
}

/// Whoever cannot get in is told where.
#[tokio::test]
async fn a_server_that_refuses_has_a_place() {
    let server = StandIn::start(server(doc! {}, &[]).fault(Fault::Unauthorized, When::command("buildInfo"))).unwrap();
    let place = Some(format!("{}/chat", server.address()));
    for password in [PASSWORD, "wrong"] {
        let connections = connections(server.uri_as("reader", password));
        let error = connections.check_mongodb(&BTreeMap::new()).await.unwrap_err().to_string();
        assert!(error.contains("MongoDB refused") && !error.contains(PASSWORD), "{error}");
        assert_eq!(connections.mongodb_place().await, place);
    }
    assert_eq!(connections("mongodb://reader:CANARY@@x".to_owned()).mongodb_place().await, None);
}
