//! What can go wrong with a media folder or its inventory, and what to do about it.

use crate::Fault;

/// The media could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The folder is not there.
    #[error("the media folder {path} does not exist; set MEDIA_PATH (or --media) to the folder that holds the objects")]
    FolderMissing {
        /// The folder.
        path: String,
    },
    /// The path is a file.
    #[error("the media path {path} is not a folder; set MEDIA_PATH (or --media) to the folder that holds the objects")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// The location cannot be understood.
    #[error(
        "the media location {location} cannot be used: {why}; set MEDIA_PATH (or --media) to a folder, or to a file:// or s3:// address"
    )]
    Location {
        /// The location.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bucket is not there.
    #[error(
        "the bucket of the media folder {folder} does not exist; correct MEDIA_PATH (or --media), or AWS_ENDPOINT_URL where the plan is carried out"
    )]
    NoBucket {
        /// The folder.
        folder: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The store refuses to list the folder.
    #[error(
        "the store refuses to list the media folder {folder}; grant the right s3:ListBucket, or correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION where the plan is carried out"
    )]
    Refused {
        /// The folder.
        folder: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The store failed.
    #[error("listing the media folder {folder} failed; run again when the store is well")]
    List {
        /// The folder.
        folder: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// An object has a key that is no path.
    #[error(
        "the media folder {folder} holds an object whose key begins with a slash, or has an empty part, a part `.` or `..`, or a control character, and such keys cannot be listed; rename it, or give an inventory with MEDIA_INVENTORY (or --media-inventory), which may hold any key"
    )]
    OddKey {
        /// The folder.
        folder: String,
        /// The key, and what is wrong with it.
        source: object_store::Error,
    },
    /// The store does not list keys in order, so parts of a listing cannot be told apart.
    #[error(
        "the store lists the keys of {folder} in no order, so that objects would be missed; keep media in a store that lists in the order of keys, as S3 general-purpose buckets do"
    )]
    Unordered {
        /// The folder.
        folder: String,
    },
    /// The inventory's address cannot be used.
    #[error(
        "the inventory {location} cannot be used: {why}; set MEDIA_INVENTORY (or --media-inventory) to the s3:// address of the inventory's manifest.json"
    )]
    InventoryLocation {
        /// The location.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// The manifest or one of its files cannot be read.
    #[error(
        "{file} cannot be read; correct MEDIA_INVENTORY (or --media-inventory), and see whether the inventory is still there and may be read"
    )]
    InventoryFile {
        /// The file.
        file: String,
        /// The store's error.
        source: object_store::Error,
    },
    /// The manifest is not one of S3 Inventory.
    #[error("{manifest} is not a manifest of S3 Inventory; set MEDIA_INVENTORY (or --media-inventory) to one")]
    Manifest {
        /// The manifest.
        manifest: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The inventory is one of another bucket.
    #[error(
        "the inventory {manifest} is one of the bucket {bucket}, and not of {folder}; correct MEDIA_INVENTORY or MEDIA_PATH"
    )]
    OtherBucket {
        /// The manifest.
        manifest: String,
        /// The bucket that was inventoried.
        bucket: String,
        /// The media folder.
        folder: String,
    },
    /// The inventory has a format that is not read.
    #[error(
        "the inventory {manifest} has the format {format}, which is not read; have S3 Inventory write CSV or Apache Parquet"
    )]
    InventoryFormat {
        /// The manifest.
        manifest: String,
        /// Its format.
        format: String,
    },
    /// The inventory lacks columns.
    #[error(
        "{file} has no column {missing}; add it to the inventory's configuration: Size, Last modified, and perhaps ETag"
    )]
    InventoryColumns {
        /// The manifest, or a file of the inventory.
        file: String,
        /// The columns, joined.
        missing: String,
    },
    /// A row of the inventory cannot be understood.
    #[error("row {row} of the inventory's file {file} cannot be understood ({why}); have the inventory made anew")]
    InventoryRow {
        /// The file.
        file: String,
        /// Which row, from 1.
        row: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl MediaError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::List { .. } => Fault::External,
            Self::InventoryFile { source, .. } if is_passing(source) => Fault::External,
            _ => Fault::User,
        }
    }

    /// The error of listing a folder, classed by what the store says. Stores that are reached over a network come from
    /// `quickchat_lake::stores`, which has told what they refuse from what may pass.
    pub(crate) fn listing(folder: String, source: object_store::Error) -> Self {
        use object_store::Error as Store;
        match source {
            Store::InvalidPath { .. } => Self::OddKey { folder, source },
            Store::NotFound { .. } => Self::NoBucket { folder, source },
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } if says_not_found(&source) => {
                Self::NoBucket { folder, source }
            }
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Self::Refused { folder, source },
            source => Self::List { folder, source },
        }
    }
}

/// Whether a later attempt may succeed.
fn is_passing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. })
}

/// Whether the answer that made a request fail had the status 404. `object_store` has no type for what fails in a
/// listing, and keeps the one that holds the status to itself: its text is all there is.
fn says_not_found(error: &object_store::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("status code: 404") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_store_are_told_apart() {
        use object_store::Error as Store;
        let listing = |source: Store| MediaError::listing("s3://b/x".to_owned(), source);
        let refused = |text: &str| listing(Store::PermissionDenied { path: "b".to_owned(), source: text.into() });
        let generic = |text: &str| listing(Store::Generic { store: "S3", source: text.into() });
        let status = |status: &str| format!("Server returned non-2xx status code: {status}: <Error>");

        assert!(matches!(refused(&status("404 Not Found")), MediaError::NoBucket { .. }));
        assert_eq!(refused(&status("404 Not Found")).fault(), Fault::User);
        for text in [&status("403 Forbidden"), "Received redirect without LOCATION", &status("400 Bad Request")] {
            assert!(matches!(refused(text), MediaError::Refused { .. }), "{text}");
            assert_eq!(refused(text).fault(), Fault::User);
        }
        let nobody = Store::Unauthenticated { path: "b".to_owned(), source: "there are no credentials".into() };
        assert!(matches!(listing(nobody), MediaError::Refused { .. }));
        // A time-out of a request is a bad request that may pass.
        for text in [&status("503 Service Unavailable"), "connection refused", &status("400 Bad Request")] {
            assert!(matches!(generic(text), MediaError::List { .. }), "{text}");
            assert_eq!(generic(text).fault(), Fault::External);
        }
        let odd = object_store::path::Path::parse("a//b").unwrap_err();
        assert!(matches!(listing(odd.into()), MediaError::OddKey { .. }));
    }
}
