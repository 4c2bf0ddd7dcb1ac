//! What a sample should be, and the sizes that follow from it.

use chrono::{DateTime, Utc};

use crate::error::SampleError;

/// The end of the data when none is given, 2026-01-31T00:00:00Z: fixed, so that a sample made tomorrow is the same.
pub const DEFAULT_END: DateTime<Utc> = match DateTime::from_timestamp(1_769_817_600, 0) {
    Some(end) => end,
    None => DateTime::UNIX_EPOCH,
};

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// How long before the first message the oldest user signed up.
pub(crate) const HISTORY_DAYS: i64 = 730;

/// What to generate. Equal options give equal files.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleOptions {
    /// Distinct valid messages. Repeated, updated and bad documents come on top.
    pub messages: u64,
    /// Users, at least 2; by default one for 100 messages, but 20 or more.
    pub users: Option<u64>,
    /// Another seed gives other data of the same kind.
    pub seed: u64,
    /// The length of the time range in days, from 1 to 3650.
    pub days: u32,
    /// The exclusive end of the time range.
    pub end: DateTime<Utc>,
    /// The share of documents that cannot be decoded, from 0 to 0.5, in each collection: the number is rounded, but
    /// at least 1 unless the share is 0. The reasons take turns, so all occur where there are enough bad documents.
    pub bad_share: f64,
    /// Compress the JSON and CSV files.
    pub gzip: bool,
    /// A new messages file is begun once the current one holds this many bytes before compression.
    pub messages_file_bytes: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            messages: 10_000,
            users: None,
            seed: 42,
            days: 90,
            end: DEFAULT_END,
            bad_share: 0.001,
            gzip: false,
            messages_file_bytes: 256 << 20,
        }
    }
}

/// The validated sizes of a sample: distinct documents of every collection.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) messages: u64,
    pub(crate) users: u64,
    pub(crate) conversations: u64,
    pub(crate) calls: u64,
    pub(crate) notifications: u64,
    pub(crate) sessions: u64,
    pub(crate) audit_logs: u64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

impl SampleOptions {
    /// Checks every option and derives the sizes.
    pub(crate) fn sizes(&self) -> Result<Sizes, SampleError> {
        let users = self.users.unwrap_or_else(|| (self.messages / 100).max(20));
        let limits: [(&'static str, bool, String); 4] = [
            ("users", (2..=100_000_000).contains(&users), format!("is {users}, allowed are 2 to 100000000")),
            ("days", (1..=3650).contains(&self.days), format!("is {}, allowed are 1 to 3650", self.days)),
            (
                "bad_share",
                (0.0..=0.5).contains(&self.bad_share),
                format!("is {}, allowed are 0 to 0.5", self.bad_share),
            ),
            (
                "messages",
                self.messages <= 100_000_000_000,
                format!("is {}, allowed are 0 to 100000000000", self.messages),
            ),
        ];
        for (option, is_allowed, problem) in limits {
            if !is_allowed {
                return Err(SampleError::InvalidOption { option, problem });
            }
        }
        let end_ms = self.end.timestamp_millis();
        let start_ms = end_ms - i64::from(self.days) * DAY_MS;
        // Sign-ups reach back before the range; ObjectIds hold 32 bits of seconds.
        if start_ms - HISTORY_DAYS * DAY_MS < 0 || end_ms / 1000 > i64::from(u32::MAX) {
            let problem = format!(
                "is {}, but with {HISTORY_DAYS} days of history before the range all dates must lie between 1970 and 2106",
                self.end
            );
            return Err(SampleError::InvalidOption { option: "end", problem });
        }
        Ok(Sizes {
            messages: self.messages,
            users,
            conversations: (users * 3 / 2).max(1),
            calls: self.messages / 50,
            notifications: self.messages / 25,
            sessions: users * 2,
            audit_logs: users * 2 + self.messages / 100,
            start_ms,
            end_ms,
        })
    }

    /// How many bad documents a collection of `documents` valid ones gets.
    pub(crate) fn bad_documents(&self, documents: u64) -> u64 {
        if self.bad_share <= 0.0 || documents == 0 {
            return 0;
        }
        // One multiplication and one rounding: exact in IEEE arithmetic, so equal everywhere.
        ((documents as f64 * self.bad_share).round() as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be() {
        let wrong = [
            SampleOptions { users: Some(1), ..SampleOptions::default() },
            SampleOptions { days: 0, ..SampleOptions::default() },
            SampleOptions { bad_share: f64::NAN, ..SampleOptions::default() },
            SampleOptions { bad_share: 0.6, ..SampleOptions::default() },
            SampleOptions { end: DateTime::UNIX_EPOCH, ..SampleOptions::default() },
        ];
        for options in wrong {
            assert!(matches!(options.sizes(), Err(SampleError::InvalidOption { .. })), "{options:?}");
        }
    }

    #[test]
    fn counts_bad_documents() {
        let options = SampleOptions { bad_share: 0.01, ..SampleOptions::default() };
        assert_eq!(options.bad_documents(1000), 10);
        assert_eq!(options.bad_documents(3), 1);
        assert_eq!(options.bad_documents(0), 0);
        assert_eq!(SampleOptions { bad_share: 0.0, ..options }.bad_documents(1000), 0);
    }

    #[test]
    fn default_end_is_as_documented() {
        assert_eq!(DEFAULT_END.to_rfc3339(), "2026-01-31T00:00:00+00:00");
    }
}
