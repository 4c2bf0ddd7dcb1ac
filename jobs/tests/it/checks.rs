//! Every kind of check on rows that pass and rows that fail, right at the border; and the checks of all jobs on what
//! their cases expect.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::prelude::SessionContext;
use quickchat_jobs::check::{ADDED, CHECKED, CheckPlan, Findings, Occasion};
use quickchat_jobs::{
    Catalog, Check, Column, ColumnType, Contract, Job, RunParameters, Severity, TableName, functions,
};
use serde_json::{Value, json};

use crate::lake::Tables;
use crate::rows;

/// 2026-01-15T12:00:00Z.
const AS_OF: i64 = 1_768_478_400_000_000;

const ADDS: Occasion = Occasion::Commit { is_merge: false, adds_rows: true };
const MERGES: Occasion = Occasion::Commit { is_merge: true, adds_rows: true };
const REMOVES: Occasion = Occasion::Commit { is_merge: false, adds_rows: false };

const COLUMNS: &[Column] = &[
    Column::required("id", ColumnType::String, "Key.").key(),
    Column::required("part", ColumnType::Date, "Key and partition.").key().partition(),
    Column::optional("kind", ColumnType::String, "A private text."),
    Column::optional("status", ColumnType::String, "A category."),
    Column::optional("sender_id", ColumnType::String, "Somebody."),
    Column::optional("whole", ColumnType::Long, "Whole number."),
    Column::optional("share", ColumnType::Double, "Number."),
    Column::optional("at", ColumnType::Timestamp, "Instant."),
];

fn contract() -> Contract {
    Contract { table: TableName::new("silver", "tested"), summary: "Test.", columns: COLUMNS }
}

fn parameters() -> RunParameters {
    RunParameters { as_of_micros: AS_OF, run_id: "run-1".to_owned() }
}

/// A row with a key of its own.
fn row(id: &str, more: Value) -> rows::Row {
    let mut row = json!({"id": id, "part": "2026-01-01"}).as_object().unwrap().clone();
    row.extend(more.as_object().unwrap().clone());
    row
}

/// Tables under the names that checks see.
struct Asked {
    context: SessionContext,
    contract: Contract,
    parameters: RunParameters,
}

impl Asked {
    fn new(contract: Contract, added: Vec<RecordBatch>, checked: Vec<RecordBatch>) -> Self {
        let mut context = SessionContext::new();
        functions::all().register(&mut context).unwrap();
        let schema = Arc::new(nullable(&contract));
        for (name, batches) in [(ADDED, added), (CHECKED, checked)] {
            let batches = batches
                .into_iter()
                .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).unwrap())
                .collect();
            let table = MemTable::try_new(Arc::clone(&schema), vec![batches]).unwrap();
            context.register_table(name, Arc::new(table)).unwrap();
        }
        Self { context, contract, parameters: parameters() }
    }

    /// The rows as added ones and, after the `stored` ones, as the table.
    fn rows(added: Vec<rows::Row>, stored: Vec<rows::Row>) -> Self {
        let schema = Arc::new(nullable(&contract()));
        let added = rows::to_batch(added, &schema, "added");
        let stored = rows::to_batch(stored, &schema, "stored");
        Self::new(contract(), vec![added.clone()], vec![stored, added])
    }

    fn with_table(self, name: &TableName, rows: RecordBatch) -> Self {
        let catalog = self.context.catalog("datafusion").unwrap();
        if catalog.schema(name.schema()).is_none() {
            let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog.register_schema(name.schema(), schema).unwrap();
        }
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        let schema = catalog.schema(name.schema()).unwrap();
        schema.register_table(name.table().to_owned(), Arc::new(table)).unwrap();
        self
    }

    async fn collect(&self, plan: &CheckPlan<'_>, sql: &str) -> Vec<RecordBatch> {
        let logical =
            self.context.state().create_logical_plan(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let logical = logical.with_param_values(plan.parameters(&self.parameters)).unwrap();
        let frame = self.context.execute_logical_plan(logical).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        frame.collect().await.unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    async fn findings(&self, checks: &[Check], occasion: Occasion) -> Findings {
        let plan = CheckPlan::new(&self.contract, checks, occasion);
        let Some(query) = plan.query() else { return Findings::default() };
        let answer = self.collect(&plan, &query).await;
        plan.findings(&answer).unwrap()
    }

    /// Name and count of what fails before a commit.
    async fn failing(&self, checks: &[Check]) -> Vec<(&'static str, Option<u64>)> {
        let findings = self.findings(checks, ADDS).await;
        findings.failed.into_iter().map(|finding| (finding.check.name, finding.failing)).collect()
    }

    /// The rows that are shown of a check that fails.
    async fn shown(&self, check: Check, occasion: Occasion) -> Vec<Value> {
        let plan = CheckPlan::new(&self.contract, &[check], occasion);
        let query = plan.rows_query(&check).unwrap();
        rows::from_batches(&self.collect(&plan, &query).await).into_iter().map(Value::Object).collect()
    }
}

/// Tables as they may be, whatever the contract says.
fn nullable(contract: &Contract) -> arrow::datatypes::Schema {
    let fields = contract.columns.iter().map(|column| column.arrow_field().with_nullable(true));
    arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())
}

