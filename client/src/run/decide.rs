//! What a job has to do: nothing, a part, or everything; decided from logs alone, without reading a row.
//!
//! A job's last commit says from which versions of its inputs its rows were computed ([`super::basis`]). The logs of
//! the inputs say what changed since, and the job says which of its rows such changes concern
//! ([`quickchat_jobs::Incremental`]). Where a log cannot tell, everything is computed: that is always right.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use quickchat_jobs::{Concern, Dependency, EventTime, Job, TableName};
use quickchat_lake::LakeError;
use quickchat_lake::changes::Changes;
use quickchat_lake::snapshot::PinnedTable;
use serde::Serialize;

use super::Run;
use super::basis::{Basis, InputVersion};
use super::inputs::{Input, Inputs};
use crate::error::RunError;

/// More units than this are not listed one by one: computing everything is cheaper then.
pub(super) const MAX_UNITS: usize = 5_000;
/// Data files that were removed this long ago may be gone soon, so rows are no longer compared with them.
const COMPARABLE_DAYS: i64 = 6;
const DAY_MICROS: i64 = 86_400_000_000;

/// What a job has to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Decision {
    /// The table is what a run would make it.
    Nothing,
    /// Only what changes concern.
    Incremental(Increment),
    /// The whole result.
    Full {
        /// Why.
        because: Reason,
    },
}

/// A part of a job's result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Increment {
    /// What changed in the inputs.
    pub changes: Vec<InputChange>,
    /// Units that the logs name, such as dates; of some it may turn out that nothing that matters has changed in them.
    pub units: BTreeSet<String>,
    /// Those of them that are to be computed, whatever further questions tell.
    #[serde(skip)]
    pub(super) certain: BTreeSet<String>,
    /// Further units have to be asked for, by comparing rows of these inputs.
    #[serde(skip)]
    pub(super) questions: Vec<Question>,
}

/// What changed in an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputChange {
    /// The input.
    pub input: String,
    /// The version that was read last.
    pub from_version: Option<u64>,
    /// The version that is to be read.
    pub to_version: Option<u64>,
    /// Rows in the files that were added since, those that they hold unchanged included.
    pub rows: u64,
    /// Size of these files.
    pub bytes: u64,
    /// Partitions in which something changed.
    pub partitions: u64,
    /// Whether rows count now because `as_of` is past them.
    pub became_past: bool,
}

/// Which units do the rows concern that differ between two versions of an input?
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) table: TableName,
    pub(super) columns: &'static [&'static str],
    pub(super) units: Cow<'static, str>,
    pub(super) from_version: u64,
    /// Rows whose time is in this range (from, to, column) count now and did not count before.
    pub(super) became_past: Option<(i64, i64, &'static str)>,
}

/// Why everything is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `--full-refresh`.
    Requested,
    /// There is no table yet.
    NeverWritten,
    /// The log does not say, in a way that this release understands, what the rows were computed from.
    NoBasis,
    /// Somebody else changed rows of the table.
    Foreign {
        /// The version.
        version: u64,
        /// What it says it did.
        operation: String,
    },
    /// The job's query, columns or functions are others than before.
    DefinitionChanged,
    /// The rows came from an export before, from another kind of system, or by other names.
    SourceChanged,
    /// An input is not the table that it was.
    InputReplaced {
        /// The input.
        input: String,
    },
    /// An input's log, or its old files, no longer tell what changed.
    HistoryGone {
        /// The input.
        input: String,
    },
    /// `as_of` is earlier than that of the last run.
    WentBack,
    /// The rows depend on the date.
    NewDate,
    /// The rows all depend on an input that changed.
    InputChanged(InputChange),
    /// Rows of an input count now because `as_of` is past them, and all rows depend on them.
    BecamePast {
        /// The input.
        input: String,
    },
    /// A change where the table begins may move its beginning.
    FirstDate,
    /// More parts than are worth telling apart.
    ManyUnits,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("a full refresh was asked for"),
            Self::NeverWritten => f.write_str("the table was never written"),
            Self::NoBasis => f.write_str("the log does not tell what the rows were computed from"),
            Self::Foreign { version, operation } => {
                write!(f, "version {version} ({operation}) of the table was not written by this job")
            }
            Self::DefinitionChanged => f.write_str("the job's definition changed"),
            Self::SourceChanged => f.write_str("the rows came from another source before"),
            Self::InputReplaced { input } => write!(f, "{input} was made anew or rolled back"),
            Self::HistoryGone { input } => write!(f, "what changed in {input} can no longer be told"),
            Self::WentBack => f.write_str("as_of is earlier than that of the last run"),
            Self::NewDate => f.write_str("all rows depend on the date of as_of"),
            Self::InputChanged(change) => write!(f, "{change}, and all rows depend on it"),
            Self::BecamePast { input } => write!(f, "as_of is past rows of {input} that did not count before"),
            Self::FirstDate => f.write_str("something changed at or before the first date"),
            Self::ManyUnits => write!(f, "the changes concern more than {MAX_UNITS} parts of the table"),
        }
    }
}

