//! What functions have in common in reading their arguments.
//!
//! A wrong type is reported when the query is planned, with the function's name and what it takes; the
//! checks at run time repeat it only because arrays are dynamically typed.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// The element type of the list that argument `index` of `function` is.
pub(super) fn list_element_type(function: &str, types: &[DataType], index: usize) -> Result<FieldRef> {
    match types.get(index) {
        Some(DataType::List(element)) => Ok(Arc::clone(element)),
        other => plan_err!("argument {} of {function} must be a list, not {other:?}", index + 1),
    }
}

/// Checks that argument `index` of `function` is a list whose elements have the string fields `names`.
pub(super) fn require_string_fields(function: &str, types: &[DataType], index: usize, names: &[&str]) -> Result<()> {
    let element = list_element_type(function, types, index)?;
    let DataType::Struct(fields) = element.data_type() else {
        return plan_err!(
            "argument {} of {function} must be a list of structs, not of {}",
            index + 1,
            element.data_type()
        );
    };
    for name in names {
        match fields.find(name) {
            Some((_, field)) if is_string(field.data_type()) => {}
            _ => return plan_err!("argument {} of {function} needs elements with a string field `{name}`", index + 1),
        }
    }
    Ok(())
}

/// Whether values of the type are texts, in whatever layout.
pub(super) fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A list argument as an array.
pub(super) fn list_array<'a>(function: &str, array: &'a ArrayRef) -> Result<&'a ListArray> {
    match array.as_list_opt::<i32>() {
        Some(list) => Ok(list),
        None => exec_err!("{function} takes a list, not {}", array.data_type()),
    }
}

/// The elements of a list argument as structs.
pub(super) fn struct_elements<'a>(function: &str, list: &'a ListArray) -> Result<&'a StructArray> {
    match list.values().as_struct_opt() {
        Some(elements) => Ok(elements),
        None => exec_err!("{function} takes a list of structs, not of {}", list.values().data_type()),
    }
}

/// The field `name` of the elements of a list.
pub(super) fn field_of<'a>(function: &str, elements: &'a StructArray, name: &str) -> Result<&'a ArrayRef> {
    match elements.column_by_name(name) {
        Some(column) => Ok(column),
        None => exec_err!("{function} finds no field `{name}` in {}", elements.data_type()),
    }
}

/// An array of texts in the layout that the functions work on.
pub(super) fn strings(array: &ArrayRef) -> Result<StringArray> {
    let utf8 = match array.data_type() {
        DataType::Utf8 => Arc::clone(array),
        _ => cast(array, &DataType::Utf8)?,
    };
    Ok(utf8.as_string::<i32>().clone())
}

/// The range of elements that row `row` of a list has; empty for null.
pub(super) fn range_of(list: &ListArray, row: usize) -> Range<usize> {
    if list.is_null(row) {
        return 0..0;
    }
    let offsets = list.value_offsets();
    to_index(offsets[row])..to_index(offsets[row + 1])
}

/// An Arrow offset as an index. Offsets are never negative.
fn to_index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}

/// A text that is written as a literal in the query.
pub(super) fn literal_text<'a>(function: &str, value: &'a ColumnarValue) -> Result<&'a str> {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => Ok(text),
        _ => exec_err!("{function} takes field names as literals"),
    }
}

/// Texts that are the same for each of `rows` rows or differ by row.
pub(super) fn string_argument(value: &ColumnarValue, rows: usize) -> Result<StringArray> {
    strings(&value.to_array(rows)?)
}
