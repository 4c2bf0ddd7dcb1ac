//! Instants: ISO-8601 text and epoch milliseconds to microseconds UTC.
//!
//! The accepted form is `YYYY-MM-DD`, then optionally `T` or a space and `HH:MM[:SS[.f]]` with one to nine digits of
//! fraction, then optionally `Z`, `z` or `±HH`, `±HHMM`, `±HH:MM`. No offset means UTC; what is finer than a
//! microsecond is cut off. Instants outside 1970-01-01 to 9999-12-31 (UTC) are refused, as are second 60 and hour
//! 24. Written by hand because the general parsers of date crates accept more, accept less, or allocate, and this
//! runs several times a document.

/// Microseconds of the last instant that is accepted, 9999-12-31T23:59:59.999999Z.
const MAX_MICROS: i64 = 253_402_300_799_999_999;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Epoch milliseconds to microseconds; `None` when negative or after the year 9999.
pub(crate) fn from_millis(millis: i64) -> Option<i64> {
    (0..=MAX_MICROS / 1_000).contains(&millis).then(|| millis * 1_000)
}

/// ISO text to microseconds; `None` when it is not of the accepted form or range.
pub(crate) fn from_iso(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let days = date(&mut rest)?;
    let mut micros_of_day = 0;
    if let [b'T' | b' ', tail @ ..] = rest {
        rest = tail;
        micros_of_day = time(&mut rest)?;
    }
    let offset_minutes = offset(rest)?;
    let micros = days * 86_400 * MICROS_PER_SECOND + micros_of_day - offset_minutes * 60 * MICROS_PER_SECOND;
    (0..=MAX_MICROS).contains(&micros).then_some(micros)
}

fn date(rest: &mut &[u8]) -> Option<i64> {
    let year = digits::<4>(rest)?;
    literal(rest, b'-')?;
    let month = digits::<2>(rest)?;
    literal(rest, b'-')?;
    let day = digits::<2>(rest)?;
    let valid = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| days_from_civil(year, month, day))
}

fn time(rest: &mut &[u8]) -> Option<i64> {
    let hour = digits::<2>(rest)?;
    literal(rest, b':')?;
    let minute = digits::<2>(rest)?;
    let mut second = 0;
    let mut micros = 0;
    if let [b':', tail @ ..] = *rest {
        *rest = tail;
        second = digits::<2>(rest)?;
        if let [b'.', tail @ ..] = *rest {
            *rest = tail;
            micros = fraction(rest)?;
        }
    }
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some((hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND + micros)
}

/// One to nine digits, as microseconds.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (fraction, tail) = rest.split_at(count);
    *rest = tail;
    let used = fraction.iter().chain([b'0'; 6].iter()).take(6);
    Some(used.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')))
}

/// The offset in minutes; the text must end with it.
fn offset(mut rest: &[u8]) -> Option<i64> {
    let sign = match rest {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = digits::<2>(&mut rest)?;
    let mut minutes = 0;
    if !rest.is_empty() {
        if let [b':', tail @ ..] = rest {
            rest = tail;
        }
        minutes = digits::<2>(&mut rest)?;
    }
    let valid = rest.is_empty() && hours < 24 && minutes < 60;
    valid.then_some(sign * (hours * 60 + minutes))
}

fn digits<const N: usize>(rest: &mut &[u8]) -> Option<i64> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    let mut value = 0;
    for byte in head {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    *rest = tail;
    Some(value)
}

fn literal(rest: &mut &[u8], expected: u8) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    (*first == expected).then_some(())
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, by counting years from the first of March so that
/// the leap day comes last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms() {
        let second = MICROS_PER_SECOND;
        let base = 1_709_164_800 * second; // 2024-02-29T00:00:00Z
        for (text, micros) in [
            ("2024-02-29", base),
            ("2024-02-29Z", base),
            ("2024-02-29T00:00", base),
            ("2024-02-29 00:00Z", base),
            ("2024-02-29T00:00:01", base + second),
            ("2024-02-29T00:00:01.5", base + second + 500_000),
            ("2024-02-29T00:00:01.123456789z", base + second + 123_456),
            ("2024-02-29T23:59:59.999999+00:00", base + 86_400 * second - 1),
            ("2024-02-29T05:30+0530", base),
            ("2024-02-28T22:00:00-02", base),
            ("1970-01-01", 0),
            ("1970-01-01T00:30+00:30", 0),
            ("1969-12-31T23:30:00-00:30", 0),
            ("9999-12-31T23:59:59.999999999Z", MAX_MICROS),
            ("2000-03-01", 951_868_800 * second),
        ] {
            assert_eq!(from_iso(text), Some(micros), "{text}");
        }
    }

    #[test]
    fn refused_forms() {
        for text in [
            "",
            "2024",
            "20240229",
            "1709164800000",
            "2024-2-29",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "2024-04-31",
            "2024-01-01T",
            "2024-01-01t00:00",
            "2024-01-01T24:00",
            "2024-01-01T23:60",
            "2024-01-01T23:59:60",
            "2024-01-01T00:00:00.",
            "2024-01-01T00:00:00.1234567890",
            "2024-01-01T00:00.5",
            "2024-01-01T00",
            "2024-01-01T00:00:00+1",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01T00:00:00+01:0",
            "2024-01-01T00:00:00Zz",
            " 2024-01-01",
            "2024-01-01 ",
            "1969-12-31",
            "1970-01-01T00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "0000-00-00",
            "-2024-01-01",
            "２024-01-01",
        ] {
            assert_eq!(from_iso(text), None, "{text}");
        }
    }

    #[test]
    fn epoch_milliseconds() {
        assert_eq!(from_millis(0), Some(0));
        assert_eq!(from_millis(-1), None);
        assert_eq!(from_millis(253_402_300_799_999), Some(MAX_MICROS - 999));
        assert_eq!(from_millis(253_402_300_800_000), None);
        assert_eq!(from_millis(i64::MAX), None);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(expected * 86_400 * MICROS_PER_SECOND - 1, MAX_MICROS);
    }
}
