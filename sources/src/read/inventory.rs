//! Files of an S3 Inventory: gzip-compressed CSV without a header line, or Parquet.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use super::Site;
use super::chunks::{Chunks, StoredFile};
use super::media::{Object, ObjectRows};
use super::parquet_rows::{BATCH_ROWS, Batches, failed};
use super::records::{Frame, Frames, Step};
use crate::decode::Fields;
use crate::instant;
use crate::media::inventory::{self, InventoryColumn as Column};
use crate::media::{InventoryPart, MediaError, key_below};
use crate::{FileFormat, SourceError};

/// Reads one file.
pub(crate) struct InventoryReader {
    site: Arc<Site>,
    part: InventoryPart,
    input: Input,
    rows: ObjectRows,
    /// Rows of the file that were looked at.
    seen: u64,
    done: bool,
}

enum Input {
    Csv {
        chunks: Chunks,
        frames: Box<Frames>,
        fields: Fields,
    },
    /// Parquet; none before the file is opened.
    Parquet(Option<Box<Batches>>),
}

/// One row, as far as it was understood.
#[derive(Default)]
struct Row<'a> {
    key: Option<Cow<'a, str>>,
    size: Option<i64>,
    last_modified: Option<i64>,
    etag: Option<&'a str>,
    is_old: bool,
    is_delete_marker: bool,
}

impl InventoryReader {
    pub(super) fn new(site: Arc<Site>, part: InventoryPart) -> Self {
        let input = match part.split.file.format {
            FileFormat::Parquet => Input::Parquet(None),
            _ => Input::Csv {
                chunks: Chunks::open(&site, &part.split, 0),
                frames: Box::new(Frames::new(site.sizes.longest_line)),
                fields: Fields::default(),
            },
        };
        let rows = ObjectRows::new(&site);
        Self { site, part, input, rows, seen: 0, done: false }
    }

    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        let read = match &self.input {
            Input::Csv { .. } => self.read_records().await,
            Input::Parquet(_) => self.read_batch().await,
        };
        read.map_err(|error| self.as_inventory(error))?;
        if self.done {
            self.rows.push_tally();
        }
        self.rows.finish(&self.part.split.file.path).map(Some)
    }

    /// Reads until there is a batch of rows, or the file ends.
    async fn read_records(&mut self) -> Result<(), SourceError> {
        let Self { site, part, input, rows, seen, done } = self;
        let Input::Csv { chunks, frames, fields } = input else { return Ok(()) };
        while !rows.is_full() {
            match frames.next() {
                Step::Record(frame) => {
                    *seen += 1;
                    let why = |why| wrong_row(site, part, *seen, why);
                    let row = csv_row(&part.columns, &frame, frames, fields).map_err(why)?;
                    row.push(part, rows, *seen).map_err(why)?;
                }
                Step::NeedInput => match chunks.next().await? {
                    Some(chunk) => frames.feed(&chunk),
                    None => frames.end(),
                },
                Step::End => {
                    *done = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads a batch of the file, or its end.
    async fn read_batch(&mut self) -> Result<(), SourceError> {
        let Self { site, part, input, rows, seen, done } = self;
        let Input::Parquet(batches) = input else { return Ok(()) };
        let batches = match batches {
            Some(batches) => batches,
            None => batches.insert(Box::new(open(site, part).await?)),
        };
        let Some(batch) = batches.next().await else {
            *done = true;
            return Ok(());
        };
        let columns = Columns::of(site, part, &batch.map_err(|source| failed(&part.split, source))?)?;
        for index in 0..columns.key.len() {
            *seen += 1;
            let why = |why| wrong_row(site, part, *seen, why);
            columns.row(index).push(part, rows, *seen).map_err(why)?;
        }
        Ok(())
    }

    /// The store's error of an inventory's file, which is no file of an export.
    fn as_inventory(&self, error: SourceError) -> SourceError {
        match error {
            SourceError::Changed { source, .. } | SourceError::Read { source, .. } => {
                MediaError::InventoryFile { file: address(&self.site, &self.part), source }.into()
            }
            other => other,
        }
    }
}

impl Row<'_> {
    /// Appends the object of the row, if it has one that is asked for.
    fn push(&self, part: &InventoryPart, rows: &mut ObjectRows, row: u64) -> Result<(), &'static str> {
        if self.is_old || self.is_delete_marker {
            return Ok(());
        }
        let key = self.key.as_deref().ok_or("it has no key")?;
        let Some(key) = key_below(&part.root, key) else { return Ok(()) };
        let object = Object {
            key,
            size: self.size.filter(|size| *size >= 0).ok_or("it has no size, or one that is no number")?,
            etag: self.etag,
            last_modified: self.last_modified.ok_or("it has no date, or one that is not of the form of ISO 8601")?,
        };
        rows.push(object, part.split.ordinal(row - 1));
        Ok(())
    }
}

fn csv_row<'a>(
    columns: &[Option<Column>],
    frame: &Frame,
    frames: &Frames,
    fields: &'a mut Fields,
) -> Result<Row<'a>, &'static str> {
    if !frame.is_whole() {
        return Err("it is too long, or a quotation mark is not closed");
    }
    if !frames.fields(fields) {
        return Err("it is not UTF-8");
    }
    if fields.len() != columns.len() {
        return Err("it has more or fewer fields than the manifest's fileSchema");
    }
    let mut row = Row::default();
    for (index, column) in columns.iter().enumerate() {
        let (Some(column), Some(text)) = (column, fields.get(index)) else { continue };
        match column {
            Column::Key => row.key = Some(decoded(text).ok_or("its key is not URL-encoded UTF-8")?),
            Column::Size => row.size = text.parse().ok(),
            Column::LastModified => row.last_modified = instant::from_iso(text),
            Column::Etag => row.etag = Some(text),
            Column::IsLatest => row.is_old = !boolean(text)?,
            Column::IsDeleteMarker => row.is_delete_marker = boolean(text)?,
        }
    }
    Ok(row)
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("IsLatest or IsDeleteMarker is neither true nor false"),
    }
}

