//! `bronze.media` from a folder of its own.

use std::path::Path;
use std::process::Command;

use quickchat_testing::Bucket;
use serde_json::{Map, Value, json};

use crate::fixtures::{SAMPLE_AS_OF, job, sample, select};
use crate::lake::{Tables, data_files};
use crate::process::{etl, run, scratch};

/// `bronze.media` from a folder, without any export.
fn media(folder: &str, lake: &Path, bucket: &Bucket) -> Command {
    let mut command = etl(&["run", "bronze.media", "-o", "json", "--media", folder]);
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

/// What the job did: rows that were read, written and left as they were.
#[track_caller]
fn counts(report: &Value) -> [u64; 3] {
    let media = job(report, "bronze.media");
    ["read", "written", "unchanged"].map(|count| media[count].as_u64().unwrap_or_else(|| panic!("{count}: {media}")))
}

#[test]
fn media_in_a_bucket_are_those_of_an_export_and_only_changes_are_written() {
    let bucket = Bucket::new();
    bucket.upload(&sample().exports.join("media"), "chat/media");
    let count = bucket.objects().len() as u64;
    let lake = scratch("media-bucket").join("lake");
    let folder = bucket.url("chat/media").replace("s3://", "s3a://");
    let again = || run(&mut media(&folder, &lake, &bucket)).expect(0).json();
    assert_eq!(counts(&again()), [count, count, 0]);
    assert!(count > 10);
    assert_eq!(objects(&lake), objects(&sample().lake));
    let first = Tables::read(&lake);
    assert!(first.rows("bronze.media").iter().all(|row| row["etag"].as_str().unwrap().len() == 32));

    // Everything is listed; where nothing has changed nothing is written, not even a version.
    let files = data_files(&lake);
    let unchanged = again();
    assert_eq!(counts(&unchanged), [count, 0, count]);
    assert_eq!(job(&unchanged, "bronze.media")["state"], "unchanged");
    assert_eq!((Tables::read(&lake), data_files(&lake)), (first, files));

    bucket.put("chat/media/new/a b.webm", b"12345");
    assert_eq!(counts(&again()), [count + 1, 1, count]);
    assert!(objects(&lake).contains(&("new/a b.webm".to_owned(), 5, "video/webm".to_owned())));
    let etag = || Tables::read(&lake).row("bronze.media", "key", "new/a b.webm")["etag"].clone();
    let before = etag();
    bucket.put("chat/media/new/a b.webm", b"54321");
    assert_eq!(counts(&again()), [count + 1, 1, count]);
    assert_ne!(etag(), before);

    let other = run(&mut media(&bucket.url("chat"), &lake, &bucket)).expect(0).json();
    assert_eq!(counts(&other)[0], count + 1);
    assert_eq!(job(&other, "bronze.media")["decision"]["because"]["reason"], "source_changed");
}

/// Objects in an inventory: key, size, time, etag.
fn inventory(bucket: &Bucket, objects: &[(&str, u64, &str, &str)]) -> String {
    let row = |(key, size, modified, etag): &(&str, u64, &str, &str)| {
        format!("\"{}\",\"chat/media/{key}\",\"{size}\",\"{modified}\",\"{etag}\"\n", bucket.name)
    };
    let rows: String = objects.iter().map(row).collect();
    bucket.put("inventory/1.csv", rows.as_bytes());
    let manifest = json!({
        "sourceBucket": bucket.name, "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": [{"key": "inventory/1.csv", "size": rows.len()}],
    });
    bucket.put("inventory/manifest.json", manifest.to_string().as_bytes());
    bucket.url("inventory/manifest.json")
}

/// Which of two versions of an object stays is decided by their times, and by what was read later where they are equal.
#[test]
fn an_inventory_is_read_as_a_whole_and_the_newest_of_each_key_stays() {
    let bucket = Bucket::new();
    let lake = scratch("media-inventory").join("lake");
    let read = |objects: &[(&str, u64, &str, &str)]| {
        let manifest = inventory(&bucket, objects);
        let mut command = media(&bucket.url("chat/media"), &lake, &bucket);
        let report = run(command.args(["--media-inventory", &manifest])).expect(0).json();
        let rows = Tables::read(&lake).rows("bronze.media").into_iter();
        let mut rows: Vec<String> = rows
            .map(|row| {
                format!("{} {} {}", row["key"].as_str().unwrap(), row["size_bytes"], row["etag"].as_str().unwrap())
            })
            .collect();
        rows.sort_unstable();
        (counts(&report), rows)
    };
    let (monday, tuesday) = ("2026-03-02T08:00:00.000Z", "2026-03-03T08:00:00.000Z");
    let first = [("a.jpg", 1, tuesday, "a1"), ("b.jpg", 2, tuesday, "b1"), ("c.jpg", 3, tuesday, "c1")];
    assert_eq!(read(&first), ([3, 3, 0], vec!["a.jpg 1 a1".into(), "b.jpg 2 b1".into(), "c.jpg 3 c1".into()]));
    let files = data_files(&lake);
    assert_eq!(read(&first).0, [3, 0, 3]);
    assert_eq!(data_files(&lake), files);

    // Another content of the same instant, one that is older, one that is newer; and an object that was away for long.
    let wednesday = "2026-03-04T08:00:00.000Z";
    let second = [
        ("a.jpg", 9, tuesday, "a2"),
        ("b.jpg", 9, monday, "b0"),
        ("c.jpg", 9, wednesday, "c2"),
        ("d.jpg", 4, "2001-01-01T00:00:00.000Z", "d1"),
    ];
    let expected: Vec<String> =
        vec!["a.jpg 9 a2".into(), "b.jpg 2 b1".into(), "c.jpg 9 c2".into(), "d.jpg 4 d1".into()];
    assert_eq!(read(&second), ([4, 3, 1], expected.clone()));
    assert_eq!(read(&second), ([4, 0, 4], expected));
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
