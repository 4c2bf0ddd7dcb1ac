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

fn two_dates() -> Signature {
    Signature::exact(vec![DataType::Date32, DataType::Date32], Volatility::Immutable)
}

fn date_arrays(args: &ScalarFunctionArgs) -> Result<(Date32Array, Date32Array)> {
    let first = args.args[0].to_array(args.number_rows)?;
    let last = args.args[1].to_array(args.number_rows)?;
    Ok((first.as_primitive::<Date32Type>().clone(), last.as_primitive::<Date32Type>().clone()))
}

/// `days_since(date, today)`: calendar days from one to the other as a long, never below 0; null when one
/// of them is null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DaysSince {
    signature: Signature,
}

impl DaysSince {
    pub(super) fn new() -> Self {
        Self { signature: two_dates() }
    }
}

impl ScalarUDFImpl for DaysSince {
    fn name(&self) -> &str {
        "days_since"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (dates, todays) = date_arrays(&args)?;
        let days: Int64Array = dates
            .iter()
            .zip(&todays)
            .map(|(date, today)| Some((i64::from(today?) - i64::from(date?)).max(0)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(days)))
    }
}

/// `first_of_month(date)`: the first day of the date's month; null for null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FirstOfMonth {
    signature: Signature,
}

impl FirstOfMonth {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Date32], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FirstOfMonth {
    fn name(&self) -> &str {
        "first_of_month"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let dates = args.args[0].to_array(args.number_rows)?;
        let days_of_month = date_part(&dates, DatePart::Day)?;
        let firsts: Date32Array = dates
            .as_primitive::<Date32Type>()
            .iter()
            .zip(days_of_month.as_primitive::<Int32Type>())
            .map(|(date, day)| Some(date? - (day? - 1)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(firsts)))
    }
}

/// `first_of_week(date)`: the Monday of the date's week; null for null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FirstOfWeek {
    signature: Signature,
}

impl FirstOfWeek {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Date32], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FirstOfWeek {
    fn name(&self) -> &str {
        "first_of_week"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let dates = args.args[0].to_array(args.number_rows)?;
        let mondays: Date32Array = dates.as_primitive::<Date32Type>().unary(monday_of);
        Ok(ColumnarValue::Array(Arc::new(mondays)))
    }
}

/// The Monday of the week of a day. 1970-01-01 was a Thursday.
fn monday_of(day: i32) -> i32 {
    day.saturating_sub(day.saturating_add(3).rem_euclid(DAYS_OF_WEEK))
}

/// `dates_between(first, last)`: the list of dates from the one to the other, both included; empty when
/// one of them is null or the first is after the last.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DatesBetween {
    signature: Signature,
}

impl DatesBetween {
    pub(super) fn new() -> Self {
        Self { signature: two_dates() }
    }
}

impl ScalarUDFImpl for DatesBetween {
    fn name(&self) -> &str {
        "dates_between"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_element(DataType::Date32)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        lists_of_dates(&args, |first, last, dates| dates.extend(first..=last))
    }
}

/// `weeks_between(first, last)`: the list of Mondays of the weeks from that of the one date to that of the other,
/// both included; empty when one of them is null or the first's week is after the last's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WeeksBetween {
    signature: Signature,
}

impl WeeksBetween {
    pub(super) fn new() -> Self {
        Self { signature: two_dates() }
    }
}

impl ScalarUDFImpl for WeeksBetween {
    fn name(&self) -> &str {
        "weeks_between"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_element(DataType::Date32)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        lists_of_dates(&args, |first, last, dates| {
            dates.extend((monday_of(first)..=last).step_by(7));
        })
    }
}

/// One list for each row's two dates; empty when one of them is null.
fn lists_of_dates(args: &ScalarFunctionArgs, extend: impl Fn(i32, i32, &mut Vec<i32>)) -> Result<ColumnarValue> {
    let (firsts, lasts) = date_arrays(args)?;
    let mut dates = Vec::new();
    let mut lengths = Vec::with_capacity(firsts.len());
    for range in firsts.iter().zip(&lasts) {
        let before = dates.len();
        if let (Some(first), Some(last)) = range {
            extend(first, last, &mut dates);
        }
        lengths.push(dates.len() - before);
    }
    let list: ArrayRef = Arc::new(ListArray::try_new(
        list_element(DataType::Date32),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(Date32Array::from(dates)),
        None,
    )?);
    Ok(ColumnarValue::Array(list))
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
        let result = invoke(DaysSince::new(), vec![dates(&[Some(9), Some(10), Some(11), None, Some(1)]), today]);
        let expected = Int64Array::from(vec![Some(1), Some(0), Some(0), None, None]);
        assert_eq!(result.as_ref(), &expected);
    }

    #[test]
    fn months_start_on_their_first_day() {
        // 1970-01-01, 1970-01-31, 1970-02-01, 2024-02-29, 9999-12-31.
        let given = dates(&[Some(0), Some(30), Some(31), Some(19_782), Some(2_932_896), None]);
        let firsts = invoke(FirstOfMonth::new(), vec![given]);
        let expected = dates(&[Some(0), Some(0), Some(31), Some(19_754), Some(2_932_866), None]);
        assert_eq!(firsts.as_ref(), expected.as_ref());
    }

    #[test]
    fn weeks_start_on_monday() {
        // 1969-12-29 (Monday), 1970-01-01, 1970-01-04 (Sunday), 1970-01-05 (Monday), 2024-02-29, 9999-12-31.
        let given = dates(&[Some(-3), Some(0), Some(3), Some(4), Some(19_782), Some(2_932_896), None]);
        let mondays = invoke(FirstOfWeek::new(), vec![given]);
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
        let result = invoke(DatesBetween::new(), vec![first, last]);
        assert_eq!(lists(&result), [vec![5, 6, 7], vec![5], vec![], vec![], vec![]]);
    }

    #[test]
    fn a_range_of_weeks_holds_both_ends() {
        let first = dates(&[Some(-1), Some(3), Some(5), Some(11), None, Some(5)]);
        let last = dates(&[Some(11), Some(4), Some(5), Some(10), Some(5), None]);
        let result = invoke(WeeksBetween::new(), vec![first, last]);
        assert_eq!(lists(&result), [vec![-3, 4, 11], vec![-3, 4], vec![4], vec![], vec![], vec![]]);
    }
}
