//! Lakes that cannot be written, or that hold what others have made.

use std::path::Path;

use crate::fixtures::{SAMPLE_AS_OF, job, sample, select};
use crate::lake::{assert_no_landing, copy, data_files};
use crate::process::{run, scratch};

/// Tests may run as root, whom no file mode stops; but nobody can make a folder below a file.
#[test]
fn an_unwritable_lake_is_named() {
    let file = scratch("unwritable").join("file");
    std::fs::write(&file, "not a folder").unwrap();
    // A store that refuses to be written to is an outside system.
    let ended = run(&mut select("bronze.users", &sample().exports, &file.join("lake"), SAMPLE_AS_OF)).expect(4);
    ended.says(&[file.to_str().unwrap(), "cannot look for the log", "Not a directory"]);
    let report = ended.json();
    assert_eq!(job(&report, "bronze.users")["state"], "failed", "{ended}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a folder");
}

/// An empty table of somebody else's: one column, named as no column of ours.
fn make_foreign_table(table: &Path) {
    let schema = r#"{\"type\":\"struct\",\"fields\":[{\"name\":\"theirs\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"#;
    let log = [
        r#"{"commitInfo":{"timestamp":1700000000000,"operation":"CREATE TABLE"}}"#.to_owned(),
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned(),
        format!(
            r#"{{"metaData":{{"id":"6e1d1a4e-8d3b-4d1c-9c0e-0a5b7f3c2d11","format":{{"provider":"parquet","options":{{}}}},"schemaString":"{schema}","partitionColumns":[],"configuration":{{}},"createdTime":1700000000000}}}}"#
        ),
    ];
    std::fs::create_dir_all(table.join("_delta_log")).unwrap();
    std::fs::write(table.join("_delta_log/00000000000000000000.json"), log.join("\n")).unwrap();
}

#[test]
fn a_foreign_table_is_refused_and_not_touched() {
    // One that is merged into, one that is replaced as a whole, one that is replaced by partitions.
    for name in ["bronze.users", "silver.users", "gold.ml_features"] {
        let lake = scratch(&format!("foreign-{name}")).join("lake");
        copy(&sample().lake, &lake);
        let table = lake.join(name.replace('.', "/"));
        std::fs::remove_dir_all(&table).unwrap();
        make_foreign_table(&table);
        let before = data_files(&lake);
        let ended = run(&mut select(name, &sample().exports, &lake, SAMPLE_AS_OF)).expect(1);
        let report = ended.json();
        let error = job(&report, name)["error"].as_str().unwrap_or_else(|| panic!("{report}"));
        for part in ["holds a table that this program did not make", "nothing was written", table.to_str().unwrap()] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(data_files(&lake), before, "{name}");
        assert_no_landing(&lake);
    }
}
