//! Servers that fail, hang, refuse or die while they are read.

use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use quickchat_mongodb_stand_in::{Access, Fault, Refusal, Script, StandIn, When};
use quickchat_sources::{Connections, LiveRequest, MongoSettings};

use super::planning::until_both_are_known;
use super::{
    USERS, cut_into, expected, found, patient_table, plan, read, read_from, start, table, told, users, users_table,
};

/// A router does not know any more which shard had what at the snapshot's instant.
fn stale_chunk_history() -> Fault {
    Fault::Refusal(Refusal::new(250, "StaleChunkHistory", "Chunk was moved after the snapshot's time"))
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
        (stale_chunk_history(), When::find().nth(3)),
        (stale_chunk_history(), When::get_more().nth(2)),
        (Fault::MaxTimeMsExpired, When::get_more().nth(1)),
    ] {
        let server = start(Script::new().documents(USERS, users(1_500)).fault(fault.clone(), when));
        let table = cut_into(table(server.uri(), "chat", LiveRequest::default()), 3);
        let found = read(&table).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(found.ids, expected(1_500), "{fault:?}");
        assert!(server.fired(&fault) > 0, "{fault:?} did not strike");
    }
}

#[tokio::test]
async fn a_server_that_never_recovers_ends_the_read_in_time() {
    let server =
        start(Script::new().documents(USERS, users(500)).fault(Fault::CursorNotFound, When::get_more().always()));
    let one_range = cut_into(table(server.uri(), "chat", LiveRequest::default()), 1);
    // Every new query brings its first batch, so this one does end.
    assert_eq!(read(&one_range).await.unwrap().ids, expected(500));

    let server =
        start(Script::new().documents(USERS, users(5)).fault(Fault::CutBeforeReply, When::find().nth(3).always()));
    let (text, is_retried) = told(read_from(&server).await);
    assert!(text.contains("reading chat.users") && text.contains("failed 6 times"), "{text}");
    assert!(is_retried);

    let server = start(Script::new().documents(USERS, users(5)).fault(Fault::Hang, When::find().nth(3).always()));
    let started = Instant::now();
    let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(1));
    let (text, is_retried) = told(read(&cut_into(table, 1)).await);
    assert!(text.contains("has not answered for 2 s while reading chat.users"), "{text}");
    assert!(is_retried && started.elapsed() < Duration::from_secs(20));
    assert_eq!(server.fired(&Fault::Hang), 2, "a second wait, and no third");
}

#[tokio::test]
async fn a_read_goes_on_after_an_answer_that_never_came() {
    for when in [When::get_more().nth(2), When::get_more().nth(4), When::find().nth(3)] {
        let server = start(Script::new().documents(USERS, users(1_500)).fault(Fault::Hang, when.clone()));
        let table = patient_table(server.uri(), "chat", LiveRequest::default(), Duration::from_secs(1));
        let found = read(&cut_into(table, 2)).await.unwrap_or_else(|error| panic!("{when:?}: {error}"));
        assert_eq!(found.ids, expected(1_500), "{when:?}");
        assert_eq!(server.fired(&Fault::Hang), 1, "{when:?}");
    }
}

