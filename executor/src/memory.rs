//! How much memory tasks may hold before they spill.
//!
//! The pools bound what DataFusion's operators register (sorts, aggregates, joins). Batches on their way, decoders and
//! the allocator's own overhead come on top, so the default leaves a third of the machine to them.

use std::path::Path;
use std::str::FromStr;

/// Smallest useful share of one slot. Below it operators fail before they can spill.
const MIN_BYTES_PER_SLOT: u64 = 16 << 20;

/// A bound on memory: so many bytes, or a share of what the machine (or its control group) has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemoryLimit {
    /// An absolute number of bytes.
    Bytes(u64),
    /// A share of the memory of the machine, above 0 and at most 1.
    Share(f64),
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self::Share(0.65)
    }
}

/// Why a limit cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MemoryLimitError {
    /// The text is no limit.
    #[error("`{0}` is not an amount of memory; write bytes with a unit (512MiB, 4GiB) or a share of the machine (50%)")]
    Syntax(String),
    /// The machine does not say how much memory it has.
    #[error("cannot find out how much memory this machine has; give an absolute amount such as --memory 4GiB")]
    Unknown,
    /// Too little for the number of slots.
    #[error(
        "{bytes} bytes are too little for {slots} slots: each needs at least {MIN_BYTES_PER_SLOT} bytes; give more \
         with --memory or fewer --slots"
    )]
    TooSmall {
        /// What there is.
        bytes: u64,
        /// Among how many it is shared.
        slots: usize,
    },
}

impl MemoryLimit {
    /// Bytes for each of `slots` slots.
    ///
    /// # Errors
    /// When a share is asked of a machine that does not tell its size, or the result is too small to work with.
    pub fn bytes_per_slot(self, slots: usize) -> Result<usize, MemoryLimitError> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => {
                let machine = machine_bytes(Path::new("/")).ok_or(MemoryLimitError::Unknown)?;
                // Exact to the byte is not needed: 2^53 bytes are beyond any machine.
                (machine as f64 * share) as u64
            }
        };
        let per_slot = bytes / slots.max(1) as u64;
        if per_slot < MIN_BYTES_PER_SLOT {
            return Err(MemoryLimitError::TooSmall { bytes, slots });
        }
        Ok(usize::try_from(per_slot).unwrap_or(usize::MAX))
    }
}

impl FromStr for MemoryLimit {
    type Err = MemoryLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || MemoryLimitError::Syntax(text.to_owned());
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            return if percent > 0.0 && percent <= 100.0 { Ok(Self::Share(percent / 100.0)) } else { Err(wrong()) };
        }
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)?;
        Ok(Self::Bytes(bytes))
    }
}

/// The smaller of the machine's memory and the control group's limit (version 2, then 1).
fn machine_bytes(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let host = read("proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read(path)?.trim().parse::<u64>().ok());
    match (host, group) {
        (Some(host), Some(group)) => Some(host.min(group)),
        (host, group) => host.or(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bytes_and_shares() {
        assert_eq!("1048576".parse(), Ok(MemoryLimit::Bytes(1 << 20)));
        assert_eq!("512MiB".parse(), Ok(MemoryLimit::Bytes(512 << 20)));
        assert_eq!(" 4 g ".parse(), Ok(MemoryLimit::Bytes(4 << 30)));
        assert_eq!("50%".parse(), Ok(MemoryLimit::Share(0.5)));
        for wrong in ["", "0", "0%", "101%", "-1", "4x", "GiB", "99999999999T", "1.5G"] {
            assert!(wrong.parse::<MemoryLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_control_group_counts_when_it_is_smaller() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(machine_bytes(root.path()), None);
        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       2048 kB\n");
        assert_eq!(machine_bytes(root.path()), Some(2 << 20));
        write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(machine_bytes(root.path()), Some(2 << 20));
        write("sys/fs/cgroup/memory.max", "1048576\n");
        assert_eq!(machine_bytes(root.path()), Some(1 << 20));
        write("sys/fs/cgroup/memory.max", "9223372036854771712\n");
        assert_eq!(machine_bytes(root.path()), Some(2 << 20));
    }

    #[test]
    fn slots_share_the_limit_and_too_little_is_refused() {
        assert_eq!(MemoryLimit::Bytes(64 << 20).bytes_per_slot(2), Ok(32 << 20));
        assert!(matches!(
            MemoryLimit::Bytes(16 << 20).bytes_per_slot(2),
            Err(MemoryLimitError::TooSmall { slots: 2, .. })
        ));
    }
}
