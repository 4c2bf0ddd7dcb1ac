//! The scheduler process: Ballista's scheduler with this project's codecs, functions and limits.
//!
//! What is kept from Ballista: planning into stages, binding tasks to executors, retries, the gRPC
//! service and the REST routes. What is assembled here instead of calling `start_server`:
//!
//! - The listener. `start_server` leaves accepted sockets with Nagle's algorithm on, which costs
//!   40 ms whenever a small answer waits for a delayed acknowledgement; here every accepted socket
//!   gets `TCP_NODELAY`, and port 0 is allowed.
//! - The HTTP side. Ballista redirects `/` to a site on the internet and lets that site's scripts
//!   call the API; here `/` is a page of our own and only the scheduler's own origin may call it.
//! - The results: clients get them here, so that they need no route to executors, and only what the scheduler has on
//!   record is served, while Ballista's proxy connects to wherever a request says.
//! - The list of free slots, which Ballista lets leak when a stage is rolled back.
//! - The timeouts, so that a dead executor is noticed in well under 30 seconds.
//!
//! Invariant: scheduler, executors and clients are built from one [`quickchat_engine::Engine`], so
//! a plan that one of them encodes can be decoded by all.

pub mod cli;
mod config;
mod error;
mod progress;
mod results;
mod routes;
mod server;
mod slots;

pub use config::{Liveness, SchedulerConfig};
pub use error::SchedulerError;
pub use progress::{JobProgress, JobState, PROGRESS_PATH, StageProgress, StageState};
pub use server::{SchedulerHandle, start};
