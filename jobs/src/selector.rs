//! Selectors: how people name jobs.
//!
//! A table (`silver.messages`), a layer (`silver`), a schedule (`hourly`), everything
//! (`full-pipeline`), and the spellings of the system that this one replaces (`silver-messages`,
//! `silver-all`). A `+` in front adds everything upstream, a `+` behind everything downstream.
//! Selecting a schedule that no job has is not a mistake: the result is empty.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::job::{Job, Schedule};
use crate::table_name::TableName;

/// Selects every job.
const EVERYTHING: &str = "full-pipeline";
/// Layers, in the order of the data's way.
const LAYERS: [&str; 3] = ["bronze", "silver", "gold"];
/// Suggestions less alike than this (Jaro-Winkler, 0 to 1) only confuse.
const MIN_SIMILARITY: f64 = 0.75;
/// More suggestions than this are no help.
const MAX_SUGGESTIONS: usize = 3;

/// Why a selector selects nothing. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No job, layer or group has that name.
    #[error("`{selector}` selects no job{}", did_you_mean(suggestions))]
    Unknown {
        /// The selector as it was given.
        selector: String,
        /// Selectors that look like it, best first.
        suggestions: Vec<String>,
    },
    /// A view has nothing that could run.
    #[error(
        "{view} is a view of {}, computed when it is read; there is nothing to run but {}",
        names(reads),
        names(reads)
    )]
    View {
        /// The view.
        view: TableName,
        /// The tables that it reads.
        reads: Vec<TableName>,
    },
    /// No selector at all.
    #[error("no job is selected; name a table, a layer, hourly, daily, weekly or {EVERYTHING}")]
    Nothing,
}

fn names(tables: &[TableName]) -> String {
    tables.iter().map(TableName::to_string).collect::<Vec<_>>().join(" and ")
}

fn did_you_mean(suggestions: &[String]) -> String {
    if suggestions.is_empty() {
        "; `quickchat-etl jobs list` shows what there is".to_owned()
    } else {
        format!("; did you mean {}?", suggestions.join(", "))
    }
}

/// See [`Catalog::select`].
pub(crate) fn select<'a, S: AsRef<str>>(catalog: &'a Catalog, selectors: &[S]) -> Result<Vec<&'a Job>, SelectError> {
    if selectors.is_empty() {
        return Err(SelectError::Nothing);
    }
    let mut selected = BTreeSet::new();
    for selector in selectors {
        select_one(catalog, selector.as_ref(), &mut selected)?;
    }
    Ok(catalog.jobs().iter().filter(|job| selected.contains(job.name())).collect())
}

fn select_one<'a>(
    catalog: &'a Catalog,
    selector: &str,
    selected: &mut BTreeSet<&'a TableName>,
) -> Result<(), SelectError> {
    let (with_upstream, name) = match selector.strip_prefix('+') {
        Some(name) => (true, name),
        None => (false, selector),
    };
    let (with_downstream, name) = match name.strip_suffix('+') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let named = jobs_named(catalog, name).ok_or_else(|| match catalog.view(name) {
        Some(view) => SelectError::View { view: view.name().clone(), reads: view.reads().to_vec() },
        None => SelectError::Unknown { selector: selector.to_owned(), suggestions: suggestions(catalog, name) },
    })?;
    if with_upstream {
        add_reachable(&named, selected, |job| catalog.upstream(job).collect());
    }
    if with_downstream {
        add_reachable(&named, selected, |job| catalog.downstream(job).collect());
    }
    selected.extend(named.into_iter().map(Job::name));
    Ok(())
}

/// Adds `from` and everything that `next` leads to, however far.
fn add_reachable<'a>(from: &[&'a Job], selected: &mut BTreeSet<&'a TableName>, next: impl Fn(&'a Job) -> Vec<&'a Job>) {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&'a Job> = from.to_vec();
    while let Some(job) = open.pop() {
        if seen.insert(job.name()) {
            open.extend(next(job));
        }
    }
    selected.extend(seen);
}

/// The jobs that a selector without graph operators means, or `None` if it means nothing.
fn jobs_named<'a>(catalog: &'a Catalog, name: &str) -> Option<Vec<&'a Job>> {
    let of_layer = |layer: &str| catalog.jobs().iter().filter(|job| job.name().schema() == layer).collect();
    if name == EVERYTHING {
        return Some(catalog.jobs().iter().collect());
    }
    if let Some(schedule) = Schedule::ALL.into_iter().find(|schedule| schedule.name() == name) {
        return Some(catalog.jobs().iter().filter(|job| job.schedule() == schedule).collect());
    }
    if LAYERS.contains(&name) {
        return Some(of_layer(name));
    }
    if let Some(job) = catalog.job(name) {
        return Some(vec![job]);
    }
    let (layer, table) = name.split_once('-')?;
    if table == "all" && LAYERS.contains(&layer) {
        return Some(of_layer(layer));
    }
    catalog.job(&format!("{layer}.{}", table.replace('-', "_"))).map(|job| vec![job])
}

