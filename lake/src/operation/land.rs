//! Landing: what a source yields, written down once before anything is decided.
//!
//! A source is read exactly once per run (a live database gives other answers the second time), but an upsert looks at
//! its rows several times: to find the newest row of each key, to compare with the table, and to write. So the first
//! query of an ingestion writes the rows as they come, by the tasks that read them and without a shuffle, into
//! temporary Parquet files: documents, rejected documents, and a count of what was read. The later queries read only
//! the columns that they need. Keeping the rows in a shuffle instead was tried on paper: Ballista's stages have one
//! consumer, so the wide rows would cross the network once per use.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use deltalake::kernel::Add;

use super::{Lake, remove_early};
use crate::scan::{DeltaScan, FileStatistics};
use crate::snapshot::Tables;
use crate::write::{Distribution, FileOutput, Output, Sink, WriteSpec};
use crate::{LakeError, Result, TableUrl};

const DOCUMENTS: u8 = 0;
const REJECTS: u8 = 1;
const TALLY: u8 = 2;

/// Names of the columns by which a source's rows are told apart.
#[derive(Debug, Clone, Copy)]
pub struct LandingColumns {
    /// `UInt8`: 0 for a document, 1 for a rejected one, 2 for a count.
    pub output: &'static str,
    /// `Int64`: the order of documents, unique among them.
    pub ordinal: &'static str,
    /// A struct: why a document was rejected.
    pub reject: &'static str,
    /// `Int64`: how many documents a split held.
    pub read: &'static str,
}

/// Rows of a source, in temporary files.
#[derive(Debug)]
pub struct Landed {
    folder: TableUrl,
    documents: Files,
    rejects: Files,
    /// Documents that were read, counted where they were read.
    pub read: u64,
    /// Documents that could not be decoded.
    pub rejected: u64,
}

#[derive(Debug)]
struct Files {
    folder: TableUrl,
    files: Vec<Add>,
    schema: SchemaRef,
}

impl Lake {
    /// Reads a source to its end into temporary files below `folder`.
    ///
    /// `name` is for people. Of the columns `noted` (the key, the time of change) the range of values is kept.
    pub async fn land(
        &self,
        source: Arc<dyn TableProvider>,
        columns: LandingColumns,
        name: &str,
        noted: &[String],
        folder: TableUrl,
    ) -> Result<Landed> {
        let (documents, rejects) = split(&source.schema(), columns, &folder)?;
        let rows = LogicalPlanBuilder::scan(name, provider_as_source(source), None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| LakeError::query("plan the reading", name, error))?;
        let spec = WriteSpec {
            name: name.to_owned(),
            distribution: Distribution::InPlace,
            count_by: Vec::new(),
            route: Some(columns.output.to_owned()),
            outputs: vec![
                Output { route: DOCUMENTS, sink: Sink::Files(Box::new(documents.output(noted)?)) },
                Output { route: REJECTS, sink: Sink::Files(Box::new(rejects.output(&[])?)) },
                Output { route: TALLY, sink: Sink::Tally(columns.read.to_owned()) },
            ],
        };
        let receipts = match self.write(self.frame(rows), spec).await {
            Ok(receipts) => receipts,
            Err(error) => {
                remove_early(&self.tables, &folder).await;
                return Err(error);
            }
        };
        let counted = |route| u64::try_from(receipts.count(route)).unwrap_or(0);
        let landed = Landed {
            folder,
            read: counted(TALLY),
            rejected: counted(REJECTS),
            documents: Files { files: receipts.files(DOCUMENTS), ..documents },
            rejects: Files { files: receipts.files(REJECTS), ..rejects },
        };
        let documents = counted(DOCUMENTS);
        if landed.read != documents + landed.rejected {
            let detail =
                format!("{} documents read, but {documents} decoded and {} rejected", landed.read, landed.rejected);
            landed.remove(&self.tables).await;
            return Err(LakeError::Counts { table: name.to_owned(), detail });
        }
        Ok(landed)
    }
}

impl Landed {
    /// The decoded documents: the source's columns and the ordinal.
    pub fn documents(&self, tables: &Tables) -> DeltaScan {
        self.documents.scan(tables)
    }

    /// The rejected documents: the ordinal and the struct that says why.
    pub fn rejects(&self, tables: &Tables) -> DeltaScan {
        self.rejects.scan(tables)
    }

    /// The largest value of one of the noted columns, as text; none if there are no documents.
    pub fn largest(&self, column: &str) -> Option<String> {
        self.documents.files.iter().filter_map(|file| FileStatistics::of(file).largest(column)).max()
    }

    /// The files of the decoded documents.
    pub(super) fn document_files(&self) -> &[Add] {
        &self.documents.files
    }

    /// A folder for further temporary files of the same operation, removed with this one.
    pub fn folder(&self, name: &str) -> TableUrl {
        self.folder.folder(name)
    }

    /// Deletes the temporary files; what cannot be deleted is for whoever removes the folder that they are in.
    pub async fn remove(self, tables: &Tables) {
        remove_early(tables, &self.folder).await;
    }
}

impl Files {
    fn output(&self, statistics: &[String]) -> Result<FileOutput> {
        let mut output = FileOutput::new(self.folder.clone(), &self.schema)?;
        output.statistics_columns = statistics.to_vec();
        output.temporary = true;
        Ok(output)
    }

    fn scan(&self, tables: &Tables) -> DeltaScan {
        DeltaScan::files(tables, self.folder.clone(), self.files.clone(), Arc::clone(&self.schema))
    }
}

/// The columns of documents (the source's, without the control columns) and of rejects.
fn split(schema: &SchemaRef, columns: LandingColumns, folder: &TableUrl) -> Result<(Files, Files)> {
    let control = [columns.output, columns.ordinal, columns.reject, columns.read];
    let ordinal = Field::new(columns.ordinal, DataType::Int64, false);
    let reject = schema
        .field_with_name(columns.reject)
        .map_err(|error| LakeError::query("understand the source's columns", folder, error.into()))?;
    let mut document: Vec<Field> = schema
        .fields()
        .iter()
        .filter(|field| !control.contains(&field.name().as_str()))
        .map(|field| field.as_ref().clone())
        .collect();
    document.push(ordinal.clone());
    let files = |name: &str, fields: Vec<Field>| Files {
        folder: folder.folder(name),
        files: Vec::new(),
        schema: Arc::new(Schema::new(fields)),
    };
    Ok((files("documents", document), files("rejects", vec![ordinal, reject.clone()])))
}