/// Fails unless the check passes for each of the `good` rows, and for none of the `bad` ones.
async fn assert_border(check: Check, good: &[Value], bad: &[Value]) {
    for (values, expected) in
        good.iter().map(|row| (row, vec![])).chain(bad.iter().map(|row| (row, vec![(check.name, Some(1))])))
    {
        let asked = Asked::rows(vec![row("a", values.clone())], vec![]);
        assert_eq!(asked.failing(&[check]).await, expected, "{values} under {:?}", check.rule);
    }
}

#[tokio::test]
async fn values_that_may_not_be_null() {
    let check = Check::not_null("known", &["whole", "at"], "r");
    let at = "2026-01-01T00:00:00Z";
    assert_border(check, &[json!({"whole": 0, "at": at})], &[json!({"whole": 0}), json!({"at": at}), json!({})]).await;
}

#[tokio::test]
async fn values_of_a_list() {
    let check = Check::accepted("status", "status", &["on", "it's off"], "r");
    let good = [json!({"status": "on"}), json!({"status": "it's off"}), json!({"status": null})];
    assert_border(check, &good, &[json!({"status": "On"}), json!({"status": ""}), json!({"status": "on "})]).await;
}

#[tokio::test]
async fn values_of_a_range() {
    let whole = |value: i64| json!({"whole": value});
    let share = |value: f64| json!({"share": value});
    let check = Check::between("range", &["whole"], 0, 23, "r");
    assert_border(check, &[whole(0), whole(23), json!({})], &[whole(-1), whole(24), whole(i64::MIN)]).await;
    let check = Check::between("range", &["share"], 0, 1, "r");
    assert_border(check, &[share(0.0), share(1.0), json!({})], &[share(-f64::MIN_POSITIVE), share(1.0 + f64::EPSILON)])
        .await;
    let check = Check::at_least("range", &["whole", "share"], 0, "r");
    assert_border(check, &[share(f64::MAX), whole(i64::MAX)], &[share(-0.1), whole(-1)]).await;
    let check = Check::at_most("range", &["share", "whole"], 0, "r");
    assert_border(check, &[share(-f64::MAX), whole(i64::MIN), share(0.0)], &[share(0.1), whole(1)]).await;
}

#[tokio::test]
async fn numbers_that_are_none_are_in_no_range() {
    use arrow::array::{ArrayRef, Float64Array, new_null_array};
    let schema = Arc::new(nullable(&contract()));
    for value in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "share" => Arc::new(Float64Array::from(vec![value])) as ArrayRef,
                _ => new_null_array(field.data_type(), 1),
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let asked = Asked::new(contract(), vec![batch.clone()], vec![batch]);
        for check in [
            Check::between("range", &["share"], -10, 10, "r"),
            Check::at_least("range", &["share"], -10, "r"),
            Check::at_most("range", &["share"], 10, "r"),
        ] {
            assert_eq!(asked.failing(&[check]).await, [("range", Some(1))], "{value}");
        }
    }
}