impl fmt::Display for InputChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.input)?;
        match (self.from_version, self.to_version) {
            (Some(from), Some(to)) if from == to => f.write_str(" has rows that are past now"),
            (Some(from), Some(to)) => write!(f, " changed from version {from} to {to}"),
            _ => f.write_str(" has new files"),
        }
    }
}

impl Decision {
    /// The decision in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Incremental(_) => "incremental",
            Self::Full { .. } => "full",
        }
    }

    pub(super) fn full(because: Reason) -> Self {
        Self::Full { because }
    }
}

/// Decides about a job whose rows are computed from tables. Gives the basis of the stored rows too, if there is one.
pub(super) async fn decide(
    run: &Run,
    job: &Job,
    inputs: &Inputs,
    target: Option<&PinnedTable>,
) -> Result<(Decision, Option<Basis>), RunError> {
    let Some(target) = target else { return Ok((Decision::full(Reason::NeverWritten), None)) };
    let basis = match Basis::of(run.lake.tables(), target).await? {
        Ok(basis) => basis,
        Err(reason) => return Ok((Decision::full(reason), None)),
    };
    let decision = match compare(run, job, inputs, target, &basis).await? {
        Ok(increment) if increment.changes.is_empty() && increment.units.is_empty() => Decision::Nothing,
        Ok(increment) => Decision::Incremental(increment),
        Err(because) => Decision::Full { because },
    };
    Ok((decision, Some(basis)))
}

async fn compare(
    run: &Run,
    job: &Job,
    inputs: &Inputs,
    target: &PinnedTable,
    basis: &Basis,
) -> Result<Result<Increment, Reason>, RunError> {
    if run.full_refresh {
        return Ok(Err(Reason::Requested));
    }
    if basis.definition != job.fingerprint() {
        return Ok(Err(Reason::DefinitionChanged));
    }
    let mut increment = Increment::default();
    if let Err(reason) = instants(run, job, basis, &mut increment) {
        return Ok(Err(reason));
    }
    for input in inputs.iter() {
        let Some(known) = basis.inputs.get(&input.name.to_string()) else {
            return Ok(Err(Reason::InputReplaced { input: input.name.to_string() }));
        };
        let check = InputCheck { run, job, input, known, basis };
        if let Err(reason) = check.add_to(&mut increment).await? {
            return Ok(Err(reason));
        }
    }
    increment.units.extend(increment.certain.iter().cloned());
    if is_at_start(job, target, &increment.certain) {
        return Ok(Err(Reason::FirstDate));
    }
    match increment.certain.len() > MAX_UNITS {
        true => Ok(Err(Reason::ManyUnits)),
        false => Ok(Ok(increment)),
    }
}

