//! The library's example: compiled, and run over a real lake.

use serde_json::json;

use crate::fixtures::sample;

// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../../examples/layer_query.rs"]
mod layer_query;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_library_answers() {
    let sample = sample();
    let rows = layer_query::busiest_conversations(sample.lake.to_str().unwrap()).await.unwrap();
    let mut counted = std::collections::BTreeMap::<String, i64>::new();
    for message in sample.tables.rows("silver.messages") {
        *counted.entry(message["conversation_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let mut expected: Vec<(String, i64)> = counted.into_iter().collect();
    expected.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    expected.truncate(3);
    assert_eq!(json!(rows), json!(expected));
}
