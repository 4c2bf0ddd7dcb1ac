//! Finding the scheduler.

use std::net::Ipv4Addr;

use quickchat_client::cluster::{Cluster, ClusterError, ErrorClass};
use quickchat_executor::SchedulerUrl;

use super::functions::engine;
use super::queries::{PATIENCE, connect, wait_until};
use crate::forward::Forwarder;
use crate::process::{Running, program};
use crate::remote::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_out_of_reach_is_a_clear_error() {
    // Port 1: a port that is merely free now may be taken by a scheduler of another test before it is tried.
    let url = SchedulerUrl::new("127.0.0.1", 1);
    let connecting = tokio::time::timeout(PATIENCE, Cluster::connect_with(engine(), &url));
    let error = connecting.await.expect("connecting does not end").unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error:?}");
    assert_eq!((error.class(), error.exit_code()), (ErrorClass::External, 4));
    assert!(error.to_string().contains(&url.to_string()), "{error}");
}

/// The proxies take connections and hang up, as long as they have nobody to pass them on to.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_up_before_its_scheduler_is_not_taken_for_one() {
    let port = free_port();
    let ways = [(); 2].map(|()| Forwarder::of_tcp(Ipv4Addr::LOCALHOST, &format!("127.0.0.1:{port}")));
    let [of_client, of_executor] = [&ways[0], &ways[1]].map(|way| SchedulerUrl::new("127.0.0.1", way.port));
    let work = tempfile::tempdir().unwrap();
    let arguments = [
        format!("--scheduler-url={of_executor}"),
        "--connect-timeout-seconds=600".to_owned(),
        "--slots=1".to_owned(),
        "--memory=256MiB".to_owned(),
        "--flight-bind-port=0".to_owned(),
        format!("--work-dir={}", work.path().display()),
    ];
    let mut executor = Running::start(&mut program("quickchat-executor", &arguments));
    let mut connecting = std::pin::pin!(connect(&of_client, || {}));
    tokio::select! {
        _ = &mut connecting => panic!("the client takes a proxy for a scheduler"),
        () = wait_until("second attempts", async || ways.iter().all(|way| way.taken() > 1)) => {}
    }
    executor.expect_running();
    let arguments = [format!("--bind-port={port}"), "--http-bind-port=0".to_owned()];
    let _scheduler = Running::start(&mut program("quickchat-scheduler", &arguments));
    let cluster = connecting.await;
    wait_until("the executor", async || {
        executor.expect_running();
        cluster.executors().await.unwrap().len() == 1
    })
    .await;
}
