//! Which source stands behind which name in a bronze job's query: files of an export, or the live system.
//!
//! The two are not mixed in one run: exports that are configured are read for every job, so that nobody takes rows of
//! an old dump and of today for one picture without noticing. Only media may be elsewhere than the rest, in a folder
//! that is configured for them: dumps hold the documents of a chat, and hardly ever its videos.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use quickchat_jobs::Job;
use quickchat_sources::{
    Collection, Connections, ExportFile, ExportFolder, LiveNames, LiveRequest, MediaFolder, SourceTable,
};

use crate::error::RunError;

/// The configured sources of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    configured: Option<Configured>,
    media: Option<Arc<MediaSource>>,
}

/// The media folder of its own.
#[derive(Debug)]
struct MediaSource {
    folder: MediaFolder,
    lookback_micros: i64,
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
        Self { configured: Some(Configured::Exports(Arc::new(folder))), media: None }
    }

    /// The live systems.
    pub fn live(live: LiveSources) -> Self {
        Self { configured: Some(Configured::Live(Arc::new(live))), media: None }
    }

    /// The same, but with the media of a folder of their own. A run looks at what was modified since the newest object
    /// that is known, and before that by the lookback: an upload has the time of its beginning, and is listed when it
    /// has ended.
    #[must_use]
    pub fn with_media(mut self, folder: MediaFolder, lookback_micros: i64) -> Self {
        self.media = Some(Arc::new(MediaSource { folder, lookback_micros }));
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
            return Ok(SourceInput { collection, place: Place::Media(media) });
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
                Ok(SourceInput { collection, place: Place::Exports(folder) })
            }
            Configured::Live(_) if collection == Collection::Media => Err(missing()),
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
    Media(&'a MediaSource),
}

impl SourceInput<'_> {
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
            Place::Media(media) => Some(media.folder.location()),
        }
    }

    /// Whether what is not in it is gone: a live system has everything that there is now. An export may be a part, and
    /// an inventory some days old.
    pub(crate) fn is_whole_and_current(&self) -> bool {
        match self.place {
            Place::Exports(_) => false,
            Place::Live(_) => true,
            Place::Media(media) => media.folder.inventory().is_none(),
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
            Place::Media(media) => Some(media.lookback_micros),
        }
    }

    /// The rows of some of its files; or of a live system those that changed since an instant, if one is given.
    pub(crate) fn table(&self, files: Vec<ExportFile>, changed_since: Option<i64>) -> Arc<dyn TableProvider> {
        match self.place {
            Place::Exports(folder) => Arc::new(folder.table_of(self.collection, files)),
            Place::Media(media) => Arc::new(SourceTable::media(media.folder.clone(), changed_since)),
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
            Place::Media(media) => Arc::new(SourceTable::media(media.folder.clone(), None)),
            Place::Live(live) => {
                let names = live.names.get(&self.collection).cloned().unwrap_or_default();
                let request = LiveRequest { changed_since: None, ids_only: true, names };
                Arc::new(SourceTable::live(self.collection, request, Connections::default()))
            }
        }
    }
}
