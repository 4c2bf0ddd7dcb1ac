//! Where a sample goes: a temporary folder beside the target that takes its place at the end, and the files in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::SampleError;
use crate::media;
use crate::media::MediaObject;
use crate::summary::FileSummary;

/// A write call takes this many bytes, few enough to stay in the processor's cache.
const BUFFER_BYTES: usize = 256 << 10;

/// The folder that a sample is written to. Dropped unpublished, it disappears.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    target: PathBuf,
}

impl Staging {
    /// Makes the temporary folder. The target may be absent or an empty folder.
    pub(crate) fn create(target: &Path) -> Result<Self, SampleError> {
        let unusable = |problem| SampleError::UnusableTarget { path: target.to_owned(), problem };
        let name = target.file_name().ok_or_else(|| unusable("the path does not end in a name"))?;
        match fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(unusable("it is not empty"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(unusable("it is not a folder")),
            Err(source) => return Err(SampleError::InspectTarget { path: target.to_owned(), source }),
        }
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_folder(parent)?;
        // Two processes may write samples side by side.
        let temporary = format!(".{}.partial-{}", name.to_string_lossy(), std::process::id());
        let folder = parent.join(temporary);
        fs::create_dir(&folder).map_err(|source| SampleError::CreateFolder { path: folder.clone(), source })?;
        Ok(Self { folder, target: target.to_owned() })
    }

    /// Opens the files of a collection.
    pub(crate) fn files(&self, plan: FilePlan) -> Result<CollectionFiles, SampleError> {
        create_folder(&self.folder.join(plan.folder))?;
        let file = OpenFile::create(&self.folder, &plan, 1)?;
        Ok(CollectionFiles { root: self.folder.clone(), plan, file, finished: Vec::new() })
    }

    /// Writes the media objects, with their times, and gives their number and bytes.
    pub(crate) fn write_media(&self, objects: impl Iterator<Item = MediaObject>) -> Result<(u64, u64), SampleError> {
        let (mut count, mut bytes) = (0, 0);
        for object in objects {
            let path = self.folder.join("media").join(&object.key);
            if let Some(parent) = path.parent() {
                create_folder(parent)?;
            }
            let modified = UNIX_EPOCH + Duration::from_millis(object.modified_ms.unsigned_abs());
            let content = media::content(&object);
            File::create(&path)
                .and_then(|mut file| file.write_all(&content).and_then(|()| file.set_modified(modified)))
                .map_err(|source| SampleError::WriteFile { path, source })?;
            count += 1;
            bytes += content.len() as u64;
        }
        Ok((count, bytes))
    }

    /// Puts the finished folder in the target's place.
    pub(crate) fn publish(self) -> Result<(), SampleError> {
        let publish = |source| SampleError::Publish { from: self.folder.clone(), to: self.target.clone(), source };
        // Only an empty folder can be removed this way, so nothing that came meanwhile is lost.
        match fs::remove_dir(&self.target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(publish(error)),
            _ => fs::rename(&self.folder, &self.target).map_err(publish),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing there is nothing to remove; after a failure the error that is under way matters more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn create_folder(path: &Path) -> Result<(), SampleError> {
    fs::create_dir_all(path).map_err(|source| SampleError::CreateFolder { path: path.to_owned(), source })
}

/// How a collection's files are named and cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilePlan {
    /// `mongodb` or `mysql`.
    pub(crate) folder: &'static str,
    pub(crate) stem: &'static str,
    /// `json` or `csv`.
    pub(crate) extension: &'static str,
    /// The first line of every file.
    pub(crate) header: &'static [u8],
    pub(crate) gzip: bool,
    /// Begin another file after this many bytes; files are then numbered.
    pub(crate) limit_bytes: Option<u64>,
}

/// The files of one collection, written one after the other.
#[derive(Debug)]
pub(crate) struct CollectionFiles {
    root: PathBuf,
    plan: FilePlan,
    file: OpenFile,
    finished: Vec<FileSummary>,
}

impl CollectionFiles {
    /// Writes a document with its line end.
    pub(crate) fn write(&mut self, line: &[u8]) -> Result<(), SampleError> {
        if self.plan.limit_bytes.is_some_and(|limit| self.file.raw_bytes >= limit) {
            let number = self.finished.len() + 2;
            let next = OpenFile::create(&self.root, &self.plan, number)?;
            self.finished.push(std::mem::replace(&mut self.file, next).finish()?);
        }
        self.file.documents += 1;
        self.file.write(line)
    }

    /// Closes the last file.
    pub(crate) fn finish(mut self) -> Result<Vec<FileSummary>, SampleError> {
        self.finished.push(self.file.finish()?);
        Ok(self.finished)
    }
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    relative: String,
    encoder: Encoder,
    documents: u64,
    raw_bytes: u64,
}

#[derive(Debug)]
enum Encoder {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl OpenFile {
    fn create(root: &Path, plan: &FilePlan, number: usize) -> Result<Self, SampleError> {
        let numbered = plan.limit_bytes.map(|_| format!("-{number:05}")).unwrap_or_default();
        let compressed = if plan.gzip { ".gz" } else { "" };
        let relative = format!("{}/{}{numbered}.{}{compressed}", plan.folder, plan.stem, plan.extension);
        let path = root.join(&relative);
        let file = File::create_new(&path).map_err(|source| SampleError::WriteFile { path: path.clone(), source })?;
        let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
        let encoder = if plan.gzip {
            // Level 3: twice as fast as the default and nearly as small on such text.
            Encoder::Gzip(Box::new(GzEncoder::new(buffered, Compression::new(3))))
        } else {
            Encoder::Plain(buffered)
        };
        let mut open = Self { path, relative, encoder, documents: 0, raw_bytes: 0 };
        open.write(plan.header)?;
        Ok(open)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SampleError> {
        self.raw_bytes += bytes.len() as u64;
        match &mut self.encoder {
            Encoder::Plain(writer) => writer.write_all(bytes),
            Encoder::Gzip(writer) => writer.write_all(bytes),
        }
        .map_err(|source| SampleError::WriteFile { path: self.path.clone(), source })
    }

    fn finish(self) -> Result<FileSummary, SampleError> {
        let Self { path, relative, encoder, documents, .. } = self;
        let buffered = match encoder {
            Encoder::Plain(writer) => Ok(writer),
            Encoder::Gzip(writer) => writer.finish(),
        };
        let bytes = buffered
            .and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.metadata())
            .map_err(|source| SampleError::WriteFile { path, source })?
            .len();
        Ok(FileSummary { path: relative, documents, bytes })
    }
}
