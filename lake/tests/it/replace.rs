//! Replace: a query's rows take the place of a table or of partitions, and what is equal stays.

use quickchat_lake::LakeError;
use quickchat_lake::operation::{Scope, Target, Written};
use serde_json::{Value, json};

use crate::fixtures::{
    Bench, actions, batch, count_of, day, days, event, events, file_of, paths, readings, sorted, source, writers,
};

fn rows() -> Vec<Value> {
    vec![event("a", "2026-01-01", 1), event("b", "2026-01-01", 2), event("c", "2026-01-02", 3)]
}

#[tokio::test]
async fn the_same_rows_again_change_nothing() {
    let bench = Bench::new();
    let target = events(&bench);
    let first = bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    assert_eq!((first.version, first.written, first.unchanged, first.files), (Some(0), 3, 0, 2));
    let before = bench.store.objects().await;
    let mut again = rows();
    again.reverse();
    for (at, row) in again.iter_mut().enumerate() {
        row["run_id"] = json!(format!("another {at}"));
    }
    let second = bench.replace(&target, Scope::Table, &again).await.unwrap();
    assert_eq!(second, Written { version: None, written: 0, unchanged: 3, files: 0, bytes: 0 });
    assert_eq!(bench.store.objects().await, before, "the files that were written in vain are gone");
}

#[tokio::test]
async fn partitions_that_are_equal_keep_their_files() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let before = bench.latest(&target).await;
    let mut changed = rows();
    changed[2]["amount"] = json!(4);
    changed.push(event("d", "2026-01-03", 5));
    let written = bench.replace(&target, Scope::Table, &changed).await.unwrap();
    assert_eq!((written.version, written.written, written.unchanged, written.files), (Some(1), 2, 2, 2));
    let after = bench.latest(&target).await;
    assert_eq!(file_of(&before, "2026-01-01").path, file_of(&after, "2026-01-01").path);
    assert_ne!(file_of(&before, "2026-01-02").path, file_of(&after, "2026-01-02").path);
    assert_eq!(bench.rows(&target).await, sorted(changed));
    let actions = actions(&bench, &target.url, 1).await;
    assert_eq!((count_of(&actions, "add"), count_of(&actions, "remove")), (2, 1));
    let info = actions.iter().find_map(|action| action.get("commitInfo")).unwrap();
    let predicate = info["operationParameters"]["predicate"].as_str().unwrap();
    assert_eq!(predicate, "day = '2026-01-02' OR day = '2026-01-03'", "the true predicate");
}

#[tokio::test]
async fn a_repeated_row_is_a_change() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let mut doubled = rows();
    doubled.push(doubled[0].clone());
    assert_eq!(bench.replace(&target, Scope::Table, &doubled).await.unwrap().written, 3);
    assert_eq!(bench.rows(&target).await.len(), 4);
}

#[tokio::test]
async fn a_partition_whose_rows_vanish_is_removed() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let written = bench.replace(&target, Scope::Table, &rows()[..2]).await.unwrap();
    assert_eq!((written.version, written.written, written.unchanged, written.files), (Some(1), 0, 2, 0));
    assert_eq!(bench.rows(&target).await, sorted(rows()[..2].to_vec()));
}

#[tokio::test]
async fn a_scope_of_partitions_leaves_the_others_alone() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let before = bench.latest(&target).await;
    let new = event("z", "2026-01-02", 9);
    bench.replace(&target, days(&["2026-01-02"]), std::slice::from_ref(&new)).await.unwrap();
    assert_eq!(bench.rows(&target).await, sorted(vec![rows()[0].clone(), rows()[1].clone(), new]));
    let after = bench.latest(&target).await;
    assert_eq!(file_of(&before, "2026-01-01"), file_of(&after, "2026-01-01"));
}

#[tokio::test]
async fn no_rows_empty_the_partitions_of_the_scope() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let written = bench.replace(&target, days(&["2026-01-01", "2030-01-01"]), &[]).await.unwrap();
    assert_eq!(written.version, Some(1));
    assert_eq!(bench.rows(&target).await, [rows()[2].clone()]);
    assert_eq!(bench.replace(&target, days(&["2026-01-01"]), &[]).await.unwrap().version, None);
}

#[tokio::test]
async fn rows_outside_of_the_scope_are_refused() {
    let bench = Bench::new();
    let target = events(&bench);
    bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    let before = bench.store.objects().await;
    let error = bench.replace(&target, days(&["2026-01-02"]), &rows()).await.unwrap_err();
    assert!(matches!(&error, LakeError::Counts { .. }), "{error:?}");
    assert!(error.to_string().contains("day=2026-01-01"), "{error}");
    assert_eq!(bench.store.objects().await, before, "no commit, and no files left behind");
}

#[tokio::test]
async fn an_empty_result_makes_an_empty_table() {
    let bench = Bench::new();
    let target = events(&bench);
    for scope in [Scope::Table, days(&["2026-01-01"])] {
        let written = bench.replace(&target, scope, &[]).await.unwrap();
        assert!(written.version == Some(0) || written.version.is_none());
        assert_eq!(bench.rows(&target).await, Vec::<Value>::new());
    }
    assert_eq!(bench.latest(&target).await.version, 0);
}

