//! How files become partitions of a scan.
//!
//! Plain newline-delimited files are cut by byte range, wherever the cut falls: the reader of a range owns the lines
//! that begin in it. Compressed files, CSV (a quoted field may hold line ends, so a range cannot know where a record
//! begins) and Parquet are read whole. Small neighbours share a partition, so that ten thousand tiny files are not
//! ten thousand tasks.
//!
//! The cut depends only on the files, never on the number of cores or executors, so a scan has the same partitions
//! wherever it runs.

use serde::{Deserialize, Serialize};

use crate::SourceError;
use crate::export::{ExportFile, FileFormat};
use crate::media::{InventoryPart, KeyRange};
use crate::mongodb::DocumentRange;
use crate::mysql::RowRange;

/// Bits of an ordinal that hold the position in the file: files of up to 16 TiB.
const OFFSET_BITS: u32 = 44;
/// Files that the other bits can number.
const MAX_FILES: usize = 1 << (63 - OFFSET_BITS);

/// How large partitions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPolicy {
    /// Size of a partition of a large input.
    pub target_bytes: u64,
    /// Size below which a partition is not worth a task.
    pub min_bytes: u64,
    /// A small input is cut into about this many partitions, so that it still uses several cores.
    pub spread: u64,
    /// A huge input is cut into at most about this many partitions, which bounds the scheduler's plan.
    pub max_partitions: u64,
}

impl Default for SplitPolicy {
    /// 32 MiB is a fraction of a second of decoding: small enough to balance cores and to repeat after a failure,
    /// large enough that the cost of a task (milliseconds) disappears.
    fn default() -> Self {
        Self { target_bytes: 32 << 20, min_bytes: 4 << 20, spread: 16, max_partitions: 4_096 }
    }
}

impl SplitPolicy {
    /// The size of a partition of an input of so many bytes.
    fn partition_bytes(&self, total: u64) -> u64 {
        let spread = total / self.spread.max(1);
        let balanced = spread.min(self.target_bytes).max(self.min_bytes);
        let bounded = total.div_ceil(self.max_partitions.max(1));
        balanced.max(bounded).max(1)
    }

    /// Into how many partitions an input of so many bytes is cut; at least one.
    pub(crate) fn parts(&self, total: u64) -> u32 {
        let parts = total.div_ceil(self.partition_bytes(total)).max(1);
        u32::try_from(parts).unwrap_or(u32::MAX)
    }
}

/// A part of one file: what one descriptor row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// The file.
    pub(crate) file: ExportFile,
    /// Rank of the file among the collection's files.
    pub(crate) rank: u32,
    /// First byte; the whole file is `0..size`.
    pub(crate) start: u64,
    /// Byte after the last.
    pub(crate) end: u64,
}

impl Split {
    /// The order of what stands at this position of the file: a byte offset, or a row number.
    pub(crate) fn ordinal(&self, position: u64) -> i64 {
        ordinal(self.rank, position)
    }
}

/// The order of what stands at a position of the part of this rank.
pub(crate) fn ordinal(rank: u32, position: u64) -> i64 {
    let rank = i64::from(rank) << OFFSET_BITS;
    rank | i64::try_from(position).unwrap_or(i64::MAX) & ((1 << OFFSET_BITS) - 1)
}

/// What one descriptor row asks a task to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// A part of a file.
    Split(Split),
    /// A part of a media listing.
    Keys(KeyRange),
    /// A part of a media inventory.
    Inventory(InventoryPart),
    /// A part of a collection.
    Documents(DocumentRange),
    /// A part of a table.
    Rows(RowRange),
}

impl Work {
    /// Bytes that are read from the store; those of a listing and of a live system are not known.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Split(split) | Self::Inventory(InventoryPart { split, .. }) => split.end - split.start,
            Self::Keys(_) | Self::Documents(_) | Self::Rows(_) => 0,
        }
    }
}

/// Checks that there are not more files than an ordinal can number.
pub(crate) fn check_file_count(collection: crate::Collection, files: &[ExportFile]) -> Result<(), SourceError> {
    if files.len() > MAX_FILES {
        return Err(SourceError::TooManyFiles { collection: collection.name(), files: files.len(), limit: MAX_FILES });
    }
    Ok(())
}

