//! The memory pool of a task: spilling operators share it evenly, and never take all of it.
//!
//! A sort that has spilled merges its runs at the end, and for that needs a little memory which it cannot spill.
//! DataFusion's `FairSpillPool` lets the spilling operators of a task, say the two sorts below a join, fill the pool to
//! the last byte; the one that merges first then fails for want of some hundred kilobytes, however large the pool is.
//! Here a part is kept from them. The rest is as there: each gets an equal share, and what cannot spill comes first.

use std::fmt;

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use parking_lot::Mutex;

/// The part of a pool that operators which can spill leave alone: one of so many.
const KEPT_FROM_SPILLERS: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct TaskPool {
    bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
}

impl TaskPool {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, state: Mutex::default() }
    }

    /// How much one more request of a consumer may take.
    fn available(&self, state: &State, reservation: &MemoryReservation) -> usize {
        if !reservation.consumer().can_spill() {
            return self.bytes.saturating_sub(state.unspillable + state.spillable);
        }
        let kept = state.unspillable.max(self.bytes / KEPT_FROM_SPILLERS);
        let share = self.bytes.saturating_sub(kept) / state.spillers.max(1);
        share.saturating_sub(reservation.size())
    }
}

impl State {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        if reservation.consumer().can_spill() { &mut self.spillable } else { &mut self.unspillable }
    }
}

impl MemoryPool for TaskPool {
    fn name(&self) -> &str {
        "task"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.state.lock().spillers += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            let mut state = self.state.lock();
            state.spillers = state.spillers.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.state.lock().of(reservation) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state.lock();
        let held = state.of(reservation);
        *held = held.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.state.lock();
        let available = self.available(&state, reservation);
        if additional > available {
            let (name, held) = (reservation.consumer().name(), reservation.size());
            return Err(resources_datafusion_err!(
                "{name} holds {held} bytes and needs {additional} more, of which {available} are left of the {} that a \
                 task has; give the executors more memory with --memory",
                self.bytes
            ));
        }
        *state.of(reservation) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.state.lock();
        state.spillable + state.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pool() -> Arc<dyn MemoryPool> {
        Arc::new(TaskPool::new(800))
    }

    #[test]
    fn spillers_share_and_leave_room_to_merge() {
        let pool = pool();
        let sort = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (left, right) = (sort("left"), sort("right"));
        left.try_grow(350).unwrap();
        right.try_grow(350).unwrap();
        assert!(left.try_grow(1).is_err(), "an eighth is not theirs");
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(100).unwrap();
        let error = merge.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("merge holds 100 bytes") && error.contains("--memory"), "{error}");
        drop(right);
        merge.try_grow(200).unwrap();
        assert!(left.try_grow(151).is_err(), "what cannot spill comes first");
        left.try_grow(150).unwrap();
        assert_eq!(pool.reserved(), 800);
    }

    #[test]
    fn memory_comes_back() {
        let pool = pool();
        {
            let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
            sort.try_grow(700).unwrap();
            sort.shrink(300);
            sort.try_grow(300).unwrap();
        }
        assert_eq!(pool.reserved(), 0);
        let all = MemoryConsumer::new("all").register(&pool);
        all.try_grow(800).unwrap();
    }
}
