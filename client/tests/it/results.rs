//! Results handed on by the scheduler: only what is on its record, and without one reader holding up another.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action as FlightAction, Ticket};
use ballista_core::serde::protobuf::action::ActionType;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{Action, FetchPartition, GetJobStatusParams, PartitionLocation};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::CsvReadOptions;
use futures::TryStreamExt;
use prost::Message;
use quickchat_client::cluster::{Cluster, ClusterError, EmbeddedOptions, SubmitOptions};
use quickchat_executor::SchedulerUrl;
use tonic::Code;
use tonic::transport::Channel;

use crate::forward::{Failure, Forwarder};

/// Files of the table that the tests read; each is a partition of the result.
const FILES: i64 = 6;
const ROWS_PER_FILE: i64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_serves_recorded_results_and_is_no_relay() {
    let cluster = cluster().await;
    let (_data, plan) = numbers(&cluster, "select v from numbers").await;
    let job = cluster.submit(&plan, "recorded").await.unwrap();
    job.collect().await.unwrap();
    let place = places(&cluster, &job.job_id()).await.remove(0);
    let recorded = question(&job.job_id(), &place);
    let mut flight = flight(&cluster).await;

    let answer = ask(&mut flight, recorded.clone()).await.expect("what is recorded is served");
    assert!(answer > 0);

    // Somebody who would notice a visit.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let port = u32::from(elsewhere.local_addr().unwrap().port());
    for (other, code) in [
        (FetchPartition { port, ..recorded.clone() }, Code::NotFound),
        (FetchPartition { host: "localhost".to_owned(), port, ..recorded.clone() }, Code::NotFound),
        (FetchPartition { partition_id: 1000, ..recorded.clone() }, Code::NotFound),
        (FetchPartition { stage_id: 1000, ..recorded.clone() }, Code::NotFound),
        (FetchPartition { job_id: "../../etc".to_owned(), ..recorded.clone() }, Code::NotFound),
        (FetchPartition { job_id: String::new(), ..recorded.clone() }, Code::NotFound),
    ] {
        let refused = ask(&mut flight, other.clone()).await.expect_err("what is not recorded is refused");
        assert_eq!(refused.code(), code, "{other:?}: {refused:?}");
    }
    assert!(elsewhere.accept().is_err(), "the scheduler has called somebody whom a ticket named");

    // The other way of Ballista to ask for a partition, and texts that are no tickets.
    let block = FlightAction { r#type: "IO_BLOCK_TRANSPORT".to_owned(), body: ticket(recorded).ticket };
    assert_eq!(flight.do_action(block).await.err().unwrap().code(), Code::Unimplemented);
    let nonsense = Ticket { ticket: b"nonsense".to_vec().into() };
    assert_eq!(flight.do_get(nonsense).await.err().unwrap().code(), Code::InvalidArgument);
    cluster.stop().await;
}

/// All answers come over one connection. A window for the whole of it would be filled by results that wait for their
/// turn, and the one that is to be read first would never come.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_read_slowly_holds_up_no_other() {
    let cluster = cluster().await;
    let (_data, plan) = numbers(&cluster, &wide(20)).await;
    let slow = cluster.submit(&plan, "slow reader").await.unwrap();
    let mut batches = slow.stream().await.unwrap();
    let patience = Duration::from_secs(60);
    let first =
        tokio::time::timeout(patience, batches.try_next()).await.expect("the first rows come").unwrap().unwrap();
    assert!(places(&cluster, &slow.job_id()).await.len() > 1, "several results must be under way");

    let (_data, plan) = numbers(&cluster, "select count(*) as n from numbers").await;
    let other = async { cluster.submit(&plan, "other reader").await.unwrap().collect().await.unwrap() };
    let counted = tokio::time::timeout(patience, other).await.expect("the other job is not held up");
    assert_eq!(counted.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);

    let rest: Vec<RecordBatch> =
        tokio::time::timeout(patience, batches.try_collect()).await.expect("the rest comes").unwrap();
    let rows = first.num_rows() + rest.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(rows as i64, FILES * ROWS_PER_FILE);
    cluster.stop().await;
}

