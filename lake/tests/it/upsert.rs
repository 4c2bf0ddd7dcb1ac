//! Upsert: which rows win, which files are read, and which are rewritten.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use quickchat_lake::operation::{Target, Written};
use quickchat_lake::{ErrorClass, LakeError};
use serde_json::{Value, json};

use crate::fixtures::{
    Bench, LANDING, actions, count_of, event, events, file_of, landing_source, paths, reading, readings, scanned_files,
    sorted, writers,
};

fn counts(written: &Written) -> (Option<u64>, u64, u64) {
    (written.version, written.written, written.unchanged)
}

#[tokio::test]
async fn new_rows_add_files_and_rewrite_none() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1), event("b", "2026-01-02", 2)]).await.unwrap();
    let before = bench.latest(&target).await;
    let written = bench.upsert(&target, &[event("c", "2026-01-01", 3), event("d", "2026-01-01", 4)]).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 2, 0));
    let actions = actions(&bench, &target.url, 1).await;
    assert_eq!((count_of(&actions, "add"), count_of(&actions, "remove")), (1, 0));
    assert!(paths(&before.files).is_subset(&paths(&bench.latest(&target).await.files)));
    assert_eq!(bench.rows(&target).await.len(), 4);
    assert!(bench.store.objects().await.iter().all(|path| !path.contains("_landing")), "the landing is gone");
}

#[tokio::test]
async fn a_changed_row_rewrites_its_file_alone() {
    let bench = Bench::new();
    let target = events(&bench);
    let rows = [event("a", "2026-01-01", 1), event("b", "2026-01-01", 2), event("c", "2026-01-02", 3)];
    bench.upsert(&target, &rows).await.unwrap();
    let before = bench.latest(&target).await;
    let mut newer = event("a", "2026-01-01", 10);
    newer["updated"] = json!("2026-02-01T00:00:00Z");
    let written = bench.upsert(&target, std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 1, 0));
    let after = bench.latest(&target).await;
    assert_eq!(file_of(&before, "2026-01-02").path, file_of(&after, "2026-01-02").path);
    assert_ne!(file_of(&before, "2026-01-01").path, file_of(&after, "2026-01-01").path);
    assert_eq!(bench.rows(&target).await, sorted(vec![newer, rows[1].clone(), rows[2].clone()]));
}

#[tokio::test]
async fn equal_rows_are_unchanged_and_make_no_commit() {
    let bench = Bench::new();
    let target = events(&bench);
    let rows = [
        json!({"id": "a", "day": "2026-01-01", "updated": "2026-01-01T00:00:00Z", "tags": ["x"],
               "place": {"city": "Y", "amount": 1}, "counts": {"z": 1}, "run_id": "first"}),
        json!({"id": "b"}),
    ];
    bench.upsert(&target, &rows).await.unwrap();
    let before = bench.store.objects().await;
    let mut again = rows.clone();
    again[0]["run_id"] = json!("second");
    again[1]["run_id"] = json!("second");
    assert_eq!(counts(&bench.upsert(&target, &again).await.unwrap()), (None, 0, 2));
    assert_eq!(bench.store.objects().await, before);
    assert_eq!(bench.rows(&target).await, sorted(rows.to_vec()), "how a row came here stays, too");
}

#[tokio::test]
async fn which_of_two_rows_wins() {
    let stored = reading("k", 100, 1);
    let nothing = |row: Value| {
        let mut row = row;
        row.as_object_mut().unwrap().remove("updated");
        row
    };
    for (what, old, new, wins) in [
        ("a newer one", stored.clone(), reading("k", 101, 1), true),
        ("an older one", stored.clone(), reading("k", 99, 2), false),
        ("one of the same time that differs", stored.clone(), reading("k", 100, 2), true),
        ("one without a time", stored.clone(), nothing(reading("k", 0, 2)), false),
        ("a time against none", nothing(stored.clone()), reading("k", 0, 2), true),
        ("two without a time that differ", nothing(stored.clone()), nothing(reading("k", 0, 2)), true),
        ("two without a time that are equal", nothing(stored.clone()), nothing(stored.clone()), false),
    ] {
        let bench = Bench::new();
        let target = readings(&bench);
        bench.upsert(&target, std::slice::from_ref(&old)).await.unwrap();
        let written = bench.upsert(&target, std::slice::from_ref(&new)).await.unwrap();
        let expected = if wins { (Some(1), 1, 0) } else { (None, 0, 1) };
        assert_eq!(counts(&written), expected, "{what}");
        assert_eq!(bench.rows(&target).await, [if wins { new } else { old }], "{what}");
    }
}

