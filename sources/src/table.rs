//! A collection as a DataFusion table: of an export, or of the live system that it comes from.
//!
//! The table travels to the scheduler as a description (collection, and the folder and files, or what is asked of the
//! live system) and is cut into splits there, so a plan is small however large the input is, and the client reads
//! nothing. Neither documents nor media objects are counted out: the scheduler finds out ranges of their keys, and the
//! executors read them.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::exec::{Scan, ScanPlace, SourceScanExec};
use crate::live::{Connections, LiveNames, LiveRequest};
use crate::media::MediaFolder;
use crate::split::Work;
use crate::{Collection, ExportFile, Origin, SourceError, SplitPolicy, mongodb, mysql, output_schema};

/// A collection, with the schema of [`output_schema`].
#[derive(Debug, Clone)]
pub struct SourceTable {
    collection: Collection,
    input: Input,
    policy: SplitPolicy,
    connections: Connections,
    schema: SchemaRef,
}

/// Where the collection is read.
#[derive(Debug, Clone)]
enum Input {
    /// Files of a folder.
    Folder { store_url: ObjectStoreUrl, root: Path, files: Vec<ExportFile> },
    /// The objects of a folder.
    Media(MediaFolder),
    /// The live system.
    Live(LiveRequest),
    /// What the collection is called in the live system.
    NamesOfTables,
}

/// What travels of a table.
#[derive(Serialize, Deserialize)]
struct Description {
    collection: Collection,
    input: InputDescription,
    policy: SplitPolicy,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum InputDescription {
    Folder { store_url: String, root: String, files: Vec<ExportFile> },
    Media(MediaFolder),
    Live(LiveRequest),
    NamesOfTables,
}

impl SourceTable {
    fn new(collection: Collection, input: Input, connections: Connections) -> Self {
        let schema = match input {
            Input::NamesOfTables => Arc::new(Schema::new(vec![Field::new("table", DataType::Utf8, false)])),
            _ => output_schema(collection),
        };
        Self { collection, input, policy: SplitPolicy::default(), connections, schema }
    }

    /// The collection in files of a folder.
    pub(crate) fn of_files(
        collection: Collection,
        store_url: ObjectStoreUrl,
        root: Path,
        files: Vec<ExportFile>,
    ) -> Self {
        Self::new(collection, Input::Folder { store_url, root, files }, Connections::default())
    }

    /// The objects of a folder.
    #[must_use]
    pub fn media(folder: MediaFolder) -> Self {
        Self::new(Collection::Media, Input::Media(folder), Connections::default())
    }

    /// The names of the tables of a live system that have the collection, the one that is read first: for collections
    /// that have several usual names, of which none is given. None for all others.
    #[must_use]
    pub fn names_of_tables(collection: Collection, names: &LiveNames, connections: Connections) -> Option<Self> {
        let may_be_several = collection.origin() == Origin::MySql && collection.file_names().len() > 1;
        let is_asked = may_be_several && names.name.is_none();
        is_asked.then(|| Self::new(collection, Input::NamesOfTables, connections))
    }

    /// The collection in the live system that it comes from, which whoever plans and reads the table must be able to
    /// reach.
    #[must_use]
    pub fn live(collection: Collection, request: LiveRequest, connections: Connections) -> Self {
        Self::new(collection, Input::Live(request), connections)
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

    /// The files, in the order in which their documents are numbered; none of a live system.
    #[must_use]
    pub fn files(&self) -> &[ExportFile] {
        match &self.input {
            Input::Folder { files, .. } => files,
            Input::Media(_) | Input::Live(_) | Input::NamesOfTables => &[],
        }
    }

    /// Bytes of all files as stored.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.files().iter().map(|file| file.size).sum()
    }

