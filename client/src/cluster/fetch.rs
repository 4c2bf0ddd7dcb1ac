//! Fetching a job's result from the executors that hold it.
//!
//! The partitions of the last stage lie on the executors that ran it. Invariant: each partition is fetched once. The
//! static planner only ever adds to the list of places: when an executor is lost while the last stage runs, the list
//! of the finished job can name a partition twice, one place being dead or, if the executor was only slow, alive with
//! the same rows. A list with such a double is refused and the job runs again, rather than guessing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ballista_core::client::BallistaClient;
use ballista_core::serde::protobuf::PartitionLocation;
use datafusion::physical_plan::SendableRecordBatchStream;
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// How often a read of one partition is tried, and how long it waits in between. A dead executor stays dead, and a
/// job can run again, so this is short.
const ATTEMPTS: u8 = 2;
const PAUSE_MS: u64 = 100;

type Clients = HashMap<(String, u16), BallistaClient>;

/// Connections to executors, opened once.
#[derive(Clone)]
pub(super) struct Fetcher {
    clients: Arc<Mutex<Clients>>,
    runtime: Handle,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("executors", &self.clients.lock().len()).finish()
    }
}

/// A partition that could not be had, and from where.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) executor: String,
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fetcher {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { clients: Arc::default(), runtime }
    }

    /// Opens the stream of one partition.
    pub(super) async fn open(
        &self,
        location: PartitionLocation,
        max_message_bytes: usize,
    ) -> Result<SendableRecordBatchStream, FetchError> {
        let layout = location.layout();
        let nowhere = |what: &str| FetchError { executor: "unknown".to_owned(), source: what.into() };
        let executor = location.executor_meta.ok_or_else(|| nowhere("the place of a partition names no executor"))?;
        let partition = location.partition_id.ok_or_else(|| nowhere("the place of a partition names no partition"))?;
        let port = u16::try_from(executor.port).map_err(|_| nowhere("the executor's port is no port"))?;
        let address = (executor.host, port);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            self.clients.lock().remove(&address);
            FetchError { executor: format!("{}:{}", address.0, address.1), source }
        };
        let mut client = self.client(&address, max_message_bytes).await.map_err(failed)?;
        client
            .fetch_partition(&executor.id, &partition.into(), location.file_id, layout, true)
            .await
            .map_err(|error| failed(Box::new(error)))
    }

    async fn client(
        &self,
        address: &(String, u16),
        max_message_bytes: usize,
    ) -> Result<BallistaClient, Box<dyn std::error::Error + Send + Sync>> {
        if let Some(client) = self.clients.lock().get(address) {
            return Ok(client.clone());
        }
        let (host, port) = address.clone();
        let connecting = self.runtime.spawn(async move {
            BallistaClient::try_new(&host, port, max_message_bytes, false, None, ATTEMPTS, PAUSE_MS, 0, 0).await
        });
        let client = connecting.await??;
        self.clients.lock().insert(address.clone(), client.clone());
        Ok(client)
    }
}

/// The places of a finished job's partitions in the order of the partitions, or `None` when one is named twice.
pub(super) fn each_once(mut locations: Vec<PartitionLocation>) -> Option<Vec<PartitionLocation>> {
    let number = |location: &PartitionLocation| location.partition_id.as_ref().map(|id| (id.stage_id, id.partition_id));
    let distinct: HashSet<_> = locations.iter().map(number).collect();
    if distinct.len() < locations.len() {
        return None;
    }
    locations.sort_by_key(number);
    Some(locations)
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::PartitionId;

    use super::*;

    fn place(partition_id: u32) -> PartitionLocation {
        let id = PartitionId { job_id: "job".to_owned(), stage_id: 2, partition_id };
        PartitionLocation { partition_id: Some(id), ..PartitionLocation::default() }
    }

    #[test]
    fn partitions_are_put_in_order_and_doubles_are_refused() {
        let ordered = each_once(vec![place(2), place(0), place(1)]).unwrap();
        let numbers: Vec<_> = ordered.iter().map(|place| place.partition_id.clone().unwrap().partition_id).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert!(each_once(vec![place(0), place(1), place(0)]).is_none());
        assert_eq!(each_once(Vec::new()), Some(Vec::new()));
    }
}
