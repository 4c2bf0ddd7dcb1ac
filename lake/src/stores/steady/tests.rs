use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, RetryConfig};
use quickchat_testing::{Answer, Request, StandIn};

use super::upload::{COMPLETION, found_complete};
use super::*;

/// A bucket at a stand-in, by a client that repeats nothing by itself.
fn bucket(rule: impl FnMut(&Request) -> Option<Answer> + Send + 'static) -> (SteadyStore, StandIn) {
    let server = StandIn::start(rule);
    let client = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_access_key_id("id")
        .with_secret_access_key("secret")
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    (SteadyStore::of_s3(client.build().unwrap(), "bucket"), server)
}

fn delete_result(code: &str) -> Answer {
    let refused = format!("<Error><Key>b</Key><Code>{code}</Code><Message>m</Message></Error>");
    (200, format!("<DeleteResult><Deleted><Key>a</Key></Deleted>{refused}</DeleteResult>"))
}

async fn delete_two(store: &SteadyStore) -> Vec<Result<Path>> {
    let paths = ["a", "b"].map(|path| Ok(Path::from(path)));
    store.delete_stream(stream::iter(paths).boxed()).collect().await
}

#[tokio::test]
async fn a_deletion_that_is_refused_for_one_object_is_not_repeated() {
    let (store, server) = bucket(|_| Some(delete_result("AccessDenied")));
    let deleted = delete_two(&store).await;
    assert_eq!(deleted[0].as_ref().unwrap(), &Path::from("a"));
    let error = deleted[1].as_ref().unwrap_err();
    assert!(error.to_string().contains("allow them s3:ListBucket"), "{error}");
    assert!(!passes(error));
    assert_eq!(server.take_requests().len(), 1);
}

#[tokio::test]
async fn a_deletion_that_fails_for_now_for_one_object_is_repeated() {
    let mut first = true;
    let (store, server) = bucket(move |_| match std::mem::take(&mut first) {
        true => Some(delete_result("SlowDown")),
        false => Some((200, "<DeleteResult><Deleted><Key>b</Key></Deleted></DeleteResult>".to_owned())),
    });
    assert!(delete_two(&store).await.iter().all(Result::is_ok));
    assert_eq!(server.take_requests().len(), 2);
}

/// The answer to a listing with these keys.
fn page(keys: &[&str]) -> Answer {
    let object = |key: &&str| {
        format!("<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>")
    };
    let objects: String = keys.iter().map(object).collect();
    (200, format!("<ListBucketResult>{objects}</ListBucketResult>"))
}

fn asks_for_rooted(request: &Request) -> bool {
    request.target.contains("prefix=%2F&")
}

#[tokio::test]
async fn a_whole_bucket_with_keys_that_begin_with_a_slash_is_not_listed() {
    for keys in [["/z.jpg"], ["/"], ["//z.jpg"]] {
        let (store, server) = bucket(move |request| match asks_for_rooted(request) {
            true => Some(page(&keys)),
            false => Some(page(&["a"])),
        });
        let offset = Path::from("a");
        for listing in [store.list(None), store.list_with_offset(Some(&Path::default()), &offset)] {
            let error = listing.try_collect::<Vec<_>>().await.unwrap_err();
            assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
            assert!(error.to_string().contains("empty path segment"), "{error}");
        }
        assert!(server.take_requests().iter().all(asks_for_rooted));
        // Below a folder there are none.
        let folder: Vec<_> = store.list(Some(&Path::from("folder"))).try_collect().await.unwrap();
        assert_eq!(folder.len(), 1);
        assert!(!server.take_requests().iter().any(asks_for_rooted));
    }
}

#[tokio::test]
async fn keys_that_begin_with_a_slash_are_asked_for_once() {
    let (store, server) = bucket(|request| match asks_for_rooted(request) {
        true => Some(page(&[])),
        false => Some(page(&["a", "b"])),
    });
    for _ in 0..3 {
        let found: Vec<_> = store.list(None).map_ok(|object| object.location).try_collect().await.unwrap();
        assert_eq!(found, [Path::from("a"), Path::from("b")]);
    }
    let requests = server.take_requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    let first: Vec<&Request> = requests.iter().filter(|request| asks_for_rooted(request)).collect();
    assert_eq!(first, [&requests[0]]);
    assert!(requests[0].target.contains("max-keys=1"), "{requests:?}");
}

#[tokio::test]
async fn a_page_is_asked_for_again_however_long_the_last_one_was_looked_at() {
    let (store, server) = bucket(|request| match request.target.as_str() {
        target if target.contains("continuation-token=") => Some((503, String::new())),
        target if target.contains("start-after=") => Some(page(&["folder/b"])),
        _ => {
            let (status, body) = page(&["folder/a"]);
            let more = "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
            Some((status, body.replace("</ListBucketResult>", more)))
        }
    });
    let mut listing = store.list(Some(&Path::from("folder")));
    assert_eq!(listing.next().await.unwrap().unwrap().location, Path::from("folder/a"));
    tokio::time::sleep(LONG + Duration::from_secs(1)).await;
    assert_eq!(listing.next().await.unwrap().unwrap().location, Path::from("folder/b"));
    assert!(listing.next().await.is_none());
    assert_eq!(server.take_requests().len(), 3);
}

#[tokio::test]
async fn an_upload_whose_completion_was_not_heard_of_is_looked_for_within_bounds() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let location = Path::from("a");
    let put = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        store.put(&location, "abc".into()).await.unwrap();
    };
    let (found, ()) = tokio::join!(found_complete(&store, &location, 3), put);
    assert!(found.is_some());
    assert!(found_complete(&store, &location, 4).await.is_none(), "it is another one");

    let (silent, _server) = bucket(|_| None);
    let began = Instant::now();
    let silent: Arc<dyn ObjectStore> = Arc::new(silent);
    assert!(found_complete(&silent, &location, 3).await.is_none());
    // A request alone would be waited for twice as long; the rest is for a busy machine.
    assert!(began.elapsed() < COMPLETION * 2, "{:?}", began.elapsed());
}
