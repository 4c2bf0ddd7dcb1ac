//! Refuses a task whose shuffled input names the output of one map task twice.
//!
//! When an executor is lost while a stage runs whose finished tasks have already told the next stage where their output
//! lies, the scheduler starts that stage again and keeps the places of the first attempt as long as their executor
//! lives. The next stage then reads these rows twice, without an error. Tasks of an attempt are numbered from 0, so the
//! second attempt repeats numbers of the first, while outputs have names of their own ([`crate::task_engine`]): the same
//! number with two names for one partition is a double. Which of the two to believe cannot be said, since the attempts
//! may have cut their input otherwise; so the job fails with [`DOUBLED_INPUT`], and whoever submitted it runs it again.

use std::collections::HashMap;
use std::sync::Arc;

use ballista_core::execution_plans::ShuffleReaderExec;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;

/// Words by which the failure is known wherever it is reported.
pub const DOUBLED_INPUT: &str = "the output of a lost attempt is among the input of this stage";

/// Fails if a reader in the plan would read rows twice.
pub(crate) fn refuse(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    use datafusion::common::tree_node::TreeNode;
    plan.apply(|node| match node.downcast_ref::<ShuffleReaderExec>() {
        Some(reader) if has_doubles(reader) => {
            Err(DataFusionError::Execution(format!("{DOUBLED_INPUT} (stage {})", reader.stage_id)))
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

fn has_doubles(reader: &ShuffleReaderExec) -> bool {
    let mut names = HashMap::new();
    reader.partition.iter().flatten().any(|place| {
        let id = &place.partition_id;
        let known = names.entry((id.stage_id, place.map_partition_id, id.partition_id)).or_insert(place.file_id);
        *known != place.file_id
    })
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::scheduler::{
        ExecutorMetadata, ExecutorOperatingSystemSpecification, ExecutorSpecification, PartitionId, PartitionLocation,
        PartitionStats,
    };
    use datafusion::arrow::datatypes::Schema;
    use datafusion::physical_plan::Partitioning;

    use super::*;

    fn place(map_task: usize, partition: usize, file: u64) -> PartitionLocation {
        PartitionLocation {
            map_partition_id: map_task,
            partition_id: PartitionId { job_id: "job".into(), stage_id: 1, partition_id: partition },
            executor_meta: ExecutorMetadata {
                id: "executor".to_owned(),
                host: "localhost".to_owned(),
                port: 1,
                grpc_port: 2,
                specification: ExecutorSpecification::default(),
                os_info: ExecutorOperatingSystemSpecification::default(),
            },
            partition_stats: PartitionStats::default(),
            file_id: Some(file),
            is_sort_shuffle: false,
        }
    }

    fn reader(partitions: Vec<Vec<PartitionLocation>>) -> Arc<dyn ExecutionPlan> {
        let count = partitions.len();
        let partitioning = Partitioning::UnknownPartitioning(count);
        Arc::new(ShuffleReaderExec::try_new(1, partitions, Arc::new(Schema::empty()), partitioning).unwrap())
    }

    #[test]
    fn each_task_once_for_each_partition_is_right() {
        let places = |partition| vec![place(0, partition, 7), place(1, partition, 8), place(0, partition, 7)];
        refuse(&reader(vec![places(0), places(1)])).unwrap();
    }

    #[test]
    fn one_number_with_two_names_is_refused() {
        let error = refuse(&reader(vec![vec![place(0, 0, 7)], vec![place(0, 1, 7), place(0, 1, 9)]])).unwrap_err();
        assert!(error.to_string().contains(DOUBLED_INPUT), "{error}");
    }
}
