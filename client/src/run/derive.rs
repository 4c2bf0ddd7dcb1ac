//! A job whose rows are computed from tables of the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{JoinType, LogicalPlan, lit};
use datafusion::prelude::{Expr, SessionContext, cast, ident};
use quickchat_jobs::{Job, WriteMode};
use quickchat_lake::changes::PartitionValues;
use quickchat_lake::operation::{CommitNote, Scope, Staged, Target, Written, row_hash};
use quickchat_lake::scan::DeltaScan;
use quickchat_lake::snapshot::PinnedTable;

use super::ask::ask_for_texts;
use super::basis::Basis;
use super::decide::{Decision, date, date_text, decide};
use super::inputs::{Inputs, plan_error};
use super::target::target;
use super::{Counts, Run, note, units};
use crate::error::RunError;

const HASH: &str = "_hash";
const OTHER_HASH: &str = "_other_hash";

/// Computes what is to be computed and replaces it; the rows that the query yields count as read.
pub(super) async fn derive(run: &Run, job: &Job) -> Result<Counts, RunError> {
    let target = target(&run.root, job.contract());
    let stored = run.pins.look(run.lake.tables(), &target.url).await?;
    if let Some(stored) = &stored {
        target.check_is_ours(stored)?;
    }
    let mut inputs = Inputs::pin(run, job).await?;
    let (mut decision, mut known) = decide(run, job, &inputs, stored.as_deref()).await?;
    if let Some(basis) = &known
        && inputs.look_behind(run, basis).await?
    {
        inputs = Inputs::pin(run, job).await?;
        (decision, known) = decide(run, job, &inputs, stored.as_deref()).await?;
    }
    let mut concerned = BTreeSet::new();
    if let (Decision::Incremental(increment), Some(stored)) = (&decision, &stored) {
        match units::resolve(run, job, &inputs, increment, stored).await? {
            Ok(units) => concerned = units,
            Err(because) => decision = Decision::full(because),
        }
    }
    let step = Step { run, job, inputs: &inputs, target: &target, stored: stored.as_deref(), known: known.as_ref() };
    let written = match &decision {
        Decision::Nothing => Written::default(),
        Decision::Incremental(_) => step.part(&concerned).await?,
        Decision::Full { .. } => step.everything().await?,
    };
    Ok(Counts { read: written.written + written.unchanged, written, decision: Some(decision), ..Counts::default() })
}

struct Step<'a> {
    run: &'a Run,
    job: &'a Job,
    inputs: &'a Inputs,
    target: &'a Target,
    stored: Option<&'a PinnedTable>,
    known: Option<&'a Basis>,
}

