//! Functions that the queries need and SQL lacks.
//!
//! Two kinds. Scalar functions work on the lists of one row (distinct readers, bytes of attachments, who
//! joined a call): unnesting and grouping for that would multiply rows. Aggregate functions are those whose
//! result must not depend on the order of rows or on how many executors saw them (exact sums, sessions,
//! maps of counts), or whose state is far smaller than the rows (distinct contacts).
//!
//! All are named in plans by their name only, so the client, the scheduler and every executor must register
//! the same list, [`all`]. All are immutable and know nothing of the run.
//!
//! Strings are compared by their UTF-8 bytes throughout.

mod arguments;
mod call_participants;
mod count_map;
mod dates;
mod distinct_others;
mod earliest_reactions;
mod exact_sum;
mod groups;
mod lists;
mod map_total;
mod media_key;
mod sessions;
mod sum_values;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, lit};
use datafusion::prelude::Expr;

use dates::{Computation, FunctionOfDates};

/// The functions of the catalog's queries.
#[derive(Debug, Clone)]
pub struct Functions {
    /// Functions of one row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Functions of a group of rows.
    pub aggregate: Vec<Arc<AggregateUDF>>,
}

/// Every function that a query of the catalog may call.
pub fn all() -> Functions {
    Functions {
        scalar: [
            ScalarUDF::from(FunctionOfDates::new(Computation::DaysSince)),
            ScalarUDF::from(FunctionOfDates::new(Computation::FirstOfMonth)),
            ScalarUDF::from(FunctionOfDates::new(Computation::FirstOfWeek)),
            ScalarUDF::from(FunctionOfDates::new(Computation::DatesBetween)),
            ScalarUDF::from(FunctionOfDates::new(Computation::WeeksBetween)),
            ScalarUDF::from(lists::ItemCount::new()),
            ScalarUDF::from(lists::IsMember::new()),
            ScalarUDF::from(lists::DistinctValues::new()),
            ScalarUDF::from(lists::DistinctCount::new()),
            ScalarUDF::from(sum_values::SumValues::new()),
            ScalarUDF::from(map_total::MapTotal::new()),
            ScalarUDF::from(call_participants::CallParticipants::new()),
            ScalarUDF::from(earliest_reactions::EarliestReactions::new()),
            ScalarUDF::from(media_key::MediaKey::new()),
        ]
        .map(Arc::new)
        .into(),
        aggregate: [
            AggregateUDF::from(exact_sum::ExactSum::new()),
            AggregateUDF::from(sessions::Sessions::new()),
            AggregateUDF::from(count_map::CountMap::new()),
            AggregateUDF::from(distinct_others::DistinctOthers::new()),
        ]
        .map(Arc::new)
        .into(),
    }
}

/// `days_since(date, today)`, for queries over data frames.
pub(crate) fn days_since(date: Expr, today: Expr) -> Expr {
    ScalarUDF::from(FunctionOfDates::new(Computation::DaysSince)).call(vec![date, today])
}

/// `distinct_values(list [, field])`, for queries over data frames.
pub(crate) fn distinct_values(list: Expr, field: Option<&str>) -> Expr {
    ScalarUDF::from(lists::DistinctValues::new()).call(list_and_field(list, field))
}

/// `distinct_count(list [, field])`, for queries over data frames.
pub(crate) fn distinct_count(list: Expr, field: Option<&str>) -> Expr {
    ScalarUDF::from(lists::DistinctCount::new()).call(list_and_field(list, field))
}

fn list_and_field(list: Expr, field: Option<&str>) -> Vec<Expr> {
    std::iter::once(list).chain(field.map(lit)).collect()
}

impl Functions {
    /// Registers every function, in place of one that has the same name.
    ///
    /// # Errors
    /// When the registry takes no functions.
    pub fn register(&self, registry: &mut dyn FunctionRegistry) -> Result<()> {
        for function in &self.scalar {
            registry.register_udf(Arc::clone(function))?;
        }
        for function in &self.aggregate {
            registry.register_udaf(Arc::clone(function))?;
        }
        Ok(())
    }
}
