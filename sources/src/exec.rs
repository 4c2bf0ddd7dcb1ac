//! The plan node that reads splits and lists media.
//!
//! A scheduler restricts a task to its partitions by slicing the leaves it knows, and ships an unknown leaf whole, so
//! that every task would read everything. Therefore the node is no leaf: under it is an ordinary in-memory source
//! whose rows describe the splits, and partition `i` of the node reads what the rows of partition `i` of its input
//! name. Its partitioning is always that of its input.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Partitioning};
use futures::{StreamExt, stream};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::live::Connections;
use crate::read::{LiveSite, Place, Reader, Site};
use crate::split::Work;
use crate::table::parse_location;
use crate::{Collection, SourceError, output_schema};

/// Column of the descriptors: one piece of work as JSON.
const DESCRIPTOR_COLUMN: &str = "split";

/// What every task of a scan needs to know, apart from its splits.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) collection: Collection,
    pub(crate) place: ScanPlace,
    pub(crate) projection: Option<Vec<usize>>,
}

/// Where a scan reads.
#[derive(Debug, Clone)]
pub(crate) enum ScanPlace {
    /// A folder of an object store.
    Folder { store_url: ObjectStoreUrl, root: Path },
    /// The live system that the collection comes from.
    Live(Connections),
}

/// What travels of a scan.
#[derive(Serialize, Deserialize)]
struct Description {
    collection: Collection,
    /// Store and root; none for a live system.
    folder: Option<(String, String)>,
    projection: Option<Vec<usize>>,
}

impl Scan {
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, SourceError> {
        let folder = match &self.place {
            ScanPlace::Folder { store_url, root } => Some((store_url.as_str().to_owned(), root.to_string())),
            ScanPlace::Live(_) => None,
        };
        let description = Description { collection: self.collection, folder, projection: self.projection.clone() };
        serde_json::to_vec(&description).map_err(|source| SourceError::Plan { what: "a source scan", source })
    }

    pub(crate) fn from_json(bytes: &[u8], connections: &Connections) -> Result<Self, SourceError> {
        let description: Description =
            serde_json::from_slice(bytes).map_err(|source| SourceError::Plan { what: "a source scan", source })?;
        let place = match &description.folder {
            Some((store_url, root)) => {
                let (store_url, root) = parse_location(store_url, root)?;
                ScanPlace::Folder { store_url, root }
            }
            None => ScanPlace::Live(connections.clone()),
        };
        Ok(Self { collection: description.collection, place, projection: description.projection })
    }

    /// The place as this process reaches it.
    fn open(&self, context: &TaskContext) -> Result<Place> {
        let Self { collection, projection, .. } = self;
        match &self.place {
            ScanPlace::Folder { store_url, root } => {
                let store = context.runtime_env().object_store(store_url);
                let store = store.map_err(|source| SourceError::no_store(store_url, source))?;
                let site = Site::new(store, store_url.as_str(), root.clone(), *collection, projection.clone());
                Ok(Place::Folder(Arc::new(site)))
            }
            ScanPlace::Live(connections) => Ok(Place::Live(Arc::new(LiveSite {
                collection: *collection,
                projection: projection.clone(),
                connections: connections.clone(),
            }))),
        }
    }

    fn schema(&self) -> Result<SchemaRef> {
        let full = output_schema(self.collection);
        match &self.projection {
            Some(columns) => Ok(Arc::new(full.project(columns)?)),
            None => Ok(full),
        }
    }
}

/// Reads the splits that its input describes, and decodes them.
#[derive(Debug, Clone)]
pub struct SourceScanExec {
    scan: Scan,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SourceScanExec {
    /// The node over any input of descriptors.
    pub(crate) fn new(scan: Scan, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let schema = scan.schema()?;
        let partitions = input.properties().partitioning.partition_count();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self { scan, input, schema, properties, metrics: ExecutionPlanMetricsSet::new() })
    }

