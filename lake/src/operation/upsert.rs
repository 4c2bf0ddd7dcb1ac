//! Upsert: landed rows are merged into a table by key, the newest row of a key wins.
//!
//! Copy-on-write, in one or two distributed queries:
//!
//! 1. *Judge*: each landed row, narrowed to key, time, ordinal and a hash of its content, is ranked among the rows of
//!    its key and compared with the stored row of that key, if there is one. Stored files are read only if their range
//!    of keys can overlap that of a landed file; partition values cannot rule a file out, since a changed document may
//!    belong to another partition than its stored version. The verdicts are written down as temporary files, and counted
//!    per stored file on the way: so the client learns which files hold a row to be replaced.
//! 2. *Merge*, only if there is something to write: new and changed rows, together with the rows of those files that
//!    stay, are written anew.
//!
//! The same row, an older one, or one superseded within the same landing is *unchanged*. If all are, there is no
//! commit, and nothing wide was ever read. A row that is as new as the stored one but different wins: the later read
//! is right.
//!
//! delta-rs' merge was rejected: it runs in the calling process, and reads a table in one partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, JoinType};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::prelude::{Expr, ident};
use deltalake::kernel::{Add, Remove};
use deltalake::protocol::{DeltaOperation, MergePredicate};

use super::buckets::{BUCKET, Buckets};
use super::functions::row_hash;
use super::replace::removal;
use super::review::Proposal;
use super::{CommitNote, Lake, Landed, Target, Written, discard::discard};
use crate::commit::{Commit, Outcome, ReadSet};
use crate::merge::{Keep, Listed, Newest};
use crate::scan::{DeltaScan, FileStatistics, Subset};
use crate::snapshot::PinnedTable;
use crate::write::{Distribution, FileOutput, Output, Receipts, Sink, WriteSpec};
use crate::{LakeError, Result, TableUrl};

/// Names of columns that exist only while an upsert runs.
const VERDICT: &str = "_verdict";
const FILE: &str = "_file";
const SUPERSEDED: &str = "_superseded";
const HASH: &str = "_hash";
const STORED: &str = "_stored_";

/// An upsert: rows of a landing, as a query over it, into a table.
#[derive(Debug, Clone)]
pub struct Upsert<'a> {
    /// The table.
    pub target: &'a Target,
    /// A query over the landed rows that yields the table's columns and the ordinal.
    pub query: LogicalPlan,
    /// The landing that the query reads, whose key ranges say which stored files can match.
    pub landed: &'a Landed,
    /// Name of the ordinal column, which is unique among the rows of a key and orders those of equal time.
    pub ordinal: &'static str,
    /// The column that says which of two rows is newer. Absent: what is stored stays.
    pub newest: Option<&'a str>,
    /// Whether the landing's statistics are of the table's key, so that ranges can be compared.
    pub ranges_known: bool,
}

/// What is to happen with a landed row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Insert = 0,
    Update = 1,
    Unchanged = 2,
    Superseded = 3,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Insert, Self::Update, Self::Unchanged, Self::Superseded];

    fn literal(self) -> Expr {
        lit(self as i32)
    }
}

/// The verdicts on all landed rows.
#[derive(Debug, Default)]
struct Judgement {
    /// Temporary files with the verdict on each row.
    files: Vec<Add>,
    counts: BTreeMap<Verdict, u64>,
    /// Stored files with a row to be replaced.
    touched: BTreeSet<String>,
}

impl Judgement {
    fn of(&self, verdict: Verdict) -> u64 {
        self.counts.get(&verdict).copied().unwrap_or(0)
    }

    fn wins(&self) -> u64 {
        self.of(Verdict::Insert) + self.of(Verdict::Update)
    }

    fn loses(&self) -> u64 {
        self.of(Verdict::Unchanged) + self.of(Verdict::Superseded)
    }
}

impl Lake {
    /// Merges landed rows into a table, creating it if need be.
    ///
    /// A commit by others in between is answered by one recomputation on the newer version, then by an error.
    pub async fn upsert(&self, upsert: &Upsert<'_>, note: &CommitNote<'_>) -> Result<Written> {
        for _ in 0..2 {
            let base = self.tables().latest(&upsert.target.url).await?;
            if let Some(base) = &base {
                upsert.target.check_is_ours(base)?;
            }
            match self.try_upsert(upsert, base.as_deref(), note).await? {
                Ok(written) => return Ok(written),
                Err(reason) => {
                    tracing::info!(table = %upsert.target.url, reason, "another writer came first; merging again");
                }
            }
        }
        let table = upsert.target.url.to_string();
        Err(LakeError::Conflict { table, reason: "it happened twice".to_owned() })
    }

