//! Parquet files of MySQL tables.
//!
//! Columns are read whatever their type and turned into the text that a CSV export of them would hold, so that both
//! formats share one decoder and one meaning. That costs more than a decoder per type would; tables of accounts are
//! small beside messages. A file is one split.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Site;
use super::chunks::StoredFile;
use crate::SourceError;
use crate::decode::{Fields, Place, RecordDecoder, row_json, sha256_hex};
use crate::split::Split;

/// Rows read at once; accounts are narrow.
pub(super) const BATCH_ROWS: usize = 8_192;

pub(super) type Batches = ParquetRecordBatchStream<StoredFile>;

/// Reads the rows of one file.
pub(crate) struct ParquetReader {
    site: Arc<Site>,
    split: Split,
    open: Option<Open>,
    read: u64,
    done: bool,
}

struct Open {
    batches: Batches,
    header: Vec<String>,
    decoder: RecordDecoder,
    fields: Fields,
}

impl ParquetReader {
    pub(super) fn new(site: Arc<Site>, split: Split) -> Self {
        Self { site, split, open: None, read: 0, done: false }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        if self.open.is_none() {
            self.open = self.open_file().await?;
        }
        let Some(open) = &mut self.open else {
            return self.without_rows().map(Some);
        };
        match open.batches.next().await {
            Some(batch) => {
                let batch = batch.map_err(|source| failed(&self.split, source))?;
                open.push(&batch, &self.split, self.read);
                self.read += batch.num_rows() as u64;
            }
            None => {
                self.done = true;
                open.decoder.push_tally(self.read);
            }
        }
        open.decoder.finish(&self.split.file.path).map(Some)
    }

    /// Opens the file; `None` when it has no bytes.
    async fn open_file(&mut self) -> Result<Option<Open>, SourceError> {
        if self.split.file.size == 0 {
            return Ok(None);
        }
        let input = StoredFile::new(&self.site, &self.split);
        let builder =
            ParquetRecordBatchStreamBuilder::new(input).await.map_err(|source| failed(&self.split, source))?;
        let mut header = Vec::new();
        let mut roots = Vec::new();
        for (index, field) in builder.schema().fields().iter().enumerate() {
            if has_text(field.data_type()) {
                header.push(field.name().clone());
                roots.push(index);
            } else if self.is_known(field.name()) {
                return Err(SourceError::ParquetColumn {
                    file: self.split.file.path.clone(),
                    column: field.name().clone(),
                    data_type: field.data_type().to_string(),
                });
            }
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|source| failed(&self.split, source))?;
        Ok(Some(Open { batches, decoder: self.decoder(header.clone())?, header, fields: Fields::default() }))
    }

    fn is_known(&self, name: &str) -> bool {
        let columns = self.site.collection.layout().columns;
        columns.iter().flat_map(|column| column.fields).any(|field| name.trim().eq_ignore_ascii_case(field))
    }

    fn decoder(&self, header: Vec<String>) -> Result<RecordDecoder, SourceError> {
        let projection = self.site.projection.as_deref();
        RecordDecoder::new(self.site.collection, projection, header)
            .map_err(|column| SourceError::Header { file: self.split.file.path.clone(), column })
    }

    fn without_rows(&mut self) -> Result<RecordBatch, SourceError> {
        self.done = true;
        let columns = self.site.collection.layout().columns;
        let names = columns.iter().flat_map(|column| column.fields);
        let mut decoder = self.decoder(names.map(|name| (*name).to_owned()).collect())?;
        decoder.push_tally(0);
        decoder.finish(&self.split.file.path)
    }
}

impl Open {
    fn push(&mut self, batch: &RecordBatch, split: &Split, rows_before: u64) {
        let columns: Vec<(ArrayRef, StringArray)> =
            batch.columns().iter().map(|column| (Arc::clone(column), text_of(column))).collect();
        for row in 0..batch.num_rows() {
            self.fields.clear();
            let mut valid = true;
            for (source, text) in &columns {
                let value = text.is_valid(row).then(|| text.value(row));
                valid &= value.is_some() || source.is_null(row) || is_null_type(source);
                self.fields.push(value);
            }
            let number = rows_before + row as u64;
            let place = Place { ordinal: split.ordinal(number), line: number + 1 };
            let bytes = self.fields.text_len();
            let digest =
                |fields: &Fields| sha256_hex(row_json(&self.header, fields, fields.len(), |_| false).as_bytes());
            if valid {
                let fields = &self.fields;
                self.decoder.push(fields, bytes, place, || digest(fields));
            } else {
                let sha256 = digest(&self.fields);
                self.decoder.push_invalid_text(&self.fields, sha256, place);
            }
        }
    }
}

/// The error of a Parquet file: the store's where it is one, else the file's.
pub(super) fn failed(split: &Split, source: ParquetError) -> SourceError {
    let damaged = |source| SourceError::Parquet { file: split.file.path.clone(), source };
    match source {
        ParquetError::External(inner) => match inner.downcast::<SourceError>() {
            Ok(error) => *error,
            Err(inner) => damaged(ParquetError::External(inner)),
        },
        source => damaged(source),
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.get(range.start, range.end).await.map_err(|error| ParquetError::External(Box::new(error))) }
            .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let metadata =
                ParquetMetaDataReader::new().with_arrow_reader_options(options).load_and_finish(self, size).await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

/// Whether values of a type have a text that a CSV export would hold.
fn has_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_text(values),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => true,
        DataType::Null | DataType::Boolean => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        other => other.is_string() || other.is_numeric(),
    }
}

fn is_null_type(array: &ArrayRef) -> bool {
    array.data_type() == &DataType::Null
}

/// A column as text. What has no text, such as bytes that are not UTF-8, becomes null.
fn text_of(column: &ArrayRef) -> StringArray {
    let plain = match column.data_type() {
        // Instants count from 1970 UTC whatever the zone in which they are shown.
        DataType::Timestamp(unit, Some(_)) => cast_without_zone(column, &DataType::Timestamp(*unit, None)),
        _ => Arc::clone(column),
    };
    match cast(&plain, &DataType::Utf8) {
        Ok(text) => text.as_string::<i32>().clone(),
        Err(_) => StringArray::new_null(column.len()),
    }
}

fn cast_without_zone(column: &ArrayRef, plain: &DataType) -> ArrayRef {
    let data = column.to_data().into_builder().data_type(plain.clone());
    data.build().map_or_else(|_| Arc::clone(column), arrow::array::make_array)
}