/// A key from its form in CSV: spaces are `+` or `%20`, a plus sign is `%2B`. None if that is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['+', '%']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|key| Cow::Owned(key.into_owned()))
}

async fn open(site: &Site, part: &InventoryPart) -> Result<Batches, SourceError> {
    let failed = |source| failed(&part.split, source);
    let input = StoredFile::new(site, &part.split);
    let builder = ParquetRecordBatchStreamBuilder::new(input).await.map_err(failed)?;
    let fields = builder.schema().fields().iter();
    let columns: Vec<Option<Column>> = fields.map(|field| Column::of_name(field.name())).collect();
    inventory::check_columns(&address(site, part), &columns)?;
    let roots = columns.iter().enumerate().filter(|(_, column)| column.is_some()).map(|(index, _)| index);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(failed)
}

/// The columns of a batch of a Parquet file.
struct Columns {
    key: StringArray,
    size: Int64Array,
    last_modified: arrow::array::TimestampMicrosecondArray,
    etag: Option<StringArray>,
    is_latest: Option<BooleanArray>,
    is_delete_marker: Option<BooleanArray>,
}

impl Columns {
    fn of(site: &Site, part: &InventoryPart, batch: &RecordBatch) -> Result<Self, SourceError> {
        let column = |wanted: Column, data_type: DataType| -> Result<Option<ArrayRef>, SourceError> {
            let schema = batch.schema();
            let named = |name: &String| Column::of_name(name) == Some(wanted);
            let Some(index) = schema.fields().iter().position(|field| named(field.name())) else { return Ok(None) };
            let array = batch.column(index);
            let cast = cast(array, &data_type).map_err(|_| SourceError::ParquetColumn {
                file: address(site, part),
                column: schema.field(index).name().clone(),
                data_type: array.data_type().to_string(),
            })?;
            Ok(Some(cast))
        };
        let lacking = || MediaError::InventoryColumns { file: address(site, part), missing: "key".to_owned() };
        let instants = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let text = |array: ArrayRef| array.as_string::<i32>().clone();
        let boolean = |array: ArrayRef| array.as_boolean().clone();
        Ok(Self {
            key: column(Column::Key, DataType::Utf8)?.map(text).ok_or_else(lacking)?,
            size: column(Column::Size, DataType::Int64)?.ok_or_else(lacking)?.as_primitive::<Int64Type>().clone(),
            last_modified: column(Column::LastModified, instants)?
                .ok_or_else(lacking)?
                .as_primitive::<TimestampMicrosecondType>()
                .clone(),
            etag: column(Column::Etag, DataType::Utf8)?.map(text),
            is_latest: column(Column::IsLatest, DataType::Boolean)?.map(boolean),
            is_delete_marker: column(Column::IsDeleteMarker, DataType::Boolean)?.map(boolean),
        })
    }

    fn row(&self, index: usize) -> Row<'_> {
        let says = |column: &Option<BooleanArray>, wanted: bool| {
            column.as_ref().is_some_and(|column| column.is_valid(index) && column.value(index) == wanted)
        };
        let etag = self.etag.as_ref().filter(|etag| etag.is_valid(index)).map(|etag| etag.value(index));
        Row {
            key: self.key.is_valid(index).then(|| Cow::Borrowed(self.key.value(index))),
            size: self.size.is_valid(index).then(|| self.size.value(index)),
            last_modified: self.last_modified.is_valid(index).then(|| self.last_modified.value(index)),
            etag: etag.filter(|etag| !etag.is_empty()),
            is_old: says(&self.is_latest, false),
            is_delete_marker: says(&self.is_delete_marker, true),
        }
    }
}

fn wrong_row(site: &Site, part: &InventoryPart, row: u64, why: &str) -> SourceError {
    MediaError::InventoryRow { file: address(site, part), row, why: why.to_owned() }.into()
}

fn address(site: &Site, part: &InventoryPart) -> String {
    site.address(&part.split.file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_csv_files_are_decoded() {
        for (text, key) in [
            ("media/a.jpg", Some("media/a.jpg")),
            ("media/a+b%20c%2Bd%25.jpg", Some("media/a b c+d%.jpg")),
            ("%E4%B8%AD/%22", Some("\u{4e2d}/\"")),
            ("%E4%B8", None),
        ] {
            assert_eq!(decoded(text).as_deref(), key, "{text}");
        }
    }
}
