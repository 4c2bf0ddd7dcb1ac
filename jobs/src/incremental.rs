//! How a job's rows depend on its inputs, so that a run computes only what a change concerns.
//!
//! A job names one of its columns as the *unit* of computation: a date, a user, a message. Its query, filtered to some
//! units, must give exactly those rows of the whole result; the engine pushes such a filter down to the inputs as far
//! as it is right to do so, so no query is written twice. For each input the job says which units a change of that
//! input concerns: those of the changed partitions, which the log tells; or those that a query over the rows that
//! differ gives; or all.
//!
//! Too many units are harmless: a partition whose rows turn out to be the same is not rewritten. Too few are a wrong
//! table. So an input that is not declared concerns everything.
//!
//! The alternative, a second query per job for increments, was what the replaced system had: the two disagreed.

use crate::table_name::TableName;

/// How the rows of a job depend on its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incremental {
    /// The column that the units are values of. None: any change concerns the whole result of the query.
    pub unit: Option<&'static str>,
    /// Inputs whose changes concern some units only.
    pub inputs: &'static [Dependency],
    /// Whether the table has a row for each date up to as_of_date: a later date then concerns the new dates alone,
    /// while a change at or before the table's first date, which may move, concerns everything. The unit is a date.
    pub is_calendar: bool,
}

impl Incremental {
    /// Any change concerns everything.
    pub const EVERYTHING: Self = Self { unit: None, inputs: &[], is_calendar: false };

    /// The declaration for one input, if there is one.
    pub fn input(&self, table: &TableName) -> Option<&'static Dependency> {
        self.inputs.iter().find(|input| input.table == *table)
    }
}

/// Which units a change of one input concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The input.
    pub table: TableName,
    /// How to get from a change to units.
    pub concerns: &'static [Concern],
    /// The time columns by which rows of the input are left out until `as_of` is past them.
    pub time: EventTime,
}

impl Dependency {
    /// Any change of the input concerns all units.
    pub(crate) const fn of_all(table: TableName, time: EventTime) -> Self {
        Self { table, concerns: &[], time }
    }
}

/// One way from a change of an input to units of the job. Several add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The units are the values of the input's partition column in the partitions that changed.
    Partitions {
        /// The columns of the input that matter to the job, if not all do: partitions in which rows differ in others
        /// alone have not changed. That takes a look at the rows of what changed.
        columns: Option<&'static [&'static str]>,
    },
    /// The units are what a query over the rows that differ yields.
    Rows {
        /// The columns of the input that matter to the job. A row that differs in others alone has not changed.
        columns: &'static [&'static str],
        /// A SELECT of one column. `changed` has these columns of every row that is in one version of the input only;
        /// the tables that the job reads are there too, as they are now.
        units: &'static str,
    },
}

impl Concern {
    /// The units are the changed partitions, whatever changed in them.
    pub(crate) const PARTITIONS: Self = Self::Partitions { columns: None };
}

/// How a job's result depends on `as_of` through the rows of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventTime {
    /// Not at all.
    Ignored,
    /// Rows count when this column is before `as_of`.
    Column(&'static str),
    /// Rows count from the time of this column on, and, from later instants on, count otherwise. `next` is a SELECT of
    /// the first such instant at or after `$as_of`, without a row if there is none.
    ColumnAnd {
        /// The column.
        column: &'static str,
        /// The query.
        next: &'static str,
    },
}
