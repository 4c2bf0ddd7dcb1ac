//! The executor's folder for shuffle data and spilled operators.
//!
//! Each executor makes its own below the chosen place and removes it at the end. One that was killed cannot; so each
//! folder holds a lock file that the operating system releases with the process, and the next executor that starts
//! in the same place removes the folders whose lock is free.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ballista_executor::executor_process::satisfy_dir_ttl;
use tempfile::TempDir;
use tracing::{info, warn};

use crate::ExecutorError;

const PREFIX: &str = "quickchat-executor-";
const LOCK: &str = "lock";

/// A folder of this executor alone, removed when dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    // Dropped, and so unlocked, before the folder goes.
    _lock: File,
    dir: TempDir,
    shuffle: PathBuf,
    spill: PathBuf,
}

impl WorkDir {
    pub(crate) fn create(parent: Option<&Path>) -> Result<Self, ExecutorError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let failed = |source| ExecutorError::WorkDir { path: parent.clone(), source };
        std::fs::create_dir_all(&parent).map_err(failed)?;
        remove_abandoned(&parent);

        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).map_err(failed)?;
        // Locked before it gets its name: another executor that starts now must not find it free.
        let unnamed = dir.path().join("lock.new");
        let lock = File::create(&unnamed).map_err(failed)?;
        lock.lock().map_err(failed)?;
        std::fs::rename(&unnamed, dir.path().join(LOCK)).map_err(failed)?;
        let (shuffle, spill) = (dir.path().join("shuffle"), dir.path().join("spill"));
        std::fs::create_dir(&shuffle).map_err(failed)?;
        std::fs::create_dir(&spill).map_err(failed)?;
        Ok(Self { _lock: lock, dir, shuffle, spill })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where tasks leave their output, one folder a job.
    pub(crate) fn shuffle(&self) -> &Path {
        &self.shuffle
    }

    /// Where operators put what does not fit in memory.
    pub(crate) fn spill(&self) -> &Path {
        &self.spill
    }
}

/// Removes folders of executors that are gone. A folder without a lock file belongs to one that is just starting.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !ours {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => match std::fs::remove_dir_all(&path) {
                Ok(()) => info!(path = %path.display(), "removed the work folder of an executor that is gone"),
                Err(error) => warn!(path = %path.display(), %error, "cannot remove an abandoned work folder"),
            },
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                warn!(path = %path.display(), %error, "cannot test a work folder's lock")
            }
        }
    }
}

/// Removes, for ever and ever, jobs' folders in which nothing has changed for `ttl`.
pub(crate) async fn sweep(shuffle: PathBuf, ttl: Duration, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep_once(&shuffle, ttl).await {
            warn!(path = %shuffle.display(), %error, "cannot look for old shuffle data");
        }
    }
}

async fn sweep_once(shuffle: &Path, ttl: Duration) -> std::io::Result<()> {
    let mut jobs = tokio::fs::read_dir(shuffle).await?;
    while let Some(job) = jobs.next_entry().await? {
        let path = job.path();
        match satisfy_dir_ttl(job, ttl.as_secs()).await {
            Ok(true) => {}
            Ok(false) => match tokio::fs::remove_dir_all(&path).await {
                Ok(()) => info!(path = %path.display(), "removed shuffle data that nobody needs any more"),
                Err(error) => warn!(path = %path.display(), %error, "cannot remove old shuffle data"),
            },
            // The scheduler may remove the folder while it is looked at.
            Err(error) => tracing::debug!(path = %path.display(), %error, "cannot read the age of shuffle data"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_removed_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let work = WorkDir::create(Some(&parent.path().join("made/on/the/way"))).unwrap();
        let path = work.path().to_owned();
        assert!(work.shuffle().is_dir() && work.spill().is_dir());
        drop(work);
        assert!(!path.exists());
    }

    #[test]
    fn many_may_start_in_one_place_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folders: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16).map(|_| scope.spawn(|| WorkDir::create(Some(parent.path())))).collect();
            starts.into_iter().map(|start| start.join().unwrap().unwrap()).collect()
        });
        assert!(folders.iter().all(|folder| folder.shuffle().is_dir()));
    }

    #[test]
    fn leaves_living_neighbours_alone_and_removes_dead_ones() {
        let parent = tempfile::tempdir().unwrap();
        let living = WorkDir::create(Some(parent.path())).unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        std::fs::create_dir_all(dead.join("shuffle/job")).unwrap();
        std::fs::write(dead.join(LOCK), "").unwrap();
        let foreign = parent.path().join("somebody-elses");
        std::fs::create_dir(&foreign).unwrap();

        let _second = WorkDir::create(Some(parent.path())).unwrap();
        assert!(living.path().exists() && foreign.exists());
        assert!(!dead.exists());
    }

    #[tokio::test]
    async fn sweeps_only_what_is_old() {
        let parent = tempfile::tempdir().unwrap();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(&new).unwrap();
        std::fs::write(old.join("data"), "x").unwrap();
        let past = std::time::SystemTime::now() - Duration::from_secs(7200);
        for path in [old.join("data"), old.clone()] {
            File::open(path).unwrap().set_modified(past).unwrap();
        }
        sweep_once(parent.path(), Duration::from_secs(3600)).await.unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn an_unwritable_place_is_the_callers_error_and_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = WorkDir::create(Some(file.path())).unwrap_err();
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
