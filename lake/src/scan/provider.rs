//! The table provider, and its serialised form.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::common::stats::Precision;
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use deltalake::kernel::Add;
use serde::{Deserialize, Serialize};

use super::files::{FileScan, plan_files};
use super::statistics::{FileStatistics, prune, prune_partitions};
use crate::schema::bare;
use crate::snapshot::{PinnedTable, Tables};
use crate::{Result, TableUrl};

/// Which of a version's files a scan reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subset {
    /// All of them.
    #[default]
    All,
    /// Those of the given partitions (partition values as the log writes them; a column left out matches any).
    Partitions(Vec<BTreeMap<String, Option<String>>>),
    /// Those that an older version did not have.
    AddedSince(u64),
    /// Those with the given paths.
    Paths(Vec<String>),
}

/// Where a scan's files come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ScanSource {
    /// A pinned version of a table; the files are looked up in its log when the scan is planned.
    Version {
        /// The table.
        table: TableUrl,
        /// Its id, so that a table made anew at the same address is noticed.
        table_id: String,
        /// The version.
        version: u64,
        /// Its files, see [`PinnedTable::files_id`].
        files_id: u64,
        /// The part of its files to read.
        subset: Subset,
    },
    /// A pinned version of a table with some files taken away and others, not yet committed, put in their place.
    Changed {
        /// The table.
        table: TableUrl,
        /// Its id.
        table_id: String,
        /// The version.
        version: u64,
        /// Its files, see [`PinnedTable::files_id`].
        files_id: u64,
        /// Paths of files of that version that are left out.
        removed: Vec<String>,
        /// Files in the table's folder that are read besides.
        added: Vec<Add>,
    },
    /// Files that were written but are (not yet) part of any table.
    Files {
        /// The folder that the paths are relative to.
        folder: TableUrl,
        /// The files.
        files: Vec<Add>,
    },
}

/// A table, or a part of one, as a DataFusion table provider that can travel to a Ballista scheduler.
#[derive(Debug, Clone)]
pub struct DeltaScan {
    tables: Tables,
    encoded: EncodedScan,
    schema: SchemaRef,
}

/// How much there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// Files to open.
    pub files: u64,
    /// Whether they are in this machine's file system, where opening a file takes no time.
    pub is_local: bool,
    /// Their size.
    pub bytes: u64,
    /// Their rows, if the log knows.
    pub rows: Option<u64>,
}

/// Everything about a scan but its schema and the process's means to read logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EncodedScan {
    source: ScanSource,
    partition_columns: Vec<String>,
    file_column: Option<String>,
}

impl DeltaScan {
    /// A scan of all files of a pinned table.
    pub fn of(tables: &Tables, pinned: &PinnedTable) -> Self {
        Self::part_of(tables, pinned, Subset::All)
    }

    /// A scan of a part of a pinned table's files.
    pub fn part_of(tables: &Tables, pinned: &PinnedTable, subset: Subset) -> Self {
        let source = ScanSource::Version {
            table: pinned.url.clone(),
            table_id: pinned.metadata.id().to_owned(),
            version: pinned.version,
            files_id: pinned.files_id,
            subset,
        };
        let encoded = EncodedScan { source, partition_columns: pinned.partition_columns.clone(), file_column: None };
        Self { tables: tables.clone(), encoded, schema: Arc::clone(&pinned.schema) }
    }

    /// A scan of files that no table refers to, all with the columns of `schema`.
    pub fn files(tables: &Tables, folder: TableUrl, files: Vec<Add>, schema: SchemaRef) -> Self {
        let source = ScanSource::Files { folder, files };
        let encoded = EncodedScan { source, partition_columns: Vec::new(), file_column: None };
        Self { tables: tables.clone(), encoded, schema }
    }

    /// A scan of files that were written for a partitioned table and are not yet part of it.
    pub(crate) fn written(
        tables: &Tables,
        folder: TableUrl,
        files: Vec<Add>,
        schema: SchemaRef,
        partition_columns: Vec<String>,
    ) -> Self {
        let scan = Self::files(tables, folder, files.iter().map(without_statistics).collect(), schema);
        Self { encoded: EncodedScan { partition_columns, ..scan.encoded }, ..scan }
    }

