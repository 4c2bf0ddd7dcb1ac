//! A folder of exports: which files belong to which collection.
//!
//! Documents are in `mongodb/<collection>*.json[.gz]`, rows in `mysql/<table>*.{csv,csv.gz,parquet}`. Only these two
//! sub-folders are listed, and not what is below them. Of `media/`, which may hold millions of objects, it is only found
//! out whether there are any; the executors list it.

mod naming;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Collection, MediaFolder, Origin, SourceError, SourceTable};

/// The sub-folder of an export that holds the media objects.
const MEDIA: &str = "media";

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Path in the export folder: `mongodb/messages.json`.
    pub path: String,
    /// What is in it.
    pub format: FileFormat,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
    /// Size in bytes as stored.
    pub size: u64,
    /// The store's version tag: readers refuse a file that has changed since it was listed.
    pub e_tag: Option<String>,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// One extended-JSON document a line.
    Json,
    /// Comma-separated rows with a header line.
    Csv,
    /// Parquet.
    Parquet,
}

impl FileFormat {
    /// Format and compression by the end of a file name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<(Self, bool)> {
        naming::format_of(name).map(|(format, gzip, _)| (format, gzip))
    }
}

/// A listed export folder.
#[derive(Debug, Clone)]
pub struct ExportFolder {
    location: String,
    store_url: ObjectStoreUrl,
    root: Path,
    files: BTreeMap<Collection, Vec<ExportFile>>,
    has_media: bool,
    unclaimed: Vec<String>,
}

impl ExportFolder {
    /// Lists a local folder, given as a path or a `file://` URL.
    ///
    /// # Errors
    /// If the folder is not there, is no folder, cannot be listed, or holds none of the collections. A single
    /// collection that is absent is no error: it has no files.
    pub async fn open(location: &str) -> Result<Self, SourceError> {
        let path = local_path(location)?;
        let metadata = tokio::fs::metadata(&path).await.map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                SourceError::FolderMissing { path: location.to_owned() }
            } else {
                SourceError::Location { location: location.to_owned(), why: error.to_string() }
            }
        })?;
        if !metadata.is_dir() {
            return Err(SourceError::NotAFolder { path: location.to_owned() });
        }
        let absolute = tokio::fs::canonicalize(&path)
            .await
            .map_err(|error| SourceError::Location { location: location.to_owned(), why: error.to_string() })?;
        let root = Path::from_absolute_path(&absolute)
            .map_err(|error| SourceError::Location { location: location.to_owned(), why: error.to_string() })?;
        let store = Arc::new(LocalFileSystem::new());
        Self::list(location, ObjectStoreUrl::local_filesystem(), root, store.as_ref()).await
    }

    /// Lists a folder in an object store. The same store must be registered under the URL's scheme and host in every
    /// process that plans or reads.
    ///
    /// # Errors
    /// As [`open`](Self::open); a store has no folders, so a missing one holds none of the collections.
    pub async fn open_in(url: &Url, store: &dyn ObjectStore) -> Result<Self, SourceError> {
        let bad = |why: String| SourceError::Location { location: url.to_string(), why };
        let root = Path::from_url_path(url.path()).map_err(|error| bad(error.to_string()))?;
        let store_url =
            ObjectStoreUrl::parse(&url[..url::Position::BeforePath]).map_err(|error| bad(error.to_string()))?;
        Self::list(url.as_str(), store_url, root, store).await
    }

    async fn list(
        location: &str,
        store_url: ObjectStoreUrl,
        root: Path,
        store: &dyn ObjectStore,
    ) -> Result<Self, SourceError> {
        let mut listed: BTreeMap<&'static str, Vec<ExportFile>> = BTreeMap::new();
        let mut unclaimed = Vec::new();
        for origin in [Origin::MongoDb, Origin::MySql] {
            let folder = root.clone().join(origin.name());
            let found = store
                .list_with_delimiter(Some(&folder))
                .await
                .map_err(|source| SourceError::List { path: location.to_owned(), source })?;
            let files = listed.entry(origin.name()).or_default();
            for object in found.objects {
                match export_file(origin, &object) {
                    Some(file) => files.push(file),
                    None => unclaimed.push(relative_path(origin, &object)),
                }
            }
            files.sort_by(|left, right| left.path.cmp(&right.path));
        }
        let mut files = BTreeMap::new();
        for collection in Collection::ALL {
            let candidates = listed.get(collection.origin().name());
            let found = choose(collection, candidates.map_or(&[], Vec::as_slice));
            crate::split::check_file_count(collection, &found)?;
            files.insert(collection, found);
        }
        // A folder that cannot be listed is for the job that reads it to complain of.
        let has_media = store.list(Some(&root.clone().join(MEDIA))).next().await.is_some();
        let folder = Self { location: location.to_owned(), store_url, root, files, has_media, unclaimed };
        folder.complete(listed.into_values().flatten())
    }

    /// Notes the files that no collection takes, and refuses a folder without any that one takes.
    fn complete(mut self, listed: impl Iterator<Item = ExportFile>) -> Result<Self, SourceError> {
        if self.files.values().all(Vec::is_empty) {
            return Err(SourceError::NoCollections {
                path: self.location,
                expected: names_of_file_collections().join(", "),
            });
        }
        let taken = |path: &str| self.files.values().flatten().any(|file| file.path == path);
        let left: Vec<String> = listed.map(|file| file.path).filter(|path| !taken(path)).collect();
        self.unclaimed.extend(left);
        self.unclaimed.sort();
        Ok(self)
    }

    /// The location as it was given.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The files of a collection, sorted by the bytes of their names; empty when it is absent, and for media.
    #[must_use]
    pub fn files(&self, collection: Collection) -> &[ExportFile] {
        self.files.get(&collection).map_or(&[], Vec::as_slice)
    }

    /// Whether the export has anything of a collection: a file, even an empty one, or an object.
    #[must_use]
    pub fn has(&self, collection: Collection) -> bool {
        match collection {
            Collection::Media => self.has_media,
            _ => !self.files(collection).is_empty(),
        }
    }

    /// Files in the two sub-folders that belong to no collection, sorted; worth a warning.
    #[must_use]
    pub fn unclaimed(&self) -> &[String] {
        &self.unclaimed
    }

    /// The collection as a table; without files an empty one.
    #[must_use]
    pub fn table(&self, collection: Collection) -> SourceTable {
        self.table_of(collection, self.files(collection).to_vec())
    }

    /// Some files of the collection as a table.
    #[must_use]
    pub fn table_of(&self, collection: Collection, files: Vec<ExportFile>) -> SourceTable {
        if collection == Collection::Media {
            return SourceTable::media(MediaFolder::of(&self.store_url, &self.root.clone().join(MEDIA)));
        }
        SourceTable::of_files(collection, self.store_url.clone(), self.root.clone(), files)
    }
}