    /// The work of a scan: a partition for every few splits of files, and for every range of keys.
    async fn work(&self, state: &dyn Session) -> Result<Vec<Vec<Work>>, SourceError> {
        match (&self.input, self.collection) {
            (Input::Media(folder), _) => folder.work(state, &self.policy).await,
            (Input::Folder { files, .. }, _) => {
                let partitions = crate::split::plan(files, &self.policy);
                Ok(partitions.into_iter().map(|splits| splits.into_iter().map(Work::Split).collect()).collect())
            }
            (Input::Live(request), collection) => self.live_ranges(collection, request).await,
            (Input::NamesOfTables, _) => Ok(Vec::new()),
        }
    }

    async fn live_ranges(&self, collection: Collection, request: &LiveRequest) -> Result<Vec<Vec<Work>>, SourceError> {
        let Self { connections, policy, .. } = self;
        let mut partitions: Vec<Vec<Work>> = match collection.origin() {
            Origin::MongoDb => {
                let ranges = mongodb::plan(connections, collection, request, policy).await?;
                ranges.into_iter().map(|range| vec![Work::Documents(range)]).collect()
            }
            Origin::MySql => {
                let ranges = mysql::plan(connections, collection, request, policy).await?;
                ranges.into_iter().map(|range| vec![Work::Rows(range)]).collect()
            }
            // Objects are listed in a store, which the table names: they have no live system but that.
            Origin::S3 => return Err(SourceError::NotLive { collection: collection.name() }),
        };
        // As for an export without files: a plan without any partition is one that nobody runs.
        if partitions.is_empty() {
            partitions.push(Vec::new());
        }
        Ok(partitions)
    }

    /// The names of the tables, which whoever plans the query has found out.
    async fn names_that_are_there(&self, projection: Option<&Vec<usize>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let names = mysql::names_of_tables(&self.connections, self.collection).await?;
        let names: ArrayRef = Arc::new(StringArray::from(names));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![names])?;
        let schema = Arc::clone(&self.schema);
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?)
    }

    /// The table as JSON.
    ///
    /// # Errors
    /// [`SourceError::Plan`] if it cannot be written, which does not happen for valid paths.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, SourceError> {
        let description = Description {
            collection: self.collection,
            input: match &self.input {
                Input::Folder { store_url, root, files } => InputDescription::Folder {
                    store_url: store_url.as_str().to_owned(),
                    root: root.to_string(),
                    files: files.clone(),
                },
                Input::Media(folder) => InputDescription::Media(folder.clone()),
                Input::Live(request) => InputDescription::Live(request.clone()),
                Input::NamesOfTables => InputDescription::NamesOfTables,
            },
            policy: self.policy,
        };
        serde_json::to_vec(&description).map_err(|source| SourceError::Plan { what: "a source table", source })
    }

    /// The table of [`to_json`](Self::to_json), which reaches live systems over these connections.
    ///
    /// # Errors
    /// [`SourceError::Plan`] if the bytes are not of this version; [`SourceError::Location`] if a path in them is
    /// not valid.
    pub(crate) fn from_json(bytes: &[u8], connections: &Connections) -> Result<Self, SourceError> {
        let description: Description =
            serde_json::from_slice(bytes).map_err(|source| SourceError::Plan { what: "a source table", source })?;
        let input = match description.input {
            InputDescription::Folder { store_url, root, files } => {
                let (store_url, root) = parse_location(&store_url, &root)?;
                Input::Folder { store_url, root, files }
            }
            InputDescription::Media(folder) => Input::Media(folder),
            InputDescription::Live(request) => Input::Live(request),
            InputDescription::NamesOfTables => Input::NamesOfTables,
        };
        let table = Self::new(description.collection, input, connections.clone());
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
        let place = match &self.input {
            Input::Folder { store_url, root, .. } => {
                ScanPlace::Folder { store_url: store_url.clone(), root: root.clone() }
            }
            Input::Media(folder) => {
                let (store_url, root) = folder.place()?;
                ScanPlace::Folder { store_url, root }
            }
            Input::Live(_) => ScanPlace::Live(self.connections.clone()),
            Input::NamesOfTables => return self.names_that_are_there(projection).await,
        };
        let scan = Scan { collection: self.collection, place, projection: projection.cloned() };
        Ok(Arc::new(SourceScanExec::over(scan, &self.work(state).await?)?))
    }
}
