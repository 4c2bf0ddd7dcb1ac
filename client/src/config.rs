//! Configuration: flags over environment over `quickchat-etl.toml` over defaults, validated once into typed values.
//!
//! Each option is described once, by its field in [`GlobalOptions`]; the file has the same names. Secrets are no
//! options: the process that needs one reads it from its own environment.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use quickchat_executor::{MemoryLimit, SchedulerUrl};
use quickchat_lake::LakeRoot;
use serde::Deserialize;

use crate::cluster::EmbeddedOptions;

/// The lake when nothing is configured.
const DEFAULT_LAKE: &str = "data/lake";

/// The file that is read if it is there and no other is named.
const DEFAULT_FILE: &str = "quickchat-etl.toml";

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GlobalOptions {
    /// The lake: a folder, file:// or s3:// address [default: data/lake]
    #[arg(long, global = true, env = "DATA_LAKE_PATH", value_name = "URL")]
    pub lake: Option<String>,
    /// Export folder with mongodb/ and mysql/: a folder, file:// or s3:// address
    #[arg(long, global = true, env = "EXPORTS_PATH", value_name = "URL")]
    pub exports: Option<String>,
    /// Scheduler of a remote cluster, df://host:port; without it the cluster runs inside this process
    #[arg(long, global = true, env = "SCHEDULER_URL", value_name = "URL")]
    pub scheduler: Option<String>,
    /// Tasks at a time in the embedded cluster [default: the number of cores]
    #[arg(long, global = true, env = "QUICKCHAT_SLOTS", value_name = "N")]
    pub slots: Option<usize>,
    /// Memory for the tasks of the embedded cluster, for example 2GiB or 50%; then they spill [default: 384MiB a slot]
    #[arg(long, global = true, env = "QUICKCHAT_MEMORY", value_name = "SIZE")]
    pub memory: Option<String>,
    /// Form of the output
    #[arg(long, short, global = true, value_enum, value_name = "FORM")]
    pub output: Option<OutputForm>,
    /// Configuration file [default: quickchat-etl.toml, if it is there]
    #[arg(long, global = true, env = "QUICKCHAT_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputForm {
    /// For people.
    #[default]
    Table,
    /// For programs: stable and documented.
    Json,
}

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The lake.
    pub lake: LakeRoot,
    /// The export folder, as given.
    pub exports: Option<String>,
    /// The remote scheduler; none means embedded.
    pub scheduler: Option<SchedulerUrl>,
    /// Tasks at a time, embedded.
    pub slots: usize,
    /// Memory of all tasks together, embedded.
    pub memory: MemoryLimit,
    /// Form of the output.
    pub output: OutputForm,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}; correct --config or QUICKCHAT_CONFIG")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is wrong: {source}")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value is not of its option's kind.
    #[error("{option} is wrong: {reason}")]
    Value {
        /// The option.
        option: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

impl Config {
    /// Merges and validates.
    pub fn resolve(options: GlobalOptions) -> Result<Self, ConfigError> {
        let file = file_options(options.config.as_deref())?;
        let lake = options.lake.or(file.lake).unwrap_or_else(|| DEFAULT_LAKE.to_owned());
        let slots = match options.slots.or(file.slots) {
            Some(0) => return Err(wrong("--slots (QUICKCHAT_SLOTS)", "it must be at least 1")),
            Some(slots) => slots,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        Ok(Self {
            lake: LakeRoot::parse(&lake).map_err(|error| wrong("--lake (DATA_LAKE_PATH)", error))?,
            exports: options.exports.or(file.exports),
            scheduler: options
                .scheduler
                .or(file.scheduler)
                .filter(|url| !url.is_empty())
                .map(|url| url.parse().map_err(|error| wrong("--scheduler (SCHEDULER_URL)", error)))
                .transpose()?,
            slots,
            memory: match options.memory.or(file.memory) {
                Some(memory) => memory.parse().map_err(|error| wrong("--memory (QUICKCHAT_MEMORY)", error))?,
                None => EmbeddedOptions::default_memory(slots),
            },
            output: options.output.or(file.output).unwrap_or_default(),
        })
    }
}

fn wrong(option: &'static str, reason: impl fmt::Display) -> ConfigError {
    ConfigError::Value { option, reason: reason.to_string() }
}

fn file_options(named: Option<&Path>) -> Result<GlobalOptions, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(GlobalOptions::default());
        }
        Err(source) => return Err(ConfigError::Read { path: path.display().to_string(), source }),
    };
    toml::from_str(&text)
        .map_err(|source| ConfigError::Parse { path: path.display().to_string(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, mut options: GlobalOptions) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        options.config = Some(path);
        Config::resolve(options)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = "lake = '/from/file'\nslots = 3\nmemory = '1GiB'";
        let config = resolve(file, GlobalOptions { slots: Some(5), ..Default::default() }).unwrap();
        assert_eq!(config.lake.to_string(), "file:///from/file/");
        assert_eq!(config.slots, 5);
        assert_eq!(config.output, OutputForm::Table);
        assert!(config.scheduler.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (file, part) in [
            ("lake = 'ftp://x/y'", "DATA_LAKE_PATH"),
            ("slots = 0", "QUICKCHAT_SLOTS"),
            ("scheduler = 'nonsense://'", "SCHEDULER_URL"),
            ("memory = 'much'", "QUICKCHAT_MEMORY"),
            ("laek = 'x'", "laek"),
        ] {
            let error = resolve(file, GlobalOptions::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
        let missing = GlobalOptions { config: Some("/no/such/file.toml".into()), ..Default::default() };
        assert!(matches!(Config::resolve(missing), Err(ConfigError::Read { .. })));
    }
}
