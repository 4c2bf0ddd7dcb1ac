//! Random histories of upserts against a model, cut into runs and batches in several ways.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::fixtures::{Bench, events, sorted};

/// The documents of one history, in the order in which they are read. Keys and times repeat often.
fn history(random: &mut StdRng, length: usize) -> Vec<Value> {
    let keys = random.random_range(1..40);
    (0..length)
        .map(|_| {
            let mut document = json!({
                "id": format!("key-{:02}", random.random_range(0..keys)),
                "amount": random.random_range(0..3),
                "run_id": format!("run-{}", random.random_range(0..9)),
            });
            if random.random_range(0..10) > 0 {
                document["updated"] = json!(format!("2026-01-01T00:00:{:02}Z", random.random_range(0..6)));
            }
            if random.random_range(0..8) > 0 {
                document["day"] = json!(format!("2026-01-{:02}", random.random_range(1..5)));
            }
            if random.random_range(0..3) == 0 {
                document["tags"] = json!([format!("t{}", random.random_range(0..2))]);
            }
            document
        })
        .collect()
}

/// What a table of these documents must hold, one after the other.
fn model(documents: &[Value]) -> HashMap<String, Value> {
    let mut table: HashMap<String, Value> = HashMap::new();
    for document in documents {
        let id = document["id"].as_str().unwrap().to_owned();
        let wins = match table.get(&id) {
            None => true,
            Some(stored) => match document["updated"].as_str().cmp(&stored["updated"].as_str()) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => content(document) != content(stored),
            },
        };
        if wins {
            table.insert(id, document.clone());
        }
    }
    table
}

/// A row without what only says how it came here.
fn content(row: &Value) -> Value {
    let mut row = row.clone();
    row.as_object_mut().unwrap().remove("run_id");
    row
}

/// Cuts a list at random places.
fn cut<'a>(random: &mut StdRng, rows: &'a [Value], pieces: usize) -> Vec<&'a [Value]> {
    let mut at: Vec<usize> = (1..pieces).map(|_| random.random_range(0..=rows.len())).collect();
    at.extend([0, rows.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &rows[pair[0]..pair[1]]).collect()
}

async fn check(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let length = random.random_range(1..120);
    let documents = history(&mut random, length);
    let expected = model(&documents);
    let wanted = sorted(expected.values().map(content).collect());
    for runs in [1, 2, 5] {
        let bench = Bench::new();
        let target = events(&bench);
        let mut applied = 0;
        for run in cut(&mut random, &documents, runs) {
            let pieces = random.random_range(1..4);
            let before = bench.tables.latest(&target.url).await.unwrap().map(|pinned| pinned.version);
            let written = bench.upsert_split(&target, &cut(&mut random, run, pieces)).await.unwrap();
            applied += run.len();
            let place = format!("seed {seed}, {runs} runs, after {applied} documents");
            assert_eq!(written.written + written.unchanged, run.len() as u64, "{place}");
            if written.written == 0 && before.is_some() {
                assert_eq!(written.version, None, "{place}");
            }
            let found: Vec<Value> = bench.rows(&target).await.iter().map(content).collect();
            let so_far = sorted(model(&documents[..applied]).values().map(content).collect());
            assert_eq!(sorted(found), so_far, "{place}");
        }
        let found: Vec<Value> = bench.rows(&target).await.iter().map(content).collect();
        assert_eq!(sorted(found), wanted, "seed {seed}, {runs} runs");
        assert_eq!(bench.latest(&target).await.rows(), Some(expected.len() as u64));
    }
}

#[tokio::test]
async fn random_histories_give_the_rows_of_the_model() {
    for seed in 0..8 {
        check(seed).await;
    }
}
