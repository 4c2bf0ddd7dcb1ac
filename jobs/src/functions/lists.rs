//! Functions of the lists of one row. Lists are lists of strings, or lists of structs with the names of
//! their string fields as literals. A null list is an empty one.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, StringArray, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::{
    field_of, list_array, list_element_type, literal_text, range_of, string_argument, strings, struct_elements,
};
use crate::column::list_element;

/// The columns of list elements that a call compares: the named fields, or the elements themselves.
fn compared_columns(function: &str, list: &ListArray, names: &[ColumnarValue]) -> Result<Vec<StringArray>> {
    if names.is_empty() {
        return Ok(vec![strings(list.values())?]);
    }
    let elements = struct_elements(function, list)?;
    names.iter().map(|name| strings(field_of(function, elements, literal_text(function, name)?)?)).collect()
}

/// `item_count(list)`: number of elements as a long.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ItemCount {
    signature: Signature,
}

impl ItemCount {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ItemCount {
    fn name(&self) -> &str {
        "item_count"
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
        let counts: Int64Array = (0..list.len()).map(|row| Some(as_long(range_of(list, row).len()))).collect();
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

/// `is_member(list, text)`: whether the list of strings holds the text; false when either is null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IsMember {
    signature: Signature,
}

impl IsMember {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for IsMember {
    fn name(&self) -> &str {
        "is_member"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        list_element_type(self.name(), arguments, 0)?;
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let list = list_array(self.name(), &array)?;
        let elements = strings(list.values())?;
        let texts = string_argument(&args.args[1], args.number_rows)?;
        let found: BooleanArray = (0..list.len())
            .map(|row| {
                let text = texts.is_valid(row).then(|| texts.value(row));
                let mut range = range_of(list, row);
                Some(text.is_some_and(|text| range.any(|at| elements.is_valid(at) && elements.value(at) == text)))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// `distinct_values(list [, field])`: the distinct values in ascending order, without nulls.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DistinctValues {
    signature: Signature,
}

impl DistinctValues {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DistinctValues {
    fn name(&self) -> &str {
        "distinct_values"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        list_element_type(self.name(), arguments, 0)?;
        Ok(DataType::List(list_element(DataType::Utf8)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let list = list_array(self.name(), &array)?;
        let columns = compared_columns(self.name(), list, &args.args[1..])?;
        let [column] = columns.as_slice() else {
            return exec_err!("{} takes at most one field name", self.name());
        };
        let mut values = StringBuilder::new();
        let mut lengths = Vec::with_capacity(list.len());
        let mut of_row: Vec<&str> = Vec::new();
        for row in 0..list.len() {
            of_row.clear();
            of_row.extend(range_of(list, row).filter(|at| column.is_valid(*at)).map(|at| column.value(at)));
            of_row.sort_unstable();
            of_row.dedup();
            of_row.iter().for_each(|value| values.append_value(value));
            lengths.push(of_row.len());
        }
        let distinct: ArrayRef = Arc::new(ListArray::try_new(
            list_element(DataType::Utf8),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(values.finish()),
            None,
        )?);
        Ok(ColumnarValue::Array(distinct))
    }
}

/// `distinct_count(list [, field...])`: number of distinct values, or of distinct combinations of the fields,
/// as a long; elements in which one of them is null do not count.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DistinctCount {
    signature: Signature,
}

impl DistinctCount {
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DistinctCount {
    fn name(&self) -> &str {
        "distinct_count"
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
        let columns = compared_columns(self.name(), list, &args.args[1..])?;
        let compare = |a: &usize, b: &usize| {
            let mut orders = columns.iter().map(|column| column.value(*a).cmp(column.value(*b)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let mut counts = Vec::with_capacity(list.len());
        let mut of_row: Vec<usize> = Vec::new();
        for row in 0..list.len() {
            of_row.clear();
            of_row.extend(range_of(list, row).filter(|at| columns.iter().all(|column| column.is_valid(*at))));
            of_row.sort_unstable_by(compare);
            of_row.dedup_by(|a, b| compare(a, b).is_eq());
            counts.push(as_long(of_row.len()));
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(counts))))
    }
}

/// A number of elements as a long. Arrow lists have fewer than 2^31.
fn as_long(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::super::testing::{invoke, invoke_with_literals};
    use super::*;

    fn string_lists(rows: &[&[&str]]) -> ArrayRef {
        let values: Vec<&str> = rows.concat();
        let lengths = rows.iter().map(|row| row.len());
        Arc::new(ListArray::new(
            list_element(DataType::Utf8),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(StringArray::from(values)),
            None,
        ))
    }

    /// One list per row of (user, emoji) pairs.
    fn pair_lists(rows: &[&[(&str, Option<&str>)]]) -> ArrayRef {
        let pairs = rows.concat();
        let users: ArrayRef = Arc::new(StringArray::from_iter_values(pairs.iter().map(|pair| pair.0)));
        let emojis: ArrayRef = Arc::new(pairs.iter().map(|pair| pair.1).collect::<StringArray>());
        let elements = StructArray::from(vec![
            (Arc::new(Field::new("user_id", DataType::Utf8, false)), users),
            (Arc::new(Field::new("emoji", DataType::Utf8, true)), emojis),
        ]);
        Arc::new(ListArray::new(
            list_element(elements.data_type().clone()),
            OffsetBuffer::from_lengths(rows.iter().map(|row| row.len())),
            Arc::new(elements),
            None,
        ))
    }

    fn longs(array: &ArrayRef) -> Vec<i64> {
        assert_eq!(array.null_count(), 0);
        array.as_primitive::<Int64Type>().values().to_vec()
    }

    fn texts(array: &ArrayRef) -> Vec<Vec<String>> {
        array
            .as_list::<i32>()
            .iter()
            .map(|list| list.unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect())
            .collect()
    }

    #[test]
    fn null_lists_and_slices() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1)]),
            None,
            Some(vec![]),
            Some(vec![Some(1), Some(1), None]),
        ]);
        assert_eq!(longs(&invoke(ItemCount::new(), vec![Arc::new(list.clone())])), [1, 0, 0, 3]);
        assert_eq!(longs(&invoke(ItemCount::new(), vec![Arc::new(list.slice(2, 2))])), [0, 3]);
    }

    #[test]
    fn membership_is_exact() {
        let list = string_lists(&[&["a", "b"], &["a"], &[], &["é"]]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("A"), Some("a"), Some("e\u{301}")]));
        let found = invoke(IsMember::new(), vec![list.clone(), texts]);
        assert_eq!(found.as_boolean(), &BooleanArray::from(vec![true, false, false, false]));
        let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 4]));
        assert_eq!(invoke(IsMember::new(), vec![list, null]).as_boolean().true_count(), 0);
    }

    #[test]
    fn values_are_distinct_and_in_byte_order() {
        let list = string_lists(&[&["b", "a", "b"], &[], &["é", "z", "Z"]]);
        let expected = [vec!["a".to_owned(), "b".to_owned()], vec![], vec!["Z".to_owned(), "z".into(), "é".into()]];
        assert_eq!(texts(&invoke(DistinctValues::new(), vec![list])), expected);

        let pairs = pair_lists(&[&[("u", Some("y")), ("v", None), ("u", Some("x"))], &[("u", None)]]);
        let emojis = invoke_with_literals(DistinctValues::new(), vec![pairs], &["emoji"]);
        assert_eq!(texts(&emojis), [vec!["x".to_owned(), "y".to_owned()], vec![]]);
    }

    #[test]
    fn combinations_are_counted_once() {
        let rows: &[&[(&str, Option<&str>)]] = &[
            &[("u", Some("x")), ("v", Some("x")), ("u", Some("x")), ("u", Some("y"))],
            &[],
            &[("u", None), ("v", Some("x"))],
            // Were the fields joined to one text, these would be the same.
            &[("ab", Some("c")), ("a", Some("bc"))],
        ];
        let count =
            |fields: &[&str]| longs(&invoke_with_literals(DistinctCount::new(), vec![pair_lists(rows)], fields));
        assert_eq!(count(&["user_id", "emoji"]), [3, 0, 1, 2]);
        assert_eq!(count(&["user_id"]), [2, 0, 2, 2]);
        assert_eq!(longs(&invoke(DistinctCount::new(), vec![string_lists(&[&["a", "a"], &["b"]])])), [1, 1]);
    }
}
