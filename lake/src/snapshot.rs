//! Pinned table versions: what a table is at one version, read from its Delta log once.
//!
//! A job pins every input before it plans anything, so all its stages see the same version, whatever others commit
//! meanwhile. A pin is a value: url, version, the table's id, schema and live files. Processes keep the pins they have
//! loaded; the table's id is part of the key, so a table that was deleted and made anew is never mistaken for the old
//! one.
//!
//! delta-rs' own `DeltaTable` is not kept around: a run reads each log once, and an old handle on a table that was
//! removed meanwhile fails in ways that are hard to tell from real faults.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use deltalake::kernel::{Add, Metadata, Protocol, Snapshot};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableError};
use futures::StreamExt;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use crate::scan::FileStatistics;
use crate::schema::bare;
use crate::stores::{ObjectStores, ReadOnce};
use crate::{ErrorClass, LakeError, Result, TableUrl};

/// How many pinned versions a process keeps. A full pipeline reads about twenty tables; more are kept for a scheduler
/// that serves several clients.
const KEPT_PINS: usize = 256;
/// How many files these may have together, about half a kilobyte each.
const KEPT_FILES: usize = 400_000;

/// One version of a table. Immutable.
#[derive(Debug)]
pub struct PinnedTable {
    /// Where the table is.
    pub url: TableUrl,
    /// The version.
    pub version: u64,
    /// Columns in the order of the table's metadata, partition columns at their place, without descriptions.
    pub schema: SchemaRef,
    /// Names of the partition columns.
    pub partition_columns: Vec<String>,
    /// The live data files, sorted by path. Scans share them: a table may have very many.
    pub files: Vec<Arc<Add>>,
    /// A number for the set of live files. Names of files are unique, so versions that have it in common hold the same
    /// rows, also where one was rolled back and another has come in its place.
    pub files_id: u64,
    /// The table's metadata action; its id tells one table from another at the same address.
    pub metadata: Metadata,
    /// Reader and writer versions and features.
    pub protocol: Protocol,
}

impl PinnedTable {
    /// The live data files, sorted by path.
    pub fn adds(&self) -> impl Iterator<Item = &Add> {
        self.files.iter().map(Arc::as_ref)
    }

    /// Sum of the sizes of all live files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum()
    }

    /// Whether a row may have a time in `column` from `from` on and before `to`, microseconds since 1970, as far as the
    /// log tells.
    pub fn may_have_times(&self, column: &str, from: i64, to: i64) -> bool {
        self.files.iter().any(|file| {
            let Some((smallest, largest)) = FileStatistics::of(file).time_range(column) else { return true };
            from <= largest && smallest < to
        })
    }

    /// The smallest value of a column as text, if the log knows it; of times and dates the earliest.
    pub fn smallest(&self, column: &str) -> Option<String> {
        let smallest = |file: &Arc<Add>| match file.partition_values.get(column) {
            Some(value) => value.clone(),
            None => FileStatistics::of(file).smallest(column),
        };
        self.files.iter().map(smallest).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Number of rows, if the log knows that of every file.
    pub fn rows(&self) -> Option<u64> {
        self.files.iter().map(|file| FileStatistics::rows(file).map(|rows| rows as u64)).sum()
    }
}

/// Opens and pins tables; one per process, cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    stores: ObjectStores,
    kept: Arc<Mutex<Kept>>,
}

/// What a process remembers of the tables that it has opened.
#[derive(Debug, Default)]
struct Kept {
    pins: HashMap<PinKey, Arc<PinnedTable>>,
    newest: HashMap<TableUrl, Newest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PinKey {
    url: TableUrl,
    table_id: String,
    version: u64,
}

/// The version that was the newest when somebody looked last, and its entry in the log. The entry tells whether the
/// version is still the same one: a table that was made anew, or rolled back and written again, has another there.
#[derive(Debug, Clone)]
struct Newest {
    pinned: Arc<PinnedTable>,
    entry: ObjectMeta,
}

impl Tables {
    /// Tables in the given stores.
    pub fn new(stores: ObjectStores) -> Self {
        Self { stores, kept: Arc::default() }
    }

    /// The stores that the tables are in.
    pub fn stores(&self) -> &ObjectStores {
        &self.stores
    }

    /// delta-rs' access to the log of a table.
    pub fn log_store(&self, table: &TableUrl) -> Result<LogStoreRef> {
        Self::log_in(self.stores.get(table.url())?, table)
    }

