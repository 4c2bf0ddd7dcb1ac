//! A collection of an export as a DataFusion table.
//!
//! The table travels to the scheduler as a description (collection, folder, files) and is cut into splits there, so
//! a plan is small however large the export is, and the client reads nothing. Media objects are not even named: the
//! scheduler finds out ranges of keys, and the executors list them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::exec::{Scan, SourceScanExec};
use crate::media;
use crate::read::is_local;
use crate::split::Work;
use crate::{Collection, ExportFile, SourceError, SplitPolicy, output_schema};

/// A collection of an export, with the schema of [`output_schema`].
#[derive(Debug, Clone)]
pub struct SourceTable {
    collection: Collection,
    store_url: ObjectStoreUrl,
    root: Path,
    files: Vec<ExportFile>,
    policy: SplitPolicy,
    schema: SchemaRef,
}

/// What travels of a table.
#[derive(Serialize, Deserialize)]
struct Description {
    collection: Collection,
    store_url: String,
    root: String,
    files: Vec<ExportFile>,
    policy: SplitPolicy,
}

impl SourceTable {
    pub(crate) fn new(collection: Collection, store_url: ObjectStoreUrl, root: Path, files: Vec<ExportFile>) -> Self {
        Self { collection, store_url, root, files, policy: SplitPolicy::default(), schema: output_schema(collection) }
    }

    /// The same table, cut otherwise.
    #[must_use]
    pub fn with_split_policy(mut self, policy: SplitPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The collection.
    #[must_use]
    pub fn collection(&self) -> Collection {
        self.collection
    }

    /// The files, in the order in which their documents are numbered.
    #[must_use]
    pub fn files(&self) -> &[ExportFile] {
        &self.files
    }

    /// Bytes of all files as stored.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// A partition for every few splits of the files.
    fn splits(&self) -> Vec<Vec<Work>> {
        let partitions = crate::split::plan(&self.files, &self.policy);
        partitions.into_iter().map(|splits| splits.into_iter().map(Work::Split).collect()).collect()
    }

    /// A partition for every range of keys.
    async fn key_ranges(&self, state: &dyn Session) -> Result<Vec<Vec<Work>>, SourceError> {
        let store = state.runtime_env().object_store(&self.store_url).map_err(|source| SourceError::NoStore {
            url: self.store_url.as_str().to_owned(),
            source: Box::new(source),
        })?;
        let in_order = !is_local(self.store_url.as_str());
        let ranges = media::plan(store.as_ref(), &self.root, in_order).await?;
        Ok(ranges.into_iter().map(|range| vec![Work::Keys(range)]).collect())
    }

    /// The table as JSON.
    ///
    /// # Errors
    /// [`SourceError::Plan`] if it cannot be written, which does not happen for valid paths.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, SourceError> {
        let description = Description {
            collection: self.collection,
            store_url: self.store_url.as_str().to_owned(),
            root: self.root.to_string(),
            files: self.files.clone(),
            policy: self.policy,
        };
        serde_json::to_vec(&description).map_err(|source| SourceError::Plan { what: "a source table", source })
    }

    /// The table of [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// [`SourceError::Plan`] if the bytes are not of this version; [`SourceError::Location`] if a path in them is
    /// not valid.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, SourceError> {
        let description: Description =
            serde_json::from_slice(bytes).map_err(|source| SourceError::Plan { what: "a source table", source })?;
        let (store_url, root) = parse_location(&description.store_url, &description.root)?;
        let table = Self::new(description.collection, store_url, root, description.files);
        Ok(table.with_split_policy(description.policy))
    }
}

/// Store and root of a description.
pub(crate) fn parse_location(store_url: &str, root: &str) -> Result<(ObjectStoreUrl, Path), SourceError> {
    let bad = |location: &str, why: String| SourceError::Location { location: location.to_owned(), why };
    let url = ObjectStoreUrl::parse(store_url).map_err(|error| bad(store_url, error.to_string()))?;
    let root = Path::parse(root).map_err(|error| bad(root, error.to_string()))?;
    Ok((url, root))
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let scan = Scan {
            collection: self.collection,
            store_url: self.store_url.clone(),
            root: self.root.clone(),
            projection: projection.cloned(),
        };
        let work = match self.collection {
            Collection::Media => self.key_ranges(state).await?,
            _ => self.splits(),
        };
        Ok(Arc::new(SourceScanExec::over(scan, &work)?))
    }
}
