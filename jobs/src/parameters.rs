//! The parameters of a run, as the queries see them.
//!
//! No query calls the clock: what a run means by "now" is its `as_of`, so a rerun with the same
//! `as_of` gives the same rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::prelude::Expr;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Values of the placeholders `$as_of`, `$as_of_date` and `$run_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunParameters {
    /// The end of what the run looks at, exclusive, in microseconds since 1970-01-01 UTC.
    pub as_of_micros: i64,
    /// The name of the run, stored with the rows of bronze.
    pub run_id: String,
}

impl RunParameters {
    /// Days since 1970-01-01 of the date of the last microsecond before `as_of`.
    pub fn as_of_date(&self) -> i32 {
        let days = self.as_of_micros.saturating_sub(1).div_euclid(DAY_MICROS);
        // An i64 of microseconds spans less than 107 million days on either side of 1970.
        i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX })
    }

    /// The values to bind with `with_param_values`.
    pub fn values(&self) -> ParamValues {
        ParamValues::from(self.named())
    }

    /// The same by name, for callers that have more to bind.
    pub fn named(&self) -> Vec<(&'static str, ScalarValue)> {
        vec![
            ("as_of", ScalarValue::TimestampMicrosecond(Some(self.as_of_micros), Some("UTC".into()))),
            ("as_of_date", ScalarValue::Date32(Some(self.as_of_date()))),
            ("run_id", ScalarValue::Utf8(Some(self.run_id.clone()))),
        ]
    }

    /// Names and types of the parameters, for tools that check queries.
    pub fn types() -> [(&'static str, DataType); 3] {
        [("as_of", crate::column::utc_timestamp()), ("as_of_date", DataType::Date32), ("run_id", DataType::Utf8)]
    }
}

/// `$as_of`, for queries over data frames.
pub fn as_of() -> Expr {
    placeholder("$as_of", crate::column::utc_timestamp())
}

/// `$as_of_date`, for queries over data frames.
pub fn as_of_date() -> Expr {
    placeholder("$as_of_date", DataType::Date32)
}

/// `$run_id`, for queries over data frames.
pub fn run_id() -> Expr {
    placeholder("$run_id", DataType::Utf8)
}

fn placeholder(id: &str, data_type: DataType) -> Expr {
    let field = Arc::new(Field::new("", data_type, true));
    Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_last_microsecond_before_as_of() {
        let date = |as_of_micros| RunParameters { as_of_micros, run_id: String::new() }.as_of_date();
        assert_eq!(date(DAY_MICROS), 0, "midnight reports the full day before");
        assert_eq!(date(DAY_MICROS + 1), 1);
        assert_eq!(date(2 * DAY_MICROS - 1), 1);
        assert_eq!(date(0), -1);
    }
}
