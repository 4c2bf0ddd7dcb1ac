//! `maintain`, on whole lakes: every row stays, and other engines read them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_executor::MemoryLimit;
use quickchat_lake::commit::TransactionId;
use quickchat_lake::operation::{CommitNote, Lake, QueryRunner, Scope, Target, Written};
use quickchat_lake::{COMMENT, LakeRoot, TableUrl};
use serde_json::{Map, Value};

use crate::fixtures::{
    RANDOM_AS_OF, SAMPLE_AS_OF, assert_equals_reference, make_sample, pipeline, sample, select, steps,
};
use crate::lake::{Tables, copy, data_files, files};
use crate::process::{Ended, etl, run, scratch};

const DAY: Duration = Duration::from_secs(86_400);

fn maintain(lake: &Path, arguments: &[&str]) -> Command {
    let mut command = etl(&["maintain"]);
    command.args(arguments).args(["-o", "json", "--lake"]).arg(lake);
    command
}

#[track_caller]
fn reports(ended: &Ended) -> Vec<Value> {
    ended.json().as_array().unwrap_or_else(|| panic!("no list: {ended}")).clone()
}

#[track_caller]
fn report<'a>(reports: &'a [Value], table: &str) -> &'a Value {
    reports.iter().find(|report| report["table"] == table).unwrap_or_else(|| panic!("{table} is not in {reports:?}"))
}

/// The lake of three runs, in a folder of its own.
fn lake_of_three_runs(name: &str) -> PathBuf {
    let lake = scratch(name).join("lake");
    copy(&steps().lakes[2], &lake);
    lake
}

#[test]
fn optimize_leaves_every_row_where_readers_find_it() {
    let lake = lake_of_three_runs("optimize");
    let before = files(&lake);
    let planned = reports(&run(&mut maintain(&lake, &["optimize", "--dry-run"])).expect(0));
    assert_eq!(files(&lake), before, "a dry run changes nothing");
    let done = reports(&run(&mut maintain(&lake, &["optimize"])).expect(0));
    assert_eq!(planned.len(), done.len());
    for (planned, done) in planned.iter().zip(&done) {
        for field in ["table", "partitions", "files_before", "files_after", "bytes_before"] {
            assert_eq!(planned[field], done[field], "{field}: {planned}, {done}");
        }
        assert_eq!((&planned["executed"], &done["executed"]), (&false.into(), &true.into()));
        assert_eq!(done["version"].is_null(), done["files_before"] == 0, "{done}");
    }
    // Three runs have left several files in some partitions.
    assert!(report(&done, "bronze.messages")["version"].is_u64(), "{done:?}");
    Tables::read(&lake).assert_same_rows(&steps().tables[2], "after and before an optimize");
    let exports: Vec<&Path> = steps().exports.iter().map(AsRef::as_ref).collect();
    assert_equals_reference(&lake, &exports, RANDOM_AS_OF);
    // Nothing more to do, neither for an optimize nor for a run.
    let after = data_files(&lake);
    let again = reports(&run(&mut maintain(&lake, &["optimize"])).expect(0));
    assert!(again.iter().all(|report| report["version"].is_null()), "{again:?}");
    run(&mut pipeline(&steps().exports[2], &lake, RANDOM_AS_OF)).expect(0).says(&["nothing changed"]);
    assert_eq!(data_files(&lake), after);
    let mut history = etl(&["tables", "history", "bronze.messages", "-o", "json", "--lake"]);
    let newest = &reports(&run(history.arg(&lake)).expect(0))[0];
    assert_eq!((&newest["operation"], &newest["changes_data"]), (&"OPTIMIZE".into(), &false.into()), "{newest}");
}

