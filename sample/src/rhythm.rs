//! When things happen: a daily and weekly rhythm with slow growth over the range, and the calendar that dates need.
//!
//! The range is cut into hours, each with a weight. The i-th of n events lies where the running sum of weights
//! reaches i/n of the whole, so events come out in time order without being sorted or kept.

use crate::options::DAY_MS;
use crate::random::Random;

const HOUR_MS: i64 = 3_600_000;

/// Relative traffic of the hours of a day in UTC: quiet at night, peaks at noon and in the evening.
const HOUR_WEIGHTS: [u64; 24] =
    [14, 9, 6, 5, 5, 8, 17, 34, 52, 61, 63, 66, 74, 70, 62, 60, 63, 71, 82, 93, 100, 88, 58, 29];

/// Relative traffic of Monday to Sunday.
const WEEKDAY_WEIGHTS: [u64; 7] = [92, 95, 96, 98, 100, 78, 72];

/// Positions are subdivided this often, so that events are not spaced evenly.
const JITTER: u64 = 1024;

/// The traffic's distribution over the time range.
#[derive(Debug)]
pub(crate) struct Rhythm {
    start_ms: i64,
    /// `sums[h]` is the weight of the hours before hour h.
    sums: Vec<u64>,
}

impl Rhythm {
    /// The rhythm of the range from `start_ms` to `end_ms` (exclusive), which is a whole number of days.
    pub(crate) fn new(start_ms: i64, end_ms: i64) -> Self {
        let hours = (end_ms - start_ms) / HOUR_MS;
        let mut sums = vec![0];
        let mut sum = 0;
        for hour in 0..hours {
            let since_epoch = start_ms / HOUR_MS + hour;
            // 1970-01-01 was a Thursday, the fourth day of the week.
            let weekday = (since_epoch / 24 + 3) % 7;
            let growth = 1000 + (500 * hour / hours) as u64;
            sum += HOUR_WEIGHTS[(since_epoch % 24) as usize] * WEEKDAY_WEIGHTS[weekday as usize] * growth;
            sums.push(sum);
        }
        Self { start_ms, sums }
    }

    /// The time of event `position` of `total`; a greater position never has a smaller time.
    pub(crate) fn at(&self, position: u64, total: u64, random: &mut Random) -> i64 {
        let fine = u128::from(position) * u128::from(JITTER) + u128::from(random.below(JITTER));
        let whole = u128::from(total.max(1)) * u128::from(JITTER);
        let all = self.sums[self.sums.len() - 1];
        let target = ((fine * u128::from(all) / whole) as u64).min(all - 1);
        let hour = self.sums[1..].partition_point(|sum| *sum <= target);
        let weight = self.sums[hour + 1] - self.sums[hour];
        let within = u128::from(target - self.sums[hour]) * HOUR_MS as u128 / u128::from(weight);
        self.start_ms + hour as i64 * HOUR_MS + within as i64
    }
}

/// A date and time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u32,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) millisecond: u32,
}

impl Civil {
    /// The UTC date and time of milliseconds since 1970, not negative. The date by Howard Hinnant's
    /// `civil_from_days`: years begin in March, so that a leap day is a year's last.
    pub(crate) fn from_ms(ms: i64) -> Self {
        let days = ms / DAY_MS;
        let of_day = (ms % DAY_MS) as u32;
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year: year as u32,
            month: month as u32,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u32,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1000 % 60,
            millisecond: of_day % 1000,
        }
    }

    /// Appends `YYYY-MM-DD<separator>HH:MM:SS.mmm`.
    pub(crate) fn append(&self, separator: u8, out: &mut Vec<u8>) {
        digits(self.year, 4, out);
        out.push(b'-');
        digits(self.month, 2, out);
        out.push(b'-');
        digits(self.day, 2, out);
        out.push(separator);
        digits(self.hour, 2, out);
        out.push(b':');
        digits(self.minute, 2, out);
        out.push(b':');
        digits(self.second, 2, out);
        out.push(b'.');
        digits(self.millisecond, 3, out);
    }
}

/// Appends a number with leading zeros.
fn digits(value: u32, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_u32.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::random::Purpose;

    #[test]
    fn calendar_agrees_with_chrono() {
        let mut random = Random::keyed(3, Purpose::Traffic, 0);
        let borders = [0, 951_782_400_000, 951_868_799_999, 4_107_542_400_000, 1_769_817_600_000];
        for ms in borders.into_iter().chain((0..2000).map(|_| random.below(4_000_000_000_000) as i64)) {
            let mut text = Vec::new();
            Civil::from_ms(ms).append(b'T', &mut text);
            let expected = DateTime::from_timestamp_millis(ms).unwrap().format("%Y-%m-%dT%H:%M:%S%.3f").to_string();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn times_are_ordered_and_in_range() {
        let end = 1_769_817_600_000;
        let start = end - 3 * DAY_MS;
        let rhythm = Rhythm::new(start, end);
        let mut random = Random::keyed(3, Purpose::Traffic, 1);
        let mut last = start;
        for position in 0..5000 {
            let ms = rhythm.at(position, 5000, &mut random);
            assert!(ms >= last && ms < end, "{position}: {ms}");
            last = ms;
        }
        assert!(last > end - HOUR_MS);
    }

    #[test]
    fn evenings_are_busier_than_nights() {
        let end = 1_769_817_600_000;
        let rhythm = Rhythm::new(end - 7 * DAY_MS, end);
        let mut random = Random::keyed(3, Purpose::Traffic, 2);
        let mut by_hour = [0; 24];
        for position in 0..10_000 {
            by_hour[Civil::from_ms(rhythm.at(position, 10_000, &mut random)).hour as usize] += 1;
        }
        assert!(by_hour[20] > 10 * by_hour[4], "{by_hour:?}");
    }
}