#[tokio::test]
async fn conditions_on_a_row() {
    let check = Check::condition("small", "whole < share AND part <= $as_of_date", &["whole", "share"], "r");
    let good = [
        json!({"whole": 1, "share": 1.5}),
        json!({"whole": 1}),
        json!({"whole": 0, "share": 1.0, "part": "2026-01-15"}),
    ];
    let bad = [json!({"whole": 1, "share": 1.0}), json!({"part": "2026-01-16"})];
    assert_border(check, &good, &bad).await;
}

#[tokio::test]
async fn keys_that_occur_twice() {
    let twice =
        || vec![row("a", json!({})), row("a", json!({})), row("a", json!({"part": "2026-01-02"})), row("b", json!({}))];
    let asked = Asked::rows(twice(), vec![]);
    assert_eq!(asked.failing(&[]).await, [("unique_key", Some(1))], "the partition is part of the key");
    assert_eq!(asked.findings(&[], MERGES).await.failed, [], "a merge answers for its keys");
    let unique = Check::all(&[])[0];
    assert_eq!(asked.shown(unique, ADDS).await, [json!({"id": "a", "part": "2026-01-01", "rows": 2})]);
    let asked = Asked::rows(vec![row("a", json!({})), row("b", json!({}))], vec![]);
    assert_eq!(asked.failing(&[]).await, []);
    assert_eq!(asked.findings(&[], ADDS).await.rows, Some(2));
}

#[tokio::test]
async fn nulls_in_required_columns_are_asked_for_on_demand() {
    let stored = vec![row("a", json!({"part": null})), row("b", json!({}))];
    let asked = Asked::rows(stored, vec![]);
    assert_eq!(asked.failing(&[]).await, [], "writers refuse them");
    let findings = asked.findings(&[], Occasion::Stored).await;
    assert_eq!(
        findings.failed.iter().map(|finding| (finding.check.name, finding.failing)).collect::<Vec<_>>(),
        [("required", Some(1))]
    );
    let shown = asked.shown(findings.failed[0].check, Occasion::Stored).await;
    assert_eq!(shown, [json!({"id": "a", "part": null, "null": "part"})]);
}

#[tokio::test]
async fn values_that_another_table_lacks() {
    let check = Check::relation("sender", "sender_id", "silver.users", "user_id", "r");
    let sent = |id: &str, by: Value| row(id, json!({"sender_id": by}));
    let added = vec![
        sent("a", json!("u1")),
        sent("b", json!("u2")),
        sent("c", json!("u2")),
        sent("d", json!(null)),
        sent("e", json!("U1")),
    ];
    let users = Catalog::builtin().unwrap().job("silver.users").unwrap().contract().arrow_schema();
    let user = json!({"user_id": "u1", "role": "user"}).as_object().unwrap().clone();
    let users = rows::to_batch(vec![user], &users, "users");
    let name = TableName::new("silver", "users");
    let asked = Asked::rows(added, vec![sent("z", json!("u9"))]).with_table(&name, users.clone());
    assert_eq!(asked.failing(&[check]).await, [("sender", Some(3))], "only added rows are looked at");
    let shown = |id: &str, by: &str| json!({"id": id, "part": "2026-01-01", "sender_id": by});
    assert_eq!(asked.shown(check, ADDS).await, [shown("b", "u2"), shown("c", "u2"), shown("e", "U1")]);
    let known = Asked::rows(vec![sent("a", json!("u1"))], vec![]).with_table(&name, users);
    assert_eq!(known.failing(&[check]).await, []);

    let declared = [check];
    let contract = contract();
    let mut plan = CheckPlan::new(&contract, &declared, ADDS);
    assert_eq!(plan.related(), std::slice::from_ref(&name));
    assert_eq!(plan.leave_out(&name), [check]);
    assert!(plan.related().is_empty() && !plan.checks().contains(&check));
}