#[test]
fn z_ordered_messages_are_the_same_messages() {
    let folder = scratch("z-order");
    let (exports, lake) = (folder.join("exports"), folder.join("lake"));
    make_sample(&exports, &["--messages", "2500", "--days", "3"]);
    run(&mut pipeline(&exports, &lake, SAMPLE_AS_OF)).expect(0);
    let before = Tables::read(&lake);
    let done = reports(&run(&mut maintain(&lake, &["optimize", "silver.messages", "--file-mib", "1"])).expect(0));
    let done = report(&done, "silver.messages");
    assert!(done["version"].is_u64() && done["partitions"].as_u64() >= Some(1), "{done}");
    Tables::read(&lake).assert_same_rows(&before, "after and before z-order");
    assert_equals_reference(&lake, &[&exports], SAMPLE_AS_OF);
    let log = std::fs::read_to_string(lake.join(format!("silver/messages/_delta_log/{:020}.json", 1))).unwrap();
    assert!(log.contains(r#""quickchat.order":"conversation_id,sender_id""#), "{log}");
    // The fingerprints are right: what a run computes anew is found to be there.
    run(&mut select("silver.messages", &exports, &lake, SAMPLE_AS_OF)).expect(0).says(&["nothing changed"]);
    let again = reports(&run(&mut maintain(&lake, &["optimize", "silver.messages", "--file-mib", "1"])).expect(0));
    assert!(report(&again, "silver.messages")["version"].is_null(), "{again:?}");
}

/// Makes all files of a lake look as if they had been written so long ago.
fn age(lake: &Path, age: Duration) {
    let then = SystemTime::now() - age;
    for file in files(lake).keys() {
        let file = std::fs::File::options().write(true).open(lake.join(file)).unwrap();
        file.set_modified(then).unwrap();
    }
}

#[test]
fn vacuum_lists_first_and_deletes_what_nobody_needs() {
    let lake = lake_of_three_runs("vacuum");
    let landing = lake.join("_landing/a-run-that-died/messages");
    std::fs::create_dir_all(&landing).unwrap();
    std::fs::write(landing.join("part.parquet"), "rows").unwrap();
    let young = reports(&run(&mut maintain(&lake, &["vacuum", "--execute"])).expect(0));
    assert!(young.iter().all(|report| report["files"] == 0), "everything is younger than a week: {young:?}");
    age(&lake, 30 * DAY);
    let before = files(&lake);
    let ended = run(&mut maintain(&lake, &["vacuum", "--limit", "1"])).expect(0);
    ended.says(&["nothing was deleted; --execute does it"]);
    assert_eq!(files(&lake), before, "a dry run changes nothing");
    let planned = reports(&ended);
    let messages = report(&planned, "bronze.messages");
    assert!(messages["files"].as_u64() > Some(1), "{messages}");
    assert_eq!(messages["first"].as_array().unwrap().len(), 1);
    assert_eq!(report(&planned, "temporary files")["files"], 1);
    let done = reports(&run(&mut maintain(&lake, &["vacuum", "--execute"])).expect(0));
    let gone: u64 = done.iter().map(|report| report["files"].as_u64().unwrap()).sum();
    assert_eq!(files(&lake).len() as u64, before.len() as u64 - gone);
    assert!(!landing.exists());
    Tables::read(&lake).assert_same_rows(&steps().tables[2], "after and before a vacuum");
    // An older version says why it cannot be read, the newest can.
    let sql = |query: &str| run(etl(&["sql", query, "-o", "json", "--lake"]).arg(&lake));
    let ended = sql("SELECT * FROM bronze.messages@v0").expect(1);
    ended.says(&["version 0 of table", "bronze/messages", "were deleted by vacuum", "choose a later version"]);
    sql("SELECT count(*) FROM bronze.messages").expect(0);
}

#[test]
fn vacuum_keeps_a_week_at_least() {
    let lake = &sample().lake;
    let ended = run(&mut maintain(lake, &["vacuum", "--retention-days", "6", "--execute"])).expect(2);
    ended.says(&["cannot keep less than 7 days", "6 were asked for", "running job"]);
    assert_eq!(ended.stdout, "");
}

#[test]
fn checkpoint_sums_up_and_drops_what_expired() {
    let lake = lake_of_three_runs("checkpoint");
    age(&lake, 31 * DAY);
    let before = files(&lake);
    let planned = reports(&run(&mut maintain(&lake, &["checkpoint", "bronze.messages", "--dry-run"])).expect(0));
    assert_eq!(files(&lake), before, "a dry run changes nothing");
    assert_eq!((&planned[0]["checkpoint_made"], &planned[0]["executed"]), (&true.into(), &false.into()));
    run(&mut maintain(&lake, &["checkpoint"])).expect(0);
    let version = steps().tables[2].0["bronze.messages"].version;
    let checkpoint = lake.join(format!("bronze/messages/_delta_log/{version:020}.checkpoint.parquet"));
    assert!(checkpoint.is_file());
    // The next one is the first that finds old entries before a checkpoint.
    let done = reports(&run(&mut maintain(&lake, &["checkpoint", "bronze.messages"])).expect(0));
    assert_eq!((&done[0]["entries_dropped"], &done[0]["checkpoint_made"]), (&version.into(), &false.into()));
    Tables::read(&lake).assert_same_rows(&steps().tables[2], "after and before the log was shortened");
    let mut command = etl(&["sql", "SELECT * FROM bronze.messages@v0", "--lake"]);
    run(command.arg(&lake)).expect(1).says(&["no version 0 (any more)"]);
    let mut command = etl(&["tables", "history", "bronze.messages", "-o", "json", "--lake"]);
    assert_eq!(reports(&run(command.arg(&lake)).expect(0)).len(), 1);
}

#[test]
fn tables_that_are_not_there_are_named() {
    let lake = &sample().lake;
    run(&mut maintain(lake, &["optimize", "silver.mesages"])).expect(2).says(&["did you mean silver.messages"]);
    let empty = scratch("no-tables").join("lake");
    assert_eq!(reports(&run(&mut maintain(&empty, &["vacuum"])).expect(0)).len(), 1, "the temporary files");
    for command in ["optimize", "vacuum", "checkpoint"] {
        let ended = run(&mut maintain(&empty, &[command, "silver.messages"])).expect(1);
        ended.says(&["silver.messages: there is no Delta table at"]);
        let error = reports(&ended)[0]["error"].as_str().unwrap().to_owned();
        assert!(error.contains("run the job that writes it first"), "{error}");
    }
}

#[test]
fn descriptions_are_part_of_the_tables() {
    let table = sample().lake.join("gold/daily_metrics");
    let code = "import sys, json, deltalake\n\
                schema = json.loads(deltalake.DeltaTable(sys.argv[1]).schema().to_json())\n\
                print(json.dumps({f['name']: f['metadata'].get('comment') for f in schema['fields']}))";
    let python = std::env::var("QUICKCHAT_REFERENCE_PYTHON").expect("run the tests by scripts/test.sh");
    let described = run(Command::new(python).args(["-c", code]).arg(table)).expect(0).json();
    let catalog = quickchat_jobs::Catalog::builtin().unwrap();
    let contract = catalog.job("gold.daily_metrics").unwrap().contract();
    for column in contract.columns {
        assert_eq!(described[column.name], column.about, "{}", column.name);
    }
}

/// Runs the lake's queries on a cluster.
struct Runner(Cluster);

#[async_trait::async_trait]
impl QueryRunner for Runner {
    async fn run(
        &self,
        plan: LogicalPlan,
        label: &str,
    ) -> Result<Vec<RecordBatch>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.submit(&plan, label).await?.collect().await?)
    }
}

