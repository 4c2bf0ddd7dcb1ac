//! Asks one question twice: as SQL, and as a plan built from data frames. Both run as jobs on the cluster.
//!
//! `cargo run --example layer_query -- data/lake`

use std::error::Error;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{col, lit};
use quickchat_client::cluster::{Cluster, EmbeddedOptions, SubmitOptions};
use quickchat_client::tables::LakeView;
use quickchat_jobs::Catalog;
use quickchat_lake::LakeRoot;

/// The three conversations with the most messages.
pub async fn busiest_conversations(lake: &str) -> Result<Vec<(String, i64)>, Box<dyn Error>> {
    // A cluster inside this process; `Cluster::connect(&"df://scheduler:50050".parse()?)` is one of many machines.
    let cluster = Cluster::embedded(EmbeddedOptions::default()).await?;
    let view = LakeView::new(LakeRoot::parse(lake)?, cluster.engine().tables().clone(), &Catalog::builtin()?);

    // The newest version of every table of a layer, pinned: a run that goes on meanwhile does not disturb.
    let session = view.session(&cluster, "silver").await?;

    let sql = "SELECT conversation_id, count(*) AS messages FROM silver.messages \
               GROUP BY conversation_id ORDER BY messages DESC, conversation_id LIMIT 3";
    let plan = session.sql(sql).await?.into_unoptimized_plan();
    let job = cluster.submit(&plan, "busiest conversations").await?;
    let from_sql = rows(&job.collect().await?);

    let messages = session.table("silver.messages").await?;
    let frame = messages
        .aggregate(vec![col("conversation_id")], vec![count(lit(1)).alias("messages")])?
        .sort(vec![col("messages").sort(false, true), col("conversation_id").sort(true, true)])?
        .limit(0, Some(3))?;
    let options = SubmitOptions {
        deadline: Some(std::time::Duration::from_secs(600)),
        ..SubmitOptions::named("the same from data frames")
    };
    let job = cluster.submit_with(&frame.into_unoptimized_plan(), options).await?;
    let from_frames = rows(&job.collect().await?);

    cluster.stop().await;
    if from_sql == from_frames { Ok(from_sql) } else { Err("the two plans must give the same rows".into()) }
}

fn rows(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let of_batch = |batch: &RecordBatch| {
        let names = batch.column(0).as_string::<i32>().clone();
        let counts = batch.column(1).as_primitive::<Int64Type>().clone();
        (0..batch.num_rows()).map(move |row| (names.value(row).to_owned(), counts.value(row))).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

#[expect(clippy::print_stdout, reason = "the answer")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lake = std::env::args().nth(1).unwrap_or_else(|| "data/lake".to_owned());
    for (conversation, messages) in busiest_conversations(&lake).await? {
        println!("{conversation} {messages}");
    }
    Ok(())
}
