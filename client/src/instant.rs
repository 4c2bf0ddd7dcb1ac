//! Instants as people write them.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A date stands for its first instant; anything else must say its time zone.
pub(crate) fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|error| format!("{error}; write 2026-01-31 or 2026-01-31T12:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_dates() {
        assert_eq!(parse_instant("2026-01-31").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert_eq!(parse_instant("2026-01-31T01:00:00+01:00").unwrap().to_rfc3339(), "2026-01-31T00:00:00+00:00");
        assert!(parse_instant("yesterday").unwrap_err().contains("2026-01-31"));
    }
}
