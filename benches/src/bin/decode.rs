//! How fast documents become Arrow, on one core: MB/s of JSON by shape and dialect, and of whole files, JSON and CSV.
//!
//! `documents` feeds lines from memory to the decoder, without any I/O, on one thread; where the machine does other
//! things too, its rate per CPU second is the one to look at. `files` reads a collection as a job does: chunks from the
//! file system (in the operating system's cache), framing, decoding, batches; its rate "per core" is bytes per CPU
//! second, since reading ahead uses a second thread. 1 MB is 1,000,000 bytes.

use std::fs;
use std::hint::black_box;

use anyhow::{Context, Result, bail};
use clap::Parser;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use memchr::memmem;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::data::{DataOptions, Exports, files};
use quickchat_benches::{progress, report};
use quickchat_sample::SampleOptions;
use quickchat_sources::decode::{Decoder, Place};
use quickchat_sources::{Collection, ExportFolder};
use report::Spread;
use serde::Serialize;

/// Measures how fast documents become Arrow, on one core.
#[derive(Debug, Parser, Serialize)]
struct Options {
    /// Messages of the sample
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Rows of the CSV file
    #[arg(long, default_value_t = 200_000)]
    csv_rows: u64,
    /// Measured rounds; one more comes before them and is not counted
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Bytes that a round decodes at least, in MiB
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    round_mib: u16,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Serialize)]
struct Results {
    documents: Vec<DocumentFigures>,
    files: Vec<FileFigures>,
}

#[derive(Serialize)]
struct DocumentFigures {
    set: &'static str,
    documents: usize,
    rejected: u64,
    mean_document_bytes: f64,
    mb_per_second: Spread,
    /// Absent where CPU time is not known.
    mb_per_cpu_second: Option<Spread>,
    documents_per_second: Spread,
}

