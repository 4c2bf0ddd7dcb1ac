//! Fetching a job's result, through the scheduler.
//!
//! The partitions of the last stage lie on the executors that ran it. The scheduler hands them on, so a client needs a
//! route to the scheduler and to no executor, wherever that runs. Rejected: asking the executors first and the scheduler
//! where that fails. It would save a hop for results, which are small (rows stay on the executors), and cost a time-out
//! for each executor behind a firewall, and a second path that is seldom walked.
//!
//! Invariant: each partition is fetched once. The static planner only ever adds to the list of places: when an executor
//! is lost while the last stage runs, the list of the finished job can name a partition twice, one place being dead or,
//! if the executor was only slow, alive with the same rows. A list with such a double is refused and the job runs again,
//! rather than guessing.

use std::collections::HashSet;
use std::time::Duration;

use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use ballista_core::serde::protobuf::action::ActionType;
use ballista_core::serde::protobuf::{Action, FetchPartition, PartitionLocation, ShuffleFileKind, ShuffleLayout};
use datafusion::arrow::record_batch::RecordBatch;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Code, Status};

use super::remote::SchedulerConnection;

/// How often the opening of one partition is tried, and how long it waits in between: a connection may just have been
/// closed. A dead executor stays dead, and a job can run again, so this is short.
const ATTEMPTS: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// A partition that could not be had, and where it lies.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) executor: String,
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

/// The rows of one partition, or what became of them.
pub(super) type Batches = BoxStream<'static, Result<RecordBatch, FetchError>>;

/// Opens the stream of one partition.
pub(super) async fn open(scheduler: &SchedulerConnection, place: PartitionLocation) -> Result<Batches, FetchError> {
    let executor = address_of(&place);
    let ticket = ticket(place).map_err(|what| FetchError { executor: executor.clone(), source: what.into() })?;
    let mut attempt = 1;
    let answer = loop {
        match scheduler.results().do_get(ticket.clone()).await {
            Ok(answer) => break answer.into_inner(),
            Err(status) if attempt < ATTEMPTS && may_pass(&status) => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(status) => return Err(FetchError { executor, source: words(&status).into() }),
        }
    };
    let messages = answer.map_err(|status| FlightError::Tonic(Box::new(status)));
    let batches = FlightRecordBatchStream::new_from_flight_data(messages).map_err(move |error| {
        let source = match error {
            FlightError::Tonic(status) => words(&status).into(),
            other => Box::new(other) as _,
        };
        FetchError { executor: executor.clone(), source }
    });
    Ok(batches.boxed())
}

/// Whether the same question may be answered a moment later.
fn may_pass(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown)
}

/// What a refusal says, without the wrapping that is for programs.
fn words(status: &Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    }
}

/// Ballista's question for a whole partition.
fn ticket(place: PartitionLocation) -> Result<Ticket, &'static str> {
    let layout = ShuffleLayout::from(place.layout()) as i32;
    let executor = place.executor_meta.ok_or("the place of a partition names no executor")?;
    let partition = place.partition_id.ok_or("the place of a partition names no partition")?;
    let fetch = FetchPartition {
        job_id: partition.job_id,
        stage_id: partition.stage_id,
        partition_id: partition.partition_id,
        host: executor.host,
        port: executor.port,
        file_id: place.file_id,
        layout,
        file_kind: ShuffleFileKind::Data as i32,
        byte_ranges: Vec::new(),
    };
    let action = Action { action_type: Some(ActionType::FetchPartition(fetch)), settings: Vec::new() };
    Ok(Ticket { ticket: action.encode_to_vec().into() })
}

fn address_of(place: &PartitionLocation) -> String {
    place.executor_meta.as_ref().map_or_else(|| "unknown".to_owned(), |one| format!("{}:{}", one.host, one.port))
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