    /// A scan of a pinned table without the files of the paths `removed` and with the files `added`, which are in its
    /// folder but not yet part of it.
    pub(crate) fn changed(
        tables: &Tables,
        pinned: &PinnedTable,
        removed: Vec<String>,
        added: Vec<Add>,
        schema: SchemaRef,
    ) -> Self {
        let scan = Self::of(tables, pinned);
        let source = ScanSource::Changed {
            table: pinned.url.clone(),
            table_id: pinned.metadata.id().to_owned(),
            version: pinned.version,
            files_id: pinned.files_id,
            removed,
            added: added.iter().map(without_statistics).collect(),
        };
        Self { encoded: EncodedScan { source, ..scan.encoded }, schema, ..scan }
    }

    /// The same scan with every column said to be nullable.
    ///
    /// Engines take a schema's word for it that a column is never null: a question whether it is, is answered without a
    /// look, and a null that is there after all ends the query. A check of what others wrote has to ask all the same.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self
    }

    /// The same files with the columns of `schema`. A file that lacks one of them, since it is older than the column,
    /// has null there.
    #[must_use]
    pub fn with_schema(mut self, schema: &Schema) -> Self {
        self.schema = bare(schema);
        self
    }

    /// Adds a last column of the given name that holds the path of the file that a row was read from.
    #[must_use]
    pub fn with_file_column(mut self, name: &str) -> Self {
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(name, DataType::Utf8, false)));
        self.schema = Arc::new(Schema::new(fields));
        self.encoded.file_column = Some(name.to_owned());
        self
    }

    pub(crate) fn encoded(&self) -> &EncodedScan {
        &self.encoded
    }

    pub(crate) fn decode(tables: &Tables, encoded: EncodedScan, schema: SchemaRef) -> Self {
        Self { tables: tables.clone(), encoded, schema }
    }

    async fn resolve(&self) -> Result<(TableUrl, Vec<Arc<Add>>)> {
        match &self.encoded.source {
            ScanSource::Files { folder, files } => Ok((folder.clone(), files.iter().cloned().map(Arc::new).collect())),
            ScanSource::Changed { table, table_id, version, files_id, removed, added } => {
                let pinned = self.tables.exactly(table, table_id, *version, *files_id).await?;
                let removed: HashSet<&str> = removed.iter().map(String::as_str).collect();
                let staying = pinned.files.iter().filter(|file| !removed.contains(file.path.as_str()));
                let added = added.iter().cloned().map(Arc::new);
                Ok((table.clone(), staying.cloned().chain(added).collect()))
            }
            ScanSource::Version { table, table_id, version, files_id, subset } => {
                let pinned = self.tables.exactly(table, table_id, *version, *files_id).await?;
                let files = match subset {
                    Subset::All => pinned.files.clone(),
                    Subset::Partitions(wanted) => {
                        pinned.files.iter().filter(|file| in_partitions(file, wanted)).cloned().collect()
                    }
                    Subset::Paths(paths) => {
                        let paths: HashSet<&str> = paths.iter().map(String::as_str).collect();
                        pinned.files.iter().filter(|file| paths.contains(file.path.as_str())).cloned().collect()
                    }
                    Subset::AddedSince(older) => {
                        let older = self.tables.version(table, *older, Some(table_id)).await?;
                        let known: HashSet<&str> = older.files.iter().map(|file| file.path.as_str()).collect();
                        pinned.files.iter().filter(|file| !known.contains(file.path.as_str())).cloned().collect()
                    }
                };
                Ok((table.clone(), files))
            }
        }
    }

    /// The columns in the order in which Parquet scans produce them: those in the files, then those of the log.
    fn split_columns(&self) -> (SchemaRef, Vec<Arc<Field>>) {
        let from_log = |name: &str| {
            self.encoded.partition_columns.iter().any(|column| column == name)
                || self.encoded.file_column.as_deref() == Some(name)
        };
        let (logged, stored): (Vec<_>, Vec<_>) =
            self.schema.fields().iter().cloned().partition(|field| from_log(field.name()));
        (Arc::new(Schema::new(stored)), logged)
    }
}

/// A file without what only the log needs. The list of a large write's files travels with the plan, and statistics and
/// tags are most of it.
fn without_statistics(file: &Add) -> Add {
    let stats = FileStatistics::rows(file).map(|rows| format!("{{\"numRecords\":{rows}}}"));
    Add { stats, tags: None, ..file.clone() }
}