#[derive(Serialize)]
struct FileFigures {
    collection: String,
    format: &'static str,
    bytes: u64,
    rows: u64,
    mb_per_second: Spread,
    /// Absent where CPU time is not known.
    mb_per_cpu_second: Option<Spread>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let sample = SampleOptions { messages: options.messages, ..SampleOptions::default() };
    let messages = options.data.exports(&sample)?;
    let rows = SampleOptions { messages: 1_000, users: Some(options.csv_rows), ..SampleOptions::default() };
    let rows = options.data.exports(&rows)?;
    let mut documents = Vec::new();
    for set in sets(&messages)? {
        progress(&format!("decoding documents: {}", set.name));
        documents.push(decode_documents(&set, &options)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut files = Vec::new();
    for (exports, collection, format) in
        [(&messages, Collection::Messages, "json"), (&rows, Collection::AuthUsers, "csv")]
    {
        progress(&format!("reading files: {collection}"));
        files.push(runtime.block_on(read_files(exports, collection, format, &options))?);
    }
    report::print("decode", &options, &Results { documents, files })
}

/// Documents of one kind, one behind the other.
struct DocumentSet {
    name: &'static str,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl DocumentSet {
    fn new(name: &'static str) -> Self {
        Self { name, text: Vec::new(), ends: Vec::new() }
    }

    fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.ends.push(self.text.len());
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

/// The sample's messages as they come, and by shape and dialect. Documents that are neither of the shapes, the bad
/// ones, are only in the first set.
fn sets(exports: &Exports) -> Result<Vec<DocumentSet>> {
    let mut all = DocumentSet::new("as they come");
    let mut kinds =
        [("documented, relaxed", "documented, canonical"), ("application, relaxed", "application, canonical")]
            .map(|(relaxed, canonical)| (DocumentSet::new(relaxed), DocumentSet::new(canonical)));
    let shapes = [memmem::Finder::new(b"\"readBy\""), memmem::Finder::new(b"\"readReceipts\"")];
    let canonical = memmem::Finder::new(b"{\"$number");
    for file in files(&exports.folder, "mongodb")? {
        if !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("messages")) {
            continue;
        }
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            all.push(line);
            let shape = shapes.iter().zip(&mut kinds).find(|(mark, _)| mark.find(line).is_some());
            if let Some((_, (relaxed, in_full))) = shape {
                if canonical.find(line).is_some() { in_full.push(line) } else { relaxed.push(line) }
            }
        }
    }
    let kinds = kinds.into_iter().flat_map(|(relaxed, canonical)| [relaxed, canonical]);
    let sets: Vec<DocumentSet> = std::iter::once(all).chain(kinds).collect();
    match sets.iter().find(|set| set.ends.is_empty()) {
        Some(set) => bail!("the sample has no messages of the kind `{}`; ask for more messages", set.name),
        None => Ok(sets),
    }
}

fn decode_documents(set: &DocumentSet, options: &Options) -> Result<DocumentFigures> {
    let passes = (usize::from(options.round_mib) << 20).div_ceil(set.text.len());
    let mut decoder = Decoder::new(Collection::Messages);
    let mut rounds: Vec<Took> = Vec::new();
    let mut rejected = 0;
    for round in 0..=options.rounds {
        let watch = Stopwatch::start();
        for _ in 0..passes {
            rejected = decode_once(set, &mut decoder)?;
        }
        if round > 0 {
            rounds.push(watch.stop());
        }
    }
    let bytes = (set.text.len() * passes) as f64;
    let wall = || rounds.iter().map(|took| took.seconds);
    Ok(DocumentFigures {
        set: set.name,
        documents: set.ends.len(),
        rejected,
        mean_document_bytes: set.text.len() as f64 / set.ends.len() as f64,
        mb_per_second: megabytes(Spread::rate(bytes, wall())),
        mb_per_cpu_second: per_cpu_second(bytes, &rounds),
        documents_per_second: Spread::rate((set.ends.len() * passes) as f64, wall()),
    })
}

/// Decodes all documents into batches; gives the number of rejects.
fn decode_once(set: &DocumentSet, decoder: &mut Decoder) -> Result<u64> {
    let mut rejected = 0;
    let mut finish = |decoder: &mut Decoder| -> Result<()> {
        rejected += decoder.rejects() as u64;
        black_box(decoder.finish("memory", 0)?);
        Ok(())
    };
    for (index, line) in (0_u32..).zip(set.lines()) {
        decoder.push_line(line, Place { ordinal: index.into(), line: index.into() });
        if decoder.is_full() {
            finish(decoder)?;
        }
    }
    finish(decoder)?;
    Ok(rejected)
}

async fn read_files(
    exports: &Exports,
    collection: Collection,
    format: &'static str,
    options: &Options,
) -> Result<FileFigures> {
    let table = ExportFolder::open(&exports.folder.to_string_lossy()).await?.table(collection);
    let context = SessionContext::new();
    let passes = (u64::from(options.round_mib) << 20).div_ceil(table.size_bytes().max(1));
    let mut rounds: Vec<Took> = Vec::new();
    let mut rows = 0;
    for round in 0..=options.rounds {
        let watch = Stopwatch::start();
        for _ in 0..passes {
            rows = read_once(&table, &context).await?;
        }
        if round > 0 {
            rounds.push(watch.stop());
        }
    }
    let bytes = (table.size_bytes() * passes) as f64;
    Ok(FileFigures {
        collection: collection.to_string(),
        format,
        bytes: table.size_bytes(),
        rows,
        mb_per_second: megabytes(Spread::rate(bytes, rounds.iter().map(|took| took.seconds))),
        mb_per_cpu_second: per_cpu_second(bytes, &rounds),
    })
}

/// Reads all splits, one after another; gives the number of rows, rejects and tallies included.
async fn read_once(table: &quickchat_sources::SourceTable, context: &SessionContext) -> Result<u64> {
    use datafusion::catalog::TableProvider;
    let plan = table.scan(&context.state(), None, &[], None).await?;
    let mut rows = 0;
    for partition in 0..plan.output_partitioning().partition_count() {
        let mut batches = plan.execute(partition, context.task_ctx())?;
        while let Some(batch) = batches.next().await {
            rows += black_box(batch?).num_rows() as u64;
        }
    }
    Ok(rows)
}

fn per_cpu_second(bytes: f64, rounds: &[Took]) -> Option<Spread> {
    let seconds: Option<Vec<f64>> = rounds.iter().map(|took| took.cpu_seconds).collect();
    seconds.map(|seconds| megabytes(Spread::rate(bytes, seconds)))
}

fn megabytes(bytes: Spread) -> Spread {
    let scale = |value: f64| value / 1e6;
    Spread { median: scale(bytes.median), min: scale(bytes.min), max: scale(bytes.max) }
}