#[tokio::test]
async fn of_rows_of_one_key_within_a_landing_one_wins() {
    let bench = Bench::new();
    let target = readings(&bench);
    let documents =
        [reading("a", 5, 1), reading("a", 9, 2), reading("a", 7, 3), reading("b", 1, 1), reading("b", 1, 2)];
    let written = bench.upsert_split(&target, &[&documents[..2], &documents[2..]]).await.unwrap();
    assert_eq!(counts(&written), (Some(0), 2, 3));
    assert_eq!(
        bench.rows(&target).await,
        sorted(vec![reading("a", 9, 2), reading("b", 1, 2)]),
        "a tie: the later read"
    );
    let written = bench.upsert(&target, &[reading("a", 9, 2), reading("a", 8, 7)]).await.unwrap();
    assert_eq!(counts(&written), (None, 0, 2));
}

#[tokio::test]
async fn without_a_time_what_is_stored_stays() {
    let bench = Bench::new();
    let target = readings(&bench);
    bench.upsert(&target, &[reading("a", 1, 1)]).await.unwrap();
    let rows = [reading("a", 2, 2), reading("b", 2, 2)];
    let landing = landing_source(&target, &[&rows], &[], None);
    let written = bench.upsert_landing(&target, landing, None).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 1, 1));
    assert_eq!(bench.rows(&target).await, sorted(vec![reading("a", 1, 1), reading("b", 2, 2)]));
}

#[tokio::test]
async fn a_row_moves_to_another_partition() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.upsert(&target, &[event("a", "2026-01-01", 1), event("b", "2026-01-01", 2)]).await.unwrap();
    bench.upsert(&target, &[event("c", "2026-01-03", 3)]).await.unwrap();
    let moved = event("a", "2026-01-03", 1);
    let written = bench.upsert(&target, std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(counts(&written), (Some(2), 1, 0));
    let expected = vec![event("b", "2026-01-01", 2), event("c", "2026-01-03", 3), moved];
    assert_eq!(bench.rows(&target).await, sorted(expected));
    // The last row of a file leaves no file behind.
    bench.upsert(&target, &[event("b", "2026-01-05", 2)]).await.unwrap();
    let pinned = bench.latest(&target).await;
    assert!(pinned.files.iter().all(|file| file.partition_values["day"].as_deref() != Some("2026-01-01")));
    assert_eq!(bench.rows(&target).await.len(), 3);
}

#[tokio::test]
async fn files_whose_keys_cannot_match_are_not_read() {
    let bench = Bench::new();
    let target = readings(&bench);
    for (from, to) in [("a", "c"), ("m", "o"), ("x", "z")] {
        bench.upsert(&target, &[reading(from, 1, 1), reading(to, 1, 1)]).await.unwrap();
    }
    let pinned = bench.latest(&target).await;
    let folder = target.url.path().unwrap();
    let full = |path: &str| format!("{folder}/{path}");
    let middle = pinned.files.iter().find(|file| file.stats.as_ref().unwrap().contains("\"id\":\"m\"")).unwrap();
    bench.runner.take_runs();
    // The unrelated files are gone, so that reading one fails.
    for file in pinned.files.iter().filter(|file| file.path != middle.path) {
        bench.store.remove(&full(&file.path)).await;
    }
    let written = bench.upsert(&target, &[reading("m", 2, 5), reading("n", 2, 5)]).await.unwrap();
    assert_eq!(counts(&written), (Some(3), 2, 0));
    let read: BTreeSet<String> = bench.runner.take_runs().iter().flat_map(|(_, plan)| scanned_files(plan)).collect();
    let stored: Vec<&String> = read.iter().filter(|path| path.starts_with(folder.as_ref())).collect();
    assert_eq!(stored, [&full(&middle.path)]);
    let written = bench.upsert(&target, &[reading("p", 2, 5), reading("w", 2, 5)]).await.unwrap();
    assert_eq!(counts(&written), (Some(4), 2, 0), "between all files: nothing is read at all");
}

