//! What can be said of a live system by looking at it, for a person who sets things up.

use std::time::{Duration, SystemTime};

use crate::{Collection, Connections};

/// A live system that answers.
#[derive(Debug, Clone)]
pub struct Health {
    /// Where, without user and password: `host:port/database`.
    pub place: String,
    /// What it calls itself.
    pub version: String,
    /// Documents or rows that it says it has, by collection; none where it has no such collection.
    pub counts: Vec<(Collection, Option<u64>)>,
    /// The shortest of a few round trips.
    pub latency: Duration,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_millis: Option<i64>,
    /// What this account may do and need not, or what makes reading slower or less exact than it could be.
    pub warnings: Vec<String>,
}

impl Connections {
    /// Where the MongoDB server is, also if it does not answer; none if its address cannot be understood.
    pub async fn mongodb_place(&self) -> Option<String> {
        self.mongodb().place().await
    }

    /// Where the MySQL server is, also if it does not answer; none if its address cannot be understood.
    pub async fn mysql_place(&self) -> Option<String> {
        self.mysql().place().await
    }
}

/// Round trips of which the shortest counts.
pub(crate) const ROUND_TRIPS: u32 = 3;

/// How far a clock is ahead that was read between two instants of this machine's.
pub(crate) fn clock_ahead_millis(server_millis: i64, sent: SystemTime, received: SystemTime) -> Option<i64> {
    let millis = |instant: SystemTime| {
        let since = instant.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    };
    let (sent, received) = (millis(sent)?, millis(received)?);
    Some(server_millis - (sent + received) / 2)
}
