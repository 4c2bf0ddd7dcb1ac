//! Results of finished jobs, handed on to clients that cannot reach the executors.
//!
//! The partitions of a job's last stage lie on the executors that ran it. A client asks here for one of them, by
//! Ballista's own ticket, over the connection that it has already; the scheduler asks the executor and passes the
//! messages on as they come, without decoding them. It holds at most what the flow control of one stream lets it, so a
//! client that reads slowly costs no memory and holds up nobody else.
//!
//! Ballista's proxy connects to whatever host and port a ticket names, which makes the scheduler an open relay into its
//! network, and has executors open whatever path a ticket's job id spells. Here a ticket is no more than a question: it
//! is compared with the places that the scheduler itself has recorded for a job that succeeded, the executor must be
//! registered at this moment, and what is sent to it is made anew from the record. Nothing that a caller wrote leaves
//! the scheduler.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket,
};
use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::action::ActionType as BallistaAction;
use ballista_core::serde::protobuf::job_status;
use ballista_core::serde::protobuf::{
    Action as BallistaTicket, FetchPartition, PartitionLocation, ShuffleFileKind, ShuffleLayout,
};
use ballista_core::serde::scheduler::ExecutorMetadata;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::server::Server;

/// How long a registered executor may take to accept a connection. One that is gone refuses at once, or is out of the
/// list soon; the job runs again either way, so there is no point in waiting long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often an executor that sends a result is asked for a sign of life, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How much of one result may be under way from an executor and not yet taken by the client.
const STREAM_WINDOW: u32 = 1 << 20;
/// All results of one executor come over one connection. Its window is without a bound, or a few results that their
/// clients do not read would fill it and hold up all others; each stream has a bound of its own.
const CONNECTION_WINDOW: u32 = i32::MAX as u32;

/// Serves the results of finished jobs by Arrow Flight's `DoGet`.
pub(crate) struct Results {
    server: Arc<Server>,
    max_message_bytes: usize,
    /// Connections to executors by their ids.
    executors: Mutex<HashMap<String, Channel>>,
}

impl Results {
    pub(crate) fn new(server: &Arc<Server>, max_message_bytes: usize) -> Self {
        Self { server: Arc::clone(server), max_message_bytes, executors: Mutex::default() }
    }

    /// The recorded place of the partition that a ticket asks for.
    async fn place(&self, wanted: &FetchPartition) -> Result<PartitionLocation, Status> {
        let job_id = JobId::from(wanted.job_id.clone());
        let status = self.server.state.task_manager.get_job_status(&job_id).await;
        let status = status.map_err(|error| Status::internal(error.to_string()))?;
        match status.and_then(|job| job.status) {
            Some(job_status::Status::Successful(job)) => {
                job.partition_location.into_iter().find(|place| is_meant(place, wanted)).ok_or_else(|| {
                    let FetchPartition { job_id, stage_id, partition_id, host, port, .. } = wanted;
                    Status::not_found(format!(
                        "job {job_id} has no result for partition {partition_id} of stage {stage_id} on {host}:{port}"
                    ))
                })
            }
            Some(_) => Err(Status::failed_precondition(format!("job {job_id} has not ended well, or not yet"))),
            None => Err(Status::not_found(format!("the scheduler does not know job {job_id}"))),
        }
    }

    /// The executor that holds a place, if it is still one of ours.
    async fn executor(&self, place: &PartitionLocation) -> Result<ExecutorMetadata, Status> {
        let holder = place.executor_meta.as_ref().ok_or_else(|| Status::internal("a place names no executor"))?;
        let registered = self.server.state.executor_manager.get_executor_metadata(&holder.id).await.ok();
        registered
            .filter(|known| known.host == holder.host && u32::from(known.port) == holder.port)
            .ok_or_else(|| Status::unavailable(format!("executor {}:{} is gone", holder.host, holder.port)))
    }

