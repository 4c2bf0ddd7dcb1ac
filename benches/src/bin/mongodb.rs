//! How fast documents of MongoDB become bronze: MB/s of BSON, decoded into Arrow and written as Parquet.
//!
//! * `decode` feeds documents from memory to the decoder, without any I/O, on one thread.
//! * `landing` reads a collection over the wire as a job does and lands it: driver, decoding, Parquet files, on the
//!   embedded cluster with one slot. Its rate "per core" is bytes per CPU second of the whole process.
//!
//! The server of `landing` is a stand-in that replays encoded batches from a process of its own, since every test
//! database is slower than that. With `--server` it is the one that `MONGODB_URI` names, into which the documents are
//! put first; what is then left of a round's time beside CPU time is waiting for it. 1 MB is 1,000,000 bytes.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bson::{Bson, Document, RawDocumentBuf};
use clap::Parser;
use quickchat_benches::clock::{Stopwatch, Took};
use quickchat_benches::data::files;
use quickchat_benches::messages::{MessagesLake, MessagesOptions};
use quickchat_benches::report::Spread;
use quickchat_benches::{process, progress, report};
use quickchat_lake::operation::LandingColumns;
use quickchat_mongodb_stand_in::{Batch, Script, StandIn};
use quickchat_sources::decode::{Decoder, Place};
use quickchat_sources::{
    Collection, Connections, LiveRequest, ORDINAL_COLUMN, OUTPUT_COLUMN, READ_COLUMN, REJECT_COLUMN, SourceTable,
};
use serde::Serialize;

const DATABASE: &str = "quickchat_bench";
const COLLECTION: &str = "messages";
/// Of the batches that a server sends a reader that takes 4 MiB at once.
const BATCH_BYTES: usize = 4 << 20;
/// Tells a process that it is the one that measures.
const MEASURE_VARIABLE: &str = "QUICKCHAT_BENCH_MEASURE";
const LANDING: LandingColumns =
    LandingColumns { output: OUTPUT_COLUMN, ordinal: ORDINAL_COLUMN, reject: REJECT_COLUMN, read: READ_COLUMN };

/// Measures how fast documents of MongoDB become bronze.
#[derive(Debug, Parser, Serialize)]
struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    common: MessagesOptions,
    /// How often the stand-in sends the sample to each reader in a round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    repeats: u64,
    /// Read from the server of MONGODB_URI instead of a stand-in
    #[arg(long)]
    server: bool,
}

#[derive(Serialize)]
struct Results {
    documents: usize,
    mean_document_bytes: f64,
    decode: Figures,
    /// In each round.
    landed_documents: u64,
    landing: Figures,
}

#[derive(Serialize)]
struct Figures {
    seconds: Spread,
    cpu_seconds: Option<Spread>,
    mb_per_second: Spread,
    /// Absent where CPU time is not known.
    mb_per_cpu_second: Option<Spread>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if std::env::var_os(MEASURE_VARIABLE).is_some() {
        return measure(&options);
    }
    let documents = sample(&options)?;
    if options.server {
        load(&documents)?;
        return measure_in_a_process(std::env::var("MONGODB_URI").context("MONGODB_URI is not set")?);
    }
    let batches = batches(&documents);
    let per_cursor = batches.len() as u64 * options.repeats;
    let script = Script::new().replay(&format!("{DATABASE}.{COLLECTION}"), batches, per_cursor).without_recording();
    let server = StandIn::start(script).context("cannot start the stand-in")?;
    measure_in_a_process(server.uri())
}

/// Measures in a process of its own, whose CPU time is not the server's.
#[expect(clippy::print_stdout, reason = "the result")]
fn measure_in_a_process(uri: String) -> Result<()> {
    let ended = process::run_itself(|command| {
        command.args(std::env::args_os().skip(1)).env("MONGODB_URI", uri).env("MONGODB_DATABASE", DATABASE);
        command.env(MEASURE_VARIABLE, "1");
    })?;
    print!("{}", ended.output);
    Ok(())
}

fn measure(options: &Options) -> Result<()> {
    let documents = sample(options)?;
    let bytes: usize = documents.iter().map(|document| document.as_bytes().len()).sum();
    let decode = decode(&documents, bytes, options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (landed_documents, landing) = runtime.block_on(land(&documents, bytes, options))?;
    let results = Results {
        documents: documents.len(),
        mean_document_bytes: bytes as f64 / documents.len() as f64,
        decode,
        landed_documents,
        landing,
    };
    report::print("mongodb", options, &results)
}

/// The sample's messages as BSON.
fn sample(options: &Options) -> Result<Vec<RawDocumentBuf>> {
    let exports = options.common.exports()?;
    let mut documents = Vec::new();
    for file in files(&exports.folder, "mongodb")? {
        if !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(COLLECTION)) {
            continue;
        }
        let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value: serde_json::Value = serde_json::from_slice(line)?;
            let Bson::Document(document) = Bson::try_from(value)? else { bail!("a line is no document") };
            documents.push(RawDocumentBuf::try_from(&document)?);
        }
    }
    if options.server {
        // An export holds some documents in several versions, a server has one of each.
        let mut seen = HashSet::new();
        documents.retain(|document| seen.insert(document.get("_id").map(|id| format!("{id:?}")).unwrap_or_default()));
    }
    Ok(documents)
}

