//! How long it takes to change 1% and 10% of a table's rows, or a number of them, scattered over all of its files.
//!
//! The table is `bronze.messages` with one file a date. The changed documents are every hundredth or tenth message of
//! the sample with a later `updatedAt`, as an export folder of their own; the job is run on it as it would be by
//! `quickchat-etl run bronze.messages`: read, decode, land, compare with the stored rows, rewrite, commit. Scattered
//! keys are the worst case of copy-on-write, since every file holds some. What was read and written is taken from the
//! Delta log: the files that the version removed (read as a whole) and added.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::data::{Exports, files};
use quickchat_benches::messages::{MessagesLake, MessagesOptions};
use quickchat_benches::{progress, report};
use quickchat_lake::snapshot::PinnedTable;
use quickchat_sample::DEFAULT_END;
use report::Spread;
use serde::Serialize;
use serde_json::{Value, json};

/// Measures upserts of scattered keys.
#[derive(Debug, Parser, Serialize)]
struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    common: MessagesOptions,
    /// So many keys, evenly scattered, in place of 1% and 10%
    #[arg(long)]
    keys: Option<NonZeroU64>,
}

#[derive(Serialize)]
struct Results {
    rows: u64,
    table_files: usize,
    table_bytes: u64,
    /// Filling the empty table, once.
    insert_all: Took,
    upserts: Vec<UpsertFigures>,
}

#[derive(Serialize)]
struct UpsertFigures {
    share: String,
    keys: u64,
    seconds: Spread,
    cpu_seconds: Option<Spread>,
    changed_keys_per_second: Spread,
    /// The following are of the last round.
    #[serde(flatten)]
    difference: Difference,
}

/// What a version changed, by the log.
#[derive(Clone, Copy, Default, Serialize)]
struct Difference {
    files_touched: u64,
    bytes_read: u64,
    files_written: u64,
    bytes_written: u64,
    rows_rewritten: u64,
}

/// A share of the keys: one of so many.
struct Share {
    name: String,
    stride: usize,
}