    async fn channel(&self, executor: &ExecutorMetadata) -> Result<Channel, Status> {
        if let Some(channel) = self.executors.lock().get(&executor.id) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::new(format!("http://{}:{}", executor.host, executor.port))
            .map_err(|error| Status::internal(format!("an executor's address is none: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // An executor whose machine is gone without a word would otherwise be waited for without end.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        // Connects with the first request, and again when the connection is lost.
        let channel = endpoint.connect_lazy();
        let registered = self.server.state.executor_manager.get_executors_state().await;
        let registered = registered.map_err(|error| Status::internal(error.to_string()))?;
        let mut executors = self.executors.lock();
        executors.retain(|id, _| registered.iter().any(|(known, ..)| known.id == *id));
        executors.insert(executor.id.clone(), channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl FlightService for Results {
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let place = self.place(&asked_for(&request.into_inner())?).await?;
        let executor = self.executor(&place).await?;
        let address = format!("{}:{}", executor.host, executor.port);
        let mut flight = FlightServiceClient::new(self.channel(&executor).await?)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes);
        let answer =
            flight.do_get(ticket(&place, &executor)?).await.map_err(|status| of_executor(&address, &status))?;
        let messages = answer.into_inner().map(move |message| message.map_err(|status| of_executor(&address, &status)));
        Ok(Response::new(messages.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(only_results())
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(only_results())
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(only_results())
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(only_results())
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(only_results())
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Err(only_results())
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(only_results())
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        Err(only_results())
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(only_results())
    }
}

fn only_results() -> Status {
    Status::unimplemented("the scheduler serves results of jobs by DoGet, and nothing else by Arrow Flight")
}

/// What a ticket asks for: a whole partition.
fn asked_for(ticket: &Ticket) -> Result<FetchPartition, Status> {
    let not_ours = || Status::invalid_argument("the ticket does not ask for a partition of a job's result");
    let BallistaTicket { action_type, .. } = BallistaTicket::decode(ticket.ticket.clone()).map_err(|_| not_ours())?;
    let Some(BallistaAction::FetchPartition(wanted)) = action_type else { return Err(not_ours()) };
    Ok(wanted)
}

/// Whether a recorded place is the one that is asked for.
fn is_meant(place: &PartitionLocation, wanted: &FetchPartition) -> bool {
    let partition = place.partition_id.as_ref();
    let holder = place.executor_meta.as_ref();
    partition.is_some_and(|own| (own.stage_id, own.partition_id) == (wanted.stage_id, wanted.partition_id))
        && holder.is_some_and(|own| own.host == wanted.host && own.port == wanted.port)
        && place.file_id == wanted.file_id
}

/// The question to the executor, from the record alone.
fn ticket(place: &PartitionLocation, executor: &ExecutorMetadata) -> Result<Ticket, Status> {
    let partition = place.partition_id.as_ref().ok_or_else(|| Status::internal("a place names no partition"))?;
    let fetch = FetchPartition {
        job_id: partition.job_id.clone(),
        stage_id: partition.stage_id,
        partition_id: partition.partition_id,
        host: executor.host.clone(),
        port: u32::from(executor.port),
        file_id: place.file_id,
        layout: ShuffleLayout::from(place.layout()) as i32,
        file_kind: ShuffleFileKind::Data as i32,
        byte_ranges: Vec::new(),
    };
    let action = BallistaTicket { action_type: Some(BallistaAction::FetchPartition(fetch)), settings: Vec::new() };
    Ok(Ticket { ticket: action.encode_to_vec().into() })
}

/// An executor's refusal, or that it could not be asked.
fn of_executor(address: &str, status: &Status) -> Status {
    Status::new(status.code(), format!("executor {address}: {}", status.message()))
}

#[cfg(test)]
mod tests {
    use ballista_core::serde::protobuf::{ExecutorMetadata as Holder, PartitionId};

    use super::*;

    fn place() -> PartitionLocation {
        let partition = PartitionId { job_id: "job".to_owned(), stage_id: 2, partition_id: 3 };
        let holder = Holder { id: "one".to_owned(), host: "host".to_owned(), port: 7, ..Holder::default() };
        PartitionLocation {
            partition_id: Some(partition),
            executor_meta: Some(holder),
            file_id: Some(5),
            ..PartitionLocation::default()
        }
    }

    fn wanted() -> FetchPartition {
        let (job_id, host) = ("job".to_owned(), "host".to_owned());
        FetchPartition { job_id, stage_id: 2, partition_id: 3, host, port: 7, file_id: Some(5), ..Default::default() }
    }

    #[test]
    fn only_a_recorded_place_is_served() {
        assert!(is_meant(&place(), &wanted()));
        for other in [
            FetchPartition { stage_id: 1, ..wanted() },
            FetchPartition { partition_id: 4, ..wanted() },
            FetchPartition { host: "elsewhere".to_owned(), ..wanted() },
            FetchPartition { port: 22, ..wanted() },
            FetchPartition { file_id: None, ..wanted() },
        ] {
            assert!(!is_meant(&place(), &other), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_ticket_is_the_callers_mistake() {
        for bytes in [&[0xff, 0xff, 0xff][..], &[]] {
            let refused = asked_for(&Ticket { ticket: bytes.to_vec().into() }).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
    }
}