fn batches(documents: &[RawDocumentBuf]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (index, document) in documents.iter().enumerate() {
        bytes += document.as_bytes().len();
        if bytes >= BATCH_BYTES || index + 1 == documents.len() {
            batches.push(Batch::encode(documents[from..=index].iter().map(|document| document.as_bytes())));
            (from, bytes) = (index + 1, 0);
        }
    }
    batches
}

fn decode(documents: &[RawDocumentBuf], bytes: usize, options: &Options) -> Result<Figures> {
    progress("decoding");
    let mut decoder = Decoder::new(Collection::Messages);
    let mut rounds = Vec::new();
    for round in 0..=options.common.rounds {
        let watch = Stopwatch::start();
        for (index, document) in (0_u32..).zip(documents) {
            decoder.push_bson(document.as_bytes(), Place { ordinal: index.into(), line: index.into() });
            if decoder.is_full() {
                ensure!(decoder.rejects() == 0, "a document of the sample was rejected");
                black_box(decoder.finish("memory", 0)?);
            }
        }
        black_box(decoder.finish("memory", 0)?);
        if round > 0 {
            rounds.push(watch.stop());
        }
    }
    Ok(Figures::of(bytes as f64, &rounds))
}

/// How many documents a round landed, and how fast.
async fn land(documents: &[RawDocumentBuf], bytes: usize, options: &Options) -> Result<(u64, Figures)> {
    let scratch = options.common.scratch()?;
    let lake = MessagesLake::start(scratch.path(), Some(options.common.slots.unwrap_or(1))).await?;
    let operations = lake.operations()?;
    let (mut rounds, mut read) = (Vec::new(), 0);
    for round in 0..=options.common.rounds {
        progress(&format!("landing, round {round}"));
        let table = SourceTable::live(Collection::Messages, LiveRequest::default(), Connections::default());
        let watch = Stopwatch::start();
        let noted = ["message_id", "updated_at"].map(str::to_owned);
        let landed = operations.land(Arc::new(table), LANDING, "messages", &noted, lake.folder("_landing")).await?;
        let took = watch.stop();
        ensure!(landed.rejected == 0, "{} of {} documents were rejected", landed.rejected, landed.read);
        // A cursor brings the sample some times over, and each range of the plan has one.
        let samples = landed.read / documents.len() as u64;
        ensure!(samples > 0 && samples * documents.len() as u64 == landed.read, "{} documents came", landed.read);
        read = landed.read;
        landed.remove(operations.tables()).await;
        if round > 0 {
            rounds.push(took);
        }
    }
    lake.stop().await;
    let samples = read / documents.len() as u64;
    Ok((read, Figures::of(bytes as f64 * samples as f64, &rounds)))
}

/// Puts the sample into the server of `MONGODB_URI`.
fn load(documents: &[RawDocumentBuf]) -> Result<()> {
    let uri =
        std::env::var("MONGODB_URI").context("--server reads from the server of MONGODB_URI, which is not set")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = mongodb::Client::with_uri_str(uri).await?.database(DATABASE);
        database.drop().await?;
        let collection = database.collection::<Document>(COLLECTION);
        for (index, some) in documents.chunks(1_000).enumerate() {
            if index % 20 == 0 {
                progress(&format!("loading documents: {} of {}", index * 1_000, documents.len()));
            }
            let some: Vec<Document> = some.iter().map(Document::try_from).collect::<Result<_, _>>()?;
            collection.insert_many(some).await?;
        }
        Ok(())
    })
}

impl Figures {
    fn of(bytes: f64, rounds: &[Took]) -> Self {
        let cpu: Option<Vec<f64>> = rounds.iter().map(|took| took.cpu_seconds).collect();
        Self {
            seconds: Spread::wall(rounds),
            cpu_seconds: Spread::cpu(rounds),
            mb_per_second: Spread::rate(bytes / 1e6, rounds.iter().map(|took| took.seconds)),
            mb_per_cpu_second: cpu.map(|cpu| Spread::rate(bytes / 1e6, cpu)),
        }
    }
}
