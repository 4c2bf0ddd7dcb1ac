//! Each fault strikes when it is due, the driver sees what it would see of a real server, and the strike is counted.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Client;
use mongodb::error::{Error, ErrorKind};
use quickchat_mongodb_stand_in::{Fault, Script, StandIn, When};

use crate::{PATIENCE, PEOPLE, code_of, until};

fn start(fault: &Fault, when: When) -> StandIn {
    let documents = (0..10).map(|id| doc! { "_id": id, "padding": "x".repeat(1000) });
    StandIn::start(Script::new().documents(PEOPLE, documents).fault(fault.clone(), when)).unwrap()
}

/// Reads everything in batches of two: a `find` and five `getMore`s.
async fn read(stand_in: &StandIn) -> Result<Vec<Document>, Error> {
    let client = Client::with_uri_str(stand_in.uri()).await.unwrap();
    let people = client.database("chat").collection::<Document>("people");
    people.find(doc! {}).batch_size(2).await?.try_collect().await
}

#[tokio::test]
async fn a_cut_within_a_reply_is_an_error_of_the_network() {
    for fault in [Fault::CutMidReply, Fault::CutBeforeReply] {
        let stand_in = start(&fault, When::get_more().nth(2));
        let error = read(&stand_in).await.unwrap_err();
        assert!(matches!(*error.kind, ErrorKind::Io(_)), "{error}");
        assert_eq!(stand_in.fired(&fault), 1);
        assert_eq!(stand_in.requests_named("getMore").len(), 2);
        assert_eq!(read(&stand_in).await.unwrap().len(), 10, "the server lives on");
    }
}

#[tokio::test]
async fn a_lost_cursor_stays_lost() {
    let stand_in = start(&Fault::CursorNotFound, When::get_more().on(PEOPLE).nth(3));
    assert_eq!(code_of(&read(&stand_in).await.unwrap_err()), Some(43));
    assert_eq!((stand_in.fired(&Fault::CursorNotFound), stand_in.open_cursors()), (1, 0));
}

#[tokio::test]
async fn a_change_of_role_is_survived_by_find_and_not_by_get_more() {
    let faults = [
        (Fault::NotWritablePrimary, 10107),
        (Fault::PrimarySteppedDown, 189),
        (Fault::InterruptedDueToReplStateChange, 11602),
    ];
    for (fault, code) in faults {
        let stand_in = start(&fault, When::find());
        assert_eq!(read(&stand_in).await.unwrap().len(), 10, "the driver repeats a find once");
        assert_eq!((stand_in.fired(&fault), stand_in.requests_named("find").len()), (1, 2));

        let stand_in = start(&fault, When::get_more());
        assert_eq!(code_of(&read(&stand_in).await.unwrap_err()), Some(code));

        let stand_in = start(&fault, When::find().times(2));
        assert_eq!(code_of(&read(&stand_in).await.unwrap_err()), Some(code), "twice is too much for the driver");
        assert_eq!(stand_in.fired(&fault), 2);
    }
}

#[tokio::test]
async fn after_a_change_of_role_one_client_finds_the_primary_again() {
    let stand_in = start(&Fault::NotWritablePrimary, When::get_more());
    // A client looks for a primary for half a minute, and its next regular question is an hour away.
    let uri = format!("{}&heartbeatFrequencyMS=3600000", stand_in.uri());
    let client = Client::with_uri_str(uri).await.unwrap();
    let people = client.database("chat").collection::<Document>("people");
    let read = async || people.find(doc! {}).batch_size(2).await?.try_collect::<Vec<_>>().await;
    assert_eq!(code_of(&read().await.unwrap_err()), Some(10107));
    assert_eq!(read().await.unwrap().len(), 10, "the monitor hears of the change");
}

#[tokio::test]
async fn without_a_primary_the_driver_waits_until_there_is_one() {
    let stand_in = start(&Fault::Hang, When::command("never"));
    let client = Client::with_uri_str(stand_in.uri()).await.unwrap();
    let people = client.database("chat").collection::<Document>("people");
    let cursor = people.find(doc! {}).batch_size(2).await.unwrap();
    stand_in.step_down();
    assert_eq!(cursor.try_collect::<Vec<_>>().await.unwrap().len(), 10, "open cursors go on");
    let waiting = tokio::time::timeout(Duration::from_millis(200), people.count_documents(doc! {})).await;
    assert!(waiting.is_err(), "{waiting:?}");
    let nearest = mongodb::options::ReadPreference::Nearest { options: None };
    let secondary = people.count_documents(doc! {}).selection_criteria(nearest.into());
    assert_eq!(secondary.await.unwrap(), 10);
    stand_in.step_up();
    assert_eq!(people.count_documents(doc! {}).await.unwrap(), 10);
}

#[tokio::test]
async fn the_other_errors_keep_their_codes() {
    let faults = [
        (Fault::MaxTimeMsExpired, 50),
        (Fault::Unauthorized, 13),
        (Fault::SnapshotTooOld, 239),
        (Fault::SnapshotUnavailable, 246),
    ];
    for (fault, code) in faults {
        let stand_in = start(&fault, When::read().nth(3).always());
        assert_eq!(code_of(&read(&stand_in).await.unwrap_err()), Some(code));
        assert_eq!(stand_in.fired(&fault), 1, "find, getMore, then the fault");
    }
}

#[tokio::test]
async fn a_hang_lasts() {
    let stand_in = Arc::new(start(&Fault::Hang, When::get_more().nth(2)));
    assert_eq!(stand_in.unfired(), [Fault::Hang]);
    let reading = tokio::spawn({
        let stand_in = Arc::clone(&stand_in);
        async move { read(&stand_in).await }
    });
    until("the hang", || stand_in.fired(&Fault::Hang) == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!reading.is_finished(), "{:?}", reading.await);
    assert_eq!(stand_in.unfired(), []);
    reading.abort();
}

#[tokio::test]
async fn a_slow_server_answers_late() {
    let delay = Fault::Delay(Duration::from_millis(40));
    let stand_in = start(&delay, When::read().always());
    let started = Instant::now();
    assert_eq!(read(&stand_in).await.unwrap().len(), 10);
    assert_eq!(stand_in.fired(&delay), 6);
    assert!(started.elapsed() >= Duration::from_millis(6 * 40));
}

#[tokio::test]
async fn faults_can_be_planned_while_the_server_runs() {
    let stand_in = start(&Fault::Hang, When::command("never"));
    assert_eq!(read(&stand_in).await.unwrap().len(), 10);
    stand_in.inject(Fault::MaxTimeMsExpired, When::get_more());
    assert_eq!(code_of(&read(&stand_in).await.unwrap_err()), Some(50));
    assert_eq!(stand_in.fired(&Fault::MaxTimeMsExpired), 1);
}

#[tokio::test]
async fn a_stopped_server_is_gone() {
    let stand_in = start(&Fault::Hang, When::command("never"));
    let mut connection = TcpStream::connect(stand_in.address()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read(&stand_in).await.unwrap().len(), 10);
    // Made for after the end: while there is a server, it may take longer to be found.
    let uri = format!("{}&serverSelectionTimeoutMS=500", stand_in.uri());
    stand_in.stop();
    match connection.read(&mut [0; 1]) {
        Ok(length) => assert_eq!(length, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let client = Client::with_uri_str(uri).await.unwrap();
    assert!(client.database("chat").run_command(doc! { "ping": 1 }).await.is_err());
}
