//! Buckets that are not there or may not be written to, credentials that are wrong or expire: a clear error, nothing
//! half-written, and a later run that completes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quickchat_testing::{Bucket, Fault, FaultyProxy, Keys};

use crate::fixtures::{SAMPLE_AS_OF, sample, select};
use crate::lake::difference;
use crate::process::{Ended, run};
use crate::s3::{assert_clean, into_bucket, tables};

/// May look at everything, and change nothing.
const READ_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":["arn:aws:s3:::*"]}]}"#;

fn users(lake: &str, environment: Vec<(&'static str, String)>) -> Ended {
    let mut command = select("bronze.users", &sample().exports, Path::new(lake), SAMPLE_AS_OF);
    // Nothing that this machine's user has configured.
    command.env("HOME", env!("CARGO_TARGET_TMPDIR")).envs(environment);
    run(&mut command)
}

#[track_caller]
fn assert_no_secret(ended: &Ended, keys: &Keys) {
    for secret in [Some(&keys.secret), keys.token.as_ref()].into_iter().flatten() {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "a secret is shown: {ended}");
    }
}

#[test]
fn who_is_refused_is_told_why() {
    let bucket = Bucket::new();
    let server = &bucket.server;
    let owner = &server.keys;
    let wrong = Keys { secret: "hunter2hunter2".to_owned(), ..owner.clone() };
    let unknown = Keys { id: "nobody".to_owned(), ..owner.clone() };
    let reader = server.session(READ_ONLY);
    let lake = bucket.url("lake");
    let missing = format!("s3://{}-missing/lake", bucket.name);
    for (lake, keys, parts) in [
        (&missing, owner, ["there is no bucket", "make it, or correct the address", "-missing"]),
        (&lake, &wrong, ["correct AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch", &bucket.name]),
        (&lake, &unknown, ["correct AWS_ACCESS_KEY_ID", "InvalidAccessKeyId", &bucket.name]),
        (&lake, &reader, ["allow them", "s3:PutObject", &bucket.name]),
    ] {
        let ended = users(lake, bucket.environment(&server.endpoint, keys)).expect(4);
        ended.says(&parts);
        assert_no_secret(&ended, keys);
        assert_eq!(bucket.objects(), [""; 0], "nothing is written: {ended}");
        assert_clean(&bucket);
    }
    users(&lake, bucket.owner()).expect(0);
    let written = tables(&bucket, "s3-after-refusals");
    assert_eq!(difference(&written.0["bronze.users"].rows, &sample().tables.0["bronze.users"].rows), None);
}

#[test]
fn an_environment_that_cannot_work_is_complained_of_at_once() {
    let bucket = Bucket::new();
    let mut clear = bucket.owner();
    clear.retain(|(name, _)| *name != "AWS_ALLOW_HTTP");
    let mut half = bucket.owner();
    half.retain(|(name, _)| *name != "AWS_SECRET_ACCESS_KEY");
    let mut twice = bucket.owner();
    twice.push(("AWS_SECRET_ACCESS_KEY_FILE", "/dev/null".to_owned()));
    let mut none = bucket.owner();
    none.retain(|(name, _)| !name.contains("KEY"));
    none.push(("AWS_EC2_METADATA_DISABLED", "true".to_owned()));
    let profile = [none.clone(), vec![("AWS_PROFILE", "chat".to_owned())]].concat();
    for (environment, parts) in [
        (clear, ["AWS_ALLOW_HTTP=true", "in the clear"]),
        (half, ["AWS_SECRET_ACCESS_KEY is not", "set both"]),
        (twice, ["both AWS_SECRET_ACCESS_KEY and", "set one of them"]),
        (none, ["there are no credentials", "AWS_WEB_IDENTITY_TOKEN_FILE"]),
        (profile, ["\"chat\"", "correct AWS_PROFILE"]),
    ] {
        users(&bucket.url("lake"), environment).expect(2).says(&parts);
    }
}

/// A machine without a metadata service, and nothing configured: the error must not take minutes.
#[test]
fn a_missing_metadata_service_is_noticed_soon() {
    let bucket = Bucket::new();
    let mut environment = bucket.owner();
    environment.retain(|(name, _)| !name.contains("KEY"));
    // Nobody listens there.
    environment.push(("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9".to_owned()));
    let started = std::time::Instant::now();
    let ended = users(&bucket.url("lake"), environment).expect(4);
    ended.says(&["there are no credentials: set AWS_ACCESS_KEY_ID", "metadata service"]);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn credentials_that_expire_on_the_way_cost_a_run_and_no_row() {
    let bucket = Bucket::new();
    let keys = bucket.server.session(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}"#,
    );
    let puts = Arc::new(AtomicUsize::new(0));
    let proxy = FaultyProxy::start(&bucket.server.endpoint, move |request| {
        // Enough for the first few tables.
        let passed = puts.fetch_add(usize::from(request.method == "PUT"), Ordering::SeqCst);
        (passed >= 60).then_some(Fault::Answer(400, "ExpiredToken"))
    });
    let ended = run(&mut into_bucket(&bucket.url("lake"), &bucket.environment(&proxy.endpoint(), &keys))).expect(4);
    assert!(proxy.faults() > 0);
    ended.says(&["the credentials have expired; get new ones and run again"]);
    assert_no_secret(&ended, &keys);
    let half = tables(&bucket, "s3-expired");
    assert!(!half.0.is_empty() && half.0.len() < sample().tables.0.len(), "{} tables", half.0.len());
    for (name, table) in &half.0 {
        assert_eq!(difference(&table.rows, &sample().tables.0[name].rows), None, "{name} is half-written");
    }
    // What the run could not remove any more is no part of any table.
    run(&mut into_bucket(&bucket.url("lake"), &bucket.owner())).expect(0);
    sample().tables.assert_same_rows(&tables(&bucket, "s3-after-expiry"), "the run after");
}
