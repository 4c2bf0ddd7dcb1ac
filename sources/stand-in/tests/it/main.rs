//! The official driver, and what it does not do by hand, against a stand-in.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests may")]

mod claims;
mod faults;
mod reading;
mod wire;

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Client;
use mongodb::options::FindOptions;
use quickchat_mongodb_stand_in::StandIn;

/// The collection of all tests.
const PEOPLE: &str = "chat.people";

/// How long something may take that must come about. Only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connect(stand_in: &StandIn) -> Client {
    Client::with_uri_str(stand_in.uri()).await.unwrap()
}

async fn find(client: &Client, filter: Document, options: FindOptions) -> mongodb::error::Result<Vec<Document>> {
    let people = client.database("chat").collection::<Document>("people");
    people.find(filter).with_options(options).await?.try_collect().await
}

fn ids(documents: &[Document]) -> Vec<Bson> {
    documents.iter().map(|document| document.get("_id").cloned().unwrap()).collect()
}

fn by_id() -> FindOptions {
    FindOptions::builder().sort(doc! { "_id": 1 }).build()
}

/// The number of an error that the server answered with.
fn code_of(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        mongodb::error::ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