/// What the run's instant alone asks for.
fn instants(run: &Run, job: &Job, basis: &Basis, increment: &mut Increment) -> Result<(), Reason> {
    let (then, now) = (date(basis.as_of_micros), date(run.parameters.as_of_micros));
    let went_back =
        (job.uses_as_of() && run.parameters.as_of_micros < basis.as_of_micros) || (job.uses_as_of_date() && now < then);
    if went_back {
        return Err(Reason::WentBack);
    }
    // At midnight sharp a date, week or month is over while as_of_date is still its last date.
    let midnight = |micros: i64| micros.div_euclid(DAY_MICROS);
    let is_over =
        job.uses_as_of() && midnight(run.parameters.as_of_micros) > midnight(basis.as_of_micros) && now == then;
    if is_over && job.incremental().unit.is_none() {
        return Err(Reason::NewDate);
    }
    if job.uses_as_of_date() && now > then {
        if !job.incremental().is_calendar {
            return Err(Reason::NewDate);
        }
        if usize::try_from(now - then).is_ok_and(|days| days > MAX_UNITS) {
            return Err(Reason::ManyUnits);
        }
        increment.certain.extend((then + 1..=now).filter_map(date_text));
    }
    Ok(())
}

/// Whether a table that begins with the first date of the data may begin elsewhere now.
pub(super) fn is_at_start(job: &Job, target: &PinnedTable, units: &BTreeSet<String>) -> bool {
    let incremental = job.incremental();
    let (true, Some(column), Some(first)) = (incremental.is_calendar, incremental.unit, units.first()) else {
        return false;
    };
    target.smallest(column).is_none_or(|smallest| *first <= smallest)
}

struct InputCheck<'a> {
    run: &'a Run,
    job: &'a Job,
    input: &'a Input,
    known: &'a InputVersion,
    basis: &'a Basis,
}

