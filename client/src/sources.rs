//! Which source stands behind which name in a bronze job's query: files of an export, or the live system.
//!
//! The two are not mixed in one run: exports that are configured are read for every job, so that nobody takes rows of
//! an old dump and of today for one picture without noticing. Only media may be elsewhere than the rest, in a folder
//! that is configured for them: dumps hold the documents of a chat, and hardly ever its videos.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use quickchat_jobs::Job;
use quickchat_lake::stores::ObjectStores;
use quickchat_lake::{LakeError, TableUrl};
use quickchat_sources::{
    Collection, Connections, ExportFile, ExportFolder, LiveNames, LiveRequest, MediaFolder, SourceError, SourceTable,
};

use crate::error::RunError;

/// Why a folder of exports cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ExportsError {
    /// Its address.
    #[error("--exports (EXPORTS_PATH) is wrong: {0}")]
    Address(LakeError),
    /// The object store that it is in.
    #[error(transparent)]
    Store(LakeError),
    /// What is in it.
    #[error(transparent)]
    Folder(#[from] SourceError),
}

/// Opens a folder of exports, local or in an object store.
pub(crate) async fn open_exports(location: &str, stores: &ObjectStores) -> Result<ExportFolder, ExportsError> {
    if is_local(location) {
        return Ok(ExportFolder::open(location).await?);
    }
    let folder = TableUrl::parse(location).map_err(ExportsError::Address)?;
    let store = stores.get(folder.url()).map_err(ExportsError::Store)?;
    Ok(ExportFolder::open_in(folder.url(), store.as_ref()).await?)
}

/// Whether a location of exports is a path or address in this machine's file system.
pub(crate) fn is_local(location: &str) -> bool {
    !location.contains("://") || location.starts_with("file://")
}

/// The configured sources of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    configured: Option<Configured>,
    media: Option<Arc<MediaFolder>>,
}

#[derive(Debug, Clone)]
enum Configured {
    Exports(Arc<ExportFolder>),
    Live(Arc<LiveSources>),
}

/// How the live systems call things. Where they are is known to the processes that read them.
#[derive(Debug, Clone, Default)]
pub struct LiveSources {
    /// By collection; those that are called as usual need not be there.
    pub names: BTreeMap<Collection, LiveNames>,
    /// How far behind the newest change that is known a run begins to read, in microseconds: longer than clocks differ
    /// and than a write takes from its time to its visibility on every server that is read from.
    pub lookback_micros: i64,
}

impl Sources {
    /// No source: jobs that read one fail, all others run.
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of an export folder.
    pub fn exports(folder: ExportFolder) -> Self {
        Self { configured: Some(Configured::Exports(Arc::new(folder))), media: None }
    }

    /// The live systems.
    pub fn live(live: LiveSources) -> Self {
        Self { configured: Some(Configured::Live(Arc::new(live))), media: None }
    }

    /// The same, but with the media of a folder of their own.
    #[must_use]
    pub fn with_media(mut self, folder: MediaFolder) -> Self {
        self.media = Some(Arc::new(folder));
        self
    }

    /// What `job` reads.
    pub(crate) fn input(&self, job: &Job) -> Result<SourceInput<'_>, RunError> {
        let missing = || RunError::NoSource {
            job: job.name().to_string(),
            source_name: job.source().map(ToString::to_string).unwrap_or_default(),
        };
        let name = job.source().ok_or_else(missing)?;
        let collection = Collection::from_name(name.table()).ok_or_else(missing)?;
        if let Some(media) = self.media.as_ref().filter(|_| collection == Collection::Media) {
            return Ok(SourceInput::new(collection, Place::Media(media)));
        }
        match self.configured.as_ref().ok_or_else(missing)? {
            Configured::Exports(folder) => {
                if !folder.has(collection) {
                    tracing::warn!(
                        collection = collection.name(),
                        exports = folder.location(),
                        "the export folder has nothing of this collection; its table stays as it is, or is made empty"
                    );
                }
                Ok(SourceInput::new(collection, Place::Exports(folder)))
            }
            Configured::Live(_) if collection == Collection::Media => Err(missing()),
            Configured::Live(live) => Ok(SourceInput::new(collection, Place::Live(live))),
        }
    }
}

