//! What can go wrong while a sample is written.
//!
//! All of it is the user's to mend (an option, a path) or the file system's; nothing here is worth a retry.

use std::io;
use std::path::PathBuf;

/// A sample could not be written. The target folder is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// An option is out of its range.
    #[error("cannot plan the sample: {option} {problem}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value and what is allowed.
        problem: String,
    },
    /// The target exists and holds something, or is not a folder.
    #[error("cannot write the sample to {}: {problem}; name a new or an empty folder", path.display())]
    UnusableTarget {
        /// The target folder as given.
        path: PathBuf,
        /// Why it cannot be used.
        problem: &'static str,
    },
    /// The target could not be looked at.
    #[error("cannot inspect the target folder {}; check that you may read it", path.display())]
    InspectTarget {
        /// The target folder as given.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A folder could not be created.
    #[error("cannot create the folder {}; check that its parent is writable", path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}; check the free space and the permissions", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// The finished folder could not be moved to its place.
    #[error("cannot move the finished sample from {} to {}; the target must stay empty meanwhile", from.display(), to.display())]
    Publish {
        /// The finished temporary folder.
        from: PathBuf,
        /// The target.
        to: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
}
