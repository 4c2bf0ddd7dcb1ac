//! Calendar dates: how many days ago, the week, the month, and every date or week of a range.
//!
//! All work on days since 1970-01-01 as far as dates go. The engine's `date_trunc` does not: it goes through
//! nanoseconds, and one document dated after 2262 would fail the job.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{DataType, Date32Type, Int32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::column::list_element;

/// Days of a week.
const DAYS_OF_WEEK: i32 = 7;

/// What can be computed of one or two dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Computation {
    /// `days_since(date, today)`: calendar days from one to the other as a long, never below 0; null when one
    /// of them is null.
    DaysSince,
    /// `first_of_month(date)`: the first day of the date's month; null for null.
    FirstOfMonth,
    /// `first_of_week(date)`: the Monday of the date's week; null for null.
    FirstOfWeek,
    /// `dates_between(first, last)`: the list of dates from the one to the other, both included; empty when
    /// one of them is null or the first is after the last.
    DatesBetween,
    /// `weeks_between(first, last)`: the list of Mondays of the weeks from that of the one date to that of the other,
    /// both included; empty when one of them is null or the first's week is after the last's.
    WeeksBetween,
}

/// A function of dates.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FunctionOfDates {
    computation: Computation,
    signature: Signature,
}

impl FunctionOfDates {
    pub(super) fn new(computation: Computation) -> Self {
        let dates = match computation {
            Computation::FirstOfMonth | Computation::FirstOfWeek => 1,
            Computation::DaysSince | Computation::DatesBetween | Computation::WeeksBetween => 2,
        };
        Self { computation, signature: Signature::exact(vec![DataType::Date32; dates], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FunctionOfDates {
    fn name(&self) -> &str {
        match self.computation {
            Computation::DaysSince => "days_since",
            Computation::FirstOfMonth => "first_of_month",
            Computation::FirstOfWeek => "first_of_week",
            Computation::DatesBetween => "dates_between",
            Computation::WeeksBetween => "weeks_between",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.computation {
            Computation::DaysSince => DataType::Int64,
            Computation::FirstOfMonth | Computation::FirstOfWeek => DataType::Date32,
            Computation::DatesBetween | Computation::WeeksBetween => DataType::List(list_element(DataType::Date32)),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = |given: &ColumnarValue| -> Result<Date32Array> {
            Ok(given.to_array(args.number_rows)?.as_primitive::<Date32Type>().clone())
        };
        let dates = args.args.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(match self.computation {
            Computation::DaysSince => days_since(&dates[0], &dates[1]),
            Computation::FirstOfMonth => first_of_month(&dates[0])?,
            Computation::FirstOfWeek => Arc::new(dates[0].unary::<_, Date32Type>(monday_of)),
            Computation::DatesBetween => {
                lists_of_dates(&dates[0], &dates[1], |first, last, list| list.extend(first..=last))?
            }
            Computation::WeeksBetween => lists_of_dates(&dates[0], &dates[1], |first, last, list| {
                list.extend((monday_of(first)..=last).step_by(7));
            })?,
        }))
    }
}

fn days_since(dates: &Date32Array, todays: &Date32Array) -> ArrayRef {
    let days = dates.iter().zip(todays).map(|(date, today)| Some((i64::from(today?) - i64::from(date?)).max(0)));
    Arc::new(days.collect::<Int64Array>())
}

fn first_of_month(dates: &Date32Array) -> Result<ArrayRef> {
    let days_of_month = date_part(dates, DatePart::Day)?;
    let days_of_month = days_of_month.as_primitive::<Int32Type>();
    let firsts = dates.iter().zip(days_of_month).map(|(date, day)| Some(date? - (day? - 1)));
    Ok(Arc::new(firsts.collect::<Date32Array>()))
}

/// The Monday of the week of a day. 1970-01-01 was a Thursday.
fn monday_of(day: i32) -> i32 {
    day.saturating_sub(day.saturating_add(3).rem_euclid(DAYS_OF_WEEK))
}

/// One list for each row's two dates; empty when one of them is null.
fn lists_of_dates(
    firsts: &Date32Array,
    lasts: &Date32Array,
    extend: impl Fn(i32, i32, &mut Vec<i32>),
) -> Result<ArrayRef> {
    let mut dates = Vec::new();
    let mut lengths = Vec::with_capacity(firsts.len());
    for range in firsts.iter().zip(lasts) {
        let before = dates.len();
        if let (Some(first), Some(last)) = range {
            extend(first, last, &mut dates);
        }
        lengths.push(dates.len() - before);
    }
    let (offsets, dates) = (OffsetBuffer::from_lengths(lengths), Arc::new(Date32Array::from(dates)));
    Ok(Arc::new(ListArray::try_new(list_element(DataType::Date32), offsets, dates, None)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::invoke;
    use super::*;

    fn dates(days: &[Option<i32>]) -> ArrayRef {
        Arc::new(Date32Array::from(days.to_vec()))
    }

    #[test]
    fn days_are_never_negative_and_null_stays_null() {
        let today = dates(&[Some(10), Some(10), Some(10), Some(10), None]);
        let result = invoke(
            FunctionOfDates::new(Computation::DaysSince),
            vec![dates(&[Some(9), Some(10), Some(11), None, Some(1)]), today],
        );
        let expected = Int64Array::from(vec![Some(1), Some(0), Some(0), None, None]);
        assert_eq!(result.as_ref(), &expected);
    }

    #[test]
    fn months_start_on_their_first_day() {
        // 1970-01-01, 1970-01-31, 1970-02-01, 2024-02-29, 9999-12-31.
        let given = dates(&[Some(0), Some(30), Some(31), Some(19_782), Some(2_932_896), None]);
        let firsts = invoke(FunctionOfDates::new(Computation::FirstOfMonth), vec![given]);
        let expected = dates(&[Some(0), Some(0), Some(31), Some(19_754), Some(2_932_866), None]);
        assert_eq!(firsts.as_ref(), expected.as_ref());
    }

    #[test]
    fn weeks_start_on_monday() {
        // 1969-12-29 (Monday), 1970-01-01, 1970-01-04 (Sunday), 1970-01-05 (Monday), 2024-02-29, 9999-12-31.
        let given = dates(&[Some(-3), Some(0), Some(3), Some(4), Some(19_782), Some(2_932_896), None]);
        let mondays = invoke(FunctionOfDates::new(Computation::FirstOfWeek), vec![given]);
        let expected = dates(&[Some(-3), Some(-3), Some(-3), Some(4), Some(19_779), Some(2_932_892), None]);
        assert_eq!(mondays.as_ref(), expected.as_ref());
    }

    fn lists(result: &ArrayRef) -> Vec<Vec<i32>> {
        let lists = result.as_list::<i32>().iter();
        lists.map(|list| list.unwrap().as_primitive::<Date32Type>().values().to_vec()).collect()
    }

    #[test]
    fn a_range_holds_both_ends() {
        let first = dates(&[Some(5), Some(5), Some(6), None, Some(5)]);
        let last = dates(&[Some(7), Some(5), Some(5), Some(5), None]);
        let result = invoke(FunctionOfDates::new(Computation::DatesBetween), vec![first, last]);
        assert_eq!(lists(&result), [vec![5, 6, 7], vec![5], vec![], vec![], vec![]]);
    }

    #[test]
    fn a_range_of_weeks_holds_both_ends() {
        let first = dates(&[Some(-1), Some(3), Some(5), Some(11), None, Some(5)]);
        let last = dates(&[Some(11), Some(4), Some(5), Some(10), Some(5), None]);
        let result = invoke(FunctionOfDates::new(Computation::WeeksBetween), vec![first, last]);
        assert_eq!(lists(&result), [vec![-3, 4, 11], vec![-3, 4], vec![4], vec![], vec![], vec![]]);
    }
}