    async fn try_upsert(
        &self,
        upsert: &Upsert<'_>,
        base: Option<&PinnedTable>,
        note: &CommitNote<'_>,
    ) -> Result<std::result::Result<Written, String>> {
        let step = UpsertStep { lake: self, upsert, base };
        let judgement = step.judge().await?;
        let unchanged = judgement.loses();
        if judgement.wins() == 0 && base.is_some() {
            return Ok(Ok(Written { unchanged, ..Written::default() }));
        }
        let adds = step.merge(&judgement).await?;
        let written = Written {
            version: None,
            written: judgement.wins(),
            unchanged,
            files: adds.len() as u64,
            bytes: adds.iter().map(|add| u64::try_from(add.size).unwrap_or(0)).sum(),
        };
        let change = step.commit(adds.clone(), &judgement, &written, note)?;
        let proposal = Proposal::new(self.tables(), upsert.target, base, &change.adds, &change.removes).merged();
        if let Err(error) = self.review(&proposal).await {
            discard(self.tables(), &upsert.target.url, &adds).await;
            return Err(error);
        }
        Ok(match self.commit(upsert.target, base, change).await? {
            Outcome::Committed(version) => Ok(Written { version: Some(version), ..written }),
            Outcome::Outdated { reason } => {
                discard(self.tables(), &upsert.target.url, &adds).await;
                Err(reason)
            }
        })
    }
}

/// One attempt on one version of the table.
struct UpsertStep<'a> {
    lake: &'a Lake,
    upsert: &'a Upsert<'a>,
    base: Option<&'a PinnedTable>,
}