#[tokio::test]
async fn the_newest_value_of_the_table_counts() {
    let check = Check::fresh("fresh", "at", 48, "r").warn();
    let at = |time: &str| row("a", json!({"at": time}));
    let (old, new) = ("2026-01-13T11:59:59.999999Z", "2026-01-13T12:00:00Z");
    for (added, stored, expected) in [
        (vec![at(new)], vec![], vec![]),
        (vec![at("2027-01-01T00:00:00Z")], vec![], vec![]),
        (vec![at(old)], vec![at(new)], vec![]),
        (vec![at(old)], vec![], vec![("fresh", None)]),
        (vec![row("a", json!({}))], vec![], vec![("fresh", None)]),
        (vec![], vec![], vec![("fresh", None)]),
    ] {
        let asked = Asked::rows(added.clone(), stored);
        assert_eq!(asked.failing(&[check]).await, expected, "{added:?}");
    }
    let asked = Asked::rows(vec![at(old)], vec![at("2025-01-01T00:00:00Z")]);
    assert_eq!(asked.shown(check, ADDS).await, [json!({"at": "2026-01-13T11:59:59.999999Z"})]);
    for occasion in [REMOVES, Occasion::Unchanged, Occasion::Stored] {
        assert_eq!(asked.findings(&[check], occasion).await.failed.len(), 1, "{occasion:?}");
    }
    let contract = contract();
    let others = [Check::at_least("whole", &["whole"], 0, "r"), Check::query("all", "SELECT * FROM checked", &[], "r")];
    assert_eq!(CheckPlan::new(&contract, &others, Occasion::Unchanged).query(), None, "only time has passed");
}

#[test]
fn numbers_of_rows() {
    let rule = Check::row_count("rows", Some(10), Some(100), "r").rule;
    for (before, after, expected) in [
        (100, 100, true),
        (100, 90, true),
        (100, 89, false),
        (100, 200, true),
        (100, 201, false),
        (1, 0, false),
        (0, 1_000_000, true),
        (0, 0, true),
        (u64::MAX, u64::MAX - 1, true),
    ] {
        assert_eq!(rule.accepts_row_counts(before, after), expected, "{before} to {after}");
    }
    let never_less = Check::row_count("rows", Some(0), None, "r").rule;
    assert!(never_less.accepts_row_counts(5, 5_000) && !never_less.accepts_row_counts(5, 4));
    let contract = contract();
    let plan = CheckPlan::new(&contract, &[Check::row_count("rows", Some(0), None, "r")], REMOVES);
    assert_eq!(plan.query(), None, "the log knows");
}

#[tokio::test]
async fn queries_see_the_table_as_it_would_be() {
    let sql =
        "SELECT * FROM (SELECT *, lag(whole) OVER (ORDER BY part) AS before FROM checked) AS days WHERE whole < before";
    let check = Check::query("never_falls", sql, &["whole", "kind"], "r");
    let day = |date: &str, whole: i64| row("a", json!({"part": date, "whole": whole, "kind": "private words"}));
    let stored = vec![day("2026-01-01", 5)];
    let good = Asked::rows(vec![day("2026-01-02", 5)], stored.clone());
    assert_eq!(good.failing(&[check]).await, []);
    let bad = Asked::rows(vec![day("2026-01-02", 4)], stored);
    assert_eq!(bad.failing(&[check]).await, [("never_falls", Some(1))]);
    let shown = json!({"id": "a", "part": "2026-01-02", "whole": 4, "kind": "(not shown)"});
    assert_eq!(bad.shown(check, ADDS).await, [shown]);
    assert_eq!(bad.findings(&[check], REMOVES).await.failed.len(), 1);
}

#[tokio::test]
async fn at_most_ten_rows_are_shown_and_no_private_text() {
    let check = Check::condition("never", "kind IS NULL AND status IS NULL", &["kind", "status"], "r");
    let many = (0..30).map(|n| row(&format!("{n:02}"), json!({"kind": "private words", "status": "on"}))).collect();
    let asked = Asked::rows(many, vec![]);
    assert_eq!(asked.failing(&[check]).await, [("never", Some(30))]);
    let shown = asked.shown(check, ADDS).await;
    assert_eq!(shown.len(), 10);
    assert_eq!(shown[9], json!({"id": "09", "part": "2026-01-01", "kind": "(not shown)", "status": "on"}));
    let asked = Asked::rows(vec![row("a", json!({"status": "on"}))], vec![]);
    assert_eq!(asked.shown(check, ADDS).await[0]["kind"], Value::Null, "that a text is null may be seen");
}

