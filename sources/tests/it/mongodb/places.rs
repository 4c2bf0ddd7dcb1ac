//! Plans that are executed by processes with an environment of their own.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use quickchat_mongodb_stand_in::{Script, StandIn};
use quickchat_sources::{Connections, LiveRequest, MongoSettings, codec};

use super::{USERS, expected, plan, run, start, table, told, user, users};

/// The connections of a process that is told this address and no database but the one that the address names.
fn connections(uri: String) -> Connections {
    Connections::with_mongodb(MongoSettings { uri: uri.into(), database: None, patience: Duration::from_secs(60) })
}

/// The plan as another process gets it.
fn sent(plan: &Arc<dyn ExecutionPlan>, to: &Connections) -> Arc<dyn ExecutionPlan> {
    let bytes = codec::encode_plan(plan).unwrap().unwrap();
    codec::decode_plan(&bytes, &[Arc::clone(plan.children()[0])], to).unwrap()
}

/// The address with this database.
fn naming(database: &str, server: &StandIn) -> String {
    server.uri().replacen("/?", &format!("/{database}?"), 1)
}

#[tokio::test]
async fn who_plans_says_which_database_is_read() {
    // What the process that reads would take by itself is there too, and is something else.
    let server = start(Script::new().documents(USERS, users(300)).documents("quickchat.users", [user("other")]));
    let plan = plan(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap();
    for uri in [server.uri(), naming("chat", &server)] {
        assert_eq!(run(sent(&plan, &connections(uri))).await.unwrap().ids, expected(300));
    }
    for database in ["quickchat", "empty"] {
        let (text, is_retried) = told(run(sent(&plan, &connections(naming(database, &server)))).await);
        assert!(text.contains("planned to be read from the MongoDB database `chat`"), "{text}");
        assert!(text.contains(&format!("`{database}`")) && text.contains("MONGODB_DATABASE"), "{text}");
        assert!(!is_retried);
    }
}

#[tokio::test]
async fn another_server_is_not_taken_for_the_one_that_was_planned() {
    let server = start(Script::new().documents(USERS, users(300)));
    let plan = plan(&table(server.uri(), "chat", LiveRequest::default())).await.unwrap();
    for script in [
        Script::new().documents(USERS, users(300)),
        Script::new().documents(USERS, [user("other")]),
        Script::new().documents("chat.people", users(300)),
        Script::new(),
    ] {
        let other = start(script);
        let (text, is_retried) = told(run(sent(&plan, &connections(other.uri()))).await);
        let place = format!("chat.users is not at {}/chat", other.address());
        assert!(text.contains(&place) && text.contains("MONGODB_URI names another server"), "{text}");
        assert!(!is_retried);
    }
}

#[tokio::test]
async fn another_member_of_the_set_is_the_same_server() {
    let (primary, secondary) = StandIn::start_pair(Script::new().documents(USERS, users(300))).unwrap();
    let plan = plan(&table(primary.uri(), "chat", LiveRequest::default())).await.unwrap();
    let uri = format!("{}&readPreference=secondary", primary.uri());
    assert_eq!(run(sent(&plan, &connections(uri))).await.unwrap().ids, expected(300));
    assert!(!secondary.requests_named("find").is_empty());
}