#[tokio::test]
async fn a_read_goes_on_elsewhere_when_its_server_has_died() {
    const COUNT: u32 = 30_000;
    let (primary, secondary) = StandIn::start_pair(Script::new().documents(USERS, users(COUNT))).unwrap();
    let uri = format!("{}&readPreference=secondaryPreferred&serverSelectionTimeoutMS=3000", primary.uri());
    let table = cut_into(table(uri, "chat", LiveRequest::default()), 1);
    until_both_are_known(&table, &primary, &secondary).await;
    let plan = plan(&table).await.unwrap();
    let mut batches = plan.execute(0, SessionContext::new().task_ctx()).unwrap();
    let mut read = vec![batches.try_next().await.unwrap().unwrap()];
    // Until nothing is on its way: most of the range waits at the server to be asked for.
    let mut asked = 0;
    while asked < secondary.requests_named("getMore").len() {
        asked = secondary.requests_named("getMore").len();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(primary.requests_named("find").is_empty());
    secondary.stop();
    // Until the driver knows: from then on it looks for the cursor's server in vain.
    tokio::time::sleep(Duration::from_millis(500)).await;
    while let Some(batch) = batches.try_next().await.unwrap() {
        read.push(batch);
    }
    let found = found(&read);
    assert_eq!(found.ids, expected(COUNT));
    assert_eq!(found.tally, i64::from(COUNT));
    assert_eq!(primary.requests_named("find").len(), 1);
}

#[tokio::test]
async fn who_may_not_read_is_told_so() {
    let access = Access::Password { user: "reader".to_owned(), password: "right".to_owned() };
    let server = start(Script::new().documents(USERS, users(5)).access(access));
    let with = |uri| table(uri, "chat", LiveRequest::default());
    assert_eq!(read(&with(server.uri_as("reader", "right"))).await.unwrap().ids, expected(5));
    for uri in [server.uri_as("reader", "CANARY"), server.uri()] {
        let (text, is_retried) = told(read(&with(uri)).await);
        assert!(text.contains("MongoDB refused") && text.contains("user") && text.contains("MONGODB_URI"), "{text}");
        assert!(!is_retried);
    }
    let server = start(Script::new().documents(USERS, users(5)).fault(Fault::Unauthorized, When::find().always()));
    let (text, is_retried) = told(read_from(&server).await);
    assert!(text.contains("grant the role `read`"), "{text}");
    assert!(!is_retried);
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
        "mongodb://u:CANARY?x9@h:27017/chat",
        "mongodb://u:2024?CANARY@h:27017/chat",
        "mongodb://u:2024?CANARY=x@h:27017/chat",
        "mongodb+srv://u:CANARY?x9@h/chat",
        "mongodb://u:CANARY/x@h/chat",
        "mongodb://h/?CANARY",
        "mongodb://h:CANARY/",
    ] {
        let (text, is_retried) = told(read(&table(uri.to_owned(), "chat", LiveRequest::default())).await);
        assert!(text.contains("MONGODB_URI cannot be used") && text.contains("%3F"), "{text}");
        assert!(!is_retried);
    }
    // What is wrong with an option is told by its name.
    for (uri, option) in [
        ("mongodb://u:CANARY@h/?tls=maybe", "tls"),
        ("mongodb://h/?maxPoolSize=CANARY", "maxPoolSize"),
        ("mongodb://h/?authMechanismProperties=CANARY", "authMechanismProperties"),
    ] {
        let (text, is_retried) = told(read(&table(uri.to_owned(), "chat", LiveRequest::default())).await);
        assert!(text.contains(&format!("its option {option} is wrong")), "{text}");
        assert!(!is_retried);
    }
}

/// A server that knows one password, and connections that are told one password after the other.
fn rotating(script: Script, passwords: &'static [&'static str]) -> (StandIn, Connections) {
    let server = start(script.access(password(passwords[0])));
    let uris: Vec<String> = passwords.iter().map(|password| server.uri_as("reader", password)).collect();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let connections = Connections::with_mongodb_by(move || {
        let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(uris.len() - 1);
        let (uri, database) = (uris[asked].clone().into(), Some("chat".to_owned()));
        MongoSettings { uri, database, patience: Duration::from_secs(60) }
    });
    (server, connections)
}

fn password(password: &str) -> Access {
    Access::Password { user: "reader".to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn a_new_password_needs_no_new_process() {
    // Between two reads.
    let script = || Script::new().documents(USERS, users(1_500));
    let (server, connections) = rotating(script(), &["old", "new"]);
    server.set_access(password("new"));
    let table = cut_into(users_table(LiveRequest::default(), connections), 3);
    assert_eq!(read(&table).await.unwrap().ids, expected(1_500));

    // Between planning and reading, and within a range: connections that are logged in stay so, new ones do not.
    for when in [When::find().nth(3), When::get_more().nth(3)] {
        let (server, connections) = rotating(script().fault(Fault::CutBeforeReply, when.clone()), &["old", "new"]);
        let table = cut_into(users_table(LiveRequest::default(), connections), 1);
        let plan = plan(&table).await.unwrap();
        server.set_access(password("new"));
        assert_eq!(super::run(plan).await.unwrap().ids, expected(1_500), "{when:?}");
        assert_eq!(server.fired(&Fault::CutBeforeReply), 1, "{when:?}");
    }
}

#[tokio::test]
async fn an_old_password_is_tried_once() {
    let (server, connections) = rotating(Script::new().documents(USERS, users(5)), &["CANARY"]);
    server.set_access(password("new"));
    let (text, is_retried) = told(read(&users_table(LiveRequest::default(), connections)).await);
    assert!(text.contains("MongoDB refused the login for planning to read chat.users"), "{text}");
    assert!(!is_retried);
    assert_eq!(server.requests_named("saslStart").len(), 1);
}
