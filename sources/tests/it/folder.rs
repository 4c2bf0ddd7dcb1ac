//! Listing an export folder.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use quickchat_sources::{Collection, ExportFolder, Fault, FileFormat, SourceError};
use url::Url;

use crate::{export, location};

fn paths(folder: &ExportFolder, collection: Collection) -> Vec<&str> {
    let files = folder.files(collection).iter();
    files.map(|file| file.path.as_str()).collect()
}

#[tokio::test]
async fn files_are_found_and_sorted_by_bytes() {
    let folder = export(&[
        ("mongodb/messages_b.json", b"{}"),
        ("mongodb/messages.json", b""),
        ("mongodb/messages_B.json.gz", b"123"),
        ("mongodb/messages.metadata.json", b"{}"),
        ("mongodb/users.json", b"{}"),
        ("mongodb/userstats.json", b"{}"),
        ("mongodb/notes.txt", b""),
        ("mongodb/deeper/messages.json", b"{}"),
        ("mysql/users.csv", b"id\n"),
        ("mysql/users_sessions.csv", b"id\n"),
        ("media/a/b.png", b""),
    ]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    assert_eq!(
        paths(&opened, Collection::Messages),
        ["mongodb/messages.json", "mongodb/messages_B.json.gz", "mongodb/messages_b.json"]
    );
    assert_eq!(paths(&opened, Collection::Users), ["mongodb/users.json"]);
    assert_eq!(paths(&opened, Collection::AuthUsers), ["mysql/users.csv"]);
    assert_eq!(paths(&opened, Collection::Calls), Vec::<&str>::new());
    assert_eq!(
        opened.unclaimed(),
        ["mongodb/messages.metadata.json", "mongodb/notes.txt", "mongodb/userstats.json", "mysql/users_sessions.csv"]
    );
    let packed = &opened.files(Collection::Messages)[1];
    assert_eq!((packed.format, packed.gzip, packed.size), (FileFormat::Json, true, 3));
    assert_eq!(opened.table(Collection::Messages).size_bytes(), 5);
}

#[tokio::test]
async fn auth_users_are_preferred_to_users() {
    let folder =
        export(&[("mysql/users.csv", b"id\n"), ("mysql/auth_users_1.parquet", b""), ("mysql/auth_users.csv.gz", b"")]);
    let opened = ExportFolder::open(location(&folder)).await.unwrap();
    assert_eq!(paths(&opened, Collection::AuthUsers), ["mysql/auth_users.csv.gz", "mysql/auth_users_1.parquet"]);
    assert_eq!(opened.unclaimed(), ["mysql/users.csv"]);
}

#[tokio::test]
async fn a_file_url_and_a_path_with_spaces() {
    let folder = export(&[("my exports/mongodb/calls.json", b"{}")]);
    let path = folder.path().join("my exports");
    let url = Url::from_directory_path(&path).unwrap();
    for location in [url.as_str(), path.to_str().unwrap()] {
        let opened = ExportFolder::open(location).await.unwrap();
        assert_eq!(paths(&opened, Collection::Calls), ["mongodb/calls.json"]);
    }
}

#[tokio::test]
async fn folders_that_cannot_be_used() {
    let empty = export(&[]);
    let foreign = export(&[("mongodb/readme.json", b"{}"), ("users.json", b"{}")]);
    let file = export(&[("file", b"")]);
    let missing = empty.path().join("nowhere");
    for (location, expected) in [
        (missing.to_str().unwrap().to_owned(), "does not exist"),
        (file.path().join("file").to_str().unwrap().to_owned(), "is not a folder"),
        (location(&empty).to_owned(), "holds none of the collections"),
        (location(&foreign).to_owned(), "holds none of the collections"),
        ("s3://bucket/exports".to_owned(), "object store"),
        (String::new(), "empty"),
    ] {
        let error = ExportFolder::open(&location).await.unwrap_err();
        let message = error.to_string();
        for part in [location.as_str(), expected, "EXPORTS_PATH", "--exports"] {
            assert!(message.contains(part), "{message} should contain {part}");
        }
        assert_eq!(error.fault(), Fault::User);
    }
}

#[tokio::test]
async fn any_object_store() {
    let store = Arc::new(InMemory::new());
    for path in ["a/exports/mongodb/users.json", "a/exports2/mongodb/calls.json"] {
        let payload = PutPayload::from_static(b"{}");
        store.put(&Path::from(path), payload).await.unwrap();
    }
    let url = Url::parse("memory://bucket/a/exports/").unwrap();
    let opened = ExportFolder::open_in(&url, store.as_ref()).await.unwrap();
    assert_eq!(paths(&opened, Collection::Users), ["mongodb/users.json"]);
    assert_eq!(paths(&opened, Collection::Calls), Vec::<&str>::new());
    let nowhere = Url::parse("memory://bucket/b").unwrap();
    let error = ExportFolder::open_in(&nowhere, store.as_ref()).await.unwrap_err();
    assert!(matches!(error, SourceError::NoCollections { .. }), "{error}");
}
