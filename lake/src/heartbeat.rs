//! Signs of life: a process that works in a folder of the lake now and then writes down that it still does.
//!
//! What counts is when the object was last written, which the store says by its own clock, so the clock of the process
//! does not matter. A sign is no lock: nothing depends on it but what people are told.

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use crate::snapshot::Tables;
use crate::{LakeError, Result, TableUrl};

/// Name of the object in the folder.
const OBJECT: &str = "heartbeat";

/// Leaves a sign of life in `folder`.
pub async fn beat(tables: &Tables, folder: &TableUrl) -> Result<()> {
    let store = tables.stores().get(folder.url())?;
    let put = store.put(&object(folder)?, PutPayload::from_static(b"alive\n")).await;
    put.map(drop).map_err(|error| LakeError::object("leave a sign of life in", folder, error))
}

/// When the last sign of life was left in `folder`, by the store's clock; none if there is none.
pub async fn last_beat(tables: &Tables, folder: &TableUrl) -> Result<Option<DateTime<Utc>>> {
    let store = tables.stores().get(folder.url())?;
    match store.head(&object(folder)?).await {
        Ok(object) => Ok(Some(object.last_modified)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(LakeError::object("look for a sign of life in", folder, error)),
    }
}

fn object(folder: &TableUrl) -> Result<Path> {
    Ok(folder.path()?.join(OBJECT))
}
