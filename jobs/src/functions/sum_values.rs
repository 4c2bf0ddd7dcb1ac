//! `sum_values(list, field)`: the sum of a long field over the structs of a list.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::{field_of, list_array, list_element_type, literal_text, range_of, struct_elements};

/// A null value counts as 0, and so does an empty list; a sum beyond a long is the nearest long.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SumValues {
    signature: Signature,
}

impl SumValues {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SumValues {
    fn name(&self) -> &str {
        "sum_values"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        list_element_type(self.name(), arguments, 0)?;
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let list = list_array(self.name(), &array)?;
        let elements = struct_elements(self.name(), list)?;
        let field = field_of(self.name(), elements, literal_text(self.name(), &args.args[1])?)?;
        let Some(values) = field.as_primitive_opt::<Int64Type>() else {
            return exec_err!("{} adds longs, not {}", self.name(), field.data_type());
        };
        let sums: Int64Array = (0..list.len())
            .map(|row| {
                let valid = range_of(list, row).filter(|at| values.is_valid(*at));
                let sum: i128 = valid.map(|at| i128::from(values.value(at))).sum();
                Some(i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(sums)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::super::testing::invoke_with_literals;
    use super::*;
    use crate::column::list_element;

    #[test]
    fn nulls_are_zero_and_overflow_saturates() {
        let sizes: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(1),
            None,
            Some(2),
            Some(i64::MAX),
            Some(i64::MAX),
            Some(i64::MIN),
            Some(-5),
        ]));
        let elements = StructArray::from(vec![(Arc::new(Field::new("size_bytes", DataType::Int64, true)), sizes)]);
        let list: ArrayRef = Arc::new(ListArray::new(
            list_element(elements.data_type().clone()),
            OffsetBuffer::from_lengths([3, 0, 2, 2]),
            Arc::new(elements),
            None,
        ));
        let sums = invoke_with_literals(SumValues::new(), vec![list], &["size_bytes"]);
        assert_eq!(sums.as_ref(), &Int64Array::from(vec![3, 0, i64::MAX, i64::MIN]));
    }
}
