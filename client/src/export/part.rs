//! The files of an export: one after the other, each of a bounded size.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::{LineDelimited, Writer as JsonWriter};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::csv::CsvWriter;
use super::{ExportError, Format};

/// A file that has reached this size is followed by another one, so that readers can work on several at a time.
const PART_BYTES: u64 = 128 << 20;

/// Rows and bytes of a Parquet row group, which is held in memory until it is full.
const ROW_GROUP_ROWS: usize = 256 << 10;
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Writes rows into one file after the other. There is at least one, so that readers see the columns of no rows.
pub(super) struct Parts {
    folder: PathBuf,
    format: Format,
    schema: SchemaRef,
    part_bytes: u64,
    open: Option<OpenPart>,
    done: Vec<Part>,
}

struct OpenPart {
    name: String,
    path: PathBuf,
    rows: u64,
    encoder: Encoder,
}

/// Writes one file.
enum Encoder {
    Parquet(Box<ArrowWriter<File>>),
    Csv(CsvWriter<Counted>),
    Json(JsonWriter<Counted, LineDelimited>),
}

impl Parts {
    pub(super) fn new(folder: &Path, format: Format, schema: SchemaRef) -> Self {
        Self { folder: folder.to_owned(), format, schema, part_bytes: PART_BYTES, open: None, done: Vec::new() }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        let part = match self.open.take() {
            Some(part) => part,
            None => self.start()?,
        };
        let part = self.open.insert(part);
        let encoded = conform(batch, &self.schema).and_then(|batch| part.encoder.write(&batch));
        encoded.map_err(|source| ExportError::Encode { path: part.path.clone(), source })?;
        part.rows += batch.num_rows() as u64;
        if part.encoder.bytes() >= self.part_bytes {
            self.close()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<Part>, ExportError> {
        if self.open.is_none() && self.done.is_empty() {
            self.open = Some(self.start()?);
        }
        self.close()?;
        Ok(self.done)
    }

    fn start(&self) -> Result<OpenPart, ExportError> {
        let name = format!("part-{:05}.{}", self.done.len(), self.format.extension());
        let path = self.folder.join(&name);
        let file = File::create_new(&path).map_err(|error| ExportError::file("make", &path, error))?;
        let encoder = Encoder::open(file, self.format, &self.schema)
            .map_err(|source| ExportError::Encode { path: path.clone(), source })?;
        Ok(OpenPart { name, path, rows: 0, encoder })
    }

    fn close(&mut self) -> Result<(), ExportError> {
        let Some(OpenPart { name, path, rows, encoder }) = self.open.take() else { return Ok(()) };
        let file = encoder.finish().map_err(|source| ExportError::Encode { path: path.clone(), source })?;
        let metadata = file.sync_all().and_then(|()| file.metadata());
        let bytes = metadata.map_err(|error| ExportError::file("finish", &path, error))?.len();
        self.done.push(Part { name, rows, bytes });
        Ok(())
    }
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "jsonl",
        }
    }
}

impl Encoder {
    fn open(file: File, format: Format, schema: &SchemaRef) -> Result<Self, ArrowError> {
        match format {
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))?;
                Ok(Self::Parquet(Box::new(writer)))
            }
            Format::Csv => Ok(Self::Csv(CsvWriter::start(Counted::new(file), schema)?)),
            Format::Json => Ok(Self::Json(WriterBuilder::new().with_explicit_nulls(true).build(Counted::new(file)))),
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Parquet(writer) => Ok(writer.write(batch)?),
            Self::Csv(writer) => writer.write(batch),
            Self::Json(writer) => writer.write(batch),
        }
    }

    /// What the file holds by now, or will when what is in memory is written.
    fn bytes(&self) -> u64 {
        match self {
            Self::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            Self::Csv(writer) => writer.get_ref().bytes,
            Self::Json(writer) => writer.get_ref().bytes,
        }
    }

    fn finish(self) -> Result<File, ArrowError> {
        match self {
            Self::Parquet(writer) => Ok(writer.into_inner()?),
            Self::Csv(writer) => Ok(writer.into_inner().finish()?),
            Self::Json(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner().finish()?)
            }
        }
    }
}

/// A buffered file that knows how much was written.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Counted {
    fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(1 << 20, file), bytes: 0 }
    }

    fn finish(self) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The batch with exactly these columns: what came over the network may name the parts of nested types otherwise.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match column.data_type() == field.data_type() {
        true => Ok(Arc::clone(column)),
        false => cast(column, field.data_type()),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch(from: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(from..from + 1000);
        let texts = StringArray::from_iter_values(numbers.values().iter().map(|number| format!("text {number}")));
        RecordBatch::try_from_iter([("number", Arc::new(numbers) as _), ("text", Arc::new(texts) as _)]).unwrap()
    }

    #[test]
    fn a_full_file_is_followed_by_another() {
        for (format, extension) in [(Format::Parquet, "parquet"), (Format::Csv, "csv"), (Format::Json, "jsonl")] {
            let folder = tempfile::tempdir().unwrap();
            let mut parts = Parts { part_bytes: 10_000, ..Parts::new(folder.path(), format, batch(0).schema()) };
            for from in 0..4 {
                parts.write(&batch(from * 1000)).unwrap();
            }
            let done = parts.finish().unwrap();
            assert!(done.len() > 1, "{format:?}: {done:?}");
            assert_eq!(done.iter().map(|part| part.rows).sum::<u64>(), 4000);
            for (index, part) in done.iter().enumerate() {
                assert_eq!(part.name, format!("part-{index:05}.{extension}"));
                assert_eq!(part.bytes, std::fs::metadata(folder.path().join(&part.name)).unwrap().len());
            }
        }
    }

    #[test]
    fn no_rows_are_a_file_with_columns() {
        for (format, content) in [(Format::Csv, "number,text\n"), (Format::Json, "")] {
            let folder = tempfile::tempdir().unwrap();
            let done = Parts::new(folder.path(), format, batch(0).schema()).finish().unwrap();
            assert_eq!(std::fs::read_to_string(folder.path().join(&done[0].name)).unwrap(), content);
        }
        let folder = tempfile::tempdir().unwrap();
        let done = Parts::new(folder.path(), Format::Parquet, batch(0).schema()).finish().unwrap();
        let file = File::open(folder.path().join(&done[0].name)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(reader.schema().fields(), batch(0).schema().fields());
    }
}
