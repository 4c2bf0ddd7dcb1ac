//! The README's table of tables is generated from the catalog, and this test keeps it so:
//! `UPDATE_README=1 cargo test -p quickchat-client readme` writes it anew.

use std::fmt::Write;
use std::path::PathBuf;

use quickchat_jobs::Catalog;

const BEGIN: &str = "shows the same -->\n";
const END: &str = "<!-- /tables -->";

fn table_of_tables(catalog: &Catalog) -> String {
    let mut text = String::from("\n| table | a row is | reads | runs |\n|---|---|---|---|\n");
    for job in catalog.jobs() {
        let reads: Vec<String> = job.reads().iter().map(|table| format!("`{table}`")).collect();
        // A summary's first sentence says what a row is.
        let summary = job.contract().summary;
        let grain = summary.split_once(". ").map_or(summary.trim_end_matches('.'), |(first, _)| first);
        writeln!(text, "| `{}` | {grain} | {} | {} |", job.name(), reads.join(", "), job.schedule()).unwrap();
    }
    for view in catalog.views() {
        let reads: Vec<String> = view.reads().iter().map(|table| format!("`{table}`")).collect();
        let summary = view.contract().summary.trim_end_matches('.');
        writeln!(text, "| `{}` | {summary} | {} | view |", view.name(), reads.join(", ")).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_readme_lists_the_tables_of_the_catalog() {
    let path = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the marker before the table");
    let (found, after) = rest.split_once(END).expect("the marker after the table");
    let expected = table_of_tables(&Catalog::builtin().unwrap());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, expected, "run UPDATE_README=1 cargo test -p quickchat-client readme");
}
