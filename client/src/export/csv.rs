//! Comma-separated values, after RFC 4180 but for line ends, which are `\n`.
//!
//! A null is nothing at all and an empty text `""`, which the usual writers do not tell apart. What has parts (lists,
//! maps, structs) is JSON text in one cell. Times are ISO 8601 in UTC, numbers as short as they can be read back.

use std::io::Write;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// Writes a header and rows.
pub(super) struct CsvWriter<W> {
    out: W,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the header.
    pub(super) fn start(mut out: W, schema: &Schema) -> Result<Self, ArrowError> {
        let mut line = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            put(&mut line, field.name().as_bytes());
        }
        line.push(b'\n');
        out.write_all(&line)?;
        Ok(Self { out })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let options = EncoderOptions::default().with_explicit_nulls(true);
        let schema = batch.schema();
        let fields = schema.fields().iter().zip(batch.columns());
        let mut cells =
            fields.map(|(field, column)| Cells::of(field, column, &options)).collect::<Result<Vec<_>, _>>()?;
        let mut line = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (index, cells) in cells.iter_mut().enumerate() {
                if index > 0 {
                    line.push(b',');
                }
                cells.put(row, &mut line)?;
            }
            line.push(b'\n');
            self.out.write_all(&line)?;
        }
        Ok(())
    }

    pub(super) fn get_ref(&self) -> &W {
        &self.out
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

/// The cells of a column.
struct Cells<'a> {
    column: &'a ArrayRef,
    form: Form<'a>,
}

enum Form<'a> {
    Plain(ArrayFormatter<'a>, String),
    Json(NullableEncoder<'a>, Vec<u8>),
}

impl<'a> Cells<'a> {
    fn of(field: &'a FieldRef, column: &'a ArrayRef, options: &'a EncoderOptions) -> Result<Self, ArrowError> {
        // A value that cannot be written fails the export, instead of being written as a message.
        const PLAIN: FormatOptions<'static> = FormatOptions::new().with_display_error(false);
        let form = match column.data_type() {
            DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) | DataType::Struct(_) => {
                Form::Json(make_encoder(field, column, options)?, Vec::new())
            }
            _ => Form::Plain(ArrayFormatter::try_new(column, &PLAIN)?, String::new()),
        };
        Ok(Self { column, form })
    }

    fn put(&mut self, row: usize, line: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.column.is_null(row) {
            return Ok(());
        }
        match &mut self.form {
            Form::Plain(formatter, text) => {
                text.clear();
                formatter.value(row).write(text)?;
                put(line, text.as_bytes());
            }
            Form::Json(encoder, text) => {
                text.clear();
                encoder.encode(row, text);
                put(line, text);
            }
        }
        Ok(())
    }
}

/// Puts a value, in quotes if it would be misunderstood without.
fn put(line: &mut Vec<u8>, value: &[u8]) {
    let is_plain = !value.is_empty() && !value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    let has_edges = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    if is_plain && !has_edges {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, Fields, TimeUnit};
    use datafusion::arrow::json::ReaderBuilder;
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let element = |kind| Arc::new(Field::new("element", kind, true));
        let parts =
            Fields::from(vec![Field::new("id", DataType::Utf8, false), Field::new("size", DataType::Int64, true)]);
        let entries =
            Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
        Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("count", DataType::Int64, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("flag", DataType::Boolean, true),
            Field::new("date", DataType::Date32, true),
            Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("names", DataType::List(element(DataType::Utf8)), true),
            Field::new("parts", DataType::List(element(DataType::Struct(parts))), true),
            Field::new(
                "by_type",
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false),
                true,
            ),
        ])
    }

    #[test]
    fn cells_are_what_they_were() {
        let rows = [
            json!({
                "text": "a, \"b\"\nc", "count": -1, "ratio": 0.1, "flag": true, "date": "2026-01-31",
                "time": "2026-01-31T01:02:03.000004Z", "names": ["x", "y,\"z\""],
                "parts": [{"id": "1", "size": null}], "by_type": {"text": 1},
            }),
            json!({"text": "", "ratio": 1e300, "names": [], "parts": [], "by_type": {}}),
            json!({"text": " é "}),
        ];
        let schema = Arc::new(schema());
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
        decoder.serialize(&rows).unwrap();
        let batch = decoder.flush().unwrap().unwrap();
        let mut writer = CsvWriter::start(Vec::new(), &schema).unwrap();
        writer.write(&batch).unwrap();
        let text = String::from_utf8(writer.into_inner()).unwrap();
        let expected = [
            "text,count,ratio,flag,date,time,names,parts,by_type\n",
            "\"a, \"\"b\"\"\nc\",-1,0.1,true,2026-01-31,2026-01-31T01:02:03.000004Z,",
            "\"[\"\"x\"\",\"\"y,\\\"\"z\\\"\"\"\"]\",\"[{\"\"id\"\":\"\"1\"\",\"\"size\"\":null}]\",\"{\"\"text\"\":1}\"\n",
            "\"\",,1e300,,,,[],[],{}\n",
            "\" é \",,,,,,,,\n",
        ];
        assert_eq!(text, expected.concat());
    }
}
