//! The zone in which an application writes its `DATETIME` values, if that is not UTC.
//!
//! A value becomes an instant by the offset that is put behind it. As drivers of Java do, an hour that comes twice when
//! clocks are put back is taken for the first of the two, and one that is left out when they are put forward is counted
//! on from before it. A value that no offset makes an instant of the lake (such as the last second of the year 9999,
//! west of Greenwich) stays as it is.
//!
//! # Rejected
//! `CONVERT_TZ`: it needs tables that many servers lack, and on MariaDB leaves years after 2038 as they are.

use std::fmt::Write;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::instant::from_iso;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// No zone is further from UTC, nor leaves out more at once.
const DAY: TimeDelta = TimeDelta::hours(24);
/// Local times before 1970 that are instants after it are read by this offset, and put back.
const WEST: (&str, i64) = ("-12:00", 12 * 3_600 * MICROS_PER_SECOND);

/// A zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// Minutes east of Greenwich.
    Offset(i32),
    Named(Tz),
}

impl Zone {
    /// The zone of a name, or of an offset as `+02:00`, `+2` or `GMT+02:00`; none if there is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_named = |tz: &&Tz| tz.name().eq_ignore_ascii_case(text);
        match chrono_tz::TZ_VARIANTS.iter().find(is_named) {
            Some(tz) => Some(Self::Named(*tz)),
            None => offset(text).map(Self::Offset),
        }
    }

    pub(super) fn is_utc(self) -> bool {
        const UTC: [Tz; 8] =
            [Tz::UTC, Tz::GMT, Tz::Etc__UTC, Tz::Etc__GMT, Tz::UCT, Tz::Etc__UCT, Tz::Zulu, Tz::Etc__Zulu];
        match self {
            Self::Offset(minutes) => minutes == 0,
            Self::Named(tz) => UTC.contains(&tz),
        }
    }

    /// Writes a local time with its offset.
    pub(super) fn locate(self, local: &str, located: &mut String) {
        located.clear();
        located.push_str(local);
        let Some(minutes) = self.minutes_of(local, located) else { return };
        // A text takes whatever is written to it.
        let _written = write!(located, "{}", Minutes(minutes));
        if from_iso(located).is_none() {
            located.truncate(local.len());
        }
    }

    /// The offset at a local time, which the buffer holds too; none if it is no time.
    fn minutes_of(self, local: &str, buffer: &mut String) -> Option<i32> {
        let tz = match self {
            Self::Offset(minutes) => return Some(minutes),
            Self::Named(tz) => tz,
        };
        let micros = from_iso(local).or_else(|| {
            buffer.push_str(WEST.0);
            let shifted = from_iso(buffer);
            buffer.truncate(local.len());
            Some(shifted? - WEST.1)
        })?;
        let local = naive(micros)?;
        let offset = match tz.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(offset, _) => offset,
            MappedLocalTime::None => tz.offset_from_utc_datetime(&local.checked_sub_signed(DAY)?),
        };
        Some(offset.fix().local_minus_utc().div_euclid(60))
    }

    /// What clocks show at an instant, both as microseconds since 1970.
    pub(super) fn shown_at(self, utc: i64) -> i64 {
        let seconds = match self {
            Self::Offset(minutes) => i64::from(minutes) * 60,
            Self::Named(tz) => {
                naive(utc).map_or(0, |utc| tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()).into()
            }
        };
        utc.saturating_add(seconds * MICROS_PER_SECOND)
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(micros.div_euclid(MICROS_PER_SECOND), 0).map(|time| time.naive_utc())
}

/// Minutes of an offset: a sign, hours of one or two digits, and minutes, if any.
fn offset(text: &str) -> Option<i32> {
    let text = text.strip_prefix("GMT").or_else(|| text.strip_prefix("UTC")).unwrap_or(text);
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        b'Z' | b'z' if text.len() == 1 => return Some(0),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None => rest.split_at_checked(rest.len().saturating_sub(2)).filter(|_| rest.len() > 2).unwrap_or((rest, "00")),
    };
    let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) || minutes.len() != 2 {
        return None;
    }
    let minutes = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok().filter(|minutes| *minutes < 60)?;
    (minutes < 24 * 60).then_some(sign * minutes)
}

/// An offset as ISO 8601 writes it.
struct Minutes(i32);

impl std::fmt::Display for Minutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(zone: &str, local: &str) -> String {
        let mut located = String::new();
        Zone::parse(zone).unwrap().locate(local, &mut located);
        located
    }

    #[test]
    fn names_and_offsets() {
        for (text, minutes) in [
            ("+02:00", 120),
            ("-05:30", -330),
            ("GMT+8", 480),
            ("UTC-03:30", -210),
            ("GMT+0800", 480),
            ("+14:00", 840),
            ("Z", 0),
        ] {
            assert_eq!(Zone::parse(text), Some(Zone::Offset(minutes)), "{text}");
        }
        assert_eq!(Zone::parse("europe/BERLIN"), Some(Zone::Named(Tz::Europe__Berlin)));
        for text in
            ["Mars/Olympus", "LOCAL", "SERVER", "02:00", "+24:00", "+1:60", "+:30", "+1:2", "+123:00", "GMT+", "+é:00"]
        {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
        assert!(Zone::parse("Etc/UTC").unwrap().is_utc() && Zone::parse("utc").unwrap().is_utc());
        assert!(!Zone::parse("Europe/London").unwrap().is_utc());
    }

    #[test]
    fn times_get_the_offset_of_their_day() {
        for (zone, local, expected) in [
            ("+02:00", "2024-01-01 02:00:00.000001", "2024-01-01 02:00:00.000001+02:00"),
            ("Europe/Berlin", "2024-01-01 02:00:00", "2024-01-01 02:00:00+01:00"),
            ("Europe/Berlin", "2024-07-01 02:00:00.5", "2024-07-01 02:00:00.5+02:00"),
            // After 2038 too.
            ("Europe/Berlin", "2045-07-01 02:00:00", "2045-07-01 02:00:00+02:00"),
            // The hour that comes twice is the first one.
            ("Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27 02:30:00+02:00"),
            // The one that is left out goes on from before: 03:30 in summer.
            ("Europe/Berlin", "2024-03-31 02:30:00", "2024-03-31 02:30:00+01:00"),
            // A whole day was left out.
            ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 12:00:00-10:00"),
            ("America/New_York", "1969-12-31 19:00:00", "1969-12-31 19:00:00-05:00"),
        ] {
            assert_eq!(located(zone, local), expected);
        }
    }

    #[test]
    fn what_is_no_instant_stays_as_it_is() {
        for (zone, local) in [
            ("+02:00", "2024-00-00 00:00:00"),
            ("Europe/Berlin", "2024-00-00 00:00:00"),
            ("Europe/Berlin", "0000-00-00 00:00:00"),
            ("-05:00", "9999-12-31 23:59:59"),
            ("America/New_York", "9999-12-31 23:59:59"),
            ("+02:00", "1970-01-01 00:00:00"),
            ("Europe/Berlin", "words"),
        ] {
            assert_eq!(located(zone, local), local);
        }
    }

    #[test]
    fn clocks() {
        let noon = 1_704_110_400_000_000;
        let hour = 3_600_000_000;
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().shown_at(noon), noon + hour);
        assert_eq!(Zone::parse("-05:30").unwrap().shown_at(noon), noon - 11 * hour / 2);
    }
}
