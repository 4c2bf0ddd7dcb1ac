//! What jobs declare about their dependence on their inputs: that it names what there is, and can be asked.

use std::collections::BTreeSet;

use quickchat_jobs::{Catalog, Concern, Contract, Dependency, EventTime, Job, RunParameters};

use crate::lake::{self, PLAIN, Tables};

fn each_dependency(mut look: impl FnMut(&Job, &'static Dependency, &Contract)) {
    let catalog = Catalog::builtin().unwrap();
    let mut seen = 0;
    for job in catalog.jobs() {
        for dependency in job.incremental().inputs {
            let input = catalog
                .job(&dependency.table.to_string())
                .unwrap_or_else(|| panic!("{} depends on {}, which is no table", job.name(), dependency.table));
            look(job, dependency, input.contract());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn jobs_declare_inputs_that_they_read_and_columns_that_these_have() {
    each_dependency(|job, dependency, input| {
        let about = format!("{} on {}", job.name(), dependency.table);
        assert!(job.reads().contains(&dependency.table), "{about}: the query does not read it");
        let column = |name: &str| assert!(input.column(name).is_some(), "{about}: no column {name}");
        match dependency.time {
            EventTime::Ignored => {}
            EventTime::Column(name) | EventTime::ColumnAnd { column: name, .. } => column(name),
        }
        for concern in dependency.concerns {
            match concern {
                // The units are taken from the log, where partition values are.
                Concern::Partitions { columns } => {
                    assert!(input.partition().is_some(), "{about}: it has no partitions");
                    columns.unwrap_or_default().iter().for_each(|name| column(name));
                }
                Concern::Rows { columns, .. } => columns.iter().for_each(|name| column(name)),
            }
        }
        let whole = dependency.concerns.is_empty();
        assert!(whole || job.incremental().unit.is_some(), "{about}: concerns without units");
    });
}

#[test]
fn units_are_columns_of_the_table_and_the_dates_of_calendars() {
    let catalog = Catalog::builtin().unwrap();
    for job in catalog.jobs() {
        let incremental = job.incremental();
        let Some(unit) = incremental.unit else {
            assert!(!incremental.is_calendar, "{}: a calendar has dates as units", job.name());
            continue;
        };
        let column = job.contract().column(unit).unwrap_or_else(|| panic!("{}: no column {unit}", job.name()));
        assert!(!column.nullable, "{}: a row without {unit} belongs to no unit", job.name());
    }
}

/// The SQL of units and of later instants is asked where the job's inputs are visible.
#[tokio::test]
async fn questions_can_be_asked() {
    let catalog = Catalog::builtin().unwrap();
    let parameters = RunParameters { as_of_micros: 1_768_435_200_000_000, run_id: "run".to_owned() };
    let mut questions = Vec::new();
    each_dependency(|job, dependency, input| {
        for concern in dependency.concerns {
            let Concern::Rows { columns, units } = concern else { continue };
            // What `changed` has: the key, and the columns that matter.
            let columns: BTreeSet<&str> = input.key().into_iter().chain(columns.iter().copied()).collect();
            let columns = columns.into_iter().collect::<Vec<_>>().join(", ");
            let changed = format!("SELECT {columns} FROM {}", dependency.table);
            questions.push((job.clone(), format!("WITH changed AS ({changed}) SELECT * FROM ({units}) AS units")));
        }
        if let EventTime::ColumnAnd { next, .. } = dependency.time {
            questions.push((job.clone(), next.to_owned()));
        }
    });
    assert!(questions.len() > 5, "{}", questions.len());
    for (job, sql) in questions {
        let context = lake::session(&catalog, &job, &Tables::new(), PLAIN);
        let plan = context
            .state()
            .create_logical_plan(&sql)
            .await
            .and_then(|plan| plan.with_param_values(parameters.values()));
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}\n{sql}", job.name()));
        assert_eq!(plan.schema().fields().len(), 1, "{}: one column\n{sql}", job.name());
        let planned = context.state().create_physical_plan(&plan).await;
        planned.unwrap_or_else(|error| panic!("{}: {error}\n{sql}", job.name()));
    }
}
