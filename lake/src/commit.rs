//! One Delta version from the receipts of a write.
//!
//! A commit is one create-if-absent of `<version>.json`, so it is there wholly or not at all. Each carries a `txn`
//! action (application id and sequence number): when an answer is lost, the put fails, or the store's client repeats it
//! and the repeated put fails. Then the version is read back, and its transaction says that the failure was a success.
//!
//! On a real conflict the actions are put again on top of the newer versions if these did not touch what the commit
//! read or removed; otherwise the caller computes once more. delta-rs' `CommitBuilder` was rejected: it lists the log
//! folder before each commit, cleans it up after, and, not knowing of our transaction, appends twice when an answer
//! is lost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, Add, Metadata, Protocol, Remove, Transaction};
use deltalake::logstore::{CommitOrBytes, LogStoreRef};
use deltalake::protocol::DeltaOperation;
use serde_json::{Map, Value};

use crate::snapshot::{PinnedTable, Tables};
use crate::stores::passes;
use crate::{LakeError, Result, TableUrl};

/// After how many versions the log is summed up in a checkpoint. Tables here get a handful of versions a day.
const CHECKPOINT_INTERVAL: u64 = 10;

/// Key in `commitInfo` under which a run is named.
pub const RUN_KEY: &str = "runId";

/// How often a commit is put on top of versions that others added meanwhile before it gives up.
const MAX_REBASES: usize = 16;

/// For how long, and at least how often, a put is repeated that is neither there nor was refused for good. The store's client repeats what it can
/// by itself, but not a conditional put without an answer. That one may still be under way in the store, which refuses
/// others to the same name until it has come to an end.
const REPEATING: Duration = Duration::from_secs(20);
const MIN_REPEATS: u32 = 3;

/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Everything that becomes one version.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Files to add.
    pub adds: Vec<Add>,
    /// Files to remove.
    pub removes: Vec<Remove>,
    /// Metadata of a new table, or changed metadata.
    pub metadata: Option<Metadata>,
    /// What was done, with the true predicate.
    pub operation: DeltaOperation,
    /// The transaction: who writes, and the number of this write, larger than all before.
    pub transaction: TransactionId,
    /// Free information, kept in `commitInfo`.
    pub info: Map<String, Value>,
    /// Which changes by others make the result wrong.
    pub reads: ReadSet,
}

/// Identifies a write for good, so that it is applied at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionId {
    /// The writer, for example the name of a job.
    pub application: String,
    /// Sequence number; a writer's numbers only grow.
    pub sequence: i64,
    /// The run, unique among all runs: two runs that started in the same instant are not the same write.
    pub run: String,
}

/// What a commit's content depends on in the table itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadSet {
    /// Nothing: rows are only added.
    Nothing,
    /// The whole table: any change of data by others is a conflict.
    Everything,
    /// The rows of some partitions (paths of partition values as text): changes elsewhere are none of our business.
    Partitions(HashSet<String>),
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is this version now.
    Committed(u64),
    /// Others changed what it depends on: compute again on the newest version.
    Outdated {
        /// What they did.
        reason: String,
    },
}

/// Commits on top of `base`, the version that the writer has read (none: the table is to be created).
pub async fn commit(tables: &Tables, table: &TableUrl, base: Option<&PinnedTable>, commit: Commit) -> Result<Outcome> {
    tables.stores().ensure_creates_once(table).await?;
    let log = tables.log_store(table)?;
    let bytes = encode(table, base.is_none(), &commit)?;
    let mut version = base.map_or(0, |base| base.version + 1);
    let (mut rebases, mut repeats) = (0, Repeats::default());
    while rebases < MAX_REBASES {
        let put = log.write_commit_entry(version, CommitOrBytes::LogBytes(bytes.clone()), uuid::Uuid::now_v7()).await;
        let Err(error) = put else {
            tracing::debug!(%table, version, "committed");
            checkpoint(tables, table, version).await;
            return Ok(Outcome::Committed(version));
        };
        let refused = matches!(error, TransactionError::VersionAlreadyExists(_));
        // If not, it may be the answer that was lost, and not the commit.
        let winner = match Winner::read(&log, table, version).await {
            Err(_) if !refused => return Err(commit_error(table, error)),
            winner => winner?,
        };
        match winner {
            Some(winner) if winner.has(&commit.transaction) => return Ok(Outcome::Committed(version)),
            Some(_) if !refused && !may_pass(&error) => return Err(commit_error(table, error)),
            Some(winner) => {
                if let Some(reason) = winner.conflicts_with(&commit, base.is_none()) {
                    return Ok(Outcome::Outdated { reason });
                }
                version += 1;
                rebases += 1;
                repeats = Repeats::default();
            }
            // S3 refuses a put also while another one to the same name is under way, which may fail yet.
            None if (refused || may_pass(&error)) && repeats.wait().await => {}
            None if refused => return Err(refused_and_not_there(table, version)),
            None => return Err(commit_error(table, error)),
        }
    }
    Err(LakeError::Conflict { table: table.to_string(), reason: format!("{MAX_REBASES} others came first") })
}