impl Options {
    fn shares(&self) -> Result<Vec<Share>> {
        let Some(keys) = self.keys else {
            return Ok(vec![
                Share { name: "1%".to_owned(), stride: 100 },
                Share { name: "10%".to_owned(), stride: 10 },
            ]);
        };
        let stride = usize::try_from(self.common.messages / keys)?;
        ensure!(stride > 0, "--keys {keys} are more than the {} messages", self.common.messages);
        Ok(vec![Share { name: format!("{keys} keys"), stride }])
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let shares = options.shares()?;
    let exports = options.common.exports()?;
    let scratch = options.common.scratch()?;
    let lake = MessagesLake::start(scratch.path(), options.common.slots).await?;
    progress("filling the table");
    let watch = Stopwatch::start();
    lake.ingest(&exports.folder).await?;
    let insert_all = watch.stop();
    let table = lake.pinned().await?;
    let mut bench = Bench { lake, exports, rounds: options.common.rounds, edits: 0 };
    let mut upserts = Vec::new();
    for share in shares {
        upserts.push(bench.upserts(&share, scratch.path()).await?);
    }
    bench.lake.stop().await;
    let results = Results {
        rows: rows(&table)?,
        table_files: table.files.len(),
        table_bytes: table.bytes(),
        insert_all,
        upserts,
    };
    report::print("upsert", &options, &results)
}

struct Bench {
    lake: MessagesLake,
    exports: Exports,
    rounds: u16,
    /// How many exports of changed documents were made; each is newer than those before.
    edits: i64,
}

impl Bench {
    async fn upserts(&mut self, share: &Share, scratch: &Path) -> Result<UpsertFigures> {
        let (mut rounds, mut keys, mut difference) = (Vec::new(), 0, Difference::default());
        for round in 0..=self.rounds {
            self.edits += 1;
            let changes = scratch.join(format!("changes-{}", self.edits));
            keys = write_changes(&self.exports, &changes, share.stride, self.edits)?;
            let before = self.lake.pinned().await?;
            progress(&format!("upserting {} ({keys} keys), round {round}", share.name));
            let watch = Stopwatch::start();
            let job = self.lake.ingest(&changes).await?;
            rounds.push(watch.stop());
            ensure!(job.written == keys, "{} rows were written in place of {keys}", job.written);
            let after = self.lake.pinned().await?;
            ensure!(rows(&before)? == rows(&after)?, "the upsert has added or lost rows");
            difference = Difference::between(&before, &after, keys)?;
            fs::remove_dir_all(&changes).context("cannot remove the changed documents")?;
        }
        let rounds = &rounds[1..];
        Ok(UpsertFigures {
            share: share.name.clone(),
            keys,
            seconds: Spread::wall(rounds),
            cpu_seconds: Spread::cpu(rounds),
            changed_keys_per_second: Spread::rate(keys as f64, rounds.iter().map(|took| took.seconds)),
            difference,
        })
    }
}

impl Difference {
    fn between(before: &PinnedTable, after: &PinnedTable, keys: u64) -> Result<Self> {
        let only_in = |one: &PinnedTable, other: &PinnedTable| -> (u64, u64, HashSet<String>) {
            let known: HashSet<&str> = other.files.iter().map(|file| file.path.as_str()).collect();
            let files = one.files.iter().filter(|file| !known.contains(file.path.as_str()));
            files.fold((0, 0, HashSet::new()), |(count, bytes, mut paths), file| {
                paths.insert(file.path.clone());
                (count + 1, bytes + file.size.unsigned_abs(), paths)
            })
        };
        let (files_touched, bytes_read, touched) = only_in(before, after);
        let (files_written, bytes_written, _) = only_in(after, before);
        let mut rewritten = 0;
        for file in before.files.iter().filter(|file| touched.contains(&file.path)) {
            rewritten += rows_of(file.stats.as_deref())?;
        }
        Ok(Self {
            files_touched,
            bytes_read,
            files_written,
            bytes_written,
            rows_rewritten: rewritten.saturating_sub(keys),
        })
    }
}

/// Rows of a file, as its statistics in the log say.
fn rows_of(statistics: Option<&str>) -> Result<u64> {
    let parsed: Option<Value> = statistics.map(serde_json::from_str).transpose().context("cannot read statistics")?;
    let rows = parsed.as_ref().and_then(|statistics| statistics.get("numRecords")).and_then(Value::as_u64);
    rows.context("the log does not say how many rows a file has")
}

fn rows(table: &PinnedTable) -> Result<u64> {
    table.rows().context("the log does not say how many rows the table has")
}

/// Writes every `stride`-th message, with a later time of change, as an export folder; gives their number.
fn write_changes(exports: &Exports, folder: &Path, stride: usize, edit: i64) -> Result<u64> {
    let place = || format!("cannot write changed documents to {}", folder.display());
    fs::create_dir_all(folder.join("mongodb")).with_context(place)?;
    let file = fs::File::create(folder.join("mongodb/messages.json")).with_context(place)?;
    let mut out = BufWriter::new(file);
    let updated_at = DEFAULT_END + chrono::Duration::minutes(edit);
    let updated_at = json!({"$date": updated_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)});
    let mut seen: HashSet<String> = HashSet::new();
    let mut keys = 0;
    for file in files(&exports.folder, "mongodb")? {
        if !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("messages")) {
            continue;
        }
        let input = fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in BufReader::new(input).lines() {
            let mut document: Value = serde_json::from_str(&line?).context("cannot read a document of the sample")?;
            let Some(id) = document.get("_id").map(Value::to_string) else {
                bail!("a message of the sample has no id")
            };
            if !seen.insert(id) || !seen.len().is_multiple_of(stride) {
                continue;
            }
            document["updatedAt"] = updated_at.clone();
            document["isEdited"] = Value::Bool(true);
            serde_json::to_writer(&mut out, &document).with_context(place)?;
            out.write_all(b"\n").with_context(place)?;
            keys += 1;
        }
    }
    out.flush().with_context(place)?;
    Ok(keys)
}
