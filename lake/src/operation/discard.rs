//! Removing files that were written but will not be committed.
//!
//! Best effort: such files are invisible, and what stays behind is vacuum's business. A failure is logged, and never
//! turns a finished operation into a failed one.

use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::TableUrl;
use crate::snapshot::Tables;

/// Deletes written files of a table that no version will name.
pub(super) async fn discard(tables: &Tables, table: &TableUrl, files: &[Add]) {
    let Ok(log) = tables.log_store(table) else { return };
    let store = log.object_store(None);
    for file in files {
        let deleted = match Path::parse(&file.path) {
            Ok(path) => store.delete(&path).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = deleted {
            tracing::warn!(%table, file = %file.path, %error, "an unused file could not be deleted; vacuum will");
        }
    }
}

/// Deletes everything below a folder that is no table, such as a landing.
pub async fn remove_folder(tables: &Tables, folder: &TableUrl) {
    let removed = async {
        let store = tables.stores().get(folder.url()).map_err(|error| error.to_string())?;
        let path = folder.path().map_err(|error| error.to_string())?;
        let objects = store.list(Some(&path)).map_ok(|object| object.location).boxed();
        store.delete_stream(objects).try_collect::<Vec<_>>().await.map_err(|error| error.to_string())
    };
    if let Err(error) = removed.await {
        tracing::warn!(%folder, %error, "a temporary folder could not be removed; it may be deleted by hand");
    }
}
