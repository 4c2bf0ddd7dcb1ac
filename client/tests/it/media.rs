//! `bronze.media` from a folder of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use quickchat_testing::Bucket;
use serde_json::{Map, Value};

use crate::fixtures::{SAMPLE_AS_OF, job, sample, select};
use crate::lake::Tables;
use crate::process::{etl, run, scratch};

/// `bronze.media` from a folder, without any export.
fn media(folder: &str, lake: &Path, bucket: &Bucket) -> Command {
    let mut command = etl(&["run", "bronze.media", "-o", "json", "--lookback-hours", "0", "--media", folder]);
    command.arg("--lake").arg(lake).envs(bucket.owner());
    command
}

/// What is the same wherever the objects are, sorted.
fn objects(lake: &Path) -> Vec<(String, i64, String)> {
    let text = |row: &Map<String, Value>, column: &str| row[column].as_str().unwrap().to_owned();
    let object = |row| (text(&row, "key"), row["size_bytes"].as_i64().unwrap(), text(&row, "content_type"));
    let mut objects: Vec<_> = Tables::read(lake).rows("bronze.media").into_iter().map(object).collect();
    objects.sort_unstable();
    objects
}

#[test]
fn media_in_a_bucket_are_those_of_an_export_and_are_read_from_the_newest_on() {
    let bucket = Bucket::new();
    bucket.upload(&sample().exports.join("media"), "chat/media");
    let count = bucket.objects().len();
    let lake = scratch("media-bucket").join("lake");
    let folder = bucket.url("chat/media").replace("s3://", "s3a://");
    let ended = run(&mut media(&folder, &lake, &bucket)).expect(0);
    assert_eq!(job(&ended.json(), "bronze.media")["written"], count, "{ended}");
    assert!(count > 10);
    assert_eq!(objects(&lake), objects(&sample().lake));
    assert!(Tables::read(&lake).rows("bronze.media").iter().all(|row| row["etag"].as_str().unwrap().len() == 32));

    // Nothing is new: only the newest object is looked at once more.
    std::thread::sleep(Duration::from_millis(50));
    let again = run(&mut media(&folder, &lake, &bucket)).expect(0).json();
    let again = job(&again, "bronze.media");
    assert_eq!((&again["state"], &again["written"]), (&Value::from("unchanged"), &Value::from(0)));
    assert!(again["read"].as_u64().unwrap() < 10, "{again}");

    bucket.put("chat/media/new/a b.webm", b"12345");
    let report = run(&mut media(&folder, &lake, &bucket)).expect(0).json();
    let third = job(&report, "bronze.media");
    assert_eq!(third["written"], 1, "{third}");
    assert!(third["read"].as_u64().unwrap() < 10, "{third}");
    assert!(objects(&lake).contains(&("new/a b.webm".to_owned(), 5, "video/webm".to_owned())));

    // What another folder holds may be older than what is known.
    let report = run(&mut media(&bucket.url("chat"), &lake, &bucket)).expect(0).json();
    assert_eq!(job(&report, "bronze.media")["read"], count + 1);
    assert_eq!(job(&report, "bronze.media")["decision"]["because"]["reason"], "source_changed");
}

#[test]
fn a_media_folder_takes_the_place_of_the_exports_own() {
    let bucket = Bucket::new();
    bucket.put("m/only.png", b"123");
    let lake = scratch("media-and-exports").join("lake");
    let mut command = select("bronze", &sample().exports, &lake, SAMPLE_AS_OF);
    let report = run(command.args(["--media", &bucket.url("m")]).envs(bucket.owner())).expect(0).json();
    assert_eq!(job(&report, "bronze.media")["read"], 1);
    assert!(job(&report, "bronze.users")["read"].as_u64().unwrap() > 0);

    let local = scratch("media-local");
    std::fs::write(local.join("x.ogg"), "1").unwrap();
    let mut command = select("bronze.media", &sample().exports, &lake, SAMPLE_AS_OF);
    run(command.arg("--media").arg(&local)).expect(0);
    let found = objects(&lake);
    assert_eq!(found, [("only.png".into(), 3, "image/png".into()), ("x.ogg".into(), 1, "audio/ogg".into())]);
}

#[test]
fn media_folders_that_cannot_be_read_say_why() {
    let bucket = Bucket::imaginary();
    let folder = scratch("media-missing");
    let lake = folder.join("lake");
    let missing = folder.join("nowhere");
    let run = |location: &str| run(&mut media(location, &lake, &bucket));
    run(missing.to_str().unwrap()).expect(2).says(&["does not exist", missing.to_str().unwrap(), "MEDIA_PATH"]);
    // The store answers, and refuses: as for a bucket of the lake.
    run(&bucket.url("m")).expect(4).says(&["does not exist", &bucket.url("m"), "MEDIA_PATH"]);
    run("ftp://host/m").expect(2).says(&["--media (MEDIA_PATH)", "scheme"]);
    assert!(!lake.join("bronze").exists());
    // Others still need a source.
    let mut command = etl(&["run", "bronze.users", "--media", &bucket.url("m"), "--lake"]);
    crate::process::run(command.arg(&lake)).expect(2).says(&["no source is configured"]);
}

#[test]
fn the_doctor_looks_at_the_folder_and_leaves_nothing_there() {
    let bucket = Bucket::new();
    bucket.put("chat/media/a.png", b"123");
    let reader = bucket.server.session(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::*"]}]}"#,
    );
    let lake = scratch("media-doctor").join("lake");
    let doctor = |folder: &str, environment| {
        let mut command = etl(&["doctor", "-o", "json", "--media", folder, "--lake"]);
        run(command.arg(&lake).envs(environment))
    };
    let look = |environment| {
        let findings = doctor(&bucket.url("chat/media"), environment).expect(0).json();
        findings.as_array().unwrap().iter().find(|finding| finding["system"] == "media").unwrap().clone()
    };
    let finding = look(bucket.owner());
    assert_eq!((&finding["state"], &finding["counts"]["objects"]), (&"warning".into(), &1.into()), "{finding}");
    assert!(finding["notes"][0].as_str().unwrap().contains("may also write"), "{finding}");
    assert_eq!((bucket.objects(), bucket.open_uploads()), (vec!["chat/media/a.png".to_owned()], vec![]));
    let finding = look(bucket.environment(&bucket.server.endpoint, &reader));
    assert_eq!((&finding["state"], &finding["notes"]), (&"ok".into(), &Value::Array(Vec::new())), "{finding}");

    doctor(&Bucket::imaginary().url("m"), bucket.owner()).expect(4);
}
