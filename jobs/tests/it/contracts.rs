//! The contracts are regular: what holds for every table of a layer.

use std::collections::BTreeSet;

use quickchat_jobs::{Catalog, ColumnType, Job, METADATA_COLUMNS, WriteMode};

fn jobs() -> Vec<Job> {
    Catalog::builtin().unwrap().jobs().to_vec()
}

#[test]
fn the_catalog_has_these_tables() {
    let names: BTreeSet<String> = jobs().iter().map(|job| job.name().to_string()).collect();
    let expected = [
        "bronze.messages",
        "bronze.users",
        "bronze.conversations",
        "bronze.calls",
        "bronze.notifications",
        "bronze.auth_users",
        "bronze.auth_sessions",
        "bronze.audit_logs",
        "bronze.media",
        "silver.users",
        "silver.messages",
        "silver.conversations",
        "silver.calls",
        "silver.reactions",
        "silver.user_sessions",
        "silver.user_activity",
        "silver.media",
        "gold.daily_metrics",
        "gold.weekly_metrics",
        "gold.monthly_metrics",
        "gold.user_engagement",
        "gold.conversation_analytics",
        "gold.ml_features",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    let catalog = Catalog::builtin().unwrap();
    let views: Vec<String> = catalog.views().iter().map(|view| view.name().to_string()).collect();
    assert_eq!(views, ["gold.ml_features_latest"]);
}

#[test]
fn every_table_has_a_key_and_documented_columns() {
    for job in jobs() {
        let contract = job.contract();
        let table = job.name();
        assert!(!contract.key().is_empty(), "{table} has no key");
        assert!(contract.summary.ends_with('.'), "{table}: {}", contract.summary);
        let names: BTreeSet<&str> = contract.columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), contract.columns.len(), "{table} has two columns of one name");
        assert!(contract.columns.iter().filter(|column| column.is_partition()).count() <= 1, "{table}");
        for column in contract.columns {
            assert!(column.about.ends_with('.') && column.about.len() > 8, "{table}.{}", column.name);
            assert!(!(column.nullable && (column.is_key() || column.is_partition())), "{table}.{}", column.name);
            let is_collection = matches!(column.kind, ColumnType::List(_) | ColumnType::Map(_, _));
            assert!(!(column.nullable && is_collection), "{table}.{} may be empty but not null", column.name);
        }
        if let Some(partition) = contract.partition() {
            assert_eq!(contract.column(partition).unwrap().kind, ColumnType::Date, "{table}");
        }
    }
}

#[test]
fn write_modes_fit_their_contracts() {
    for job in jobs() {
        let contract = job.contract();
        let is_bronze = job.name().schema() == "bronze";
        assert_eq!(job.source().is_some(), is_bronze, "{}", job.name());
        match job.write_mode() {
            WriteMode::Upsert { newest } => {
                assert!(is_bronze, "{}", job.name());
                assert_eq!(contract.column(newest).unwrap().kind, ColumnType::Timestamp);
            }
            WriteMode::ReplacePartitions => assert!(contract.partition().is_some(), "{}", job.name()),
            WriteMode::ReplaceTable => {}
        }
        let last: Vec<&str> = contract.columns.iter().rev().take(3).rev().map(|column| column.name).collect();
        assert_eq!(is_bronze, last == METADATA_COLUMNS, "{}", job.name());
        assert_eq!(contract.metadata_columns().len(), if is_bronze { 3 } else { 0 });
    }
}

#[test]
fn sources_have_the_columns_of_bronze_without_what_the_query_adds() {
    let catalog = Catalog::builtin().unwrap();
    let messages = catalog.job("bronze.messages").unwrap();
    assert_eq!(messages.source().unwrap().to_string(), "mongodb.messages");
    let schema = messages.source_schema().unwrap();
    assert_eq!(schema.fields().len() + 4, messages.contract().columns.len());
    assert!(schema.field_with_name("created_date").is_err());
    assert!(schema.field_with_name("run_id").is_err());
    assert!(!schema.field_with_name("message_id").unwrap().is_nullable());
    assert_eq!(catalog.job("silver.messages").unwrap().source_schema(), None);
}

#[test]
fn keys_and_partitions_of_some_tables() {
    let catalog = Catalog::builtin().unwrap();
    let contract = |name: &str| catalog.job(name).unwrap().contract().clone();
    assert_eq!(contract("silver.reactions").key(), ["message_id", "user_id", "emoji"]);
    assert_eq!(contract("silver.reactions").partition(), Some("reacted_date"));
    assert_eq!(contract("silver.user_activity").key(), ["user_id", "activity_date"]);
    assert_eq!(contract("silver.user_activity").partition(), Some("activity_date"));
    assert_eq!(contract("bronze.users").partition(), Some("created_month"));
    assert_eq!(contract("bronze.notifications").partition(), Some("created_month"));
    assert_eq!(contract("bronze.auth_users").partition(), None);
    assert_eq!(contract("bronze.auth_sessions").partition(), None);
    assert_eq!(contract("bronze.audit_logs").partition(), Some("created_date"));
    assert_eq!(contract("bronze.media").partition(), None);
    assert_eq!(contract("silver.media").partition(), None);
    assert_eq!(contract("gold.weekly_metrics").partition(), None);
    assert_eq!(contract("gold.conversation_analytics").partition(), Some("calculation_date"));
    assert_eq!(contract("gold.daily_metrics").partition(), None);
    assert_eq!(contract("gold.ml_features").partition(), Some("feature_date"));
}