#[tokio::test]
async fn all_checks_are_asked_in_one_query_and_told_in_order() {
    let checks = [
        Check::query("last", "SELECT * FROM checked WHERE whole = 1", &["whole"], "r"),
        Check::at_least("first", &["whole"], 2, "r"),
        Check::accepted("status", "status", &["on"], "r"),
        Check::at_least("unasked", &["whole"], 2, "r").on_demand(),
    ];
    let asked = Asked::rows(vec![row("a", json!({"whole": 1})), row("a", json!({"whole": 1}))], vec![]);
    let failing = asked.failing(&checks).await;
    assert_eq!(failing, [("unique_key", Some(1)), ("last", Some(2)), ("first", Some(2))]);
    let stored = asked.findings(&checks, Occasion::Stored).await;
    assert_eq!(stored.failed.len(), 4, "{stored:?}");
    let contract = contract();
    let plan = CheckPlan::new(&contract, &checks, ADDS);
    let answer = asked.collect(&plan, &plan.query().unwrap()).await;
    let rows: usize = answer.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 3, "one row a part");
    let lost: Vec<RecordBatch> = answer.iter().filter(|batch| batch.num_rows() > 0).skip(1).cloned().collect();
    assert!(plan.findings(&lost).is_err(), "a lost part is no check that has passed");
}

/// The errors that the checks of a job find in the rows of one of its cases.
pub(crate) async fn errors(
    catalog: &Catalog,
    job: &Job,
    given: &Tables,
    batches: &[RecordBatch],
    parameters: &RunParameters,
) -> Vec<String> {
    // Bronze queries give every version of a document; the merge after them chooses one.
    let occasion = if job.source().is_some() { MERGES } else { ADDS };
    let contract = job.contract().clone();
    let mut asked = Asked::new(contract.clone(), batches.to_vec(), batches.to_vec());
    asked.parameters = parameters.clone();
    let plan = CheckPlan::new(&contract, job.checks(), occasion);
    for name in plan.related() {
        let schema = catalog.job(&name.to_string()).unwrap().contract().arrow_schema();
        let rows = given.get(&name).cloned().unwrap_or_else(|| RecordBatch::new_empty(schema));
        asked = asked.with_table(&name, rows);
    }
    let mut errors = Vec::new();
    let findings = asked.findings(job.checks(), occasion).await;
    for finding in findings.failed.iter().filter(|finding| finding.check.severity == Severity::Error) {
        let rows = asked.collect(&plan, &plan.rows_query(&finding.check).unwrap()).await;
        errors.push(format!("{}: {:?}", finding.check.name, rows::from_batches(&rows)));
    }
    errors
}

#[tokio::test]
async fn the_checks_of_all_jobs_can_be_asked() {
    let catalog = Catalog::builtin().unwrap();
    for job in catalog.jobs() {
        let empty = RecordBatch::new_empty(job.contract().arrow_schema());
        let mut asked = Asked::new(job.contract().clone(), vec![empty.clone()], vec![empty]);
        for name in CheckPlan::new(job.contract(), job.checks(), Occasion::Stored).related() {
            let schema = catalog.job(&name.to_string()).unwrap().contract().arrow_schema();
            asked = asked.with_table(&name, RecordBatch::new_empty(schema));
        }
        for occasion in [ADDS, MERGES, REMOVES, Occasion::Unchanged, Occasion::Stored] {
            let failed = asked.findings(job.checks(), occasion).await.failed;
            let errors = failed.iter().filter(|finding| finding.check.severity == Severity::Error).count();
            assert_eq!(errors, 0, "{} without rows: {failed:?}", job.name());
        }
        let plan = CheckPlan::new(job.contract(), job.checks(), Occasion::Stored);
        for check in plan.checks() {
            let rows = asked.collect(&plan, &plan.rows_query(check).unwrap()).await;
            let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
            assert!(count == 0 || check.name == "fresh", "{} of {}", check.name, job.name());
        }
    }
}

#[test]
fn every_job_declares_checks_and_says_why() {
    for job in Catalog::builtin().unwrap().jobs() {
        assert!(!job.checks().is_empty(), "{}", job.name());
        for check in job.checks() {
            let name = format!("{} of {}", check.name, job.name());
            assert!(check.reason.ends_with('.') && check.reason.len() > 10, "{name}: {}", check.reason);
            assert!(check.name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
            let described = check.rule.describe(job.contract());
            assert!(!described.is_empty() && !described.contains('\n'), "{name}: {described}");
        }
    }
}
