//! Plans on embedded and on remote clusters: answers, jobs that are watched and cancelled, lost executors.
//!
//! Invariant: no test depends on how long anything takes. What must be so at some moment (a task that runs, a part that
//! is done) is brought about by functions that only the tests' queries have and that hold rows up until the test lets
//! them go; everything else is waited for, as long as [`queries::PATIENCE`], which only a hang outlasts. Rejected:
//! queries that are slow enough to act while they run, because a busy machine is slower than any of them.

mod answers;
mod connecting;
mod functions;
mod losses;
mod processes;
mod queries;
mod under_way;
