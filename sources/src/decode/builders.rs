//! Arrow builders that take staged cells.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListArray, StringArray,
    StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;

use super::{Cell, Strings, Text};

/// The builder of one column. Any cell that does not fit its type is appended as null; the decoder only produces
/// cells of the column's own kind.
pub(super) enum ColumnBuilder {
    /// Bytes, of which it is checked once for the whole column that they are text.
    Text(BinaryBuilder),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Time(TimestampMicrosecondBuilder),
    List(Box<ListBuilder>),
}

/// A list: one offset a row, and a builder for each column of its elements.
pub(super) struct ListBuilder {
    element: FieldRef,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    columns: Vec<ColumnBuilder>,
}

impl ColumnBuilder {
    /// A builder with room for `rows` rows and `text_bytes` bytes of text.
    pub(super) fn new(data_type: &DataType, rows: usize, text_bytes: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int32 => Self::Int(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Long(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Double(Float64Builder::with_capacity(rows)),
            DataType::Timestamp(..) => {
                Self::Time(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            DataType::List(element) => Self::List(Box::new(ListBuilder::new(element, rows))),
            _ => Self::Text(BinaryBuilder::with_capacity(rows, text_bytes)),
        }
    }

    /// Appends a cell; `elements` holds the cells of list elements, `strings` the texts.
    pub(super) fn push<S: Strings>(&mut self, cell: Cell, elements: &[Cell], strings: &S) {
        match (self, cell) {
            (Self::Text(builder), Cell::Text(text)) => push_text(builder, text, strings),
            (Self::Boolean(builder), Cell::Boolean(value)) => builder.append_value(value),
            (Self::Int(builder), Cell::Integer(value)) => {
                builder.append_option(i32::try_from(value).ok());
            }
            (Self::Long(builder), Cell::Integer(value)) => builder.append_value(value),
            (Self::Double(builder), Cell::Double(value)) => builder.append_value(value),
            (Self::Time(builder), Cell::Time(value)) => builder.append_value(value),
            (Self::List(builder), Cell::List { start, len }) => {
                builder.push(start, len, elements, strings);
            }
            (builder, _) => builder.push_null(),
        }
    }

    /// Appends a null.
    pub(super) fn push_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Long(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::List(builder) => builder.push_null(),
        }
    }

    /// Bytes of text so far.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(builder) => builder.values_slice().len(),
            _ => 0,
        }
    }

    /// The column so far; the builder is empty afterwards.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(builder) => Arc::new(StringArray::try_from_binary(builder.finish())?),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Long(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::List(builder) => Arc::new(builder.finish()?),
        })
    }
}

impl ListBuilder {
    fn new(element: &FieldRef, rows: usize) -> Self {
        let columns = match element.data_type() {
            DataType::Struct(fields) => {
                fields.iter().map(|field| ColumnBuilder::new(field.data_type(), rows, 0)).collect()
            }
            data_type => vec![ColumnBuilder::new(data_type, rows, 0)],
        };
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { element: Arc::clone(element), offsets, valid: Vec::with_capacity(rows), columns }
    }

    fn push<S: Strings>(&mut self, start: usize, len: usize, elements: &[Cell], strings: &S) {
        let width = self.columns.len();
        let cells = elements.get(start..start + len * width).unwrap_or_default();
        for element in cells.chunks_exact(width) {
            for (column, cell) in self.columns.iter_mut().zip(element) {
                column.push(*cell, &[], strings);
            }
        }
        self.end_row(cells.len() / width, true);
    }

    fn push_null(&mut self) {
        self.end_row(0, false);
    }

    fn end_row(&mut self, elements: usize, valid: bool) {
        let last = self.offsets.last().copied().unwrap_or_default();
        // A batch is bounded to megabytes of input, and an element takes at least a byte of it.
        let added = i32::try_from(elements).unwrap_or(i32::MAX);
        self.offsets.push(last.saturating_add(added));
        self.valid.push(valid);
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let valid = std::mem::take(&mut self.valid);
        let children: Vec<ArrayRef> = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<_, _>>()?;
        let values = match self.element.data_type() {
            DataType::Struct(fields) => struct_of(fields, children)?,
            _ => children
                .into_iter()
                .next()
                .ok_or_else(|| ArrowError::ComputeError("a list without elements".to_owned()))?,
        };
        ListArray::try_new(
            Arc::clone(&self.element),
            OffsetBuffer::new(offsets.into()),
            values,
            Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0),
        )
    }
}

fn struct_of(fields: &Fields, children: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(StructArray::try_new(fields.clone(), children, None)?))
}

fn push_text<S: Strings>(builder: &mut BinaryBuilder, text: Text, strings: &S) {
    match text {
        Text::At(at) => builder.append_value(strings.bytes_at(at)),
        Text::Literal(text) => builder.append_value(text),
        Text::ObjectId(at) => builder.append_value(strings.object_id(at)),
    }
}
