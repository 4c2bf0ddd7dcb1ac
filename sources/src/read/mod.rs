//! Reading splits: bytes from the store, frames from bytes, batches from frames.
//!
//! Everything is pulled: a batch is decoded when the plan above asks for it, and while it is decoded the next chunk
//! of bytes is on its way. A task holds two chunks, one line and one batch. Media are listed page by page.

mod chunks;
mod documents;
mod inventory;
mod line_numbers;
mod lines;
mod media;
mod parquet_rows;
mod records;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use object_store::ObjectStore;
use object_store::path::{Path, PathPart};

use self::documents::DocumentReader;
use self::inventory::InventoryReader;
use self::media::MediaReader;
use self::parquet_rows::ParquetReader;
use self::records::RecordReader;
use crate::live::Connections;
use crate::mongodb::CollectionReader;
use crate::mysql::RowReader;
use crate::split::{Split, Work};
use crate::{Collection, FileFormat, SourceError};

/// Sizes that tests make small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes asked of the store at once.
    pub(crate) chunk: u64,
    /// Bytes first asked for beyond a split's end, where its last line ends; doubled until a chunk.
    pub(crate) tail: u64,
    /// A longer line or record is not held in memory but rejected.
    pub(crate) longest_line: usize,
    /// What is kept of a line that is too long.
    pub(crate) beginning: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { chunk: 4 << 20, tail: 64 << 10, longest_line: 64 << 20, beginning: crate::json::redact::MAX_RAW_BYTES }
    }
}

/// Where the readers of a partition read.
pub(crate) enum Place {
    Folder(Arc<Site>),
    Live(Arc<LiveSite>),
}

/// What all readers of a live system share.
pub(crate) struct LiveSite {
    pub(crate) collection: Collection,
    pub(crate) projection: Option<Vec<usize>>,
    pub(crate) connections: Connections,
}

/// What all readers of a folder share.
pub(crate) struct Site {
    pub(crate) store: Arc<dyn ObjectStore>,
    store_url: String,
    pub(crate) root: Path,
    pub(crate) collection: Collection,
    pub(crate) projection: Option<Vec<usize>>,
    pub(crate) sizes: Sizes,
}

impl Site {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        store_url: &str,
        root: Path,
        collection: Collection,
        projection: Option<Vec<usize>>,
    ) -> Self {
        Self { store, store_url: store_url.to_owned(), root, collection, projection, sizes: Sizes::default() }
    }

    /// Whether the store is this machine's file system.
    fn is_local(&self) -> bool {
        is_local(&self.store_url)
    }

    /// The address of a path in the store, for people.
    fn address(&self, path: &str) -> String {
        crate::media::location(&self.store_url, path)
    }

    /// Where a file of the export is in the store.
    ///
    /// The parts are those that the store itself listed, and are taken as they are: to append them as new parts would
    /// encode them a second time.
    fn location(&self, path: &str) -> Path {
        let parts = path.split('/').filter_map(|part| PathPart::parse(part).ok());
        self.root.parts().chain(parts).collect()
    }
}

/// Whether the store of this URL is a machine's file system.
pub(crate) fn is_local(store_url: &str) -> bool {
    store_url.starts_with("file://")
}

/// The reader of one piece of work.
pub(crate) enum Reader {
    Documents(Box<DocumentReader>),
    Records(Box<RecordReader>),
    Parquet(Box<ParquetReader>),
    Media(Box<MediaReader>),
    Inventory(Box<InventoryReader>),
    Collection(Box<CollectionReader>),
    Table(Box<RowReader>),
}

impl Reader {
    /// A reader that has not read anything yet.
    pub(crate) fn open(place: &Place, work: Work) -> Result<Self, SourceError> {
        match (place, work) {
            (Place::Folder(site), Work::Split(split)) => Ok(Self::of_file(Arc::clone(site), split)),
            (Place::Folder(site), Work::Keys(range)) => {
                Ok(Self::Media(Box::new(MediaReader::new(Arc::clone(site), range))))
            }
            (Place::Folder(site), Work::Inventory(part)) => {
                Ok(Self::Inventory(Box::new(InventoryReader::new(Arc::clone(site), part))))
            }
            (Place::Live(site), Work::Documents(range)) => {
                Ok(Self::Collection(Box::new(CollectionReader::new(Arc::clone(site), range))))
            }
            (Place::Live(site), Work::Rows(range)) => {
                Ok(Self::Table(Box::new(RowReader::new(Arc::clone(site), range))))
            }
            (Place::Folder(_), Work::Documents(_) | Work::Rows(_))
            | (Place::Live(_), Work::Split(_) | Work::Keys(_) | Work::Inventory(_)) => Err(SourceError::Misplaced),
        }
    }

    fn of_file(site: Arc<Site>, split: Split) -> Self {
        if split.file.size == 0 {
            tracing::warn!(file = split.file.path, "the export file is empty");
        }
        match split.file.format {
            FileFormat::Json => Self::Documents(Box::new(DocumentReader::new(site, split))),
            FileFormat::Csv => Self::Records(Box::new(RecordReader::new(site, split))),
            FileFormat::Parquet => Self::Parquet(Box::new(ParquetReader::new(site, split))),
        }
    }

    /// The next batch; the last one ends with the split's tally.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        match self {
            Self::Documents(reader) => reader.next_batch().await,
            Self::Records(reader) => reader.next_batch().await,
            Self::Parquet(reader) => reader.next_batch().await,
            Self::Media(reader) => reader.next_batch().await,
            Self::Inventory(reader) => reader.next_batch().await,
            Self::Collection(reader) => reader.next_batch().await,
            Self::Table(reader) => reader.next_batch().await,
        }
    }
}
