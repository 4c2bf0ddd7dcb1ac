//! Removing files that were written but will not be committed.
//!
//! Best effort: such files are invisible, and what stays behind is vacuum's business. A failure is logged, and never
//! turns a finished operation into a failed one.

use std::io::ErrorKind;

use deltalake::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::TableUrl;
use crate::snapshot::Tables;

/// Deletes written files of a table that no version will name.
pub(crate) async fn discard(tables: &Tables, table: &TableUrl, files: &[Add]) {
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

/// Deletes a folder that is no table, such as a landing, with everything in it. What stays is named in a warning.
pub async fn remove_folder(tables: &Tables, folder: &TableUrl) {
    if let Err(error) = try_to_remove(tables, folder).await {
        tracing::warn!(
            %folder, %error,
            "temporary files may be left in a folder that could not be removed; `quickchat-etl maintain vacuum \
             --execute`, run where all of the lake is in reach, removes them a week later"
        );
    }
}

/// The same for a folder inside one that is to be removed soon: until then, nothing is worth a warning.
pub(crate) async fn remove_early(tables: &Tables, folder: &TableUrl) {
    if let Err(error) = try_to_remove(tables, folder).await {
        tracing::debug!(%folder, %error, "temporary files stay until the end of the run");
    }
}

async fn try_to_remove(tables: &Tables, folder: &TableUrl) -> Result<(), String> {
    match folder.url().scheme() {
        "file" => remove_local_folder(folder).await,
        _ => remove_objects(tables, folder).await,
    }
}

/// An object store has no folders, only names that begin alike.
async fn remove_objects(tables: &Tables, folder: &TableUrl) -> Result<(), String> {
    let store = tables.stores().get(folder.url()).map_err(|error| error.to_string())?;
    let path = folder.path().map_err(|error| error.to_string())?;
    let objects = store.list(Some(&path)).map_ok(|object| object.location).boxed();
    store.delete_stream(objects).try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?;
    Ok(())
}

/// A local disk keeps a folder when its last file is gone, unless the folder itself is removed.
async fn remove_local_folder(folder: &TableUrl) -> Result<(), String> {
    let path = folder.url().to_file_path().map_err(|()| "it is no local path".to_owned())?;
    match tokio::fs::remove_dir_all(&path).await {
        // Nothing was written there, or nothing can be.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(()),
    }
}