/// The job itself must be over before its deadline, which takes as long as the machine likes: the deadline is put off
/// until it is the result that hangs. Not beyond the 40 seconds after which a connection that says nothing is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_counts_for_the_fetching_of_a_result_too() {
    let behind = cluster().await;
    let scheduler = behind.url().endpoint();
    let scheduler = scheduler.strip_prefix("http://").unwrap();
    for seconds in [4, 12, 36] {
        let left = Arc::new(AtomicU64::new(1 << 20));
        let way = Forwarder::failing_when_spent(scheduler, &left, Failure::Hang);
        let cluster = connect(&SchedulerUrl::new("127.0.0.1", way.port)).await;
        let (_data, plan) = numbers(&cluster, &wide(4)).await;
        let deadline = Some(Duration::from_secs(seconds));
        let options = SubmitOptions { deadline, ..SubmitOptions::named("hanging result") };
        let job = cluster.submit_with(&plan, options).await.unwrap();
        let error = job.collect().await.unwrap_err();
        assert!(matches!(error, ClusterError::Deadline { .. }), "{error:?}");
        if left.load(Ordering::SeqCst) == 0 {
            assert!(!places(&behind, &job.job_id()).await.is_empty(), "a mebibyte came, and not of the result");
            drop(job);
            return behind.stop().await;
        }
    }
    panic!("the result was never asked for in time");
}

/// Ballista's own way to a result, without a name and progress, is told to go by the scheduler too.
#[tokio::test(flavor = "multi_thread")]
async fn data_frames_are_collected_through_the_scheduler() {
    let cluster = cluster().await;
    let session = cluster.session().unwrap();
    let batches = session.sql("select 40 + 2 as n").await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    cluster.stop().await;
}

// ---------------------------------------------------------------------------------------------------------------------
// Questions
// ---------------------------------------------------------------------------------------------------------------------

async fn cluster() -> Cluster {
    Cluster::embedded(EmbeddedOptions { slots: 2, ..EmbeddedOptions::default() }).await.unwrap()
}

/// Connects to a scheduler that is there, however slow the machine is.
async fn connect(url: &SchedulerUrl) -> Cluster {
    let started = Instant::now();
    loop {
        match Cluster::connect(url).await {
            Err(ClusterError::Unreachable { .. }) if started.elapsed() < Duration::from_secs(60) => {}
            ended => return ended.unwrap(),
        }
    }
}

/// A query over files of numbers, counted through, and the folder that they are in.
async fn numbers(cluster: &Cluster, sql: &str) -> (tempfile::TempDir, LogicalPlan) {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..FILES {
        let values: Vec<String> = (file * ROWS_PER_FILE..(file + 1) * ROWS_PER_FILE).map(|v| v.to_string()).collect();
        std::fs::write(folder.path().join(format!("{file}.csv")), format!("v\n{}\n", values.join("\n"))).unwrap();
    }
    let session = cluster.session().unwrap();
    session.register_csv("numbers", folder.path().to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
    let plan = session.sql(sql).await.unwrap().into_unoptimized_plan();
    (folder, plan)
}

/// A query of so many times 160 kilobytes a file, which do not compress.
fn wide(columns: u32) -> String {
    let columns = (0..columns).map(|n| format!("v * 6364136223846793005 + {n} * 1442695040888963407 as c{n}"));
    format!("select {} from numbers", columns.collect::<Vec<_>>().join(", "))
}

async fn places(cluster: &Cluster, job_id: &str) -> Vec<PartitionLocation> {
    let mut scheduler = SchedulerGrpcClient::connect(cluster.url().endpoint()).await.unwrap();
    let status = scheduler.get_job_status(GetJobStatusParams { job_id: job_id.to_owned() }).await.unwrap();
    match status.into_inner().status.unwrap().status {
        Some(Status::Successful(job)) => job.partition_location,
        other => panic!("the job has not ended well: {other:?}"),
    }
}

async fn flight(cluster: &Cluster) -> FlightServiceClient<Channel> {
    let endpoint = tonic::transport::Endpoint::new(cluster.url().endpoint()).unwrap();
    FlightServiceClient::new(endpoint.connect().await.unwrap())
}

fn question(job_id: &str, place: &PartitionLocation) -> FetchPartition {
    let (partition, executor) = (place.partition_id.clone().unwrap(), place.executor_meta.clone().unwrap());
    FetchPartition {
        job_id: job_id.to_owned(),
        stage_id: partition.stage_id,
        partition_id: partition.partition_id,
        host: executor.host,
        port: executor.port,
        file_id: place.file_id,
        ..FetchPartition::default()
    }
}

fn ticket(question: FetchPartition) -> Ticket {
    let action = Action { action_type: Some(ActionType::FetchPartition(question)), settings: Vec::new() };
    Ticket { ticket: action.encode_to_vec().into() }
}

/// How many messages the answer has.
async fn ask(flight: &mut FlightServiceClient<Channel>, question: FetchPartition) -> Result<usize, tonic::Status> {
    let messages: Vec<_> = flight.do_get(ticket(question)).await?.into_inner().try_collect().await?;
    Ok(messages.len())
}
