//! `exact_sum(double)`: the sum of doubles, rounded once.
//!
//! Adding doubles one after the other rounds at every step, so the result depends on the order of rows and
//! on how they were split among executors. This sum is exact until the end: the state is a list of doubles
//! that do not overlap and whose exact sum is that of all values (Shewchuk, "Adaptive Precision
//! Floating-Point Arithmetic", 1997; the same as `math.fsum` of Python). For durations the list has one to
//! three entries.
//!
//! Null values do not count; without any value the sum is null. Sums beyond the range of a double are
//! infinite. Rejected: decimals (a single absurd duration in the source would overflow them and fail the
//! job) and rounding to microseconds first (the same).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments::{list_array, range_of};
use super::groups::{GroupState, Groups, SingleGroup, counts};
use crate::column::list_element;

const NAME: &str = "exact_sum";

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    signature: Signature,
}

impl ExactSum {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format!("{}[partials]", args.name);
        Ok(vec![Arc::new(Field::new(name, DataType::List(list_element(DataType::Float64)), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut sums = ExactSums::default();
        sums.groups.reserve(1);
        Ok(Box::new(SingleGroup(sums)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ExactSums::default()))
    }
}

/// Doubles of growing magnitude that do not overlap; none before the first value.
#[derive(Debug, Default, Clone)]
struct Partials(Vec<f64>);

impl GroupState for Partials {
    fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<f64>()
    }
}

impl Partials {
    /// Adds a value without losing a bit of the sum.
    fn add(&mut self, value: f64) {
        let mut carried = value;
        let mut kept = 0;
        for at in 0..self.0.len() {
            let (mut large, mut small) = (carried, self.0[at]);
            if large.abs() < small.abs() {
                std::mem::swap(&mut large, &mut small);
            }
            let sum = large + small;
            if !sum.is_finite() {
                self.0 = vec![sum];
                return;
            }
            let lost = small - (sum - large);
            if lost != 0.0 {
                self.0[kept] = lost;
                kept += 1;
            }
            carried = sum;
        }
        self.0.truncate(kept);
        self.0.push(carried);
    }

    /// The exact sum, rounded to the nearest double, ties to even.
    fn rounded(&self) -> Option<f64> {
        let (&largest, rest) = self.0.split_last()?;
        let mut sum = largest;
        for (at, &partial) in rest.iter().enumerate().rev() {
            let before = sum;
            sum = before + partial;
            let lost = partial - (sum - before);
            if lost == 0.0 {
                continue;
            }
            // `lost` is at most half a unit of the sum. If it is exactly half, the partials below decide
            // which way to round: towards them when they go the same way.
            let same_way = at > 0 && (lost < 0.0) == (rest[at - 1] < 0.0);
            let doubled = lost * 2.0;
            let other = sum + doubled;
            if same_way && doubled == other - sum {
                sum = other;
            }
            break;
        }
        Some(sum)
    }
}

/// The sums of all groups.
#[derive(Debug, Default)]
struct ExactSums {
    groups: Groups<Partials>,
}

fn partials_array(lists: &[Partials]) -> Result<ArrayRef> {
    let values: Vec<f64> = lists.iter().flat_map(|partials| partials.0.iter().copied()).collect();
    Ok(Arc::new(ListArray::try_new(
        list_element(DataType::Float64),
        OffsetBuffer::from_lengths(lists.iter().map(|partials| partials.0.len())),
        Arc::new(Float64Array::from(values)),
        None,
    )?))
}

impl GroupsAccumulator for ExactSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            if counts(opt_filter, values, row) {
                self.groups.change(*group, |partials| partials.add(values.value(row)));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums: Float64Array = self.groups.emit(emit_to).iter().map(Partials::rounded).collect();
        Ok(Arc::new(sums))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![partials_array(&self.groups.emit(emit_to))?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let lists = list_array(NAME, &values[0])?;
        let partials = lists.values().as_primitive::<Float64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            for at in range_of(lists, row) {
                self.groups.change(*group, |state| state.add(partials.value(at)));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Float64Type>();
        let lists: Vec<Partials> = (0..values.len())
            .map(|row| Partials(if counts(opt_filter, values, row) { vec![values.value(row)] } else { Vec::new() }))
            .collect();
        Ok(vec![partials_array(&lists)?])
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Option<f64> {
        let mut partials = Partials::default();
        values.iter().for_each(|value| partials.add(*value));
        partials.rounded()
    }

    #[test]
    fn nothing_is_lost_whatever_the_order() {
        assert_eq!(sum(&[]), None);
        assert_eq!(sum(&[0.0]), Some(0.0));
        assert_eq!(sum(&[0.1; 10]), Some(1.0), "adding up one by one gives 0.9999999999999999");
        assert_eq!(sum(&[1e100, 1.0, -1e100]), Some(1.0));
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), Some(2.0));
        assert_eq!(sum(&[-1e100, 1.0, 1e100, 1.0]), Some(2.0));
    }

    #[test]
    fn halves_are_rounded_by_what_is_below_them() {
        let half_unit = f64::EPSILON / 2.0;
        assert_eq!(sum(&[1.0, half_unit]), Some(1.0), "a tie goes to the even neighbour");
        assert_eq!(sum(&[1.0, half_unit, 1e-300]), Some(1.0 + f64::EPSILON));
        assert_eq!(sum(&[1.0, half_unit, -1e-300]), Some(1.0));
    }

    #[test]
    fn sums_beyond_the_range_are_infinite() {
        assert_eq!(sum(&[f64::MAX, f64::MAX, 1.0]), Some(f64::INFINITY));
    }

    #[test]
    fn states_merge_to_the_same_sum() {
        let values = [1e16, 1.0, 0.1, -1e16, 1e-9, 3.5];
        let whole = sum(&values);
        for split in 0..=values.len() {
            let mut merged = ExactSums::default();
            for part in [&values[..split], &values[split..]] {
                let array: ArrayRef = Arc::new(Float64Array::from(part.to_vec()));
                let mut sums = ExactSums::default();
                sums.update_batch(&[array], &vec![0; part.len()], None, 1).unwrap();
                let state = sums.state(EmitTo::All).unwrap();
                merged.merge_batch(&state, &[0], 1).unwrap();
            }
            let result = merged.evaluate(EmitTo::All).unwrap();
            assert_eq!(Some(result.as_primitive::<Float64Type>().value(0)), whole, "split at {split}");
        }
    }

    #[test]
    fn filters_nulls_and_partly_emitted_groups() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(4.0), Some(8.0)]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(false), Some(true)]);
        let mut sums = ExactSums::default();
        sums.update_batch(std::slice::from_ref(&array), &[0, 1, 2, 3], Some(&filter), 4).unwrap();
        assert!(sums.size() >= 2 * size_of::<f64>());
        let first = sums.evaluate(EmitTo::First(3)).unwrap();
        assert_eq!(first.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(1.0), None, None]));
        let rest = sums.evaluate(EmitTo::All).unwrap();
        assert_eq!(rest.as_primitive::<Float64Type>(), &Float64Array::from(vec![8.0]));

        let states = ExactSums::default().convert_to_state(&[array], Some(&filter)).unwrap();
        let lengths: Vec<i32> = (0..4).map(|row| states[0].as_list::<i32>().value_length(row)).collect();
        assert_eq!(lengths, [1, 0, 0, 1]);
    }
}
