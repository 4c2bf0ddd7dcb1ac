//! Why a scheduler did not start or stopped by itself.

use std::net::SocketAddr;

use ballista_core::error::BallistaError;

/// What failed, one variant an action.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// A listener could not be opened.
    #[error(
        "cannot listen on {address} for {service}; another process may hold the port: stop it or \
         choose another port with {option} (0 takes any free one)"
    )]
    Bind {
        /// What would have been served there.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// The command line option that chooses the port.
        option: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Ballista refused to start.
    #[error("cannot start the scheduler's planning and task services")]
    Start(#[source] BallistaError),
    /// A server ended though nobody asked it to.
    #[error("the scheduler's {service} server stopped unexpectedly")]
    Serve {
        /// Which of the two.
        service: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl SchedulerError {
    /// The process's exit code: 2 for what the caller configured, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Bind { .. } => 2,
            Self::Start(_) | Self::Serve { .. } => 1,
        }
    }
}
