//! A lake on a real S3 server: what it costs in requests, and what becomes of uploads that do not end well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, RetryConfig};
use parking_lot::Mutex;
use quickchat_lake::LakeError;
use quickchat_lake::operation::{QueryRunner, Scope, Target};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::write::WriteNode;
use quickchat_testing::{Bucket, Fault, FaultyProxy, Request};

use crate::fixtures::{Bench, endless, event, events, readings, scan_plan, stream_of};
use crate::write::{many_rows, output, spec, until};

/// A bucket behind a proxy.
struct Site {
    bucket: Arc<Bucket>,
    proxy: FaultyProxy,
}

impl Site {
    fn new(rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> Self {
        let bucket = Arc::new(Bucket::new());
        let proxy = FaultyProxy::start(&bucket.server.endpoint, rule);
        Self { bucket, proxy }
    }

    /// The lake in the bucket, as a process sees it that has opened nothing yet.
    fn bench(&self) -> Bench {
        Bench::in_bucket(&self.bucket.name, self.client())
    }

    fn client(&self) -> AmazonS3Builder {
        let retries = RetryConfig { retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
        self.bucket.builder(&self.proxy.endpoint()).with_retry(retries)
    }

    /// From now on the rule holds. Gives how many uploads were open at each fault.
    fn fail_by(&self, mut rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> Arc<Mutex<Vec<usize>>> {
        let open: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (bucket, seen) = (Arc::clone(&self.bucket), Arc::clone(&open));
        self.proxy.set_rule(move |request| {
            let fault = rule(request)?;
            seen.lock().push(bucket.open_uploads().len());
            Some(fault)
        });
        open
    }

    /// The requests since the last call, without bucket and lake.
    fn requests(&self) -> Vec<String> {
        let short = |request: Request| {
            let target =
                request.target.replace(&format!("/{}", self.bucket.name), "").replace("/lake/bronze/events", "");
            format!("{} {target}", request.method)
        };
        self.proxy.take_requests().into_iter().map(short).collect()
    }
}

#[tokio::test]
async fn opening_scanning_and_committing_cost_few_requests() {
    let site = Site::new(|_| None);
    let bench = site.bench();
    let target = events(&bench);
    for version in 0..4 {
        bench.replace(&target, Scope::Table, &[event(&version.to_string(), "2026-01-01", version)]).await.unwrap();
    }

    // A process that has not seen the table: the log's listing, its pointer to a checkpoint, one read an entry, and one
    // look at the newest, by which it is known again.
    let reader = site.bench();
    site.requests();
    let pinned = reader.latest(&target).await;
    let opened = site.requests();
    assert!(opened.len() <= 7, "opening a log of four entries: {opened:#?}");

    // With nothing new.
    reader.latest(&target).await;
    let again = site.requests();
    assert!(again.len() <= 2, "opening it again: {again:#?}");

    // Planned in the same process, where the version is known: nothing but what the files hold.
    let plan = reader.sql("SELECT id FROM t", DeltaScan::of(&reader.tables, &pinned)).await;
    reader.runner.plan(&plan).await.unwrap();
    let planned = site.requests();
    assert_eq!(planned, [""; 0], "planning a scan of a version that the process knows");

    // In another one, as on a scheduler: once what opening costs, without a look at the newest.
    let scheduler = site.bench();
    let plan = scheduler.sql("SELECT id FROM t", DeltaScan::of(&scheduler.tables, &pinned)).await;
    scheduler.runner.plan(&plan).await.unwrap();
    let planned = site.requests();
    assert!(planned.len() <= 6, "planning a scan elsewhere: {planned:#?}");

    // Reading: whether anything is new, and the one file, which is small, as a whole.
    assert_eq!(reader.rows(&target).await, [event("3", "2026-01-01", 3)]);
    let read = site.requests();
    assert!(read.len() <= 3, "reading a file of some rows: {read:#?}");

    // A replacement of a table that the process knows: one file, one entry in the log; and a look whether others have
    // come first.
    bench.latest(&target).await;
    site.requests();
    bench.replace(&target, Scope::Table, &[event("x", "2026-01-01", 9)]).await.unwrap();
    let replaced = site.requests();
    let puts = replaced.iter().filter(|request| request.starts_with("PUT")).count();
    assert_eq!(puts, 2, "a file and an entry: {replaced:#?}");
    assert!(replaced.len() <= 6, "a commit: {replaced:#?}");
    println!(
        "open {opened:#?}\nagain {again:#?}\nplanned elsewhere {planned:#?}\nread {read:#?}\nreplaced {replaced:#?}"
    );
}

/// A table of one wide file, so large that it is uploaded in parts.
fn large(bench: &Bench) -> (Target, Vec<arrow::array::RecordBatch>) {
    let mut target = readings(bench);
    let (schema, rows) = many_rows(300_000);
    target.schema = schema;
    target.statistics_columns = Vec::new();
    (target, (0..300).map(|at| rows.slice(at * 1000, 1000)).collect())
}

fn is_beginning(request: &Request) -> bool {
    request.method == "POST" && request.target.contains("uploads=")
}

fn is_part(request: &Request) -> bool {
    request.method == "PUT" && request.target.contains("partNumber=")
}

fn puts_version(request: &Request) -> bool {
    request.method == "PUT" && request.target.contains("_delta_log/0")
}

#[tokio::test]
async fn a_commit_is_made_once_whatever_becomes_of_its_answer() {
    for (fault, puts) in [
        // The client gives up, and the commit is repeated here.
        (Fault::Garble, 3),
        (Fault::Answer(409, "ConditionalRequestConflict"), 3),
        // The client itself repeats, and finds what it has put the first time.
        (Fault::LoseAnswer, 3),
        (Fault::Reset, 3),
    ] {
        let site = Site::new(|_| None);
        let bench = site.bench();
        let target = events(&bench);
        bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
        site.requests();
        let (mut left, given) = (2, fault.clone());
        site.proxy.set_rule(move |request| {
            let fails = puts_version(request) && left > 0;
            left -= usize::from(fails);
            fails.then(|| given.clone())
        });
        let row = event("b", "2026-01-01", 2);
        let written = bench.replace(&target, Scope::Table, std::slice::from_ref(&row)).await.unwrap();
        assert_eq!(written.version, Some(1), "{fault:?}");
        let requests = site.proxy.take_requests();
        assert_eq!(requests.iter().filter(|request| puts_version(request)).count(), puts, "{fault:?}: {requests:#?}");
        assert_eq!(bench.latest(&target).await.version, 1, "{fault:?}");
        assert_eq!(bench.rows(&target).await, [row], "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_not_waited_for_is_made_once() {
    let site = Site::new(|_| None);
    let options = ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(2));
    let bench = Bench::in_bucket(&site.bucket.name, site.client().with_client_options(options));
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &[event("a", "2026-01-01", 1)]).await.unwrap();
    let mut late = Some(Fault::Delay(Duration::from_secs(4)));
    site.proxy.set_rule(move |request| if puts_version(request) { late.take() } else { None });
    let row = event("b", "2026-01-01", 2);
    let written = bench.replace(&target, Scope::Table, std::slice::from_ref(&row)).await.unwrap();
    assert_eq!((written.version, site.proxy.faults()), (Some(1), 1));
    assert_eq!(bench.latest(&target).await.version, 1);
    assert_eq!(bench.rows(&target).await, [row]);
}

#[tokio::test]
async fn where_the_condition_is_not_known_nothing_is_written() {
    let site = Site::new(|request| (request.method == "PUT").then_some(Fault::Answer(501, "NotImplemented")));
    let bench = site.bench();
    let target = events(&bench);
    let error = bench.upsert(&target, &[event("a", "2026-01-01", 1)]).await.unwrap_err();
    assert!(matches!(&error, LakeError::Unconditional { .. }), "{error:?}");
    assert_eq!(site.proxy.faults(), 1, "it is not asked again");
    assert_eq!(site.bucket.objects(), [""; 0]);
}

fn is_completion(request: &Request) -> bool {
    request.method == "POST" && request.target.contains("uploadId=")
}

#[tokio::test]
async fn an_upload_whose_task_is_cancelled_is_aborted() {
    // While parts are sent, and before anybody has heard that it has begun.
    for (fault, parts) in [(None, 1), (Some(Fault::Delay(Duration::from_secs(3))), 0)] {
        let site = Site::new(move |request| fault.clone().filter(|_| is_beginning(request)));
        let bench = site.bench();
        let (target, batches) = large(&bench);
        let rows = scan_plan("rows", endless(batches));
        let plan = WriteNode::try_new(rows, Arc::new(spec(&target, output(&target)))).unwrap().into_plan();
        let runner = Arc::clone(&bench.runner);
        let write = tokio::spawn(async move { runner.run(plan, "write").await.map(|_| ()) });
        let (began, mut sent) = (Instant::now(), 0);
        while sent < parts || site.bucket.open_uploads().len() != 1 {
            sent += site.proxy.take_requests().iter().filter(|request| is_part(request)).count();
            assert!(!write.is_finished() && began.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(sent, parts);
        write.abort();
        assert!(write.await.unwrap_err().is_cancelled());
        until(|| site.bucket.open_uploads().is_empty()).await;
        assert_eq!(site.bucket.objects(), [""; 0]);
    }
}

#[tokio::test]
async fn an_upload_that_the_store_refuses_half_way_is_aborted() {
    let (mut parts, site) = (0, Site::new(|_| None));
    let open = site.fail_by(move |request| {
        parts += usize::from(is_part(request));
        (is_part(request) && parts == 2).then_some(Fault::Answer(403, "AccessDenied"))
    });
    let bench = site.bench();
    let (target, batches) = large(&bench);
    let error = bench.replace_by(&target, Scope::Table, scan_plan("rows", stream_of(vec![batches]))).await.unwrap_err();
    assert!(error.to_string().contains("the object store refused"), "{error}");
    assert_eq!(*open.lock(), [1]);
    until(|| site.bucket.open_uploads().is_empty()).await;
}

#[tokio::test]
async fn an_upload_whose_completion_is_not_heard_of_is_complete() {
    for fault in [Fault::LoseAnswer, Fault::Cut] {
        let mut once = Some(fault.clone());
        let site = Site::new(move |request| if is_completion(request) { once.take() } else { None });
        let bench = site.bench();
        let (target, batches) = large(&bench);
        bench.replace_by(&target, Scope::Table, scan_plan("rows", stream_of(vec![batches]))).await.unwrap();
        assert_eq!(site.proxy.faults(), 1, "{fault:?}");
        assert_eq!(bench.latest(&target).await.rows(), Some(300_000), "{fault:?}");
        assert_eq!(site.bucket.open_uploads(), [""; 0], "{fault:?}");
    }
}

#[tokio::test]
async fn an_upload_that_cannot_be_completed_tells_what_the_store_said_and_is_aborted() {
    let site = Site::new(|_| None);
    let open = site.fail_by(|request| is_completion(request).then_some(Fault::Answer(503, "SlowDown")));
    let bench = site.bench();
    let (target, batches) = large(&bench);
    let error = bench.replace_by(&target, Scope::Table, scan_plan("rows", stream_of(vec![batches]))).await.unwrap_err();
    assert!(error.to_string().contains("the object store failed for now"), "{error}");
    assert!(error.to_string().contains("SlowDown"), "{error}");
    let open = open.lock().clone();
    assert!(!open.is_empty() && open.iter().all(|uploads| *uploads == 1), "{open:?}");
    until(|| site.bucket.open_uploads().is_empty()).await;
    assert_eq!(site.bucket.objects(), [""; 0]);
}

#[tokio::test]
async fn parts_that_fail_for_a_moment_are_sent_again() {
    let mut parts = 0;
    let site = Site::new(move |request| {
        parts += usize::from(is_part(request));
        match parts {
            1 if is_part(request) => Some(Fault::Answer(503, "SlowDown")),
            3 if is_part(request) => Some(Fault::LoseAnswer),
            _ => None,
        }
    });
    let bench = site.bench();
    let (target, batches) = large(&bench);
    bench.replace_by(&target, Scope::Table, scan_plan("rows", stream_of(vec![batches]))).await.unwrap();
    assert_eq!(site.proxy.faults(), 2);
    let pinned = bench.latest(&target).await;
    let counted = bench
        .query("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM t", DeltaScan::of(&bench.tables, &pinned))
        .await;
    assert_eq!(counted, [serde_json::json!({"n": 300_000, "ids": 300_000})]);
}
