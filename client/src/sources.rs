//! Which source stands behind which name in a bronze job's query.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use quickchat_jobs::Job;
use quickchat_sources::{Collection, ExportFile, ExportFolder};

use crate::error::RunError;

/// The configured sources of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    exports: Option<Arc<ExportFolder>>,
}

impl Sources {
    /// No source: jobs that read one fail, all others run.
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of an export folder.
    pub fn exports(folder: ExportFolder) -> Self {
        Self { exports: Some(Arc::new(folder)) }
    }

    /// What `job` reads.
    pub(crate) fn input(&self, job: &Job) -> Result<SourceInput<'_>, RunError> {
        let missing = || RunError::NoSource {
            job: job.name().to_string(),
            source_name: job.source().map(ToString::to_string).unwrap_or_default(),
        };
        let folder = self.exports.as_ref().ok_or_else(missing)?;
        let name = job.source().ok_or_else(missing)?;
        let collection = Collection::from_name(name.table()).ok_or_else(missing)?;
        if !folder.has(collection) {
            tracing::warn!(
                collection = collection.name(),
                exports = folder.location(),
                "the export folder has nothing of this collection; its table stays as it is, or is made empty"
            );
        }
        Ok(SourceInput { folder, collection })
    }
}

/// A collection of an export.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceInput<'a> {
    folder: &'a ExportFolder,
    collection: Collection,
}

impl SourceInput<'_> {
    /// Its files.
    pub(crate) fn files(&self) -> &[ExportFile] {
        self.folder.files(self.collection)
    }

    /// Whether only reading tells what it holds: the objects of a media folder may be millions.
    pub(crate) fn is_listed_when_read(&self) -> bool {
        self.collection == Collection::Media
    }

    /// The rows of some of its files.
    pub(crate) fn table(&self, files: Vec<ExportFile>) -> Arc<dyn TableProvider> {
        Arc::new(self.folder.table_of(self.collection, files))
    }
}
