//! What is in a lake: rows of all tables, versions, files on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::record_batch::RecordBatch;
use quickchat_client::cluster::{Cluster, EmbeddedOptions};
use quickchat_client::tables::LakeView;
use quickchat_executor::MemoryLimit;
use quickchat_jobs::Catalog;
use quickchat_lake::LakeRoot;
use serde_json::{Map, Value};

/// Columns that say how a row came into the lake; they differ between runs that give the same rows.
const RUN_COLUMNS: [&str; 2] = ["run_id", "ingested_at"];

/// One table at its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub version: u64,
    /// Rows as JSON, every column there, without those of the run, sorted.
    pub rows: Vec<String>,
}

/// The layer of the program's records about itself, which every run changes.
const OWN_LAYER: &str = "ops";

/// All tables of a lake that were ever written, but for the program's own, read by this program's own scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables(pub BTreeMap<String, Table>);

impl Tables {
    /// Reads every table to its last row.
    pub fn read(lake: &Path) -> Self {
        on_a_cluster(lake, async |cluster, view| {
            let mut tables = BTreeMap::new();
            for summary in view.list().await.unwrap() {
                let Some(version) = summary.version else { continue };
                if summary.table.starts_with(OWN_LAYER) {
                    continue;
                }
                let query = format!("SELECT * FROM {}", summary.table);
                let batches =
                    view.sql(cluster, &query).await.unwrap_or_else(|error| panic!("{}: {error}", summary.table));
                let mut rows: Vec<String> = json(&batches).into_iter().map(without_run).collect();
                rows.sort_unstable();
                if let Some(expected) = summary.rows {
                    assert_eq!(rows.len() as u64, expected, "rows of {} and those that its log counts", summary.table);
                }
                tables.insert(summary.table, Table { version, rows });
            }
            Self(tables)
        })
    }

    /// Rows of a table, parsed.
    #[track_caller]
    pub fn rows(&self, name: &str) -> Vec<Map<String, Value>> {
        let table = self.0.get(name).unwrap_or_else(|| panic!("the lake has no {name}"));
        table.rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// The one row of a table for which `column` is `value`.
    #[track_caller]
    pub fn row(&self, name: &str, column: &str, value: &str) -> Map<String, Value> {
        let mut found: Vec<_> = self.rows(name).into_iter().filter(|row| row[column] == value).collect();
        assert_eq!(found.len(), 1, "rows of {name} with {column} = {value}");
        found.remove(0)
    }

    /// Fails unless both lakes hold the same tables and rows; versions may differ.
    #[track_caller]
    pub fn assert_same_rows(&self, other: &Self, what: &str) {
        let names = |tables: &Self| tables.0.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(self), names(other), "{what}: tables");
        for (name, table) in &self.0 {
            if let Some(difference) = difference(&table.rows, &other.0[name].rows) {
                panic!("{what}: rows of {name} differ\n{difference}");
            }
        }
    }

    /// The same without where in the source a rejected document stood.
    pub fn without_positions(mut self) -> Self {
        for (name, table) in &mut self.0 {
            if name.starts_with("quarantine.") {
                for row in &mut table.rows {
                    let mut object: Map<String, Value> = serde_json::from_str(row).unwrap();
                    object.remove("source_position").expect("a quarantined row has a position");
                    *row = Value::Object(object).to_string();
                }
                table.rows.sort_unstable();
            }
        }
        self
    }
}

/// The first rows that only one side has.
pub fn difference(left: &[String], right: &[String]) -> Option<String> {
    if left == right {
        return None;
    }
    let only = |rows: &[String], others: &[String]| {
        let others: BTreeSet<&String> = others.iter().collect();
        let shown = rows.iter().filter(|row| !others.contains(row)).take(3);
        shown.map(|row| row.chars().take(1500).collect::<String>()).collect::<Vec<_>>().join("\n  ")
    };
    let (first, second) = (only(left, right), only(right, left));
    Some(format!("{} and {} rows\nonly left:\n  {first}\nonly right:\n  {second}", left.len(), right.len()))
}

fn on_a_cluster<T>(lake: &Path, body: impl AsyncFnOnce(&Cluster, &LakeView) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = EmbeddedOptions { slots: 2, memory: MemoryLimit::Bytes(512 << 20), work_dir: None };
        let cluster = Cluster::embedded(options).await.unwrap();
        let root = LakeRoot::parse(lake.to_str().unwrap()).unwrap();
        let view = LakeView::new(root, cluster.engine().tables().clone(), &Catalog::builtin().unwrap());
        let result = body(&cluster, &view).await;
        cluster.stop().await;
        result
    })
}

fn json(batches: &[RecordBatch]) -> Vec<Map<String, Value>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    let lines = String::from_utf8(writer.into_inner()).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn without_run(mut row: Map<String, Value>) -> String {
    row.retain(|column, _| !RUN_COLUMNS.contains(&column.as_str()));
    Value::Object(row).to_string()
}

/// All files of a lake but the program's own records, relative to it, with their sizes.
pub fn data_files(lake: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = files(lake);
    found.retain(|file, _| !file.starts_with(OWN_LAYER));
    found
}

/// All files below a folder, relative to it, with their sizes.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), entry.metadata().unwrap().len());
            }
        }
    }
    found
}

/// Fails if a run left temporary files behind.
#[track_caller]
pub fn assert_no_landing(lake: &Path) {
    let landing = lake.join("_landing");
    if landing.exists() {
        let left: Vec<_> = std::fs::read_dir(&landing).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "temporary folders are left: {left:?}");
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    for file in files(from).keys() {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(from.join(file), target).unwrap();
    }
}