#[tokio::test]
async fn long_keys_match_although_their_bounds_are_cut() {
    let bench = Bench::new();
    let target = readings(&bench);
    let key = |tail: &str| format!("{}{tail}", "\u{10FFFF}ä".repeat(100));
    bench.upsert(&target, &[reading(&key("a"), 1, 1), reading(&key("z"), 1, 1)]).await.unwrap();
    let written = bench.upsert(&target, &[reading(&key("a"), 2, 2), reading(&key("zz"), 2, 2)]).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 2, 0));
    let expected = vec![reading(&key("a"), 2, 2), reading(&key("z"), 1, 1), reading(&key("zz"), 2, 2)];
    assert_eq!(bench.rows(&target).await, sorted(expected));
}

#[tokio::test]
async fn stored_files_without_statistics_are_searched() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    target.statistics_columns = Vec::new();
    bench.upsert(&target, &[reading("a", 1, 1)]).await.unwrap();
    bench.upsert(&target, &[reading("b", 1, 1)]).await.unwrap();
    assert_eq!(counts(&bench.upsert(&target, &[reading("a", 2, 2)]).await.unwrap()), (Some(2), 1, 0));
    assert_eq!(bench.rows(&target).await, sorted(vec![reading("a", 2, 2), reading("b", 1, 1)]));
}

#[tokio::test]
async fn a_key_of_several_columns() {
    let bench = Bench::new();
    let mut target = events(&bench);
    target.key = vec!["id".to_owned(), "note".to_owned()];
    let row = |id: &str, note: &str, amount: i64| json!({"id": id, "note": note, "day": "2026-01-01", "amount": amount, "updated": "2026-01-01T00:00:00Z"});
    bench.upsert(&target, &[row("a", "x", 1), row("a", "y", 2), row("b", "x", 3)]).await.unwrap();
    let written = bench.upsert(&target, &[row("a", "y", 20), row("b", "y", 4), row("a", "x", 1)]).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 2, 1));
    let expected = vec![row("a", "x", 1), row("a", "y", 20), row("b", "x", 3), row("b", "y", 4)];
    assert_eq!(bench.rows(&target).await, sorted(expected));
}

#[tokio::test]
async fn names_of_columns_are_taken_as_they_are() {
    let bench = Bench::new();
    let mut target = readings(&bench);
    let mut fields: Vec<Field> = target.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[0] = fields[0].clone().with_name("messageId");
    fields.push(Field::new("a.b", arrow::datatypes::DataType::Int64, true));
    target.schema = Arc::new(Schema::new(fields));
    target.key = vec!["messageId".to_owned()];
    target.statistics_columns = vec!["messageId".to_owned()];
    let row = |id: &str, amount: i64| json!({"messageId": id, "updated": "2026-01-01T00:00:00Z", "amount": amount, "a.b": amount});
    bench.upsert(&target, &[row("a", 1), row("b", 2)]).await.unwrap();
    assert_eq!(counts(&bench.upsert(&target, &[row("a", 5), row("b", 2)]).await.unwrap()), (Some(1), 1, 1));
    assert_eq!(bench.rows(&target).await, sorted(vec![row("a", 5), row("b", 2)]));
}

#[tokio::test]
async fn a_landing_without_documents_makes_an_empty_table() {
    let bench = Bench::new();
    let target = events(&bench);
    assert_eq!(counts(&bench.upsert(&target, &[]).await.unwrap()), (Some(0), 0, 0));
    assert_eq!(bench.rows(&target).await, Vec::<Value>::new());
    assert_eq!(counts(&bench.upsert(&target, &[]).await.unwrap()), (None, 0, 0));
}