impl Step<'_> {
    async fn everything(&self) -> Result<Written, RunError> {
        let query = self.inputs.plan(self.run, self.job).await?;
        let scope = match (self.job.write_mode(), self.job.contract().partition()) {
            (WriteMode::ReplaceTable, _) => Scope::Table,
            (WriteMode::ReplacePartitions, Some(column)) => {
                Scope::Occurring(vec![BTreeMap::from([(column.to_owned(), Some(self.as_of_date()?))])])
            }
            (WriteMode::ReplacePartitions, None) | (WriteMode::Upsert { .. }, _) => return Err(self.misdefined()),
        };
        self.replace(query, &scope).await
    }

    /// Computes the rows of some units, and replaces what they are in.
    async fn part(&self, units: &BTreeSet<String>) -> Result<Written, RunError> {
        let (Some(unit), Some(stored)) = (self.job.incremental().unit, self.stored) else {
            return Err(self.misdefined());
        };
        if units.is_empty() {
            return self.nothing_differs().await;
        }
        let context = self.run.cluster.session()?;
        let query = self.inputs.plan(self.run, self.job).await?;
        let failed = plan_error(self.job);
        let concerned = self.among(unit, units).map_err(&failed)?;
        let rows = frame(&context, query).filter(concerned.clone()).map_err(&failed)?;
        let kept = || {
            let stored = DeltaScan::of(self.run.lake.tables(), stored);
            keep(&context, stored, concerned.clone()).map_err(&failed)
        };
        match (self.job.write_mode(), self.job.contract().partition()) {
            (WriteMode::ReplaceTable, Some(column)) if column == unit => {
                self.replace(rows.into_unoptimized_plan(), &partitions(column, units)).await
            }
            (WriteMode::ReplaceTable, None) => self.replace(self.together(kept()?, rows)?, &Scope::Table).await,
            (WriteMode::ReplaceTable, Some(column)) => self.scattered(column, rows, stored, concerned).await,
            (WriteMode::ReplacePartitions, Some(column)) => self.of_the_date(column, rows, kept()?).await,
            (WriteMode::ReplacePartitions, None) | (WriteMode::Upsert { .. }, _) => Err(self.misdefined()),
        }
    }

    /// The run's date gets the units' rows beside those that stay. What else the query yields, rows of earlier dates,
    /// came with the date's first run.
    async fn of_the_date(&self, column: &str, rows: DataFrame, kept: DataFrame) -> Result<Written, RunError> {
        let dates = BTreeSet::from([self.as_of_date()?]);
        let within = |rows: DataFrame| self.among(column, &dates).and_then(|date| rows.filter(date));
        let failed = plan_error(self.job);
        let (rows, kept) = (within(rows).map_err(&failed)?, within(kept).map_err(&failed)?);
        self.replace(self.together(kept, rows)?, &partitions(column, &dates)).await
    }

    /// The date that the run's rows are of, as partition values are written.
    fn as_of_date(&self) -> Result<String, RunError> {
        let micros = self.run.parameters.as_of_micros;
        date_text(date(micros)).ok_or(RunError::AsOf { micros })
    }

    /// The units' rows may be in any partition: those partitions are rewritten in which a row differs.
    async fn scattered(
        &self,
        column: &str,
        rows: DataFrame,
        stored: &PinnedTable,
        concerned: Expr,
    ) -> Result<Written, RunError> {
        let lake = self.run.lake_for(self.job);
        let folder = self.run.landing(&self.target.name);
        let staged = lake.stage(self.target, rows.into_unoptimized_plan(), folder).await?;
        let written = self.replace_scattered(column, &staged, stored, concerned).await;
        staged.remove(lake.tables()).await;
        written
    }

    async fn replace_scattered(
        &self,
        column: &str,
        staged: &Staged,
        stored: &PinnedTable,
        concerned: Expr,
    ) -> Result<Written, RunError> {
        let tables = self.run.lake.tables();
        let context = self.run.cluster.session()?;
        let failed = plan_error(self.job);
        let new = || context.read_table(Arc::new(staged.scan(tables)));
        let old = || context.read_table(Arc::new(DeltaScan::of(tables, stored)));
        let differing = old()
            .and_then(|old| self.differing(column, new()?, old.filter(concerned.clone())?))
            .map_err(&failed)?
            .into_unoptimized_plan();
        let touched = ask_for_texts(self.run, self.job, differing, "which partitions differ").await?;
        let touched = BTreeSet::from_iter(touched);
        if touched.is_empty() {
            return self.nothing_differs().await;
        }
        let within = self.among(column, &touched).map_err(&failed)?;
        let kept = keep(&context, DeltaScan::of(tables, stored), concerned)
            .and_then(|kept| kept.filter(within.clone()))
            .map_err(&failed)?;
        let new = new().and_then(|new| new.filter(within)).map_err(&failed)?;
        self.replace(self.together(kept, new)?, &partitions(column, &touched)).await
    }

    /// The partitions in which one side has a row that the other has not.
    fn differing(&self, column: &str, new: DataFrame, old: DataFrame) -> DataFusionResult<DataFrame> {
        let content: Vec<Expr> = self.target.content_columns().iter().map(ident).collect();
        let hashed = |rows: DataFrame, hash: &str| {
            rows.select(vec![
                cast(ident(column), DataType::Utf8).alias("partition"),
                row_hash().call(content.clone()).alias(hash),
            ])
        };
        let only = |ours: DataFrame, theirs: DataFrame| {
            let (ours, theirs) = (hashed(ours, HASH)?, hashed(theirs, OTHER_HASH)?);
            ours.join(theirs, JoinType::LeftAnti, &[HASH], &[OTHER_HASH], None)?.select(vec![ident("partition")])
        };
        only(new.clone(), old.clone())?.union(only(old, new)?)?.distinct()
    }

    /// Rows that stay and rows that come, as rows of the table.
    fn together(&self, kept: DataFrame, new: DataFrame) -> Result<LogicalPlan, RunError> {
        let (kept, new) = (self.target.conform(kept, &[])?, self.target.conform(new, &[])?);
        Ok(kept.union(new).map_err(plan_error(self.job))?.into_unoptimized_plan())
    }

    /// Whether a column is one of some values, given as text.
    fn among(&self, column: &str, values: &BTreeSet<String>) -> DataFusionResult<Expr> {
        let kind = self.target.schema.field_with_name(column)?.data_type().clone();
        let values = values.iter().map(|value| ScalarValue::try_from_string(value.clone(), &kind).map(lit));
        Ok(ident(column).in_list(values.collect::<DataFusionResult<Vec<_>>>()?, false))
    }

    /// Commits rows and the note on what they were computed from; the note alone if the rows are the same.
    async fn replace(&self, query: LogicalPlan, scope: &Scope) -> Result<Written, RunError> {
        let basis = self.basis().await?;
        let facts = basis.facts();
        let note = note!(self.run, &self.target.name, &facts);
        let written = self.run.lake_for(self.job).replace(self.target, query, scope, &note).await?;
        if written.version.is_none() {
            self.remember(&basis).await?;
        }
        Ok(written)
    }

    /// The changes turned out to concern no row.
    async fn nothing_differs(&self) -> Result<Written, RunError> {
        self.remember(&self.basis().await?).await?;
        Ok(Written::default())
    }

    async fn basis(&self) -> Result<Basis, RunError> {
        Ok(Basis {
            as_of_micros: self.run.parameters.as_of_micros,
            definition: self.job.fingerprint(),
            inputs: units::versions(self.run, self.job, self.inputs, self.known).await?,
            source: None,
            watermark: None,
            base: self.stored.map(|stored| stored.version),
        })
    }

    async fn remember(&self, basis: &Basis) -> Result<(), RunError> {
        if basis.is_news(self.known) {
            let facts = basis.facts();
            let note = note!(self.run, &self.target.name, &facts);
            self.run.lake_for(self.job).record(self.target, &note).await?;
        }
        Ok(())
    }

    fn misdefined(&self) -> RunError {
        RunError::Definition { job: self.job.name().to_string() }
    }
}

fn frame(context: &SessionContext, plan: LogicalPlan) -> DataFrame {
    DataFrame::new(context.state(), plan)
}

/// The stored rows that no unit concerns.
fn keep(context: &SessionContext, scan: DeltaScan, concerned: Expr) -> Result<DataFrame, DataFusionError> {
    context.read_table(Arc::new(scan))?.filter(concerned.is_not_true())
}

fn partitions(column: &str, values: &BTreeSet<String>) -> Scope {
    let partition = |value: &String| PartitionValues::from([(column.to_owned(), Some(value.clone()))]);
    Scope::Partitions(values.iter().map(partition).collect())
}
