//! Equal options give equal bytes; each option that should matter does.

use quickchat_sample::{Collection, SampleOptions};

use crate::export::Export;

fn options() -> SampleOptions {
    SampleOptions { messages: 2000, bad_share: 0.02, ..SampleOptions::default() }
}

#[test]
fn two_runs_write_equal_files() {
    let (first, second) = (Export::new(&options()), Export::new(&options()));
    assert_eq!(first.summary, second.summary);
    let files = first.files();
    assert!(files.len() > 15, "{:?}", files.keys());
    assert!(files == second.files());
}

#[test]
fn media_times_are_equal_too() {
    let modified = |export: &Export| -> Vec<std::time::SystemTime> {
        let media = export.files().into_keys().filter(|path| path.starts_with("media/"));
        media.map(|path| export.folder.join(path).metadata().unwrap().modified().unwrap()).collect()
    };
    let times = modified(&Export::new(&options()));
    assert_eq!(times.len() as u64, Export::new(&options()).summary.media_objects);
    assert_eq!(times, modified(&Export::new(&options())));
}

#[test]
fn another_seed_gives_other_data() {
    let other = Export::new(&SampleOptions { seed: 43, ..options() });
    assert!(Export::new(&options()).lines(Collection::Messages) != other.lines(Collection::Messages));
}

#[test]
fn compression_and_file_size_do_not_change_the_documents() {
    let plain = Export::new(&options());
    let other = Export::new(&SampleOptions { gzip: true, messages_file_bytes: 100_000, ..options() });
    let files = &other.summary.collection(Collection::Messages).unwrap().files;
    assert!(files.len() > 5, "{files:?}");
    assert!(files.is_sorted_by_key(|file| file.path.as_str()));
    assert!(files.iter().all(|file| file.path.ends_with(".json.gz") && file.documents > 0));
    assert!(plain.lines(Collection::Messages) == other.lines(Collection::Messages));
    for collection in [Collection::Users, Collection::AuthUsers, Collection::AuditLogs] {
        assert!(plain.contents(collection) == other.contents(collection), "{collection}");
    }
}

/// The bytes are a promise across releases and platforms. Whoever changes the generator on purpose updates the value.
#[test]
fn bytes_stay_the_same_across_releases() {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for (path, bytes) in Export::new(&options()).files() {
        for byte in path.bytes().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(format!("{hash:016x}"), "0f8b4025813d0698");
}