#[tokio::test]
async fn rejects_are_landed_apart_and_everything_is_counted() {
    let bench = Bench::new();
    let target = readings(&bench);
    let documents = [reading("a", 1, 1), reading("b", 7, 2)];
    let rejects = [json!({"raw": "not json"})];
    let source = landing_source(&target, &[&documents[..1], &documents[1..]], &rejects, None);
    let noted = ["id".to_owned(), "updated".to_owned()];
    let folder = bench.root.folder("_landing");
    let landed = bench.lake.land(source, LANDING, "bronze.readings", &noted, folder).await.unwrap();
    assert_eq!((landed.read, landed.rejected), (3, 1));
    assert_eq!(landed.largest("updated").as_deref(), Some("1970-01-01T00:00:07Z"));
    let found = bench.rows_of(landed.rejects(&bench.tables)).await;
    assert_eq!(found, [json!({"_ordinal": 2, "_reject": {"raw": "not json"}})]);
    assert_eq!(bench.rows_of(landed.documents(&bench.tables)).await.len(), 2);
    landed.remove(&bench.tables).await;
    assert!(bench.store.objects().await.is_empty());
}

#[tokio::test]
async fn a_document_that_is_not_accounted_for_is_an_error() {
    let bench = Bench::new();
    let target = readings(&bench);
    let source = landing_source(&target, &[&[reading("a", 1, 1)]], &[], Some(2));
    let error = bench.upsert_landing(&target, source, Some("updated")).await.unwrap_err();
    assert!(matches!(&error, LakeError::Counts { .. }), "{error:?}");
    assert!(error.to_string().contains("2 documents read, but 1 decoded and 0 rejected"), "{error}");
    assert_eq!(error.class(), ErrorClass::Internal);
    assert!(bench.store.objects().await.is_empty(), "the landing is removed");
}

#[tokio::test]
async fn a_large_merge_is_written_by_several_tasks() {
    let mut bench = Bench::new();
    bench.lake = bench.lake.with_file_bytes(100_000);
    let target: Target = readings(&bench);
    let rows = |amount: i64| -> Vec<Value> {
        (0..20_000_u64)
            .map(|at| reading(&format!("{:016x}", at.wrapping_mul(0x9E37_79B9_7F4A_7C15)), amount, amount))
            .collect()
    };
    let (first, second) = (rows(1), rows(2));
    bench.upsert_split(&target, &first.chunks(5_000).collect::<Vec<_>>()).await.unwrap();
    let written = bench.upsert_split(&target, &second.chunks(5_000).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(counts(&written), (Some(1), 20_000, 0));
    let pinned = bench.latest(&target).await;
    assert_eq!(pinned.rows(), Some(20_000));
    // Small files are closed by the size of rows that are not compressed yet, so there are some more than by bytes.
    assert!((2..=8).contains(&pinned.files.len()), "{} files of {} bytes", pinned.files.len(), pinned.bytes());
    let (_, plan) = bench.runner.take_runs().pop().unwrap();
    assert!(writers(&plan) > 1, "{} writers", writers(&plan));
    assert_eq!(bench.rows(&target).await, sorted(second));
}

#[tokio::test]
async fn lists_that_travel_whole_and_lists_that_are_joined_give_the_same_table() {
    let mut tables = Vec::new();
    for (longest, refuses) in [(0, false), (2, false), (1_000, false), (1_000, true)] {
        let mut bench = Bench::new();
        bench.lake = bench.lake.with_short_list(longest);
        if refuses {
            bench.runner.refuse_broadcasts();
        }
        let target = readings(&bench);
        let mut found = Vec::new();
        // Many of each key per landing, some older than what is stored, some equal to it.
        for round in 0..4_i64 {
            let rows: Vec<Value> = (0..40)
                .map(|row| reading(&format!("k{}", row * 7 % 23), 100 + (row * 5 + round * 3) % 17, row % 3))
                .collect();
            found.push(counts(&bench.upsert_split(&target, &[&rows[..25], &rows[25..]]).await.unwrap()));
        }
        tables.push((longest, found, bench.rows(&target).await));
    }
    assert_eq!(tables[0].2.len(), 23, "one row a key");
    for (longest, found, rows) in &tables[1..] {
        assert_eq!((found, rows), (&tables[0].1, &tables[0].2), "lists of up to {longest} keys travel");
    }
}