impl InputCheck<'_> {
    /// Adds what changes of the input concern, or says why that is everything.
    async fn add_to(&self, increment: &mut Increment) -> Result<Result<(), Reason>, RunError> {
        let pinned = &self.input.pinned;
        let name = self.input.name.to_string();
        if !self.is_known_version_there().await? {
            return Ok(Err(Reason::InputReplaced { input: name }));
        }
        let changes = self.run.lake.tables().changes(&pinned.url, self.known.version, pinned.version).await?;
        let Some(changes) = changes else { return Ok(Err(Reason::HistoryGone { input: name })) };
        let dependency = self.job.incremental().input(&self.input.name);
        let became_past = self.became_past(dependency);
        if changes.is_empty() && became_past == BecamePast::Nothing {
            return Ok(Ok(()));
        }
        let change = self.describe(&changes, became_past != BecamePast::Nothing);
        let concerns = match dependency {
            Some(dependency) if self.job.incremental().unit.is_some() => dependency.concerns,
            _ => &[],
        };
        if concerns.is_empty() {
            return Ok(Err(Reason::InputChanged(change)));
        }
        if became_past == BecamePast::Otherwise {
            return Ok(Err(Reason::BecamePast { input: name }));
        }
        for concern in concerns {
            match concern {
                Concern::Partitions { columns } => {
                    let partitions = self.partitions(&changes, &became_past);
                    match self.partitions_question(*columns, &changes, &became_past) {
                        Some(question) => {
                            increment.units.extend(partitions);
                            increment.questions.push(question);
                        }
                        None => increment.certain.extend(partitions),
                    }
                }
                Concern::Rows { columns, units } => {
                    if !changes.is_empty() && is_old(&changes) {
                        return Ok(Err(Reason::HistoryGone { input: name }));
                    }
                    increment.questions.push(self.question(columns, Cow::Borrowed(units), &became_past));
                }
            }
        }
        increment.changes.push(change);
        Ok(Ok(()))
    }

    /// Whether the version that was read last is the one that bears its number now.
    async fn is_known_version_there(&self) -> Result<bool, RunError> {
        let pinned = &self.input.pinned;
        if self.known.id != pinned.metadata.id() || self.known.version > pinned.version {
            return Ok(false);
        }
        if self.known.version == pinned.version {
            return Ok(self.known.is(pinned));
        }
        match self.run.lake.tables().version(&pinned.url, self.known.version, Some(&self.known.id)).await {
            Ok(then) => Ok(self.known.is(&then)),
            // Where the log no longer goes back to it, what changed cannot be told either; that is noticed next.
            Err(LakeError::NoVersion { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn describe(&self, changes: &Changes, became_past: bool) -> InputChange {
        InputChange {
            input: self.input.name.to_string(),
            from_version: Some(self.known.version),
            to_version: Some(self.input.pinned.version),
            rows: changes.rows_added,
            bytes: changes.bytes_added,
            partitions: changes.partitions.len() as u64,
            became_past,
        }
    }

    /// Which rows of the input count from this run on, though they were there before.
    fn became_past(&self, dependency: Option<&Dependency>) -> BecamePast {
        let (from, to) = (self.basis.as_of_micros, self.run.parameters.as_of_micros);
        if !self.job.uses_as_of() || from >= to {
            return BecamePast::Nothing;
        }
        let column = match dependency.map(|dependency| dependency.time) {
            Some(EventTime::Ignored) => return BecamePast::Nothing,
            Some(EventTime::ColumnAnd { .. }) if self.known.next.is_some_and(|next| next < to) => {
                return BecamePast::Otherwise;
            }
            Some(EventTime::Column(column) | EventTime::ColumnAnd { column, .. }) => column,
            None => return BecamePast::Otherwise,
        };
        match self.input.pinned.may_have_times(column, from, to) {
            true => BecamePast::Between { from, to, column },
            false => BecamePast::Nothing,
        }
    }

    /// The dates of the changed partitions, and of the rows that count from now on.
    fn partitions(&self, changes: &Changes, became_past: &BecamePast) -> Vec<String> {
        let changed = changes.partitions.iter().flat_map(|values| values.values().flatten().cloned());
        let mut dates: Vec<String> = changed.collect();
        if let BecamePast::Between { from, to, .. } = became_past {
            let files = self.input.pinned.files.iter();
            let present = files.flat_map(|file| file.partition_values.values().flatten());
            if let (Some(first), Some(last)) = (date_text(from.div_euclid(DAY_MICROS)), date_text(date(*to))) {
                dates.extend(present.filter(|date| first <= **date && **date <= last).cloned());
            }
        }
        dates
    }

    /// In which of the changed partitions something changed that matters, where that can and need be asked.
    fn partitions_question(
        &self,
        columns: Option<&'static [&'static str]>,
        changes: &Changes,
        became_past: &BecamePast,
    ) -> Option<Question> {
        let columns = columns.filter(|_| !changes.is_empty() && !is_old(changes))?;
        let [partition] = self.input.pinned.partition_columns.as_slice() else { return None };
        Some(self.question(columns, Cow::Owned(format!("SELECT {partition} FROM changed")), became_past))
    }

    fn question(
        &self,
        columns: &'static [&'static str],
        units: Cow<'static, str>,
        became_past: &BecamePast,
    ) -> Question {
        Question {
            table: self.input.name.clone(),
            columns,
            units,
            from_version: self.known.version,
            became_past: match became_past {
                BecamePast::Between { from, to, column } => Some((*from, *to, column)),
                BecamePast::Nothing | BecamePast::Otherwise => None,
            },
        }
    }
}

/// Rows that were there before, but after the last run's instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BecamePast {
    Nothing,
    /// Some may have a time in this range.
    Between {
        from: i64,
        to: i64,
        column: &'static str,
    },
    /// Some count in another way, and nothing tells which.
    Otherwise,
}

/// Whether files that were removed may have been deleted meanwhile.
fn is_old(changes: &Changes) -> bool {
    let limit = chrono::Utc::now().timestamp_millis() - COMPARABLE_DAYS * 86_400_000;
    changes.first_removal.is_some_and(|removed| removed < limit)
}

/// Days since 1970 of the last microsecond before an instant.
pub(super) fn date(micros: i64) -> i64 {
    micros.saturating_sub(1).div_euclid(DAY_MICROS)
}

/// A date as partition values are written.
pub(super) fn date_text(days: i64) -> Option<String> {
    let instant = chrono::DateTime::from_timestamp(days.checked_mul(86_400)?, 0)?;
    Some(instant.date_naive().to_string())
}
