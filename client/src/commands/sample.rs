//! `quickchat-etl sample`.

use std::path::PathBuf;

use clap::Args;
use quickchat_sample::{SampleOptions, generate};
use serde::Serialize;

use super::CommandError;
use crate::config::Config;
use crate::output::{self, bytes, count};

#[derive(Debug, Args)]
pub(super) struct SampleArguments {
    /// Folder to make; must be empty or absent
    out: PathBuf,
    /// Number of messages; everything else follows from it
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Number of users [default: from the number of messages]
    #[arg(long)]
    users: Option<u64>,
    /// Days that the messages spread over
    #[arg(long)]
    days: Option<u32>,
    /// Equal seeds and options give equal bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of documents that cannot be decoded
    #[arg(long)]
    bad_share: Option<f64>,
    /// Compress the files
    #[arg(long)]
    gzip: bool,
}

#[derive(Serialize)]
struct Made {
    collection: &'static str,
    documents: u64,
    distinct: u64,
    bad: u64,
    bytes: u64,
}

pub(super) fn sample(config: &Config, arguments: &SampleArguments) -> Result<u8, CommandError> {
    let defaults = SampleOptions::default();
    let options = SampleOptions {
        messages: arguments.messages,
        users: arguments.users,
        seed: arguments.seed,
        days: arguments.days.unwrap_or(defaults.days),
        bad_share: arguments.bad_share.unwrap_or(defaults.bad_share),
        gzip: arguments.gzip,
        ..defaults
    };
    let summary = generate(&options, &arguments.out)?;
    let made: Vec<Made> = summary
        .collections
        .iter()
        .map(|collection| Made {
            collection: collection.collection.name(),
            documents: collection.documents(),
            distinct: collection.distinct,
            bad: collection.bad.total(),
            bytes: collection.bytes(),
        })
        .collect();
    output::print(config.output, &made, || {
        let mut table = output::table(&["collection", "#documents", "#distinct", "#bad", "#size"]);
        for made in &made {
            table.add_row([
                made.collection.to_owned(),
                count(made.documents),
                count(made.distinct),
                count(made.bad),
                bytes(made.bytes),
            ]);
        }
        table
    })?;
    Ok(0)
}