/// Two versions of a table, the second with a column more, each replacing one of its partitions.
async fn evolve(url: &TableUrl) {
    let options = EmbeddedOptions { slots: 2, memory: MemoryLimit::Bytes(256 << 20), work_dir: None };
    let cluster = Cluster::embedded(options).await.unwrap();
    let session = cluster.session().unwrap();
    let operations = Lake::new(cluster.engine().tables().clone(), session.state(), Arc::new(Runner(cluster.clone())));
    let mut fields = vec![Field::new("id", DataType::Utf8, false), Field::new("day", DataType::Date32, true)];
    for (sequence, day, query) in [
        (1, "2026-01-01", "SELECT 'a' AS id, DATE '2026-01-01' AS day"),
        (
            2,
            "2026-01-02",
            "SELECT 'b' AS id, DATE '2026-01-02' AS day, 7 AS mood UNION ALL SELECT 'c', DATE '2026-01-02', 8",
        ),
    ] {
        if sequence == 2 {
            let comment = [(COMMENT.to_owned(), "How they feel.".to_owned())];
            fields.push(Field::new("mood", DataType::Int64, true).with_metadata(comment.into()));
        }
        let target = Target {
            name: "gold.moods".to_owned(),
            url: url.clone(),
            schema: Arc::new(Schema::new(fields.clone())),
            partition_columns: vec!["day".to_owned()],
            key: vec!["id".to_owned()],
            metadata_columns: Vec::new(),
            statistics_columns: fields.iter().map(|field| field.name().clone()).filter(|name| name != "day").collect(),
        };
        let transaction = TransactionId { application: "test".to_owned(), sequence, run: format!("run {sequence}") };
        let info = |_: &Written| Map::new();
        let query = session.sql(query).await.unwrap().into_unoptimized_plan();
        let scope = Scope::Partitions(vec![[("day".to_owned(), Some(day.to_owned()))].into()]);
        operations.replace(&target, query, &scope, &CommitNote { transaction, info: &info }).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engine_reads_null_in_rows_that_are_older_than_a_column() {
    let folder = scratch("evolved").join("lake");
    let lake = LakeRoot::parse(folder.to_str().unwrap()).unwrap();
    evolve(&lake.table("gold", "moods")).await;
    // Threads of pyarrow now and then abort an interpreter that ends in its own time.
    let code = "import os, sys, json, deltalake\n\
                table = deltalake.DeltaTable(sys.argv[1])\n\
                fields = json.loads(table.schema().to_json())['fields']\n\
                rows = table.to_pyarrow_table().select(['id', 'mood']).to_pylist()\n\
                print(json.dumps({'comments': [f['metadata'].get('comment') for f in fields], 'version': table.version(),\n\
                                  'rows': sorted(([r['id'], r['mood']] for r in rows))}), flush=True)\n\
                os._exit(0)";
    let python = std::env::var("QUICKCHAT_REFERENCE_PYTHON").expect("run the tests by scripts/test.sh");
    let seen = run(Command::new(python).args(["-c", code]).arg(folder.join("gold/moods"))).expect(0).json();
    let expected = serde_json::json!({
        "comments": [null, null, "How they feel."], "version": 1, "rows": [["a", null], ["b", 7], ["c", 8]]
    });
    assert_eq!(seen, expected);
}
