//! `count_map(text, count)`: counts by text, as a map.
//!
//! Counts of one text are added up; the map is in ascending order of its keys. Null texts and counts do not
//! count; without any row the map is empty, never null.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, MapArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments::strings;
use super::groups::{GroupState, Groups, SingleGroup, counts};
use crate::column::map_of;

const NAME: &str = "count_map";

/// Bytes that an entry of a map costs besides its text, roughly.
const ENTRY_BYTES: usize = 64;

fn map_type() -> DataType {
    map_of(DataType::Utf8, DataType::Int64)
}

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CountMap {
    signature: Signature,
}

impl CountMap {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8, DataType::Int64], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for CountMap {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(map_type())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[map]", args.name), map_type(), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut maps = CountMaps::default();
        maps.groups.reserve(1);
        Ok(Box::new(SingleGroup(maps)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(CountMaps::default()))
    }
}

/// The counts of one group.
#[derive(Debug, Default)]
struct Counts {
    by_text: BTreeMap<String, i64>,
    text_bytes: usize,
}

impl GroupState for Counts {
    fn heap_bytes(&self) -> usize {
        self.by_text.len() * ENTRY_BYTES + self.text_bytes
    }
}

impl Counts {
    fn add(&mut self, text: &str, count: i64) {
        if let Some(sum) = self.by_text.get_mut(text) {
            *sum = sum.saturating_add(count);
        } else {
            self.text_bytes += text.len();
            self.by_text.insert(text.to_owned(), count);
        }
    }
}

fn map_array(maps: &[Counts]) -> Result<ArrayRef> {
    let entries = || maps.iter().flat_map(|counts| &counts.by_text);
    let mut keys = StringBuilder::new();
    entries().for_each(|(text, _)| keys.append_value(text));
    let keys: ArrayRef = Arc::new(keys.finish());
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(entries().map(|(_, count)| *count)));
    let DataType::Map(entry, is_sorted) = map_type() else {
        return exec_err!("the type of a map of counts is not a map");
    };
    let fields: Fields = match entry.data_type() {
        DataType::Struct(fields) => fields.clone(),
        other => return exec_err!("the entries of a map are {other}, not structs"),
    };
    let offsets = OffsetBuffer::from_lengths(maps.iter().map(|counts| counts.by_text.len()));
    let entries = StructArray::try_new(fields, vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entry, offsets, entries, None, is_sorted)?))
}

/// The counts of all groups.
#[derive(Debug, Default)]
struct CountMaps {
    groups: Groups<Counts>,
}

impl GroupsAccumulator for CountMaps {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let texts = strings(&values[0])?;
        let numbers = values[1].as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if counts(opt_filter, &texts, row) && numbers.is_valid(row) {
                self.groups.change(*group, |counts| counts.add(texts.value(row), numbers.value(row)));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        map_array(&self.groups.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![map_array(&self.groups.emit(emit_to))?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let Some(maps) = values[0].as_map_opt() else {
            return exec_err!("{NAME} merges maps, not {}", values[0].data_type());
        };
        let texts = strings(maps.keys())?;
        let numbers = maps.values().as_primitive::<Int64Type>();
        let offsets = maps.value_offsets();
        for (row, group) in group_indices.iter().enumerate() {
            for at in offsets[row]..offsets[row + 1] {
                let at = usize::try_from(at).unwrap_or_default();
                self.groups.change(*group, |counts| counts.add(texts.value(at), numbers.value(at)));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut each = Self::default();
        each.update_batch(values, &groups, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn entries(array: &ArrayRef, row: usize) -> Vec<(String, i64)> {
        let entries = array.as_map().value(row);
        let texts = entries.column(0).as_string::<i32>();
        let numbers = entries.column(1).as_primitive::<Int64Type>();
        texts.iter().map(|text| text.unwrap().to_owned()).zip(numbers.values().iter().copied()).collect()
    }

    #[test]
    fn counts_are_added_up_and_merged() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(4), Some(8)]));
        let mut counting = CountMaps::default();
        counting.update_batch(&[texts.clone(), numbers.clone()], &[0, 0, 1, 0], None, 2).unwrap();
        assert!(counting.size() > 0);
        let maps = counting.state(EmitTo::All).unwrap();
        assert_eq!(entries(&maps[0], 0), [("a".to_owned(), 2), ("b".to_owned(), 9)]);
        assert_eq!(entries(&maps[0], 1), [], "a null text makes no entry");

        let each = counting.convert_to_state(&[texts, numbers], None).unwrap();
        let mut merging = CountMaps::default();
        merging.merge_batch(&each, &[0, 0, 0, 0], 1).unwrap();
        merging.merge_batch(&maps, &[0, 0], 1).unwrap();
        let merged = merging.evaluate(EmitTo::All).unwrap();
        assert_eq!(entries(&merged, 0), [("a".to_owned(), 4), ("b".to_owned(), 18)]);
        assert_eq!(merged.data_type(), &map_type());
    }
}
