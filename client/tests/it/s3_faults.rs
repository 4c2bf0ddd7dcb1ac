//! A store with bad days: it throttles, breaks, answers late, in part or not at all. The lake is the same in the end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quickchat_testing::{Bucket, Fault, FaultyProxy, Request};

use crate::process::run;
use crate::remote::Remote;
use crate::s3::{assert_complete, into_bucket};

/// Runs the pipeline through a proxy with some faults; gives how often there was one.
#[track_caller]
fn survives(name: &str, rule: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> usize {
    let bucket = Bucket::new();
    let proxy = FaultyProxy::start(&bucket.server.endpoint, rule);
    let mut environment = bucket.environment(&proxy.endpoint(), &bucket.server.keys);
    environment.push(("AWS_TIMEOUT", "2 seconds".to_owned()));
    let ended = run(&mut into_bucket(&bucket.url("lake"), &environment)).expect(0);
    let faults = proxy.faults();
    assert!(faults > 0, "{name}: nothing went wrong: {ended}");
    assert_complete(&bucket, name);
    faults
}

/// Every so many requests the same thing goes wrong, whatever is asked.
fn every(number: usize, fault: Fault) -> impl FnMut(&Request) -> Option<Fault> + Send {
    let mut count = 0;
    move |_| {
        count += 1;
        (count % number == 0).then(|| fault.clone())
    }
}

#[test]
fn throttling_and_broken_servers() {
    let (mut throttled, mut broken) =
        (every(12, Fault::Answer(503, "SlowDown")), every(17, Fault::Answer(500, "InternalError")));
    let faults = survives("s3-5xx", move |request| throttled(request).or_else(|| broken(request)));
    assert!(faults > 30, "{faults}");
}

#[test]
fn answers_that_break_off() {
    let faults = survives("s3-cut", every(7, Fault::Cut));
    assert!(faults > 30, "{faults}");
}

#[test]
fn connections_that_are_closed_before_anything_was_done() {
    let faults = survives("s3-reset", every(11, Fault::Reset));
    assert!(faults > 30, "{faults}");
}

/// The worst case for commits and uploads: what was asked is done, but nobody hears of it.
#[test]
fn answers_that_are_lost() {
    let faults = survives("s3-lost", every(11, Fault::LoseAnswer));
    assert!(faults > 30, "{faults}");
}

#[test]
fn answers_that_come_too_late() {
    // Requests whose first answer was late, and how often they came again.
    let late = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let noted = Arc::clone(&late);
    survives("s3-late", move |request| {
        let mut late = noted.lock().unwrap();
        let name = format!("{} {}", request.method, request.target);
        if let Some(repeats) = late.get_mut(&name) {
            *repeats += 1;
            return None;
        }
        let chosen = late.len() < 6 && (request.target.contains(".parquet") || request.target.contains("list-type"));
        chosen.then(|| {
            late.insert(name, 0);
            Fault::Delay(Duration::from_secs(4))
        })
    });
    let late = late.lock().unwrap();
    assert!(late.len() == 6 && late.values().all(|repeats| *repeats > 0), "not waited for, but asked again: {late:?}");
}

/// A failure after which no client repeats a request, once for each way in which tasks touch files: landed and final
/// ones, reading and writing.
fn garbled_once() -> impl FnMut(&Request) -> Option<Fault> + Send {
    let mut seen = HashSet::new();
    move |request| {
        // Data files are read and written by tasks, but for those of the program's own records.
        let by_task = request.target.contains(".parquet")
            && !request.target.contains("_delta_log")
            && !request.target.contains("/ops/");
        let kind = (request.method.clone(), request.target.contains("_landing"));
        (by_task && request.method != "HEAD" && seen.insert(kind)).then_some(Fault::Garble)
    }
}

/// Where no request is repeated the task is, by Ballista.
#[test]
fn tasks_are_repeated_where_requests_are_not() {
    let faults = survives("s3-tasks", garbled_once());
    // Small files that a process has written it does not read again.
    assert_eq!(faults, 2, "writes of landed and of final files");
}

/// Here executors also read what others have written.
#[test]
fn tasks_of_a_cluster_are_repeated_where_requests_are_not() {
    let bucket = Bucket::new();
    let proxy = FaultyProxy::start(&bucket.server.endpoint, garbled_once());
    let environment = bucket.environment(&proxy.endpoint(), &bucket.server.keys);
    let remote = Remote::start_with("s3-tasks-remote", 2, &environment);
    run(into_bucket(&bucket.url("lake"), &environment).args(["--scheduler", &remote.url])).expect(0);
    assert_eq!(proxy.faults(), 4, "writes and reads of landed and of final files");
    assert_complete(&bucket, "s3-tasks-remote-lake");
}
