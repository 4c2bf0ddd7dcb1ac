//! Configuration: flags over environment over `quickchat-etl.toml` over defaults, validated once into typed values.
//!
//! Each option is described once, by its field in [`GlobalOptions`]; the file has the same names. Secrets are no
//! options: the process that needs one reads it from its own environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use quickchat_executor::{MemoryLimit, SchedulerUrl};
use quickchat_lake::{LakeRoot, TableUrl};
use quickchat_sources::{Collection, LiveNames, MediaFolder, Origin};
use serde::Deserialize;

use crate::LiveSources;
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
    /// Folder whose objects are the media, in place of the one of the exports: a folder, file:// or s3:// address
    #[arg(long, global = true, env = "MEDIA_PATH", value_name = "URL")]
    pub media: Option<String>,
    /// Manifest of an S3 Inventory of the media's bucket, to be read in place of a listing
    #[arg(long, global = true, env = "MEDIA_INVENTORY", value_name = "URL")]
    pub media_inventory: Option<String>,
    /// How many hours before the newest known change a run begins to read live systems again [default: 24]
    #[arg(long, global = true, env = "QUICKCHAT_LOOKBACK_HOURS", value_name = "HOURS")]
    pub lookback_hours: Option<u32>,
    /// What collections and their fields are called in MongoDB, by the lake's name of the collection.
    #[arg(skip)]
    pub mongodb: BTreeMap<String, LiveNames>,
    /// What tables and their columns are called in MySQL, by the lake's name of the table.
    #[arg(skip)]
    pub mysql: BTreeMap<String, LiveNames>,
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
    /// The folder of media, if it is not the one of the exports.
    pub media: Option<MediaFolder>,
    /// How live systems are read.
    pub live: LiveSources,
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
            exports: options.exports.or(file.exports).filter(|exports| !exports.is_empty()),
            media: media_folder(options.media.or(file.media), options.media_inventory.or(file.media_inventory))?,
            live: LiveSources {
                names: live_names(file.mongodb, file.mysql)?,
                lookback_micros: lookback_micros(options.lookback_hours.or(file.lookback_hours)),
            },
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

/// Longer than clocks differ, and than any write takes from its time to its visibility.
const DEFAULT_LOOKBACK_HOURS: u32 = 24;

fn lookback_micros(hours: Option<u32>) -> i64 {
    i64::from(hours.unwrap_or(DEFAULT_LOOKBACK_HOURS)) * 3_600 * 1_000_000
}

fn media_folder(folder: Option<String>, inventory: Option<String>) -> Result<Option<MediaFolder>, ConfigError> {
    let (option, inventory_option) = ("--media (MEDIA_PATH)", "--media-inventory (MEDIA_INVENTORY)");
    let inventory = inventory.filter(|inventory| !inventory.is_empty());
    let Some(folder) = folder.filter(|folder| !folder.is_empty()) else {
        return match inventory {
            Some(_) => {
                Err(wrong(inventory_option, "it needs MEDIA_PATH, the folder whose objects are looked for in it"))
            }
            None => Ok(None),
        };
    };
    let url = TableUrl::parse(&folder).map_err(|error| wrong(option, error))?;
    let folder = MediaFolder::at(url.url()).map_err(|error| wrong(option, error))?;
    let Some(inventory) = inventory else { return Ok(Some(folder)) };
    let manifest = TableUrl::parse(&inventory).map_err(|error| wrong(inventory_option, error))?;
    folder.with_inventory(manifest.url()).map(Some).map_err(|error| wrong(inventory_option, error))
}

/// The names by collection, each of which must be of the system under which it stands.
fn live_names(
    mongodb: BTreeMap<String, LiveNames>,
    mysql: BTreeMap<String, LiveNames>,
) -> Result<BTreeMap<Collection, LiveNames>, ConfigError> {
    let mut names = BTreeMap::new();
    for (origin, section) in [(Origin::MongoDb, mongodb), (Origin::MySql, mysql)] {
        for (name, given) in section {
            let Some(collection) = Collection::from_name(&name).filter(|known| known.origin() == origin) else {
                let known = Collection::ALL.into_iter().filter(|known| known.origin() == origin);
                let known: Vec<&str> = known.map(Collection::name).collect();
                return Err(wrong(
                    if origin == Origin::MongoDb {
                        "[mongodb] in the configuration file"
                    } else {
                        "[mysql] in the configuration file"
                    },
                    format!("`{name}` is none of {}", known.join(", ")),
                ));
            };
            names.insert(collection, given);
        }
    }
    Ok(names)
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
    fn media_are_a_folder_of_any_store() {
        for (text, location) in [
            ("/data/media/", "file:///data/media"),
            ("file:///data/media", "file:///data/media"),
            ("s3://photos", "s3://photos/"),
            ("s3a://photos/chat/media/", "s3://photos/chat/media"),
        ] {
            let config = resolve(&format!("media = '{text}'"), GlobalOptions::default()).unwrap();
            assert_eq!(config.media.unwrap().location(), location);
        }
        assert!(resolve("media = ''", GlobalOptions::default()).unwrap().media.is_none());
    }

    #[test]
    fn names_of_live_systems_stand_in_the_file() {
        let file = "[mysql.auth_users]\nname = 'accounts'\ncolumns = { external_id = 'chat_user' }";
        let config = resolve(file, GlobalOptions::default()).unwrap();
        let names = &config.live.names[&Collection::AuthUsers];
        assert_eq!(names.name.as_deref(), Some("accounts"));
        assert_eq!(names.columns["external_id"], "chat_user");
        assert_eq!(config.live.lookback_micros, 86_400_000_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (file, part) in [
            ("lake = 'ftp://x/y'", "DATA_LAKE_PATH"),
            ("slots = 0", "QUICKCHAT_SLOTS"),
            ("scheduler = 'nonsense://'", "SCHEDULER_URL"),
            ("memory = 'much'", "QUICKCHAT_MEMORY"),
            ("media = 'ftp://x/y'", "MEDIA_PATH"),
            ("media-inventory = 's3://i/manifest.json'", "needs MEDIA_PATH"),
            ("media = '/x'\nmedia-inventory = 's3://i/manifest.json'", "local folder"),
            ("media = 's3://b'\nmedia-inventory = '/i/manifest.json'", "MEDIA_INVENTORY"),
            ("laek = 'x'", "laek"),
            ("[mongodb.mesages]\nname = 'x'", "mesages"),
            ("[mysql.messages]\nname = 'x'", "none of auth_users"),
            ("[mysql.auth_users]\ntable = 'x'", "table"),
        ] {
            let error = resolve(file, GlobalOptions::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
        let missing = GlobalOptions { config: Some("/no/such/file.toml".into()), ..Default::default() };
        assert!(matches!(Config::resolve(missing), Err(ConfigError::Read { .. })));
    }
}