    /// The node over an in-memory source of this work.
    pub(crate) fn over(scan: Scan, partitions: &[Vec<Work>]) -> Result<Self> {
        let schema = descriptor_schema();
        let partitions: Vec<Vec<RecordBatch>> =
            partitions.iter().map(|work| Ok(vec![descriptors(&schema, work)?])).collect::<Result<_>>()?;
        let input = MemorySourceConfig::try_new_exec(&partitions, schema, None)?;
        Self::new(scan, input)
    }

    pub(crate) fn scan(&self) -> &Scan {
        &self.scan
    }

    /// The collection that is read.
    #[must_use]
    pub fn collection(&self) -> Collection {
        self.scan.collection
    }
}

fn descriptor_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(DESCRIPTOR_COLUMN, DataType::Utf8, false)]))
}

fn descriptors(schema: &SchemaRef, work: &[Work]) -> Result<RecordBatch> {
    let rows: Vec<String> = work
        .iter()
        .map(|piece| serde_json::to_string(piece).map_err(|source| SourceError::Plan { what: "a split", source }))
        .collect::<Result<_, SourceError>>()?;
    let column: ArrayRef = Arc::new(StringArray::from(rows));
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![column])?)
}

fn read_descriptors(batch: &RecordBatch) -> Result<Vec<Work>> {
    let column = batch
        .column_by_name(DESCRIPTOR_COLUMN)
        .and_then(|column| column.as_any().downcast_ref::<StringArray>())
        .ok_or_else(|| internal_datafusion_err!("a source scan reads split descriptors"))?;
    column
        .iter()
        .flatten()
        .map(|row| {
            serde_json::from_str(row)
                .map_err(|source| SourceError::Plan { what: "a split", source })
                .map_err(DataFusionError::from)
        })
        .collect()
}

impl DisplayAs for SourceScanExec {
    fn fmt_as(&self, format: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        match format {
            DisplayFormatType::TreeRender => write!(out, "collection={}", self.scan.collection),
            _ => write!(out, "SourceScanExec: collection={}, columns=[{}]", self.scan.collection, columns.join(", ")),
        }
    }
}

impl ExecutionPlan for SourceScanExec {
    fn name(&self) -> &'static str {
        "SourceScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// Splits are the unit of work: spreading a descriptor over more partitions would gain nothing.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Recomputes the partitioning whatever the options say: the scheduler replaces the input by a slice of it.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.as_slice() else {
            return internal_err!("a source scan has one input, not {}", children.len());
        };
        Ok(Arc::new(Self::new(self.scan.clone(), Arc::clone(input))?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let place = self.scan.open(&context)?;
        let task = Task {
            input: self.input.execute(partition, context)?,
            place,
            work: VecDeque::new(),
            reader: None,
            bytes_scanned: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
            baseline: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches =
            stream::try_unfold(task, |mut task| async move { Ok(task.next().await?.map(|batch| (batch, task))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// One partition being read.
struct Task {
    input: SendableRecordBatchStream,
    place: Place,
    work: VecDeque<Work>,
    reader: Option<Reader>,
    bytes_scanned: Count,
    baseline: BaselineMetrics,
}

impl Task {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            // Decoding a batch takes tens of milliseconds without waiting: let the other tasks of the runtime run.
            tokio::task::yield_now().await;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => match self.next_work().await? {
                    Some(work) => {
                        self.bytes_scanned.add(usize::try_from(work.bytes()).unwrap_or(usize::MAX));
                        self.reader.insert(Reader::open(&self.place, work)?)
                    }
                    None => return Ok(None),
                },
            };
            match reader.next_batch().await? {
                Some(batch) => {
                    self.baseline.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                None => self.reader = None,
            }
        }
    }

    async fn next_work(&mut self) -> Result<Option<Work>> {
        loop {
            if let Some(work) = self.work.pop_front() {
                return Ok(Some(work));
            }
            match self.input.next().await {
                Some(batch) => self.work.extend(read_descriptors(&batch?)?),
                None => return Ok(None),
            }
        }
    }
}
