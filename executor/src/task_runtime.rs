//! The runtime that a task gets: the executor's object stores and spill folder, a memory pool of its own.
//!
//! Ballista's cache keeps one set of object stores and file footers a session. Ours belong to the process, so every
//! session shares them and nothing is keyed. A pool per task, sized by the slots that the task takes, means that one
//! task's hunger makes that task spill and no other; the price is that a lone task cannot use its neighbours' share.

use std::sync::Arc;

use ballista_executor::runtime_cache::SessionRuntimeCache;
use datafusion::error::Result;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

use crate::task_pool::TaskPool;

/// Makes runtimes of tasks.
#[derive(Debug)]
pub(crate) struct TaskRuntimes {
    base: Arc<RuntimeEnv>,
    bytes_per_slot: usize,
}

impl TaskRuntimes {
    pub(crate) fn new(base: Arc<RuntimeEnv>, bytes_per_slot: usize) -> Self {
        Self { base, bytes_per_slot }
    }

    /// A runtime for a task that takes `slots` slots.
    pub(crate) fn for_task(&self, slots: u32) -> Result<Arc<RuntimeEnv>> {
        let bytes = self.bytes_per_slot.saturating_mul(slots.max(1) as usize);
        RuntimeEnvBuilder::from_runtime_env(&self.base).with_memory_pool(Arc::new(TaskPool::new(bytes))).build_arc()
    }
}

impl SessionRuntimeCache for TaskRuntimes {
    fn produce_runtime(&self, _session: &str, _config: &SessionConfig, slots: u32) -> Result<Arc<RuntimeEnv>> {
        self.for_task(slots)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryLimit;

    use super::*;

    #[test]
    fn tasks_share_stores_and_spill_folder_but_not_memory() {
        let runtimes = TaskRuntimes::new(Arc::new(RuntimeEnv::default()), 1000);
        let (one, three) = (runtimes.for_task(1).unwrap(), runtimes.for_task(3).unwrap());
        assert!(Arc::ptr_eq(&one.object_store_registry, &three.object_store_registry));
        assert!(Arc::ptr_eq(&one.disk_manager, &three.disk_manager));
        assert!(matches!(one.memory_pool.memory_limit(), MemoryLimit::Finite(1000)));
        assert!(matches!(three.memory_pool.memory_limit(), MemoryLimit::Finite(3000)));
    }
}
