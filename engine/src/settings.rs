//! Session settings, the same on every side.

use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;

/// Bound on one gRPC message; plans with the file lists of large tables exceed the default of 16 MiB.
pub const GRPC_MESSAGE_BYTES: usize = 64 << 20;

/// Build sides of joins up to this size are sent whole to every task. Ballista's default of 128 MiB would be held once
/// per task, which is more memory than all the rest.
pub(crate) const BROADCAST_BYTES: usize = 16 << 20;

/// The settings of a session with `slots` tasks at a time.
pub fn session_config(slots: usize) -> SessionConfig {
    let mut config = SessionConfig::new_with_ballista()
        .with_target_partitions(slots.max(1))
        .with_ballista_grpc_client_max_message_size(GRPC_MESSAGE_BYTES);
    for (key, value) in SETTINGS {
        config = config.set_str(key, value);
    }
    config.set_str("ballista.optimizer.broadcast_join_threshold_bytes", &BROADCAST_BYTES.to_string())
}

const SETTINGS: &[(&str, &str)] = &[
    // The scheduler pushes the status of a job; polling for it costs up to 100 ms a query.
    ("ballista.client.pull", "false"),
    // The static planner: its stages do not depend on what ran before, so runs repeat exactly.
    ("ballista.planner.adaptive.enabled", "false"),
    // Ballista's default, sort-merge joins, stays: they spill. With `prefer_hash_join` its static planner turns some
    // hash joins that run in one task into joins of many tasks after the plan was made to fit one, and what stands
    // above them then works on parts of its input.
    // Parquet's own statistics are used for pruning; whole-file statistics come from the Delta log.
    ("datafusion.execution.collect_statistics", "false"),
];
