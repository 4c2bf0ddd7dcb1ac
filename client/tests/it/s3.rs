//! The lake and the exports in an object store: the same rows as on a disk, and nothing left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use quickchat_testing::{Bucket, FaultyProxy, Request};
use serde_json::Value;

use crate::fixtures::{SAMPLE_AS_OF, pipeline, sample};
use crate::lake::Tables;
use crate::process::{etl, run, scratch};
use crate::remote::Remote;

/// The whole pipeline from the sample's exports into a lake in a bucket.
pub fn into_bucket(lake: &str, environment: &[(&str, String)]) -> Command {
    let mut command = pipeline(&sample().exports, Path::new(lake), SAMPLE_AS_OF);
    command.envs(environment.iter().cloned());
    command
}

/// All tables of the lake in a bucket, read from a copy on this machine's disk.
pub fn tables(bucket: &Bucket, name: &str) -> Tables {
    let folder = scratch(name);
    bucket.download("lake", &folder);
    Tables::read(&folder)
}

/// Fails unless the lake holds what the sample's holds, and the bucket nothing that should not be there.
#[track_caller]
pub fn assert_complete(bucket: &Bucket, name: &str) {
    sample().tables.assert_same_rows(&tables(bucket, name), name);
    assert_clean(bucket);
}

/// Fails if temporary objects or unfinished uploads are left.
#[track_caller]
pub fn assert_clean(bucket: &Bucket) {
    let temporary: Vec<String> =
        bucket.objects().into_iter().filter(|name| name.contains("/_landing/") || name.contains("/_probe/")).collect();
    assert_eq!(temporary, [""; 0], "temporary objects are left");
    assert_eq!(bucket.open_uploads(), [""; 0], "unfinished uploads are left");
}

/// Numbers of requests by what they ask for.
fn kinds(requests: &[Request]) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    for request in requests {
        let what = ["list-type", "_last_checkpoint", ".json", "_landing", ".parquet", "delete="]
            .into_iter()
            .find(|part| request.target.contains(part));
        *kinds.entry(format!("{} {}", request.method, what.unwrap_or("other"))).or_default() += 1;
    }
    format!("{} requests: {kinds:?}", requests.len())
}

#[track_caller]
fn assert_all(report: &Value, state: &str) {
    for job in report["jobs"].as_array().unwrap() {
        assert_eq!(job["state"], state, "{job}");
    }
}

#[test]
fn a_lake_in_a_bucket_is_the_lake_on_a_disk() {
    let bucket = Bucket::new();
    let proxy = FaultyProxy::start(&bucket.server.endpoint, |_| None);
    let environment = bucket.environment(&proxy.endpoint(), &bucket.server.keys);
    let first = run(&mut into_bucket(&format!("s3a://{}/lake", bucket.name), &environment)).expect(0);
    println!("into an empty lake: {}", kinds(&proxy.take_requests()));
    assert_all(&first.json(), "changed");
    assert_complete(&bucket, "s3-first");
    let own =
        |objects: Vec<String>| objects.into_iter().filter(|name| !name.starts_with("lake/ops/")).collect::<Vec<_>>();
    let before = own(bucket.objects());
    let second = run(&mut into_bucket(&bucket.url("lake"), &environment)).expect(0);
    let requests = proxy.take_requests();
    println!("with nothing new: {}", kinds(&requests));
    // Each table is opened once, those of rejected rows and of the program's own records as well.
    let tables = 24 + 8 + 2;
    assert!(requests.len() <= 5 * tables, "a run with nothing new: {}: {requests:#?}", kinds(&requests));
    assert_all(&second.json(), "unchanged");
    assert_eq!(own(bucket.objects()), before, "a run with nothing new writes nothing");
    let mut list = etl(&["tables", "list", "-o", "json", "--lake", &bucket.url("lake/")]);
    let listed = run(list.envs(bucket.owner())).expect(0).json();
    let of_users = listed.as_array().unwrap().iter().find(|table| table["table"] == "silver.users").unwrap();
    assert_eq!(of_users["rows"], sample().tables.rows("silver.users").len(), "{of_users}");
    for ended in [&first, &second] {
        assert_eq!(ended.stdout.matches(&bucket.server.keys.secret).count(), 0);
        assert_eq!(ended.stderr.matches(&bucket.server.keys.secret).count(), 0);
    }
}

#[test]
fn processes_of_a_cluster_reach_the_bucket_by_their_own_environment() {
    let bucket = Bucket::new();
    let remote = Remote::start_with("s3-remote", 2, &bucket.owner());
    let mut command = into_bucket(&bucket.url("lake"), &bucket.owner());
    run(command.args(["--scheduler", &remote.url])).expect(0);
    assert_complete(&bucket, "s3-remote-lake");
    // The cluster's settings of a job, plans and all, are open to whoever may see its page.
    let seen = remote.api("/api/jobs").to_string();
    assert!(!seen.contains(&bucket.server.keys.secret));
}

/// The tables that do not tell when and with which tag a media object was stored; both change with the copy.
pub fn without_media(tables: &Tables) -> Tables {
    let mut others = tables.clone();
    others.0.retain(|name, _| !name.ends_with(".media"));
    others
}

/// Names and sizes of media objects.
pub fn media(tables: &Tables) -> BTreeSet<(String, String)> {
    let rows = tables.rows("bronze.media");
    rows.into_iter().map(|row| (row["key"].to_string(), row["size_bytes"].to_string())).collect()
}

#[test]
fn exports_are_read_from_a_bucket() {
    let bucket = Bucket::new();
    bucket.upload(&sample().exports, "some/exports");
    let lake = scratch("s3-exports").join("lake");
    for exports in [bucket.url("some/exports"), format!("s3a://{}/some/exports/", bucket.name)] {
        let mut command = pipeline(Path::new(&exports), &lake, SAMPLE_AS_OF);
        run(command.envs(bucket.owner())).expect(0);
        let read = Tables::read(&lake);
        without_media(&sample().tables).assert_same_rows(&without_media(&read), &exports);
        assert_eq!(media(&sample().tables), media(&read), "{exports}");
    }
}

/// Keys in files that platforms mount, and in a profile.
#[test]
fn credentials_come_from_files_and_profiles() {
    let bucket = Bucket::new();
    let keys = &bucket.server.keys;
    let folder = scratch("s3-credentials");
    let file = |name: &str, content: &str| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let profile = format!(
        "[chat]\naws_access_key_id = {}\naws_secret_access_key = {}\nendpoint_url = {}\n",
        keys.id, keys.secret, bucket.server.endpoint
    );
    let ways: [Vec<(&str, PathBuf)>; 2] = [
        vec![
            ("AWS_ACCESS_KEY_ID_FILE", file("id", &keys.id)),
            ("AWS_SECRET_ACCESS_KEY_FILE", file("secret", &format!("{}\n", keys.secret))),
            ("AWS_ENDPOINT_URL", PathBuf::from(&bucket.server.endpoint)),
        ],
        vec![("AWS_PROFILE", PathBuf::from("chat")), ("AWS_SHARED_CREDENTIALS_FILE", file("profile", &profile))],
    ];
    for way in ways {
        let mut list = etl(&["tables", "list", "-o", "json", "--lake", &bucket.url("lake")]);
        run(list.env("AWS_ALLOW_HTTP", "true").envs(way)).expect(0);
    }
}
