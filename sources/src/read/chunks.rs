//! Bytes of a split as a sequence of chunks, decompressed where needed.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use flate2::write::MultiGzDecoder;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore};

use super::{Site, Sizes};
use crate::SourceError;
use crate::split::Split;

/// Compressed bytes that are decompressed at once. Deflate expands at most about a thousand times, so this bounds
/// the output of a step to 16 MiB.
const GZIP_STEP: usize = 16 << 10;
/// Decompressed bytes that make a chunk.
const GZIP_CHUNK: usize = 1 << 20;

/// One file in the store.
#[derive(Clone)]
pub(super) struct StoredFile {
    store: Arc<dyn ObjectStore>,
    location: Path,
    /// Path in the export folder, for messages.
    pub(super) name: String,
    pub(super) size: u64,
    e_tag: Option<String>,
}

impl StoredFile {
    pub(super) fn new(site: &Site, split: &Split) -> Self {
        Self {
            store: Arc::clone(&site.store),
            location: site.location(&split.file.path),
            name: split.file.path.clone(),
            size: split.file.size,
            e_tag: split.file.e_tag.clone(),
        }
    }

    /// What identifies this version of this file in this store.
    pub(super) fn identity(&self, site: &Site) -> String {
        let tag = self.e_tag.as_deref().unwrap_or_default();
        format!("{}{}\n{}\n{tag}", site.store_url, self.location, self.size)
    }

    /// Reads a range, of the version that was listed.
    pub(super) async fn get(&self, start: u64, end: u64) -> Result<Bytes, SourceError> {
        let options = GetOptions::new().with_range(Some(start..end)).with_if_match(self.e_tag.clone());
        let fail = |source| SourceError::read(&self.name, source);
        let result = self.store.get_opts(&self.location, options).await.map_err(fail)?;
        let bytes = result.bytes().await.map_err(fail)?;
        let got = bytes.len() as u64;
        if got != end - start {
            return Err(SourceError::Shrunk { file: self.name.clone(), wanted: end - start, got });
        }
        Ok(bytes)
    }
}

/// Reads a file from a position on, one chunk ahead within a split, and in small growing steps beyond its end, where
/// only the rest of its last line is wanted.
pub(super) struct RangeReader {
    file: StoredFile,
    next: u64,
    end: u64,
    chunk: u64,
    tail: u64,
    ahead: Option<SpawnedTask<Result<Bytes, SourceError>>>,
}

impl RangeReader {
    pub(super) fn new(file: StoredFile, start: u64, end: u64, sizes: Sizes) -> Self {
        Self { file, next: start, end, chunk: sizes.chunk, tail: sizes.tail, ahead: None }
    }

    /// The next chunk; `None` at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let current = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.fetch(),
        };
        let Some(current) = current else {
            return Ok(None);
        };
        if self.next < self.end {
            self.ahead = self.fetch();
        }
        let joined = current.join().await;
        joined.map_err(|source| SourceError::read(&self.file.name, source.into()))?.map(Some)
    }

    /// Starts to read the next range, unless the file is at its end.
    fn fetch(&mut self) -> Option<SpawnedTask<Result<Bytes, SourceError>>> {
        let start = self.next;
        let end = if start < self.end {
            self.end.min(start + self.chunk)
        } else {
            let step = self.tail;
            self.tail = (step * 2).min(self.chunk);
            self.file.size.min(start + step)
        };
        if start >= end {
            return None;
        }
        self.next = end;
        let file = self.file.clone();
        Some(SpawnedTask::spawn(async move { file.get(start, end).await }))
    }
}

/// The decompressed bytes of a gzip file, also of several members one after another.
pub(super) struct GzipReader {
    input: RangeReader,
    chunk: Bytes,
    decoder: MultiGzDecoder<Vec<u8>>,
    finished: bool,
}

impl GzipReader {
    pub(super) fn new(file: StoredFile, sizes: Sizes) -> Self {
        let size = file.size;
        Self {
            input: RangeReader::new(file, 0, size, sizes),
            chunk: Bytes::new(),
            decoder: MultiGzDecoder::new(Vec::new()),
            // A file of no bytes has no documents; it is not a truncated file.
            finished: size == 0,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        while !self.finished && self.decoder.get_ref().len() < GZIP_CHUNK {
            if self.chunk.is_empty() {
                match self.input.next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => {
                        self.finished = true;
                        self.decoder.try_finish().map_err(|source| self.damaged(source))?;
                        break;
                    }
                }
            }
            let step = self.chunk.split_to(self.chunk.len().min(GZIP_STEP));
            self.decoder.write_all(&step).map_err(|source| self.damaged(source))?;
        }
        let bytes = std::mem::take(self.decoder.get_mut());
        Ok(Some(Bytes::from(bytes)).filter(|bytes| !bytes.is_empty()))
    }

    fn damaged(&self, source: std::io::Error) -> SourceError {
        SourceError::Gzip { file: self.input.file.name.clone(), source }
    }
}

/// Either.
pub(super) enum Chunks {
    Plain(RangeReader),
    Gzip(Box<GzipReader>),
}

impl Chunks {
    /// The bytes of a file from `start` on; of a compressed file all.
    pub(super) fn open(site: &Site, split: &Split, start: u64) -> Self {
        let file = StoredFile::new(site, split);
        if split.file.gzip {
            Self::Gzip(Box::new(GzipReader::new(file, site.sizes)))
        } else {
            Self::Plain(RangeReader::new(file, start, split.end, site.sizes))
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        match self {
            Self::Plain(reader) => reader.next().await,
            Self::Gzip(reader) => reader.next().await,
        }
    }
}