/// Repetitions of one put.
#[derive(Default)]
struct Repeats {
    /// When the first put had failed, and the last pause.
    begun: Option<(Instant, Duration)>,
    made: u32,
}

impl Repeats {
    /// Waits, and says whether to try again.
    async fn wait(&mut self) -> bool {
        let (since, pause) = match self.begun {
            None => (Instant::now(), FIRST_PAUSE),
            // One that is waited for in vain takes longer than all others together.
            Some((since, _)) if since.elapsed() >= REPEATING && self.made >= MIN_REPEATS => return false,
            Some((since, pause)) => (since, LONGEST_PAUSE.min(pause * 2)),
        };
        self.begun = Some((since, pause));
        self.made += 1;
        tokio::time::sleep(pause).await;
        true
    }
}

/// Whether a put that is not there may be there when it is tried again. It is told apart from another's by its
/// transaction, so a first one that arrives late does no harm.
fn may_pass(error: &TransactionError) -> bool {
    matches!(error, TransactionError::ObjectStore { source } if passes(source))
}

/// A version that stands in the way and cannot be read. To go on behind it could leave a hole in the log.
fn refused_and_not_there(table: &TableUrl, version: u64) -> LakeError {
    let reason = format!(
        "the store refuses its version {version} as one that is there, but does not have it; a put of it may still be \
         under way, or somebody removes versions"
    );
    LakeError::Conflict { table: table.to_string(), reason }
}

fn commit_error(table: &TableUrl, error: TransactionError) -> LakeError {
    match error {
        TransactionError::ObjectStore { source } => LakeError::object("commit to", table, source),
        other => LakeError::log("write a commit", table, DeltaTableError::from(other)),
    }
}

fn encode(table: &TableUrl, creates: bool, commit: &Commit) -> Result<bytes::Bytes> {
    let mut actions = Vec::with_capacity(commit.adds.len() + commit.removes.len() + 2);
    if creates {
        actions.push(Action::Protocol(oldest_protocol(table)?));
    }
    actions.extend(commit.metadata.clone().map(Action::Metadata));
    actions.extend(commit.removes.iter().cloned().map(Action::Remove));
    actions.extend(commit.adds.iter().cloned().map(Action::Add));
    let transaction = Transaction::new_with_last_update(
        &commit.transaction.application,
        commit.transaction.sequence,
        Some(chrono::Utc::now().timestamp_millis()),
    );
    let mut info = commit.info.clone();
    info.insert("isBlindAppend".to_owned(), Value::Bool(commit.reads == ReadSet::Nothing && commit.removes.is_empty()));
    info.insert(RUN_KEY.to_owned(), Value::String(commit.transaction.run.clone()));
    let data = CommitData::new(actions, commit.operation.clone(), info.into_iter().collect(), vec![transaction]);
    data.get_bytes().map_err(|error| LakeError::log("encode a commit", table, DeltaTableError::from(error)))
}

/// Reader 1 and writer 2: what every reader of the last years understands.
fn oldest_protocol(table: &TableUrl) -> Result<Protocol> {
    serde_json::from_value(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}))
        .map_err(|error| LakeError::log("encode the protocol", table, DeltaTableError::Generic(error.to_string())))
}

