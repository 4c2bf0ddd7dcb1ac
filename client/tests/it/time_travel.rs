//! Tables as they were, in `sql`.

use std::process::Command;

use crate::fixtures::steps;
use crate::process::{Ended, etl, run};

/// A query over the lake of three runs.
fn sql(query: &str) -> Ended {
    let mut command: Command = etl(&["sql", query, "-o", "json", "--lake"]);
    run(command.arg(&steps().lakes[2]))
}

#[test]
fn every_version_has_the_rows_of_its_run() {
    let steps = steps();
    for (step, tables) in steps.tables.iter().enumerate() {
        let version = tables.0["bronze.messages"].version;
        let query = format!(
            "SELECT count(*) AS n, 'bronze.messages@v0' AS text -- bronze.messages@v0\nFROM bronze.messages@v{version}"
        );
        let rows = sql(&query).expect(0).json();
        let expected = tables.rows("bronze.messages").len();
        assert_eq!(rows, serde_json::json!([{"n": expected, "text": "bronze.messages@v0"}]), "run {step}");
    }
}

#[test]
fn versions_of_one_table_can_be_compared() {
    let tables = &steps().tables;
    let [first, last] = [0, 2].map(|step| tables[step].0["bronze.messages"].version);
    assert!(first < last);
    let query = format!(
        "SELECT count(*) AS n FROM bronze.messages@v{last} a \
         LEFT ANTI JOIN bronze.messages@v{first} AS b ON a.message_id = b.message_id"
    );
    let new = tables[2].rows("bronze.messages").len() - tables[0].rows("bronze.messages").len();
    assert_eq!(sql(&query).expect(0).json(), serde_json::json!([{"n": new}]));
}

#[test]
fn instants_name_the_version_of_then() {
    let newest = steps().tables[2].rows("silver.users").len();
    for instant in ["2999-01-01", "2999-01-01T12:00:00Z", "2999-01-01T12:00:00.5+01:00"] {
        let rows = sql(&format!("SELECT count(*) AS n FROM silver.users@{instant}")).expect(0).json();
        assert_eq!(rows, serde_json::json!([{"n": newest}]), "{instant}");
    }
    let ended = sql("SELECT * FROM silver.users@2001-01-01").expect(1);
    ended.says(&["silver/users", "has no version of 2001-01-01T00:00:00Z", "its newest is"]);
}

#[test]
fn versions_that_are_not_there_are_named() {
    sql("SELECT * FROM silver.users@v4711").expect(1).says(&["silver/users", "no version 4711", "its newest is"]);
    for text in ["yesterday", "12", "v12.user_id", "2026-02-30"] {
        let ended = sql(&format!("SELECT * FROM silver.users@{text}")).expect(2);
        ended.says(&[&format!("{text:?} is no version of table silver.users"), "silver.users@v12", "@2026-01-31"]);
    }
    sql("SELECT * FROM silver.usres@v1").expect(2).says(&["there is no table \"silver.usres\"", "silver.users"]);
}
