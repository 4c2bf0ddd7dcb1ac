//! Keys in variables, files and profiles: read again every few seconds, so that a process that runs for days takes up keys
//! that were rotated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;

use super::CredentialsError;

/// How long keys are used before they are looked up again: rotation leaves minutes, and a look costs three small files.
const FRESH: Duration = Duration::from_secs(5);

/// Keys that are looked up again now and then.
pub(super) struct Reread<F> {
    read: F,
    kept: Mutex<(Instant, Arc<AwsCredential>)>,
}

impl<F: Fn() -> Result<AwsCredential, CredentialsError>> Reread<F> {
    pub(super) fn new(first: AwsCredential, read: F) -> Self {
        Self { read, kept: Mutex::new((Instant::now(), Arc::new(first))) }
    }

    fn current(&self) -> Arc<AwsCredential> {
        let mut kept = self.kept.lock();
        if kept.0.elapsed() >= FRESH {
            kept.0 = Instant::now();
            match (self.read)() {
                Ok(keys) if keys == *kept.1 => {}
                Ok(keys) => {
                    tracing::info!("credentials for S3 have changed");
                    kept.1 = Arc::new(keys);
                }
                // They may be between two versions of a file; the old ones may still do.
                Err(error) => tracing::warn!(%error, "credentials for S3 cannot be read again; the old ones are used"),
            }
        }
        Arc::clone(&kept.1)
    }
}

impl<F> std::fmt::Debug for Reread<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("keys")
    }
}

#[async_trait]
impl<F: Fn() -> Result<AwsCredential, CredentialsError> + Send + Sync> CredentialProvider for Reread<F> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        Ok(self.current())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::keys;
    use super::*;

    #[test]
    fn rotated_keys_are_taken_up_and_unreadable_ones_kept() {
        let broken = AtomicBool::new(false);
        let read = || if broken.load(Ordering::Relaxed) { Err(CredentialsError::None) } else { Ok(keys("new")) };
        let reread = Reread::new(keys("old"), read);
        assert_eq!(reread.current().key_id, "old");
        let age = || reread.kept.lock().0 = Instant::now().checked_sub(FRESH).unwrap();
        age();
        assert_eq!(reread.current().key_id, "new");
        broken.store(true, Ordering::Relaxed);
        age();
        assert_eq!(reread.current().key_id, "new");
    }
}