/// The partitions of a scan of these files, which are sorted by name: at least one, which is empty without files.
pub(crate) fn plan(files: &[ExportFile], policy: &SplitPolicy) -> Vec<Vec<Split>> {
    let size = policy.partition_bytes(files.iter().map(|file| file.size).sum());
    let mut partitions: Vec<Vec<Split>> = vec![Vec::new()];
    let mut room = size;
    for split in files.iter().zip(0..).flat_map(|(file, rank)| cut(file, rank, size)) {
        let bytes = split.end - split.start;
        if bytes > room && partitions.last().is_some_and(|last| !last.is_empty()) {
            partitions.push(Vec::new());
            room = size;
        }
        room = room.saturating_sub(bytes);
        if let Some(last) = partitions.last_mut() {
            last.push(split);
        }
    }
    partitions
}

fn cut(file: &ExportFile, rank: u32, size: u64) -> impl Iterator<Item = Split> {
    let divisible = file.format == FileFormat::Json && !file.gzip;
    let step = if divisible { size } else { file.size.max(1) };
    // Equal parts, so that no sliver is left at the end. An empty file is one empty part, which is tallied.
    let parts = file.size.div_ceil(step).max(1);
    let file = file.clone();
    (0..parts).map(move |part| {
        let bound = |part: u64| {
            let bytes = u128::from(file.size) * u128::from(part) / u128::from(parts);
            u64::try_from(bytes).unwrap_or(file.size)
        };
        Split { start: bound(part), end: bound(part + 1), file: file.clone(), rank }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> ExportFile {
        let (format, gzip) = FileFormat::of_name(path).unwrap();
        ExportFile { path: path.to_owned(), format, gzip, size, e_tag: None }
    }

    /// Every byte of every file exactly once, in order.
    fn assert_covers(partitions: &[Vec<Split>], files: &[ExportFile]) {
        let splits: Vec<&Split> = partitions.iter().flatten().collect();
        let mut next = splits.iter();
        for (rank, file) in files.iter().enumerate() {
            let mut at = 0;
            loop {
                let split = next.next().unwrap();
                assert_eq!((split.rank as usize, split.start), (rank, at));
                assert_eq!(&split.file, file);
                at = split.end;
                if at == file.size {
                    break;
                }
            }
        }
        assert!(next.next().is_none());
    }

    #[test]
    fn large_plain_files_are_cut_and_others_are_not() {
        let mib = 1 << 20;
        let files = [
            file("mongodb/messages.json", 1_000 * mib),
            file("mongodb/messages_2.json.gz", 100 * mib),
            file("mongodb/messages_3.json", 5 * mib + 1),
        ];
        let partitions = plan(&files, &SplitPolicy::default());
        assert_covers(&partitions, &files);
        assert_eq!(partitions.len(), 32 + 1 + 1);
        assert!(partitions.iter().all(|splits| splits.len() == 1));
    }

    #[test]
    fn small_inputs_use_several_cores_and_tiny_files_share() {
        let mib = 1 << 20;
        let one = [file("mongodb/messages.json", 80 * mib)];
        let partitions = plan(&one, &SplitPolicy::default());
        assert_covers(&partitions, &one);
        assert_eq!(partitions.len(), 16);

        let many: Vec<ExportFile> = (0..1_000).map(|at| file(&format!("mysql/users_{at:04}.csv"), 10_000)).collect();
        let partitions = plan(&many, &SplitPolicy::default());
        assert_covers(&partitions, &many);
        assert_eq!(partitions.len(), 3);
    }

    #[test]
    fn huge_inputs_are_bounded_and_nothing_is_one_empty_partition() {
        let huge = [file("mongodb/messages.json", 10 << 40)];
        let partitions = plan(&huge, &SplitPolicy::default());
        assert_covers(&partitions, &huge);
        assert_eq!(partitions.len(), 4_096);

        assert_eq!(plan(&[], &SplitPolicy::default()), vec![Vec::new()]);
        let empty = [file("mongodb/messages.json", 0)];
        assert_covers(&plan(&empty, &SplitPolicy::default()), &empty);
    }

    #[test]
    fn ordinals_follow_file_and_position() {
        let split = |rank| Split { file: file("mongodb/messages.json", 1), rank, start: 0, end: 1 };
        let largest = (1 << OFFSET_BITS) - 1;
        let ordinals = [
            split(0).ordinal(0),
            split(0).ordinal(1),
            split(0).ordinal(largest),
            split(1).ordinal(0),
            split(u32::try_from(MAX_FILES - 1).unwrap()).ordinal(largest),
        ];
        assert!(ordinals.is_sorted_by(|left, right| left < right));
        assert_eq!(ordinals[4], i64::MAX);
    }
}
