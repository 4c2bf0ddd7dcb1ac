//! `distinct_others(list, self)`: how many distinct strings all lists of a group hold, `self` left out.
//!
//! Counting a user's contacts by unnesting makes a row of every participant of every conversation that the
//! user wrote to, with two long ids each. Here a contact of a group costs four bytes: ids are numbered once
//! per accumulator. Null lists hold nothing; the count is never null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, StringArray, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{HashMap, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments::{is_string, list_array, list_element_type, range_of, strings};
use super::groups::{GroupState, Groups, SingleGroup, counts};
use crate::column::list_element;

const NAME: &str = "distinct_others";

/// Numbers that a group may hold beyond twice the distinct ones before repeated ones are removed.
const SLACK: usize = 32;

/// Bytes that a numbered string costs besides its text, roughly: two pointers with counts, a number and
/// the table's slack.
const NUMBERED_BYTES: usize = 64;

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DistinctOthers {
    signature: Signature,
}

impl DistinctOthers {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for DistinctOthers {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let element = list_element_type(NAME, arguments, 0)?;
        if !is_string(element.data_type()) || !arguments.get(1).is_some_and(is_string) {
            return plan_err!("{NAME} takes a list of strings and a string, not {arguments:?}");
        }
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[others]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::List(list_element(DataType::Utf8)), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut others = OthersOfGroups::default();
        others.groups.reserve(1);
        Ok(Box::new(SingleGroup(others)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OthersOfGroups::default()))
    }
}

/// Strings by number and numbers by string.
#[derive(Debug, Default)]
struct Numbering {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    bytes: usize,
}

impl Numbering {
    fn number(&mut self, text: &str) -> Result<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let Ok(number) = u32::try_from(self.texts.len()) else {
            return datafusion::common::exec_err!(
                "{NAME} cannot tell more than {} strings apart in one task",
                u32::MAX
            );
        };
        let text: Arc<str> = text.into();
        self.bytes += text.len() + NUMBERED_BYTES;
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        Ok(number)
    }
}

/// The strings of a group, by number. Those up to `distinct` are sorted and differ from each other.
#[derive(Debug, Default)]
struct Others {
    numbers: Vec<u32>,
    distinct: usize,
}

impl GroupState for Others {
    fn heap_bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>()
    }
}

impl Others {
    fn add(&mut self, number: u32) {
        if self.numbers.len() >= 2 * self.distinct + SLACK {
            self.make_distinct();
        }
        self.numbers.push(number);
    }

    fn make_distinct(&mut self) {
        self.numbers.sort_unstable();
        self.numbers.dedup();
        self.distinct = self.numbers.len();
    }
}

/// The strings of all groups.
#[derive(Debug, Default)]
struct OthersOfGroups {
    numbering: Numbering,
    groups: Groups<Others>,
}

impl OthersOfGroups {
    /// Adds the strings of one list to a group, without `own`.
    fn add(
        &mut self,
        group: usize,
        texts: &StringArray,
        range: std::ops::Range<usize>,
        own: Option<&str>,
    ) -> Result<()> {
        for at in range {
            if texts.is_valid(at) && Some(texts.value(at)) != own {
                let number = self.numbering.number(texts.value(at))?;
                self.groups.change(group, |others| others.add(number));
            }
        }
        Ok(())
    }

    fn emit_distinct(&mut self, emit_to: EmitTo) -> Vec<Others> {
        let mut groups = self.groups.emit(emit_to);
        groups.iter_mut().for_each(Others::make_distinct);
        groups
    }
}

impl GroupsAccumulator for OthersOfGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let lists = list_array(NAME, &values[0])?;
        let texts = strings(lists.values())?;
        let owns = strings(&values[1])?;
        for (row, group) in group_indices.iter().enumerate() {
            if counts(opt_filter, lists, row) {
                let own = owns.is_valid(row).then(|| owns.value(row));
                self.add(*group, &texts, range_of(lists, row), own)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit_distinct(emit_to);
        let counts = groups.iter().map(|others| i64::try_from(others.distinct).unwrap_or(i64::MAX));
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emit_distinct(emit_to);
        let mut texts = StringBuilder::new();
        for number in groups.iter().flat_map(|others| &others.numbers) {
            // Every number was given out by this numbering, and a u32 fits an index.
            texts.append_value(&self.numbering.texts[*number as usize]);
        }
        Ok(vec![Arc::new(ListArray::try_new(
            list_element(DataType::Utf8),
            OffsetBuffer::from_lengths(groups.iter().map(|others| others.numbers.len())),
            Arc::new(texts.finish()),
            None,
        )?)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let lists = list_array(NAME, &values[0])?;
        let texts = strings(lists.values())?;
        for (row, group) in group_indices.iter().enumerate() {
            self.add(*group, &texts, range_of(lists, row), None)?;
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
        self.groups.size() + self.numbering.bytes
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn lists(rows: &[&[&str]]) -> ArrayRef {
        Arc::new(ListArray::new(
            list_element(DataType::Utf8),
            OffsetBuffer::from_lengths(rows.iter().map(|row| row.len())),
            Arc::new(StringArray::from(rows.concat())),
            None,
        ))
    }

    fn longs(array: &ArrayRef) -> Vec<i64> {
        array.as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn lists_of_a_group_are_united_without_oneself() {
        let mut others = OthersOfGroups::default();
        let own: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a", "c"]));
        let given = lists(&[&["a", "b"], &["b", "a"], &["b", "c", "a", "c"], &["c"]]);
        others.update_batch(&[given.clone(), own.clone()], &[0, 1, 0, 2], None, 3).unwrap();
        assert_eq!(longs(&others.evaluate(EmitTo::All).unwrap()), [2, 1, 0]);

        let states = others.convert_to_state(&[given, own], None).unwrap();
        let mut merged = OthersOfGroups::default();
        merged.merge_batch(&states, &[0, 1, 0, 2], 3).unwrap();
        assert!(merged.size() > 0);
        assert_eq!(longs(&merged.evaluate(EmitTo::First(2)).unwrap()), [2, 1]);
        assert_eq!(longs(&merged.evaluate(EmitTo::All).unwrap()), [0]);
    }

    #[test]
    fn repeated_strings_do_not_pile_up() {
        let mut others = Others::default();
        for round in 0..10_000_u32 {
            others.add(round % 10);
        }
        assert!(others.numbers.len() <= 2 * 10 + SLACK);
        others.make_distinct();
        assert_eq!(others.distinct, 10);
    }
}
