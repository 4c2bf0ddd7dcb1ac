//! Calling a function as the engine does, for tests.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl};

/// The result for whole columns.
pub(super) fn invoke(function: impl ScalarUDFImpl, columns: Vec<ArrayRef>) -> ArrayRef {
    invoke_with_literals(function, columns, &[])
}

/// The result for columns followed by texts that stand in the query.
pub(super) fn invoke_with_literals(
    function: impl ScalarUDFImpl,
    columns: Vec<ArrayRef>,
    literals: &[&str],
) -> ArrayRef {
    let number_rows = columns[0].len();
    let mut args: Vec<ColumnarValue> = columns.into_iter().map(ColumnarValue::Array).collect();
    args.extend(literals.iter().map(|text| ColumnarValue::Scalar(ScalarValue::Utf8(Some((*text).to_owned())))));
    let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
    let return_type = function.return_type(&types).unwrap();
    let result = function
        .invoke_with_args(ScalarFunctionArgs {
            args,
            arg_fields: types.into_iter().map(|data_type| Arc::new(Field::new("", data_type, true))).collect(),
            number_rows,
            return_field: Arc::new(Field::new("", return_type.clone(), true)),
            config_options: Arc::new(ConfigOptions::default()),
        })
        .unwrap();
    let array = result.into_array(number_rows).unwrap();
    assert_eq!(array.data_type(), &return_type);
    assert_eq!(array.len(), number_rows);
    array
}