/// Sums up the log now and then. The version is durable already, so a failure costs speed and nothing else.
async fn checkpoint(tables: &Tables, table: &TableUrl, version: u64) {
    if !(version + 1).is_multiple_of(CHECKPOINT_INTERVAL) {
        return;
    }
    if let Err(error) = write_checkpoint(tables, table, version).await {
        tracing::warn!(%table, version, %error, "the log could not be summed up; reading the table gets slower");
    }
}

/// Sums up the log at one version; gives delta-rs' view of the table at that version.
pub(crate) async fn write_checkpoint(tables: &Tables, table: &TableUrl, version: u64) -> Result<deltalake::DeltaTable> {
    let handle = tables.handle(table, version).await?;
    deltalake::checkpoints::create_checkpoint(&handle, None)
        .await
        .map_err(|error| LakeError::log("write a checkpoint", table, error))?;
    Ok(handle)
}

/// A version that another writer put where ours should have gone.
struct Winner {
    actions: Vec<Action>,
}

impl Winner {
    /// Reads a version; none if it is not there.
    async fn read(log: &LogStoreRef, table: &TableUrl, version: u64) -> Result<Option<Self>> {
        let entry =
            log.read_commit_entry(version).await.map_err(|error| LakeError::log("read a commit", table, error))?;
        let Some(entry) = entry else { return Ok(None) };
        let mut actions = Vec::new();
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(action) => actions.push(action),
                // Actions of a newer protocol than ours: nothing can be said about them, so nothing is assumed.
                Err(error) => {
                    let reason = format!("its version {version} cannot be understood: {error}");
                    return Err(LakeError::Conflict { table: table.to_string(), reason });
                }
            }
        }
        Ok(Some(Self { actions }))
    }

    fn has(&self, transaction: &TransactionId) -> bool {
        let same_transaction = self.actions.iter().any(|action| match action {
            Action::Txn(txn) => txn.app_id == transaction.application && txn.version == transaction.sequence,
            _ => false,
        });
        let same_run = self.actions.iter().any(|action| match action {
            Action::CommitInfo(info) => info.info.get(RUN_KEY).and_then(Value::as_str) == Some(&transaction.run),
            _ => false,
        });
        same_transaction && same_run
    }

    fn conflicts_with(&self, ours: &Commit, creates: bool) -> Option<String> {
        if creates {
            return Some("it created the table".to_owned());
        }
        let removed: HashSet<&str> = ours.removes.iter().map(|remove| remove.path.as_str()).collect();
        self.actions.iter().find_map(|action| match action {
            Action::Metadata(_) => Some("it changed the columns, their descriptions or properties".to_owned()),
            Action::Protocol(_) => Some("it changed the protocol".to_owned()),
            Action::Txn(txn) if txn.app_id == ours.transaction.application => {
                Some("another run of the same job committed".to_owned())
            }
            Action::Remove(remove) if removed.contains(remove.path.as_str()) => {
                Some("it removed a file that this commit replaces".to_owned())
            }
            Action::Add(add) if add.data_change && ours.reads.covers(&partition_path(&add.partition_values)) => {
                Some("it added rows to what this commit was computed from".to_owned())
            }
            Action::Remove(remove) if remove.data_change => {
                let partition = remove.partition_values.as_ref().map(partition_path);
                let covered = partition.is_none_or(|partition| ours.reads.covers(&partition));
                (covered && ours.reads != ReadSet::Nothing).then(|| "it removed rows".to_owned())
            }
            _ => None,
        })
    }
}

impl ReadSet {
    fn covers(&self, partition: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Partitions(partitions) => partitions.contains(partition),
        }
    }
}

/// Partition values as one text, independent of their order.
pub(crate) fn partition_path(values: &std::collections::HashMap<String, Option<String>>) -> String {
    let mut parts: Vec<String> =
        values.iter().map(|(column, value)| format!("{column}={}", value.as_deref().unwrap_or("\u{0}null"))).collect();
    parts.sort();
    parts.join("/")
}
