//! What the aggregate functions have in common: one state per group, with its memory accounted for.
//!
//! The engine asks an aggregate function for two implementations, one for `GROUP BY` and one without it.
//! Every function here has the first only; [`SingleGroup`] makes the second of it.

use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// The state of one group.
pub(super) trait GroupState: Default + Debug + Send + Sync {
    /// Bytes that the state holds outside of itself.
    fn heap_bytes(&self) -> usize;
}

/// The states of all groups. The sum of their memory is kept up to date, for the engine asks for it after
/// every batch and there may be millions of groups.
#[derive(Debug, Default)]
pub(super) struct Groups<S> {
    states: Vec<S>,
    heap_bytes: usize,
}

impl<S: GroupState> Groups<S> {
    /// Makes room for groups up to `count`; new ones are empty.
    pub(super) fn reserve(&mut self, count: usize) {
        if self.states.len() < count {
            self.states.resize_with(count, S::default);
        }
    }

    /// Changes the state of a group that there is room for.
    pub(super) fn change(&mut self, group: usize, change: impl FnOnce(&mut S)) {
        let state = &mut self.states[group];
        let before = state.heap_bytes();
        change(state);
        self.heap_bytes = self.heap_bytes + state.heap_bytes() - before;
    }

    /// Takes out the states of the first groups, or of all.
    pub(super) fn emit(&mut self, emit_to: EmitTo) -> Vec<S> {
        let states = emit_to.take_needed(&mut self.states);
        self.heap_bytes -= states.iter().map(S::heap_bytes).sum::<usize>();
        states
    }

    /// Bytes of all states.
    pub(super) fn size(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.heap_bytes
    }
}

/// Whether a row counts: the filter is true there, and `values` is not null.
pub(super) fn counts(filter: Option<&BooleanArray>, values: &dyn Array, row: usize) -> bool {
    values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// Feeds all rows to group 0.
#[derive(Debug)]
pub(super) struct SingleGroup<G>(pub(super) G);

impl<G: GroupsAccumulator + Debug + Sync> Accumulator for SingleGroup<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &zeros(values), None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.0.state(EmitTo::All)?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &zeros(states), 1)
    }
}

/// The group of each row.
fn zeros(arrays: &[ArrayRef]) -> Vec<usize> {
    vec![0; arrays.first().map_or(0, |array| array.len())]
}