/// A collection of a source.
#[derive(Debug, Clone)]
pub(crate) struct SourceInput<'a> {
    collection: Collection,
    place: Place<'a>,
    /// The table of a live system that it is read from, once one of several was found.
    table: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Exports(&'a ExportFolder),
    Live(&'a LiveSources),
    Media(&'a MediaFolder),
}

impl<'a> SourceInput<'a> {
    fn new(collection: Collection, place: Place<'a>) -> Self {
        Self { collection, place, table: None }
    }

    /// The same, read from this table and no other.
    pub(crate) fn read_from(self, table: Option<String>) -> Self {
        Self { table, ..self }
    }
}

impl SourceInput<'_> {
    /// Where a live system may have it in one of several tables: the names of those that are there, the one that is read
    /// first. Only who reaches the system can tell.
    pub(crate) fn tables(&self) -> Option<Arc<dyn TableProvider>> {
        let Place::Live(_) = self.place else { return None };
        let tables = SourceTable::names_of_tables(self.collection, &self.names(), Connections::default())?;
        Some(Arc::new(tables))
    }

    /// The table that was found among several.
    pub(crate) fn table_found(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// How it is called in the live system.
    fn names(&self) -> LiveNames {
        let Place::Live(live) = self.place else { return LiveNames::default() };
        let mut names = live.names.get(&self.collection).cloned().unwrap_or_default();
        names.name = self.table.clone().or(names.name);
        names
    }

    /// Its files; none of a live system.
    pub(crate) fn files(&self) -> &[ExportFile] {
        match self.place {
            Place::Exports(folder) => folder.files(self.collection),
            Place::Live(_) | Place::Media(_) => &[],
        }
    }

    /// The live system that it is read from, for telling it from another: `mongodb`, with what is called there in another
    /// way than usual, or the address of a media folder; none for an export.
    pub(crate) fn live_system(&self) -> Option<String> {
        match self.place {
            Place::Exports(_) => None,
            Place::Live(live) => {
                let origin = self.collection.origin().name();
                let names = live.names.get(&self.collection).map(LiveNames::to_string).unwrap_or_default();
                Some(format!("{origin} {names}").trim_end().to_owned())
            }
            Place::Media(folder) => Some(folder.location()),
        }
    }

    /// Whether what is not in it is gone: a live system has everything that there is now. An export may be a part, and
    /// an inventory some days old.
    pub(crate) fn is_whole_and_current(&self) -> bool {
        match self.place {
            Place::Exports(_) => false,
            Place::Live(_) => true,
            Place::Media(folder) => folder.inventory().is_none(),
        }
    }

    /// Whether only reading tells what it holds: a live system changes at any time, and the objects of a media folder
    /// may be millions.
    pub(crate) fn is_listed_when_read(&self) -> bool {
        self.live_system().is_some() || self.collection == Collection::Media
    }

    /// How far behind the newest change that is known it is read, in microseconds; none if it is read by files, or
    /// always listed as a whole.
    pub(crate) fn lookback_micros(&self) -> Option<i64> {
        match self.place {
            Place::Exports(_) | Place::Media(_) => None,
            Place::Live(live) => Some(live.lookback_micros),
        }
    }

    /// The rows of some of its files; or of a live system those that changed since an instant, if one is given.
    pub(crate) fn table(&self, files: Vec<ExportFile>, changed_since: Option<i64>) -> Arc<dyn TableProvider> {
        match self.place {
            Place::Exports(folder) => Arc::new(folder.table_of(self.collection, files)),
            Place::Media(folder) => Arc::new(SourceTable::media(folder.clone())),
            Place::Live(_) => {
                let request = LiveRequest { changed_since, ids_only: false, names: self.names() };
                // The plan is carried out by whoever has decoded it, over connections of its own.
                Arc::new(SourceTable::live(self.collection, request, Connections::default()))
            }
        }
    }

    /// The ids of everything that a live system has now; of an export, those of its files.
    pub(crate) fn ids(&self) -> Arc<dyn TableProvider> {
        match self.place {
            Place::Exports(folder) => Arc::new(folder.table(self.collection)),
            Place::Media(folder) => Arc::new(SourceTable::media(folder.clone())),
            Place::Live(_) => {
                let request = LiveRequest { changed_since: None, ids_only: true, names: self.names() };
                Arc::new(SourceTable::live(self.collection, request, Connections::default()))
            }
        }
    }
}