impl UpsertStep<'_> {
    async fn judge(&self) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        if self.upsert.landed.document_files().is_empty() && self.upsert.ranges_known {
            return Ok(judgement);
        }
        let verdicts = self.plan("compare rows", self.verdicts())?;
        let output = self.verdict_output()?;
        let spec = WriteSpec {
            name: format!("{} (compare)", self.upsert.target.name),
            distribution: Distribution::InPlace,
            count_by: vec![VERDICT.to_owned(), FILE.to_owned()],
            route: None,
            outputs: vec![Output { route: 0, sink: Sink::Files(Box::new(output)) }],
        };
        let receipts = self.lake.write(verdicts, spec).await?;
        judgement.files = receipts.files(0);
        for (group, count) in receipts.groups() {
            judgement.note(group, *count)?;
        }
        Ok(judgement)
    }

    /// Writes the winners, and what stays of the files that hold losers; gives the new files.
    async fn merge(&self, judgement: &Judgement) -> Result<Vec<Add>> {
        if judgement.wins() == 0 {
            return Ok(Vec::new());
        }
        let buckets = self.buckets(judgement);
        let rows = self.plan("merge rows", self.merged(judgement, &buckets))?;
        let spec = self.upsert.target.write_spec(false, &buckets, self.lake.file_bytes)?;
        let receipts = self.lake.write(rows, spec).await?;
        let files = receipts.files(0);
        if let Err(error) = self.check_rows(judgement, &receipts) {
            discard(self.lake.tables(), &self.upsert.target.url, &files).await;
            return Err(error);
        }
        Ok(files)
    }

    /// Where the landed rows go is known only in a table without partitions; there their size counts too.
    fn buckets(&self, judgement: &Judgement) -> Buckets {
        let landed = self.upsert.landed.document_files().iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
        let more = if self.upsert.target.partition_columns.is_empty() { landed } else { 0 };
        Buckets::expected(self.touched_files(judgement), more, self.lake.file_bytes)
    }

    /// Every row of the rewritten files and every winner must be in the new files, exactly once.
    fn check_rows(&self, judgement: &Judgement, receipts: &Receipts) -> Result<()> {
        let stored: Option<usize> = self.touched_files(judgement).map(FileStatistics::rows).sum();
        let Some(stored) = stored else { return Ok(()) };
        let expected = stored as u64 - judgement.of(Verdict::Update) + judgement.wins();
        let found = u64::try_from(receipts.count(0)).unwrap_or(0);
        if found == expected {
            return Ok(());
        }
        let detail = format!("{found} rows were written in place of {expected}");
        Err(LakeError::Counts { table: self.upsert.target.url.to_string(), detail })
    }

    fn touched_files<'b>(&'b self, judgement: &'b Judgement) -> impl Iterator<Item = &'b Add> {
        let files = self.base.into_iter().flat_map(PinnedTable::adds);
        files.filter(|file| judgement.touched.contains(&file.path))
    }

    fn commit(
        &self,
        adds: Vec<Add>,
        judgement: &Judgement,
        written: &Written,
        note: &CommitNote<'_>,
    ) -> Result<Commit> {
        let target = self.upsert.target;
        let on = target.key.iter().map(|key| format!("target.{key} = source.{key}")).collect::<Vec<_>>().join(" AND ");
        let removes: Vec<Remove> = self.touched_files(judgement).map(removal).collect();
        let action = |action_type: &str, predicate: Option<String>| MergePredicate {
            action_type: action_type.to_owned(),
            predicate,
        };
        let newer = self.upsert.newest.map(|column| {
            format!("source.{column} > target.{column} OR (source.{column} = target.{column} AND source <> target)")
        });
        Ok(Commit {
            adds,
            removes,
            metadata: target.metadata_after(self.base)?,
            operation: DeltaOperation::Merge {
                predicate: Some(on.clone()),
                merge_predicate: Some(on),
                matched_predicates: vec![action("update", newer)],
                not_matched_predicates: vec![action("insert", None)],
                not_matched_by_source_predicates: Vec::new(),
            },
            transaction: note.transaction.clone(),
            info: (note.info)(written),
            reads: ReadSet::Everything,
        })
    }

    fn plan(&self, action: &'static str, frame: DataFusionResult<DataFrame>) -> Result<DataFrame> {
        frame.map_err(|error| LakeError::query(action, &self.upsert.target.url, error))
    }

    fn source(&self) -> DataFusionResult<DataFrame> {
        let rows = self.lake.frame(self.upsert.query.clone());
        Ok(self.upsert.target.conform(rows, &[self.upsert.ordinal])?)
    }

    fn scan(&self, scan: DeltaScan) -> DataFusionResult<DataFrame> {
        let source = provider_as_source(Arc::new(scan));
        Ok(self.lake.frame(LogicalPlanBuilder::scan("stored", source, None)?.build()?))
    }

    /// Key, ordinal, verdict and stored file of every landed row.
    fn verdicts(&self) -> DataFusionResult<DataFrame> {
        let keys = &self.upsert.target.key;
        let stored = self.stored()?;
        let mut narrow: Vec<Expr> = keys.iter().map(ident).collect();
        narrow.push(ident(self.upsert.ordinal));
        narrow.extend(self.upsert.newest.filter(|newest| !keys.iter().any(|key| key == newest)).map(ident));
        if stored.is_some() {
            narrow.push(self.content_hash());
        }
        let newest = self.upsert.newest.into_iter().chain([self.upsert.ordinal]).map(str::to_owned).collect();
        let rows = self.source()?.select(narrow)?.into_unoptimized_plan();
        let ranked = self.lake.frame(Newest::try_new(rows, keys.clone(), newest, SUPERSEDED)?.into_plan());
        let superseded = ident(SUPERSEDED);
        let (rows, verdict, file) = match stored {
            None => {
                let verdict = when(superseded, Verdict::Superseded.literal()).otherwise(Verdict::Insert.literal())?;
                (ranked, verdict, lit(datafusion::common::ScalarValue::Utf8(None)))
            }
            Some(stored) => {
                let joined = self.join(ranked, stored, JoinType::Left, keys)?;
                let verdict = when(superseded, Verdict::Superseded.literal())
                    .when(ident(FILE).is_null(), Verdict::Insert.literal())
                    .when(self.is_newer(), Verdict::Update.literal())
                    .otherwise(Verdict::Unchanged.literal())?;
                (joined, verdict, ident(FILE))
            }
        };
        let mut columns: Vec<Expr> = keys.iter().map(ident).collect();
        columns.extend([ident(self.upsert.ordinal), verdict.alias(VERDICT), file.alias(FILE)]);
        rows.select(columns)
    }

    fn is_newer(&self) -> Expr {
        let Some(newest) = self.upsert.newest else { return lit(false) };
        let (ours, theirs) = (ident(newest), ident(stored_name(newest)));
        let differs = ident(HASH).not_eq(ident(stored_name(HASH)));
        let later = ours.clone().gt(theirs.clone()).or(theirs.clone().is_null().and(ours.clone().is_not_null()));
        let as_new = ours.clone().eq(theirs.clone()).or(ours.is_null().and(theirs.is_null()));
        later.is_true().or(as_new.is_true().and(differs))
    }

    fn content_hash(&self) -> Expr {
        let columns = self.upsert.target.content_columns().iter().map(ident).collect();
        row_hash().call(columns).alias(HASH)
    }

    /// Key, time, hash and file of the stored rows that can have a key of a landed row; none if there are no such files.
    fn stored(&self) -> DataFusionResult<Option<DataFrame>> {
        let Some(base) = self.base else { return Ok(None) };
        let candidates = self.candidates(base);
        if candidates.is_empty() {
            return Ok(None);
        }
        let mut rows = self.scan(self.stored_files(base, candidates).with_file_column(FILE))?;
        if self.landed_rows().is_some_and(|rows| rows <= self.lake.short_list) {
            // Most stored rows have nothing to do with a few landed ones: they are gone before anything is computed.
            let keys = &self.upsert.target.key;
            let landed = keys.iter().map(|key| ident(key).alias(stored_name(key))).collect::<Vec<_>>();
            rows = self.listed(rows, self.source()?.select(landed)?, Keep::Listed, keys);
        }
        let mut columns: Vec<Expr> =
            self.upsert.target.key.iter().map(|key| ident(key).alias(stored_name(key))).collect();
        columns.extend(self.upsert.newest.map(|newest| ident(newest).alias(stored_name(newest))));
        columns.push(self.content_hash().alias(stored_name(HASH)));
        columns.push(ident(FILE));
        Ok(Some(rows.select(columns)?))
    }

    /// Some of the stored files, with the columns that the table is to have: a new one is null there.
    fn stored_files(&self, base: &PinnedTable, paths: Vec<String>) -> DeltaScan {
        let scan = DeltaScan::part_of(self.lake.tables(), base, Subset::Paths(paths));
        scan.with_schema(&self.upsert.target.schema)
    }

    /// How many rows of the table were landed, if that is known.
    fn landed_rows(&self) -> Option<u64> {
        if !self.upsert.ranges_known {
            return None;
        }
        let rows: Option<usize> = self.upsert.landed.document_files().iter().map(FileStatistics::rows).sum();
        rows.map(|rows| rows as u64)
    }

    /// Paths of the stored files whose keys can be among the landed ones.
    fn candidates(&self, base: &PinnedTable) -> Vec<String> {
        let all = || base.files.iter().map(|file| file.path.clone()).collect();
        let ([key], true) = (self.upsert.target.key.as_slice(), self.upsert.ranges_known) else { return all() };
        let landed: Vec<FileStatistics> = self.upsert.landed.document_files().iter().map(FileStatistics::of).collect();
        let Some(ranges) = landed.iter().map(|file| file.string_range(key)).collect::<Option<Vec<_>>>() else {
            return all();
        };
        let can_match = |file: &&Add| {
            let stored = FileStatistics::of(file);
            let Some((low, high)) = stored.string_range(key) else { return true };
            ranges.iter().any(|(from, to)| *from <= high && low <= *to)
        };
        base.adds().filter(can_match).map(|file| file.path.clone()).collect()
    }

    fn verdict_output(&self) -> Result<FileOutput> {
        let target = self.upsert.target;
        let mut fields: Vec<Field> = Vec::new();
        for key in &target.key {
            let field = target.schema.field_with_name(key);
            fields.push(field.map_err(|error| LakeError::query("find the key", &target.url, error.into()))?.clone());
        }
        fields.push(Field::new(self.upsert.ordinal, DataType::Int64, false));
        fields.push(Field::new(VERDICT, DataType::Int32, false));
        fields.push(Field::new(FILE, DataType::Utf8, true));
        let mut output = FileOutput::new(self.verdict_folder(), &Schema::new(fields))?;
        output.temporary = true;
        Ok(output)
    }

    fn verdict_folder(&self) -> TableUrl {
        let version = self.base.map_or_else(|| "new".to_owned(), |base| base.version.to_string());
        self.upsert.landed.folder("verdicts").folder(&format!("{}-{version}", self.upsert.target.name))
    }

    fn judged(&self, judgement: &Judgement) -> DataFusionResult<DataFrame> {
        let output = self.verdict_output()?;
        let schema = output.arrow_schema()?;
        self.scan(DeltaScan::files(self.lake.tables(), output.folder, judgement.files.clone(), schema))
    }

    /// The rows of the new files, and their buckets if there are any.
    fn merged(&self, judgement: &Judgement, buckets: &Buckets) -> DataFusionResult<DataFrame> {
        let rows = self.merged_rows(judgement)?;
        match buckets.is_empty() {
            true => Ok(rows),
            false => rows.with_column(BUCKET, buckets.column(self.upsert.target)?),
        }
    }

    fn merged_rows(&self, judgement: &Judgement) -> DataFusionResult<DataFrame> {
        let columns: Vec<Expr> = self.upsert.target.schema.fields().iter().map(|field| ident(field.name())).collect();
        let winners = self.winners(judgement)?.select(columns.clone())?;
        let (Some(base), false) = (self.base, judgement.touched.is_empty()) else { return Ok(winners) };
        let paths = judgement.touched.iter().cloned().collect();
        let stored = self.scan(self.stored_files(base, paths))?;
        let keys = &self.upsert.target.key;
        let replaced = self
            .judged(judgement)?
            .filter(ident(VERDICT).eq(Verdict::Update.literal()))?
            .select(keys.iter().map(|key| ident(key).alias(stored_name(key))).collect::<Vec<_>>())?;
        let updates = judgement.of(Verdict::Update);
        let staying = self.by_list(stored, replaced, updates, Keep::Others, keys)?.select(columns)?;
        winners.union(staying)
    }

    /// The landed rows that win, found by whichever list is shorter: that of the winners or that of the losers.
    fn winners(&self, judgement: &Judgement) -> DataFusionResult<DataFrame> {
        let rows = self.source()?;
        if judgement.loses() == 0 {
            return Ok(rows);
        }
        let wins = ident(VERDICT).lt_eq(Verdict::Update.literal());
        let (filter, keep) = match judgement.loses() < judgement.wins() {
            true => (ident(VERDICT).gt(Verdict::Update.literal()), Keep::Others),
            false => (wins, Keep::Listed),
        };
        let mut on = self.upsert.target.key.clone();
        on.push(self.upsert.ordinal.to_owned());
        let listed: Vec<Expr> = on.iter().map(|name| ident(name).alias(stored_name(name))).collect();
        let list = self.judged(judgement)?.filter(filter)?.select(listed)?;
        let length = judgement.loses().min(judgement.wins());
        self.by_list(rows, list, length, keep, &on)
    }

    /// Rows by a list of so many keys, which travels whole if it is short.
    fn by_list(
        &self,
        rows: DataFrame,
        list: DataFrame,
        length: u64,
        keep: Keep,
        on: &[String],
    ) -> DataFusionResult<DataFrame> {
        match (length <= self.lake.short_list, keep) {
            (true, _) => Ok(self.listed(rows, list, keep, on)),
            (false, Keep::Listed) => self.join(rows, list, JoinType::LeftSemi, on),
            (false, Keep::Others) => self.join(rows, list, JoinType::LeftAnti, on),
        }
    }

    /// Rows whose columns are equal, or equal nowhere, to those that a short list has under their stored names.
    fn listed(&self, rows: DataFrame, list: DataFrame, keep: Keep, on: &[String]) -> DataFrame {
        let on = on.iter().map(|name| (name.clone(), stored_name(name))).collect();
        let listed = Listed::new(rows.into_unoptimized_plan(), list.into_unoptimized_plan(), on, keep);
        self.lake.frame(listed.into_plan())
    }

    /// Joins rows whose columns are equal to those that the right side has under their stored names.
    ///
    /// Columns are taken by their exact names; `DataFrame::join` would parse them as SQL.
    fn join(&self, left: DataFrame, right: DataFrame, kind: JoinType, on: &[String]) -> DataFusionResult<DataFrame> {
        let ours: Vec<Column> = on.iter().map(Column::from_name).collect();
        let theirs: Vec<Column> = on.iter().map(|name| Column::from_name(stored_name(name))).collect();
        let joined = LogicalPlanBuilder::from(left.into_unoptimized_plan())
            .join(right.into_unoptimized_plan(), kind, (ours, theirs), None)?
            .build()?;
        Ok(self.lake.frame(joined))
    }
}

impl Judgement {
    /// Notes how many rows have a verdict and, of those with a stored row, in which file.
    fn note(&mut self, group: &[Option<String>], count: i64) -> Result<()> {
        let unexpected = || LakeError::Answer { what: format!("{group:?} in place of a verdict and a file") };
        let [Some(verdict), file] = group else { return Err(unexpected()) };
        let known = Verdict::ALL.iter().find(|known| (**known as i32).to_string() == *verdict);
        let verdict = *known.ok_or_else(unexpected)?;
        *self.counts.entry(verdict).or_default() += u64::try_from(count).unwrap_or(0);
        if verdict == Verdict::Update {
            self.touched.extend(file.clone());
        }
        Ok(())
    }
}

fn stored_name(column: &str) -> String {
    format!("{STORED}{column}")
}
