//! What can be said of the store of a lake by trying it out, for a person who sets things up.

use std::time::{Duration, Instant, SystemTime};

use object_store::{ObjectStoreExt, PutPayload};

use crate::stores::ObjectStores;
use crate::{LakeError, LakeRoot, Result, TableUrl};

/// A store that answers, takes writes, and honours the condition that commits need.
#[derive(Debug, Clone, Copy)]
pub struct StoreHealth {
    /// The time of a small read.
    pub latency: Duration,
    /// How far its clock is ahead of this machine's, in milliseconds; stores tell whole seconds.
    pub clock_ahead_millis: Option<i64>,
}

/// Writes a small object below the root of a lake, reads what the store says of it, and removes it again; and tries out
/// whether the store creates an object only where there is none.
pub async fn look(stores: &ObjectStores, root: &LakeRoot) -> Result<StoreHealth> {
    let folder = TableUrl::parse(root.url().as_str())?;
    stores.ensure_creates_once(&folder).await?;
    let store = stores.get(folder.url())?;
    let path = folder.path()?.join("_probe").join(uuid::Uuid::now_v7().to_string());
    let failed = |action: &'static str| {
        let path = path.clone();
        move |error| LakeError::object(action, path, error)
    };
    let written = SystemTime::now();
    store.put(&path, PutPayload::from_static(b"probe")).await.map_err(failed("write to"))?;
    let sent = Instant::now();
    let found = store.head(&path).await;
    let latency = sent.elapsed();
    store.delete(&path).await.map_err(failed("delete from"))?;
    let found = found.map_err(failed("read"))?;
    let ours = written.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|it| i64::try_from(it.as_millis()).ok());
    let clock_ahead_millis = ours.map(|ours| found.last_modified.timestamp_millis() - ours);
    Ok(StoreHealth { latency, clock_ahead_millis })
}
