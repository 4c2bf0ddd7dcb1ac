//! The sources, as this process reaches them.

use std::collections::BTreeMap;

use quickchat_engine::Engine;
use quickchat_lake::TableUrl;
use quickchat_sources::{
    Collection, Connections, ExportFolder, Health, LiveNames, MediaFolder, MediaHealth, SourceError,
};

use super::{Finding, State, is_set, names_a_live_system};
use crate::config::Config;
use crate::sources::{is_local, open_exports};
use crate::with_causes;

/// What is warned of where credentials may do more than a source needs.
const MAY_WRITE: &str = "these credentials may also write there";

pub(super) async fn exports(config: &Config, engine: &Engine) -> Finding {
    let Some(location) = &config.exports else {
        return Finding::not_configured("exports", "EXPORTS_PATH or --exports names a folder of exports");
    };
    let finding = match open(location, engine).await {
        Err(why) => Finding::failed("exports", why),
        Ok((folder, bucket)) => {
            let mut finding = Finding::new("exports", State::Ok);
            for collection in Collection::ALL.into_iter().filter(|collection| *collection != Collection::Media) {
                let files = folder.files(collection).len() as u64;
                finding.counts.insert(format!("{collection} files"), Some(files).filter(|files| *files > 0));
            }
            for path in folder.unclaimed() {
                finding.warn(format!("{path} belongs to no collection and is not read"));
            }
            match bucket {
                Some(bucket) => with_rights(finding, &bucket, engine).await,
                None => finding,
            }
        }
    };
    Finding { place: shown(location), ..finding }
}

/// An address that is not understood is not shown: it may hold keys.
fn shown(location: &str) -> Option<String> {
    let is_understood = !location.contains("://") || TableUrl::parse(location).is_ok();
    is_understood.then(|| location.to_owned())
}

/// The export folder; and, of one in an object store, the same as a folder of objects.
async fn open(location: &str, engine: &Engine) -> Result<(ExportFolder, Option<MediaFolder>), String> {
    let folder = open_exports(location, engine.tables().stores()).await.map_err(|error| with_causes(&error))?;
    if is_local(location) {
        return Ok((folder, None));
    }
    let url = TableUrl::parse(location).map_err(|error| with_causes(&error))?;
    let bucket = MediaFolder::at(url.url()).map_err(|error| with_causes(&error))?;
    Ok((folder, Some(bucket)))
}

/// Tries out whether the folder could be written to, and how long a request takes.
async fn with_rights(mut finding: Finding, bucket: &MediaFolder, engine: &Engine) -> Finding {
    match look(bucket, engine).await {
        Ok(found) => {
            if found.may_write {
                finding.warn(format!("{MAY_WRITE}; s3:ListBucket and s3:GetObject are enough"));
            }
            finding.latency(found.latency)
        }
        Err(why) => {
            finding.fail(why);
            finding
        }
    }
}

async fn look(folder: &MediaFolder, engine: &Engine) -> Result<MediaHealth, String> {
    let runtime = engine.runtime_env(None).map_err(|error| with_causes(&error))?;
    folder.look(&runtime).await.map_err(|error| with_causes(&error))
}

pub(super) async fn mongodb(config: &Config, connections: &Connections) -> Finding {
    if !is_set("MONGODB_URI") {
        return Finding::not_configured("mongodb", "MONGODB_URI names a server");
    }
    let names = &config.live.names;
    match connections.check_mongodb(names).await {
        Ok(health) => live("mongodb", names, health),
        Err(error) => unusable("mongodb", connections.mongodb_place().await, &error),
    }
}

pub(super) async fn mysql(config: &Config, connections: &Connections) -> Finding {
    if !is_set("MYSQL_URL") {
        return Finding::not_configured("mysql", "MYSQL_URL names a server");
    }
    let names = &config.live.names;
    match connections.check_mysql(names).await {
        Ok(health) => live("mysql", names, health),
        Err(error) => unusable("mysql", connections.mysql_place().await, &error),
    }
}

fn unusable(system: &'static str, place: Option<String>, error: &SourceError) -> Finding {
    Finding { place, ..Finding::failed(system, with_causes(error)) }
}

fn live(system: &'static str, names: &BTreeMap<Collection, LiveNames>, health: Health) -> Finding {
    let mut finding = Finding { version: Some(health.version), ..Finding::new(system, State::Ok) };
    for warning in health.warnings {
        finding.warn(warning);
    }
    for (collection, count) in health.counts {
        let is_optional = names.get(&collection).is_some_and(|names| names.optional);
        if count.is_none() && !is_optional {
            finding.fail(format!(
                "it has no {collection}; if they are called otherwise there, say so under [{system}.{collection}] in \
                 quickchat-etl.toml, and if they are not used, set `optional = true` there"
            ));
        }
        finding.counts.insert(collection.name().to_owned(), count);
    }
    finding.latency(health.latency).clock(health.clock_ahead_millis).at(health.place)
}

/// The folder of media, if they have one of their own.
pub(super) async fn media(config: &Config, engine: &Engine) -> Finding {
    let Some(folder) = &config.media else {
        let mut finding =
            Finding::not_configured("media", "MEDIA_PATH or --media names a folder, where the exports have none");
        if config.exports.is_none() && names_a_live_system() {
            finding.warn("live systems have no media: without that folder the job bronze.media fails".to_owned());
        }
        return finding;
    };
    let finding = match look(folder, engine).await {
        Err(why) => Finding::failed("media", why),
        Ok(found) => {
            let mut finding = Finding::new("media", State::Ok).latency(found.latency);
            let objects = if found.is_all { "objects" } else { "objects or more" };
            finding.counts.insert(objects.to_owned(), Some(found.objects));
            if let Some(files) = found.inventory_files {
                finding.counts.insert("files of the inventory".to_owned(), Some(files));
            }
            if found.objects == 0 {
                finding.warn("the folder is empty".to_owned());
            }
            if found.may_write {
                finding.warn(format!("{MAY_WRITE}; s3:ListBucket is enough"));
            }
            finding
        }
    };
    finding.at(folder.location())
}