    fn log_in(root: Arc<dyn ObjectStore>, table: &TableUrl) -> Result<LogStoreRef> {
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&root), table.path()?));
        Ok(default_logstore(prefixed, root, table.url(), &StorageConfig::default()))
    }

    /// Pins the newest version, or says that there is no table.
    ///
    /// Costs two requests for an object's head when this process has seen the table and nothing is new; else the log
    /// from its last checkpoint on is read.
    pub async fn latest(&self, table: &TableUrl) -> Result<Option<Arc<PinnedTable>>> {
        let known = self.kept.lock().newest.get(table).cloned();
        if let Some(known) = known
            && self.is_still_newest(&known).await?
        {
            return Ok(Some(known.pinned));
        }
        let pinned = match self.load(table, None).await {
            Ok(pinned) => self.keep(pinned),
            Err(LakeError::NoTable { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(entry) = self.entry_head(table, pinned.version).await? {
            let newest = Newest { pinned: Arc::clone(&pinned), entry };
            self.kept.lock().newest.insert(table.clone(), newest);
        }
        Ok(Some(pinned))
    }

    async fn is_still_newest(&self, known: &Newest) -> Result<bool> {
        let PinnedTable { url, version, .. } = known.pinned.as_ref();
        let (own, next) = tokio::try_join!(self.entry_head(url, *version), self.entry_head(url, version + 1))?;
        Ok(next.is_none() && own.is_some_and(|own| own == known.entry))
    }

    /// Size, time and tag of a version's entry in the log; none if there is no such entry.
    async fn entry_head(&self, table: &TableUrl, version: u64) -> Result<Option<ObjectMeta>> {
        let store = self.stores.get(table.url())?;
        let path = table.path()?.join("_delta_log").join(format!("{version:020}.json"));
        match store.head(&path).await {
            Ok(entry) => Ok(Some(entry)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::object("look at", path, error)),
        }
    }

    /// Pins one version. `table_id` is the id that the caller saw when it chose the version, if it has seen one.
    pub async fn version(&self, table: &TableUrl, version: u64, table_id: Option<&str>) -> Result<Arc<PinnedTable>> {
        if let Some(id) = table_id {
            let key = PinKey { url: table.clone(), table_id: id.to_owned(), version };
            if let Some(pinned) = self.kept.lock().pins.get(&key) {
                return Ok(Arc::clone(pinned));
            }
        }
        let pinned = match self.load(table, Some(version)).await {
            Err(error @ LakeError::Log { .. }) if error.class() == ErrorClass::User => {
                let newest = self.latest(table).await?.ok_or_else(|| no_table(table))?;
                return Err(LakeError::NoVersion {
                    table: table.to_string(),
                    wanted: version.to_string(),
                    newest: newest.version,
                });
            }
            other => other?,
        };
        if table_id.is_some_and(|id| id != pinned.metadata.id()) {
            return Err(LakeError::Conflict {
                table: table.to_string(),
                reason: "the table was deleted and made anew".to_owned(),
            });
        }
        Ok(self.keep(pinned))
    }

    /// Pins the very version that a caller has seen: the table with this id, and these files (see
    /// [`PinnedTable::files_id`]). What this process knows of it may be out of date, if the table was rolled back
    /// meanwhile and written again.
    pub async fn exactly(
        &self,
        table: &TableUrl,
        table_id: &str,
        version: u64,
        files_id: u64,
    ) -> Result<Arc<PinnedTable>> {
        let known = self.version(table, version, Some(table_id)).await?;
        if known.files_id == files_id {
            return Ok(known);
        }
        let fresh = self.version(table, version, None).await?;
        match fresh.metadata.id() == table_id && fresh.files_id == files_id {
            true => Ok(fresh),
            false => Err(LakeError::Conflict {
                table: table.to_string(),
                reason: format!("version {version} was rolled back and is another one now"),
            }),
        }
    }

    /// Pins the version that was the newest at `instant`, by the store's clock.
    pub async fn at(&self, table: &TableUrl, instant: DateTime<Utc>) -> Result<Arc<PinnedTable>> {
        let log = self.log_store(table)?;
        let mut handle = DeltaTable::new(Arc::clone(&log));
        let version = match handle.load_with_datetime(instant).await {
            Ok(()) => handle.version().ok_or_else(|| no_table(table))?,
            Err(_) if !self.has_log(table, &log).await? => return Err(no_table(table)),
            Err(error) => return Err(LakeError::log("find the version of an instant", table, error)),
        };
        // delta-rs gives the oldest version for an instant before it.
        let entries = self.log_entries(table).await?;
        if entries.iter().any(|entry| entry.version == version && entry.is_commit() && entry.modified > instant) {
            let newest = self.latest(table).await?.ok_or_else(|| no_table(table))?.version;
            let wanted = format!("of {}", instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
            return Err(LakeError::NoVersion { table: table.to_string(), wanted, newest });
        }
        self.version(table, version, None).await
    }

    /// delta-rs' view of one version.
    pub(crate) async fn handle(&self, table: &TableUrl, version: u64) -> Result<DeltaTable> {
        let mut handle = DeltaTable::new(self.log_store(table)?);
        handle.load_version(version).await.map_err(|error| LakeError::log("read the log", table, error))?;
        Ok(handle)
    }

    async fn load(&self, table: &TableUrl, version: Option<u64>) -> Result<PinnedTable> {
        let log = Self::log_in(Arc::new(ReadOnce::new(self.stores.get(table.url())?)), table)?;
        let open = || Snapshot::try_new(log.as_ref(), version);
        let mut snapshot = open().await;
        // delta-rs reports a missing table in several ways, depending on whether the folder, the log or its files are
        // missing, so the log is looked for only now, which costs nothing when the table is there.
        if snapshot.is_err() && !self.has_log(table, &log).await? {
            return Err(no_table(table));
        }
        // There is a log, so somebody has made the table between the two looks.
        if matches!(snapshot, Err(DeltaTableError::NotATable(_))) {
            snapshot = open().await;
        }
        let snapshot = snapshot.map_err(|error| LakeError::log("read the log", table, error))?;
        pinned(table, &log, &snapshot).await
    }

    async fn has_log(&self, table: &TableUrl, log: &LogStoreRef) -> Result<bool> {
        let store = log.object_store(None);
        let mut entries = store.list(Some(log.log_path()));
        match entries.next().await {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(object_store::Error::NotFound { .. })) => Ok(false),
            Some(Err(error)) => Err(LakeError::object("look for the log of", table, error)),
        }
    }

    fn keep(&self, pinned: PinnedTable) -> Arc<PinnedTable> {
        let key =
            PinKey { url: pinned.url.clone(), table_id: pinned.metadata.id().to_owned(), version: pinned.version };
        let pinned = Arc::new(pinned);
        let pins = &mut self.kept.lock().pins;
        let files: usize = pins.values().map(|kept| kept.files.len()).sum();
        if pins.len() >= KEPT_PINS || files + pinned.files.len() > KEPT_FILES {
            pins.clear();
        }
        pins.insert(key, Arc::clone(&pinned));
        pinned
    }
}

/// delta-rs' `EagerSnapshot` was rejected: it holds all files a second time, with their statistics parsed.
async fn pinned(table: &TableUrl, log: &LogStoreRef, snapshot: &Snapshot) -> Result<PinnedTable> {
    refuse_unreadable(table, snapshot)?;
    let mut files = Vec::new();
    let mut views = snapshot.file_views(log.as_ref(), None);
    while let Some(view) = views.next().await {
        let view = view.map_err(|error| LakeError::log("read the log", table, error))?;
        if view.deletion_vector_descriptor().is_some() {
            return Err(unsupported(table, "deletion vectors", "run REORG TABLE ... APPLY (PURGE) in Spark first"));
        }
        if view.path().contains("://") {
            return Err(unsupported(table, "absolute file paths", "deep-clone the table with Spark first"));
        }
        #[expect(deprecated, reason = "the only public way to a file's tags")]
        files.push(Arc::new(view.add_action()));
    }
    drop(views);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(PinnedTable {
        url: table.clone(),
        version: snapshot.version(),
        schema: bare(&snapshot.arrow_schema()),
        partition_columns: snapshot.metadata().partition_columns().to_vec(),
        files_id: files_id(&files),
        files,
        metadata: snapshot.metadata().clone(),
        protocol: snapshot.protocol().clone(),
    })
}

fn files_id(files: &[Arc<Add>]) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for file in files {
        hash.update(file.path.as_bytes());
        hash.update(&[0]);
    }
    hash.digest()
}

fn refuse_unreadable(table: &TableUrl, snapshot: &Snapshot) -> Result<()> {
    let mapping = snapshot.metadata().configuration().get("delta.columnMapping.mode");
    if mapping.is_some_and(|mode| mode != "none") {
        return Err(unsupported(table, "column mapping", "rewrite the table without delta.columnMapping.mode"));
    }
    Ok(())
}

fn unsupported(table: &TableUrl, feature: &'static str, remedy: &'static str) -> LakeError {
    LakeError::Unsupported { table: table.to_string(), feature, remedy }
}

fn no_table(table: &TableUrl) -> LakeError {
    LakeError::NoTable { table: table.to_string() }
}

pub(crate) fn corrupt(error: serde_json::Error) -> DeltaTableError {
    DeltaTableError::Generic(format!("an action is no JSON: {error}"))
}