#[tokio::test]
async fn files_without_fingerprints_are_replaced() {
    let bench = Bench::new();
    let target = events(&bench);
    // Upserts write no fingerprints: their files hold parts of partitions.
    bench.upsert(&target, &rows()).await.unwrap();
    let written = bench.replace(&target, Scope::Table, &rows()).await.unwrap();
    assert_eq!((written.written, written.unchanged), (3, 0));
    assert_eq!(bench.rows(&target).await, sorted(rows()));
    assert_eq!(bench.replace(&target, Scope::Table, &rows()).await.unwrap().version, None);
}

/// Rows that make some files of the size that [`Bench`] is told to aim for.
fn bulk(target: &Target, count: usize, shift: i64) -> Vec<Value> {
    (0..count)
        .map(|at| {
            let hash = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let id = format!("{at:06}-{hash:016x}{:016x}", hash.rotate_left(29).wrapping_mul(hash | 1));
            if target.partition_columns.is_empty() {
                json!({"id": id, "amount": at as i64 + shift})
            } else {
                // Nine of ten rows are of one day.
                event(&id, if at % 10 == 0 { "2026-01-02" } else { "2026-01-01" }, at as i64 + shift)
            }
        })
        .collect()
}

fn in_parts(target: &Target, rows: &[Value]) -> datafusion::logical_expr::LogicalPlan {
    source(rows.chunks(rows.len().div_ceil(8)).map(|rows| batch(&target.schema, rows)).collect())
}

#[tokio::test]
async fn a_large_table_is_written_by_several_tasks_and_a_small_one_into_one_file() {
    let mut bench = Bench::new();
    bench.lake = bench.lake.with_file_bytes(200_000);
    for target in [readings(&bench), events(&bench)] {
        let rows = bulk(&target, 20_000, 0);
        bench.replace_by(&target, Scope::Table, in_parts(&target, &rows)).await.unwrap();
        bench.runner.take_runs();
        let changed = bulk(&target, 20_000, 1);
        bench.replace_by(&target, Scope::Table, in_parts(&target, &changed)).await.unwrap();
        let (_, plan) = bench.runner.take_runs().pop().unwrap();
        let pinned = bench.latest(&target).await;
        assert_eq!(bench.rows(&target).await.len(), 20_000);
        let partitions: &[Option<&str>] =
            if target.partition_columns.is_empty() { &[None] } else { &[Some("2026-01-01"), Some("2026-01-02")] };
        for partition in partitions {
            let files: Vec<_> = pinned
                .files
                .iter()
                .filter(|file| partition.is_none_or(|day| file.partition_values["day"].as_deref() == Some(day)))
                .collect();
            let bytes: i64 = files.iter().map(|file| file.size).sum();
            assert!(files.len() as i64 <= bytes / 100_000 + 1, "{} files, {bytes} bytes", files.len());
            let prefixes: std::collections::BTreeSet<&str> =
                files.iter().map(|file| file.path.rsplit_once("part-").unwrap().1.split_at(6).1).collect();
            if bytes > 200_000 {
                assert!(prefixes.len() > 1, "several writers made the files of a large partition");
            } else {
                assert_eq!(files.len(), 1, "a small partition is one file");
            }
        }
        assert!(writers(&plan) > 1, "{}: {} writers", target.name, writers(&plan));
        // Equal rows are found equal, however they were spread.
        let again = bench.replace_by(&target, Scope::Table, in_parts(&target, &changed)).await.unwrap();
        assert_eq!((again.version, again.unchanged), (None, 20_000));
    }
}

#[tokio::test]
async fn replaced_tables_of_any_size_keep_one_file_per_small_partition() {
    let bench = Bench::new();
    let target = events(&bench);
    for version in 0..4_i64 {
        let parts = (0..8)
            .map(|task| {
                let rows: Vec<Value> = (1..=28)
                    .map(|day| event(&format!("{task}-{day}"), &format!("2026-02-{day:02}"), version))
                    .collect();
                batch(&target.schema, &rows)
            })
            .collect();
        bench.replace_by(&target, Scope::Table, source(parts)).await.unwrap();
        let pinned = bench.latest(&target).await;
        assert_eq!(pinned.files.len(), 28, "version {version}");
        assert_eq!(pinned.rows(), Some(8 * 28));
    }
}

#[tokio::test]
async fn a_partition_scope_names_partitions_by_all_their_columns() {
    let bench = Bench::new();
    let mut target = events(&bench);
    target.partition_columns = vec!["day".to_owned(), "note".to_owned()];
    let row = |id: &str, day: &str, note: &str| json!({"id": id, "day": day, "note": note});
    let rows = [row("a", "2026-01-01", "x"), row("b", "2026-01-01", "y"), row("c", "2026-01-02", "x")];
    bench.replace(&target, Scope::Table, &rows).await.unwrap();
    let before = bench.latest(&target).await;
    let mut partition = day("2026-01-01");
    partition.insert("note".to_owned(), Some("y".to_owned()));
    bench.replace(&target, Scope::Partitions(vec![partition]), &[row("B", "2026-01-01", "y")]).await.unwrap();
    let after = bench.latest(&target).await;
    assert_eq!(paths(&before.files).intersection(&paths(&after.files)).count(), 2);
    let ids: Vec<Value> = bench.rows(&target).await.iter().map(|row| row["id"].clone()).collect();
    assert!(ids.contains(&json!("B")) && !ids.contains(&json!("b")), "{ids:?}");
}
