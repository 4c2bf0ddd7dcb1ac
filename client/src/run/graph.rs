//! What may run now: a job whose inputs, as far as they are part of the run, are done.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quickchat_jobs::{Catalog, Job};

use super::Run;
use super::report::{JobReport, JobState};

/// Runs all jobs, each after those that it reads from. Jobs come in an order in which each stands after its inputs, so
/// the first one that may start is also the one that others have waited for longest.
pub(super) async fn run_all(run: &Run, catalog: &Catalog, jobs: &[&Job]) -> Vec<JobReport> {
    let mut waiting: Vec<&Job> = jobs.to_vec();
    let mut done: BTreeMap<String, JobReport> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut active: BTreeSet<String> = BTreeSet::new();
    loop {
        skip_orphans(catalog, &mut waiting, &mut done, run);
        while running.len() < run.parallel {
            let ready = waiting.iter().position(|job| {
                let selected =
                    |name: &str| active.contains(name) || waiting.iter().any(|other| other.name().to_string() == name);
                !catalog.upstream(job).any(|input| selected(&input.name().to_string()))
            });
            let Some(index) = ready else { break };
            let job = waiting.remove(index);
            active.insert(job.name().to_string());
            running.push(run.job(job));
        }
        let Some(report) = running.next().await else { break };
        active.remove(&report.job);
        done.insert(report.job.clone(), report);
    }
    jobs.iter().filter_map(|job| done.remove(&job.name().to_string())).collect()
}

/// Jobs that read from a failed or skipped one do not run.
fn skip_orphans(catalog: &Catalog, waiting: &mut Vec<&Job>, done: &mut BTreeMap<String, JobReport>, run: &Run) {
    loop {
        let lost = waiting.iter().enumerate().find_map(|(index, job)| {
            let broken = |input: &&Job| {
                let report = done.get(&input.name().to_string());
                report.is_some_and(|report| matches!(report.state, JobState::Failed { .. } | JobState::Skipped { .. }))
            };
            catalog.upstream(job).find(broken).map(|input| (index, input.name().to_string()))
        });
        let Some((index, because)) = lost else { return };
        let report = JobReport::skipped(&waiting.remove(index).name().to_string(), because);
        run.observer.job_ended(&report);
        done.insert(report.job.clone(), report);
    }
}
