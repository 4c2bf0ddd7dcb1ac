//! Where a sample may be written, what remains after an error, and the smallest samples.

use std::fs;

use quickchat_sample::{Collection, SampleError, SampleOptions, generate};

use crate::export::Export;

fn small() -> SampleOptions {
    SampleOptions { messages: 50, ..SampleOptions::default() }
}

#[test]
fn refuses_a_folder_that_holds_something() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("mine.txt"), "precious").unwrap();
    let error = generate(&small(), parent.path()).unwrap_err();
    assert!(matches!(error, SampleError::UnusableTarget { .. }), "{error:?}");
    assert!(error.to_string().contains(parent.path().to_str().unwrap()), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn refuses_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("file");
    fs::write(&target, "").unwrap();
    let error = generate(&small(), &target).unwrap_err();
    assert!(error.to_string().contains("not a folder"), "{error}");
    assert!(target.is_file());
}

#[test]
fn takes_an_empty_folder_and_makes_parents() {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("deep/er");
    fs::create_dir_all(&target).unwrap();
    generate(&small(), &target).unwrap();
    generate(&small(), &parent.path().join("a/b/c")).unwrap();
    assert!(target.join("mongodb/messages-00001.json").is_file());
    // Nothing is left of the temporary folder.
    assert_eq!(fs::read_dir(parent.path().join("deep")).unwrap().count(), 1);
}

#[test]
fn a_wrong_option_touches_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let options = SampleOptions { days: 0, ..small() };
    let error = generate(&options, &parent.path().join("export")).unwrap_err();
    assert_eq!(error.to_string(), "cannot plan the sample: days is 0, allowed are 1 to 3650");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn the_smallest_samples_are_complete() {
    for (messages, users) in [(0, 2), (1, 2), (7, 3)] {
        let export = Export::new(&SampleOptions { messages, users: Some(users), days: 1, ..SampleOptions::default() });
        assert_eq!(export.summary.collection(Collection::Messages).unwrap().distinct, messages);
        assert_eq!(export.summary.collection(Collection::Users).unwrap().distinct, users);
        let files: Vec<String> = export.files().into_keys().filter(|path| !path.starts_with("media/")).collect();
        let expected = [
            "mongodb/calls.json",
            "mongodb/conversations.json",
            "mongodb/messages-00001.json",
            "mongodb/notifications.json",
            "mongodb/users.json",
            "mysql/audit_logs.csv",
            "mysql/auth_users.csv",
            "mysql/sessions.csv",
        ];
        assert_eq!(files, expected);
    }
}

#[test]
fn the_summary_agrees_with_the_disk() {
    let export = Export::new(&small());
    let files = export.files();
    let on_disk: usize = files.values().map(Vec::len).sum();
    assert_eq!(export.summary.bytes(), on_disk as u64);
    for summary in &export.summary.collections {
        for file in &summary.files {
            assert_eq!(files[&file.path].len() as u64, file.bytes);
        }
        assert_eq!(summary.documents(), summary.distinct + summary.updated + summary.repeated + summary.bad.total());
    }
    let media = files.keys().filter(|path| path.starts_with("media/")).count();
    assert_eq!(media as u64, export.summary.media_objects);
    let json = serde_json::to_value(&export.summary).unwrap();
    assert_eq!(json["collections"][0]["collection"], "messages");
    assert!(json["collections"][0]["bad"]["bad_date"].is_u64());
}
