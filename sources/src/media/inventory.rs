//! S3 Inventory in place of a listing: files in which the store itself has listed a bucket, daily or weekly.
//!
//! A manifest names the files, their format and their columns. Its files are read by executors, like those of an
//! export; rows of other folders, of old versions and of deleted objects are left out.
//!
//! # What is not checked
//! The MD5 of the files, which the manifest gives. A file that is truncated or was exchanged is found out without it: by
//! its size, and by the checksum of gzip or the structure of Parquet; and what happens on the way is TLS' business. It
//! would cost a second pass over Parquet files, of which only four columns are read.
//!
//! # Rows that cannot be understood
//! They fail the scan. The store wrote them, not a user, so they mean that a file is not what the manifest says, and a
//! quarantine for keys would hide that part of the listing is missing.

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{MediaError, MediaFolder};
use crate::split::{Split, Work};
use crate::{Collection, ExportFile, FileFormat, SourceError, SplitPolicy};

/// The columns that a row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InventoryColumn {
    /// The key in the bucket; URL-encoded in CSV.
    Key,
    /// Bytes; null for a delete marker.
    Size,
    /// When the object was written.
    LastModified,
    /// Without quotation marks.
    Etag,
    /// False for an old version. Only in inventories of all versions.
    IsLatest,
    /// Whether it says that there is no object. Only in inventories of all versions.
    IsDeleteMarker,
}

/// What one descriptor row of a scan over an inventory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InventoryPart {
    /// The file.
    pub(crate) split: Split,
    /// What the columns of a CSV file are, in their order; none for those that are not read. Parquet files know theirs.
    pub(crate) columns: Vec<Option<InventoryColumn>>,
    /// The path of the media folder in its bucket.
    pub(crate) root: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    source_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<ManifestFile>,
}

#[derive(Deserialize)]
struct ManifestFile {
    key: String,
    size: u64,
}

impl InventoryColumn {
    /// All, with their names in the schemas of CSV and Parquet files.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Key, "Key", "key"),
        (Self::Size, "Size", "size"),
        (Self::LastModified, "LastModifiedDate", "last_modified_date"),
        (Self::Etag, "ETag", "e_tag"),
        (Self::IsLatest, "IsLatest", "is_latest"),
        (Self::IsDeleteMarker, "IsDeleteMarker", "is_delete_marker"),
    ];

    /// The column that either format calls so.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let named = |(_, csv, parquet): &&(Self, &str, &str)| name == *csv || name == *parquet;
        Self::ALL.iter().find(named).map(|(column, _, _)| *column)
    }

    /// Its name, as the settings of inventories have it.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(column, _, _)| *column == self).map_or("", |(_, name, _)| name)
    }
}

/// Fails if columns without which there are no rows are not among those of a file.
pub(crate) fn check_columns(file: &str, columns: &[Option<InventoryColumn>]) -> Result<(), MediaError> {
    let needed = [InventoryColumn::Key, InventoryColumn::Size, InventoryColumn::LastModified];
    let missing: Vec<&str> =
        needed.into_iter().filter(|column| !columns.contains(&Some(*column))).map(InventoryColumn::name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(MediaError::InventoryColumns { file: file.to_owned(), missing: missing.join(", ") })
}

/// The store that holds an inventory, by the address of its manifest.
pub(super) fn store(manifest: &str) -> Result<ObjectStoreUrl, MediaError> {
    let url = parse(manifest)?;
    ObjectStoreUrl::parse(&url[..url::Position::BeforePath]).map_err(|error| bad(manifest, &error.to_string()))
}

/// The parts of a scan: the files of the inventory, small ones together.
pub(super) async fn plan(
    store: &dyn ObjectStore,
    location: &str,
    folder: &MediaFolder,
    policy: &SplitPolicy,
) -> Result<Vec<Vec<Work>>, SourceError> {
    let manifest = read_manifest(store, location, folder).await?;
    let (format, columns) = layout(&manifest, location)?;
    let file = |file: &ManifestFile| ExportFile {
        path: file.key.clone(),
        format,
        gzip: format == FileFormat::Csv && file.key.ends_with(".gz"),
        size: file.size,
        e_tag: None,
    };
    let files: Vec<ExportFile> = manifest.files.iter().map(file).collect();
    crate::split::check_file_count(Collection::Media, &files)?;
    let part =
        |split| Work::Inventory(InventoryPart { split, columns: columns.clone(), root: folder.root().to_owned() });
    let partitions = crate::split::plan(&files, policy);
    Ok(partitions.into_iter().map(|splits| splits.into_iter().map(part).collect()).collect())
}

/// How many files the inventory of a folder has.
pub(super) async fn file_count(
    store: &dyn ObjectStore,
    location: &str,
    folder: &MediaFolder,
) -> Result<u64, MediaError> {
    let manifest = read_manifest(store, location, folder).await?;
    layout(&manifest, location)?;
    Ok(manifest.files.len() as u64)
}

/// The manifest of an inventory of the folder's bucket.
async fn read_manifest(store: &dyn ObjectStore, location: &str, folder: &MediaFolder) -> Result<Manifest, MediaError> {
    let path = Path::from_url_path(parse(location)?.path()).map_err(|error| bad(location, &error.to_string()))?;
    let failed = |source| MediaError::InventoryFile { file: location.to_owned(), source };
    let bytes = store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|source| MediaError::Manifest { manifest: location.to_owned(), source })?;
    if manifest.source_bucket != folder.bucket() {
        return Err(MediaError::OtherBucket {
            manifest: location.to_owned(),
            bucket: manifest.source_bucket,
            folder: folder.location(),
        });
    }
    Ok(manifest)
}