/// Names that look like `name`, best first. A bare table name suggests every layer's table.
fn suggestions(catalog: &Catalog, name: &str) -> Vec<String> {
    let name = name.to_lowercase().replace('-', "_");
    let tables = catalog.jobs().iter().map(|job| {
        let full = job.name().to_string();
        let bare = strsim::jaro_winkler(&name, job.name().table());
        (strsim::jaro_winkler(&name, &full).max(bare), full)
    });
    let groups = LAYERS
        .into_iter()
        .chain(Schedule::ALL.map(Schedule::name))
        .chain([EVERYTHING])
        .map(|group| (strsim::jaro_winkler(&name, group), group.to_owned()));
    let mut scored: Vec<(f64, String)> =
        tables.chain(groups).filter(|(similarity, _)| *similarity >= MIN_SIMILARITY).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(selectors: &[&str]) -> Vec<String> {
        let catalog = Catalog::builtin().unwrap();
        let jobs = catalog.select(selectors).unwrap();
        jobs.into_iter().map(|job| job.name().to_string()).collect()
    }

    fn suggested(selector: &str) -> Vec<String> {
        match Catalog::builtin().unwrap().select(&[selector]) {
            Err(SelectError::Unknown { suggestions, .. }) => suggestions,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tables_by_their_new_and_old_names() {
        assert_eq!(selected(&["bronze.messages"]), ["bronze.messages"]);
        assert_eq!(selected(&["bronze-messages"]), ["bronze.messages"]);
        assert_eq!(selected(&["gold-user-engagement"]), ["gold.user_engagement"]);
    }

    #[test]
    fn layers_schedules_and_everything() {
        assert_eq!(selected(&["silver"]), selected(&["silver-all"]));
        assert_eq!(selected(&["silver"]).len(), 8);
        let hourly: BTreeSet<String> = selected(&["hourly"]).into_iter().collect();
        let expected = [
            "bronze.messages",
            "bronze.calls",
            "silver.messages",
            "silver.calls",
            "silver.reactions",
            "silver.user_sessions",
        ];
        assert_eq!(hourly, expected.map(str::to_owned).into());
        let all = selected(&["full-pipeline"]).len();
        assert_eq!(selected(&["hourly"]).len() + selected(&["daily"]).len() + 1, all);
        assert_eq!(selected(&["weekly"]), ["gold.weekly_metrics"]);
    }

    #[test]
    fn upstream_and_downstream() {
        assert_eq!(selected(&["+silver.conversations"]), ["bronze.conversations", "silver.conversations"]);
        let downstream = selected(&["bronze.auth_users+"]);
        assert!(downstream.contains(&"silver.users".to_owned()));
        assert!(downstream.contains(&"gold.ml_features".to_owned()));
        assert!(!downstream.contains(&"bronze.users".to_owned()));
        let both = selected(&["+silver.users+"]);
        assert!(both.contains(&"bronze.users".to_owned()) && both.contains(&"gold.ml_features".to_owned()));
        assert!(!both.contains(&"silver.calls".to_owned()));
    }

    #[test]
    fn the_union_is_in_the_order_of_the_catalog() {
        let jobs = selected(&["gold.daily_metrics", "bronze", "bronze.users"]);
        assert_eq!(jobs.len(), 10);
        assert_eq!(jobs.last().unwrap(), "gold.daily_metrics");
    }

    #[test]
    fn a_view_is_nothing_to_run() {
        let error = Catalog::builtin().unwrap().select(&["+gold.ml_features_latest"]).unwrap_err();
        let expected = "gold.ml_features_latest is a view of gold.ml_features, computed when it is read; there is \
            nothing to run but gold.ml_features";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_slip_of_the_pen_gets_suggestions() {
        assert_eq!(suggested("silver.mesages")[0], "silver.messages");
        assert_eq!(suggested("houly")[0], "hourly");
        assert_eq!(suggested("+gold.daily-metric")[0], "gold.daily_metrics");
        let bare = suggested("messages");
        assert!(bare.contains(&"bronze.messages".to_owned()) && bare.contains(&"silver.messages".to_owned()));
        assert_eq!(suggested("qqq"), Vec::<String>::new());
        let nothing: [&str; 0] = [];
        assert_eq!(Catalog::builtin().unwrap().select(&nothing).unwrap_err(), SelectError::Nothing);
        let message = Catalog::builtin().unwrap().select(&["silver.mesages"]).unwrap_err().to_string();
        assert!(message.starts_with("`silver.mesages` selects no job; did you mean silver.messages, "), "{message}");
    }
}
