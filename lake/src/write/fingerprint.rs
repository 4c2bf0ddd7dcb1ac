//! Order-independent fingerprints of the rows of a partition.
//!
//! A job that recomputes a table must leave alone what comes out the same, without reading the stored rows back. So
//! each commit notes, as a tag on the files, the sum over all rows of a 128-bit hash of the row. Equal sums mean equal
//! rows up to a chance of about 2^-64: the sum does not depend on order, tasks or batches. Files that another program
//! rewrote carry no tag; their partition then counts as changed.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_128;

/// Key of the tag on `add` actions.
pub(crate) const FINGERPRINT_TAG: &str = "quickchat.rows";

/// Changes whenever the same rows would get another fingerprint: of Arrow's row format or of the hash.
const FORM: &str = "1";

/// Sums up the rows of one partition.
#[derive(Debug)]
pub(super) struct Fingerprints {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Fingerprints {
    /// Fingerprints over the named columns.
    pub(super) fn over(columns: &[String], schema: &SchemaRef) -> Result<Self, ArrowError> {
        let columns = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let fields = columns.iter().map(|index| SortField::new(schema.field(*index).data_type().clone())).collect();
        Ok(Self { columns, converter: RowConverter::new(fields)? })
    }

    /// The sum over the rows of a batch.
    pub(super) fn sum(&self, batch: &RecordBatch) -> Result<u128, ArrowError> {
        let columns: Vec<_> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        Ok(rows.iter().fold(0, |sum: u128, row| sum.wrapping_add(xxh3_128(row.as_ref()))))
    }
}

/// The tag's value for a sum.
pub(crate) fn tag(sum: u128, rows: u64) -> String {
    format!("{FORM}:{rows}:{sum:032x}")
}

/// Adds up the tags of the files of one partition; none when a file has none or one of another form.
pub(crate) fn total<'a>(tags: impl IntoIterator<Item = Option<&'a str>>) -> Option<(u64, u128)> {
    tags.into_iter().try_fold((0, 0), |(rows, sum): (u64, u128), tag| {
        let (form, rest) = tag?.split_once(':')?;
        let (own_rows, own_sum) = rest.split_once(':')?;
        let own_sum = u128::from_str_radix(own_sum, 16).ok()?;
        (form == FORM).then_some((rows + own_rows.parse::<u64>().ok()?, sum.wrapping_add(own_sum)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::compute::take_record_batch;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn rows() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::Int64, true),
            Field::new("run", DataType::Utf8, false),
        ]));
        let a = StringArray::from(vec![Some("x"), None, Some(""), Some("x")]);
        let b = Int64Array::from(vec![Some(1), Some(2), None, Some(1)]);
        let run = StringArray::from(vec!["r1"; 4]);
        RecordBatch::try_new(schema, vec![Arc::new(a), Arc::new(b), Arc::new(run)]).unwrap()
    }

    fn over_a_and_b(batch: &RecordBatch) -> u128 {
        Fingerprints::over(&["a".into(), "b".into()], &batch.schema()).unwrap().sum(batch).unwrap()
    }

    #[test]
    fn order_and_batches_do_not_matter_but_each_row_does() {
        let all = rows();
        let shuffled = take_record_batch(&all, &Int64Array::from(vec![3, 1, 0, 2])).unwrap();
        assert_eq!(over_a_and_b(&all), over_a_and_b(&shuffled));
        let parts = over_a_and_b(&all.slice(0, 1)).wrapping_add(over_a_and_b(&all.slice(1, 3)));
        assert_eq!(over_a_and_b(&all), parts);
        assert_ne!(over_a_and_b(&all), over_a_and_b(&all.slice(0, 3)), "a repeated row counts");
    }

    #[test]
    fn null_and_empty_differ() {
        let all = rows();
        assert_ne!(over_a_and_b(&all.slice(1, 1)), over_a_and_b(&all.slice(2, 1)));
    }

    #[test]
    fn tags_add_up_and_foreign_ones_are_unknown() {
        let (one, two) = (tag(5, 1), tag(u128::MAX, 2));
        assert_eq!(total([Some(one.as_str()), Some(two.as_str())]), Some((3, 4)));
        assert_eq!(total([Some(one.as_str()), None]), None);
        assert_eq!(total([Some("0:1:ff")]), None);
        assert_eq!(total([]), Some((0, 0)));
    }
}