fn in_partitions(file: &Add, wanted: &[BTreeMap<String, Option<String>>]) -> bool {
    wanted.iter().any(|partition| {
        partition.iter().all(|(column, value)| file.partition_values.get(column).is_some_and(|own| own == value))
    })
}

#[async_trait]
impl TableProvider for DeltaScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // Files and row groups are left out where statistics allow it, rows are not: the filter stays in the plan.
        let support = |filter: &&Expr| match concerns_rows_alone(filter) {
            Ok(true) => Ok(TableProviderFilterPushDown::Inexact),
            Ok(false) => Ok(TableProviderFilterPushDown::Unsupported),
            Err(error) => Err(error),
        };
        filters.iter().map(support).collect()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let Chosen { scan, files, predicate } = self.choose(state, filters).await?;
        let projection = self.scan_projection(projection, scan.schema())?;
        plan_files(state, scan, files, predicate, projection)
    }

    fn statistics(&self) -> Option<datafusion::common::Statistics> {
        let ScanSource::Files { files, .. } = &self.encoded.source else { return None };
        let mut statistics = datafusion::common::Statistics::new_unknown(&self.schema);
        let bytes: u64 = files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
        statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
        Some(statistics)
    }
}

/// What a scan reads when some filters are given.
struct Chosen {
    scan: FileScan,
    files: Vec<Arc<Add>>,
    predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl DeltaScan {
    /// How much a query with these filters reads at most, by the log alone.
    ///
    /// # Errors
    /// When the log cannot be read, or a filter cannot be evaluated.
    pub async fn volume(&self, state: &dyn Session, filters: &[Expr]) -> DataFusionResult<Volume> {
        let Chosen { scan, files, .. } = self.choose(state, filters).await?;
        let rows: Option<usize> = files.iter().map(|file| FileStatistics::rows(file)).sum();
        Ok(Volume {
            files: files.len() as u64,
            is_local: scan.is_local(),
            bytes: files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum(),
            rows: rows.map(|rows| rows as u64),
        })
    }

    /// The files that can hold rows which pass the filters.
    async fn choose(&self, state: &dyn Session, filters: &[Expr]) -> DataFusionResult<Chosen> {
        let (folder, files) = self.resolve().await.map_err(DataFusionError::from)?;
        let (stored, logged) = self.split_columns();
        let scan = FileScan::new(folder, stored, logged, self.encoded.file_column.clone());
        let predicate = predicate(state, filters, scan.schema())?;
        let files = match &predicate {
            Some(predicate) => {
                let files = prune_partitions(files, predicate, scan.schema(), &self.encoded.partition_columns)?;
                prune(files, predicate, scan.schema(), &self.encoded.partition_columns)?
            }
            None => files,
        };
        Ok(Chosen { scan, files, predicate })
    }

    fn scan_projection(&self, projection: Option<&Vec<usize>>, scanned: &SchemaRef) -> DataFusionResult<Vec<usize>> {
        let wanted: Vec<usize> = match projection {
            Some(indices) => indices.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        wanted.into_iter().map(|index| Ok(scanned.index_of(self.schema.field(index).name())?)).collect()
    }
}

fn predicate(
    state: &dyn Session,
    filters: &[Expr],
    schema: &SchemaRef,
) -> DataFusionResult<Option<Arc<dyn PhysicalExpr>>> {
    let Some(filter) = conjunction(filters.iter().map(unqualified)) else { return Ok(None) };
    let columns = DFSchema::try_from(schema.as_ref().clone())?;
    state.create_physical_expr(filter, &columns).map(Some)
}

/// Whether a filter can be evaluated with nothing but a row: subqueries and the like have no physical form here.
fn concerns_rows_alone(filter: &Expr) -> DataFusionResult<bool> {
    use datafusion::common::tree_node::TreeNode;
    let more = filter.exists(|node| {
        Ok(matches!(
            node,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    })?;
    Ok(!more)
}

/// Filters name columns by the table's alias in the query; the scan knows bare names only.
fn unqualified(filter: &Expr) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let bare = filter.clone().transform(|node| match node {
        Expr::Column(column) if column.relation.is_some() => {
            Ok(Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    });
    bare.map(|done| done.data).unwrap_or_else(|_| filter.clone())
}