/// The collections that are files; media alone are no export.
fn names_of_file_collections() -> Vec<&'static str> {
    Collection::ALL.into_iter().filter(|each| !each.file_names().is_empty()).map(Collection::name).collect()
}

fn local_path(location: &str) -> Result<std::path::PathBuf, SourceError> {
    let bad = |why: &str| SourceError::Location { location: location.to_owned(), why: why.to_owned() };
    if location.trim().is_empty() {
        return Err(bad("it is empty"));
    }
    if !location.contains("://") {
        return Ok(location.into());
    }
    let url = Url::parse(location).map_err(|error| bad(&error.to_string()))?;
    if url.scheme() != "file" {
        return Err(bad("only a local folder can be opened without its object store"));
    }
    url.to_file_path().map_err(|()| bad("it is no local path"))
}

/// The files of a collection: those of its preferred name, or else of the next.
fn choose(collection: Collection, candidates: &[ExportFile]) -> Vec<ExportFile> {
    collection
        .file_names()
        .iter()
        .map(|name| -> Vec<ExportFile> {
            candidates.iter().filter(|file| naming::belongs_to(&file.path, name)).cloned().collect()
        })
        .find(|files| !files.is_empty())
        .unwrap_or_default()
}

fn export_file(origin: Origin, object: &ObjectMeta) -> Option<ExportFile> {
    let (format, gzip, _) = naming::format_of(object.location.filename()?)?;
    let expected = match origin {
        Origin::MongoDb => format == FileFormat::Json,
        Origin::MySql => format != FileFormat::Json,
        // Objects are listed, not read.
        Origin::S3 => false,
    };
    expected.then(|| ExportFile {
        path: relative_path(origin, object),
        format,
        gzip,
        size: object.size,
        e_tag: object.e_tag.clone(),
    })
}

fn relative_path(origin: Origin, object: &ObjectMeta) -> String {
    let name = object.location.filename().unwrap_or_default();
    format!("{origin}/{name}")
}