/// The format of the files, and what the columns of CSV files are.
fn layout(manifest: &Manifest, location: &str) -> Result<(FileFormat, Vec<Option<InventoryColumn>>), MediaError> {
    let schema = manifest.file_schema.as_str();
    let (format, names): (_, Vec<&str>) = match manifest.file_format.as_str() {
        "CSV" => (FileFormat::Csv, schema.split(',').map(str::trim).collect()),
        "Parquet" => (FileFormat::Parquet, parquet_names(schema)),
        other => {
            let (manifest, format) = (location.to_owned(), other.to_owned());
            return Err(MediaError::InventoryFormat { manifest, format });
        }
    };
    let columns: Vec<Option<InventoryColumn>> = names.into_iter().map(InventoryColumn::of_name).collect();
    check_columns(location, &columns)?;
    Ok((format, columns))
}

/// The names in `message s3.inventory { required binary key (UTF8); optional int64 size; … }`.
fn parquet_names(schema: &str) -> Vec<&str> {
    let fields = schema.split_once('{').map_or(schema, |(_, fields)| fields);
    fields.split(';').filter_map(|field| field.split_whitespace().nth(2)).collect()
}

fn parse(manifest: &str) -> Result<Url, MediaError> {
    Url::parse(manifest).map_err(|error| bad(manifest, &error.to_string()))
}

fn bad(location: &str, why: &str) -> MediaError {
    MediaError::InventoryLocation { location: location.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(format: &str, schema: &str) -> Manifest {
        Manifest {
            source_bucket: "photos".to_owned(),
            file_format: format.to_owned(),
            file_schema: schema.to_owned(),
            files: Vec::new(),
        }
    }

    #[test]
    fn the_columns_of_either_format_are_found() {
        use InventoryColumn as Column;
        let csv = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
        let (format, columns) = layout(&manifest("CSV", csv), "m").unwrap();
        assert_eq!(format, FileFormat::Csv);
        let found: Vec<(usize, Column)> =
            columns.iter().enumerate().filter_map(|(at, column)| column.map(|column| (at, column))).collect();
        let expected = [
            (1, Column::Key),
            (3, Column::IsLatest),
            (4, Column::IsDeleteMarker),
            (5, Column::Size),
            (6, Column::LastModified),
            (7, Column::Etag),
        ];
        assert_eq!(found, expected);

        let parquet = "message s3.inventory {  required binary bucket (STRING);  required binary key (STRING);  \
                       optional int64 size;  optional int64 last_modified_date (TIMESTAMP(MILLIS,true));}";
        let (format, columns) = layout(&manifest("Parquet", parquet), "m").unwrap();
        assert_eq!(format, FileFormat::Parquet);
        assert_eq!(columns[..4], [None, Some(Column::Key), Some(Column::Size), Some(Column::LastModified)]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let missing = layout(&manifest("CSV", "Bucket, Key, ETag"), "s3://i/manifest.json").unwrap_err().to_string();
        assert!(missing.contains("s3://i/manifest.json has no column Size, LastModifiedDate"), "{missing}");
        let orc = layout(&manifest("ORC", "struct<bucket:string,key:string>"), "m").unwrap_err().to_string();
        assert!(orc.contains("ORC") && orc.contains("Parquet"), "{orc}");
    }
}
