//! Which source stands behind which name in a bronze job's query: files of an export, or the live system.
//!
//! The two are not mixed in one run: exports that are configured are read for every job, so that nobody takes rows of
//! an old dump and of today for one picture without noticing.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use quickchat_jobs::Job;
use quickchat_sources::{Collection, Connections, ExportFile, ExportFolder, LiveNames, LiveRequest, SourceTable};

use crate::error::RunError;

/// The configured sources of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    configured: Option<Configured>,
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
    /// and than a write takes from its time to its visibility.
    pub lookback_micros: i64,
}

impl Sources {
    /// No source: jobs that read one fail, all others run.
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of an export folder.
    pub fn exports(folder: ExportFolder) -> Self {
        Self { configured: Some(Configured::Exports(Arc::new(folder))) }
    }

    /// The live systems.
    pub fn live(live: LiveSources) -> Self {
        Self { configured: Some(Configured::Live(Arc::new(live))) }
    }

    /// What `job` reads.
    pub(crate) fn input(&self, job: &Job) -> Result<SourceInput<'_>, RunError> {
        let missing = || RunError::NoSource {
            job: job.name().to_string(),
            source_name: job.source().map(ToString::to_string).unwrap_or_default(),
        };
        let configured = self.configured.as_ref().ok_or_else(missing)?;
        let name = job.source().ok_or_else(missing)?;
        let collection = Collection::from_name(name.table()).ok_or_else(missing)?;
        match configured {
            Configured::Exports(folder) => {
                if !folder.has(collection) {
                    tracing::warn!(
                        collection = collection.name(),
                        exports = folder.location(),
                        "the export folder has nothing of this collection; its table stays as it is, or is made empty"
                    );
                }
                Ok(SourceInput { collection, place: Place::Exports(folder) })
            }
            Configured::Live(live) => Ok(SourceInput { collection, place: Place::Live(live) }),
        }
    }
}

/// A collection of a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceInput<'a> {
    collection: Collection,
    place: Place<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Exports(&'a ExportFolder),
    Live(&'a LiveSources),
}

impl SourceInput<'_> {
    /// Its files; none of a live system.
    pub(crate) fn files(&self) -> &[ExportFile] {
        match self.place {
            Place::Exports(folder) => folder.files(self.collection),
            Place::Live(_) => &[],
        }
    }

    /// The live system that it is read from, for telling it from another: `mongodb`; none for an export.
    pub(crate) fn live_system(&self) -> Option<&'static str> {
        match self.place {
            Place::Exports(_) => None,
            Place::Live(_) => Some(self.collection.origin().name()),
        }
    }

    /// Whether only reading tells what it holds: a live system changes at any time, and the objects of a media folder
    /// may be millions.
    pub(crate) fn is_listed_when_read(&self) -> bool {
        self.live_system().is_some() || self.collection == Collection::Media
    }

    /// How far behind the newest change that is known it is read, in microseconds; none if it is read by files.
    pub(crate) fn lookback_micros(&self) -> Option<i64> {
        match self.place {
            Place::Exports(_) => None,
            Place::Live(live) => Some(live.lookback_micros),
        }
    }

    /// The rows of some of its files; or of a live system those that changed since an instant, if one is given.
    pub(crate) fn table(&self, files: Vec<ExportFile>, changed_since: Option<i64>) -> Arc<dyn TableProvider> {
        match self.place {
            Place::Exports(folder) => Arc::new(folder.table_of(self.collection, files)),
            Place::Live(live) => {
                let names = live.names.get(&self.collection).cloned().unwrap_or_default();
                let request = LiveRequest { changed_since, ids_only: false, names };
                // The plan is carried out by whoever has decoded it, over connections of its own.
                Arc::new(SourceTable::live(self.collection, request, Connections::default()))
            }
        }
    }

    /// The ids of everything that a live system has now; of an export, those of its files.
    pub(crate) fn ids(&self) -> Arc<dyn TableProvider> {
        match self.place {
            Place::Exports(folder) => Arc::new(folder.table(self.collection)),
            Place::Live(live) => {
                let names = live.names.get(&self.collection).cloned().unwrap_or_default();
                let request = LiveRequest { changed_since: None, ids_only: true, names };
                Arc::new(SourceTable::live(self.collection, request, Connections::default()))
            }
        }
    }
}
