//! Where credentials for S3 come from. The first of these that is configured is taken, and no other is tried:
//!
//! 1. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for keys of a session, `AWS_SESSION_TOKEN`; each may stand in a
//!    file instead, which `<NAME>_FILE` names.
//! 2. The profile that `AWS_PROFILE` names, see [`super::profile`].
//! 3. Web identity, as Kubernetes hands it out: `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`.
//! 4. The profile `default`, where a file has one with keys. It comes after the web identity, which somebody has set up
//!    for this process, while such a file may be anybody's.
//! 5. The container's: `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, or `…_FULL_URI` with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
//! 6. The instance's metadata service (IMDSv2), unless `AWS_EC2_METADATA_DISABLED` is true.
//!
//! Keys in files and profiles are read again every few seconds, so a process that runs for days takes up keys that were
//! rotated. The other three expire and are renewed by `object_store`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, RetryConfig};
use parking_lot::Mutex;
use quickchat_environment::EnvironmentError;

use super::fault::{no_credentials, silent};
use super::profile::{Profile, ProfileError};

/// How long keys are used before they are looked up again: rotation leaves minutes, and a look costs three small files.
const FRESH: Duration = Duration::from_secs(5);

/// How long it is believed that there is no metadata service. Every request would otherwise wait for it anew.
const ABSENT: Duration = Duration::from_secs(20);

/// How long keys of the metadata service serve after it has given them: it is asked anew when they have five minutes
/// left, so they are good for as much when it does not answer.
const STILL_GOOD: Duration = Duration::from_secs(4 * 60);

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error("{present} is set, but {absent} is not; set both (or {absent}_FILE), or neither")]
    Half { present: &'static str, absent: &'static str },
    #[error(
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the same with _FILE), \
         AWS_PROFILE, or AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN"
    )]
    None,
}

/// The profile in use, if any.
pub(super) fn profile() -> Result<Option<Profile>, CredentialsError> {
    let file = |variable: &str, name: &str| {
        let home = std::env::home_dir().unwrap_or_default();
        std::env::var_os(variable).filter(|path| !path.is_empty()).map_or(home.join(".aws").join(name), PathBuf::from)
    };
    let name = quickchat_environment::value("AWS_PROFILE")?;
    let (credentials, config) = (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config"));
    Ok(Profile::find(name.as_deref(), &credentials, &config)?)
}

/// The provider for a bucket's requests. `builder` has the settings of the environment; what it would choose by itself
/// counts only from web identity on.
pub(super) fn provider(builder: AmazonS3Builder, bucket: &str) -> Result<AwsCredentialProvider, CredentialsError> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let by_platform = |builder: AmazonS3Builder| -> Result<AwsCredentialProvider, CredentialsError> {
        let store = builder.with_bucket_name(bucket).build().map_err(|_| CredentialsError::None)?;
        Ok(Arc::clone(store.credentials()))
    };
    if let Some(keys) = environment_keys()? {
        return Ok(Arc::new(Reread::new(keys, || environment_keys()?.ok_or(CredentialsError::None))));
    }
    let profile = profile()?;
    let named = set("AWS_PROFILE");
    let web_identity = set("AWS_WEB_IDENTITY_TOKEN_FILE") && set("AWS_ROLE_ARN");
    match profile {
        Some(profile) if named || (!web_identity && profile.has_credentials()) => {
            let keys = profile_keys(&profile)?;
            let again = || profile_keys(&self::profile()?.ok_or(CredentialsError::None)?);
            return Ok(Arc::new(Reread::new(keys, again)));
        }
        _ => {}
    }
    let container = set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || (set("AWS_CONTAINER_CREDENTIALS_FULL_URI") && set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
    if web_identity || container {
        return by_platform(builder);
    }
    if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(CredentialsError::None);
    }
    let inner = by_platform(builder.with_client_options(metadata_options()).with_retry(metadata_retry()))?;
    Ok(Arc::new(Metadata::new(inner, bucket)))
}

/// The metadata service is on the same machine: it answers at once, or it is not there.
fn metadata_options() -> ClientOptions {
    ClientOptions::new().with_timeout(Duration::from_secs(2)).with_connect_timeout(Duration::from_secs(1))
}

fn metadata_retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 1, retry_timeout: Duration::from_secs(3) }
}

fn environment_keys() -> Result<Option<AwsCredential>, CredentialsError> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    let secret = |name| quickchat_environment::secret(name);
    match (secret(ID)?, secret(SECRET)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::Half { present: ID, absent: SECRET }),
        (None, Some(_)) => Err(CredentialsError::Half { present: SECRET, absent: ID }),
        (Some(id), Some(key)) => Ok(Some(AwsCredential {
            key_id: id.expose().to_owned(),
            secret_key: key.expose().to_owned(),
            token: secret("AWS_SESSION_TOKEN")?.map(|token| token.expose().to_owned()),
        })),
    }
}

fn profile_keys(profile: &Profile) -> Result<AwsCredential, CredentialsError> {
    let (id, secret) = profile.keys()?;
    let token = profile.setting("aws_session_token").map(str::to_owned);
    Ok(AwsCredential { key_id: id.to_owned(), secret_key: secret.to_owned(), token })
}

/// Keys that are looked up again now and then.
struct Reread<F> {
    read: F,
    kept: Mutex<(Instant, Arc<AwsCredential>)>,
}

impl<F: Fn() -> Result<AwsCredential, CredentialsError>> Reread<F> {
    fn new(first: AwsCredential, read: F) -> Self {
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

/// The instance's metadata service, the last resort. Where it never was, nothing is configured, and that is what is said.
/// Where it was and is silent, its last keys serve on: they are asked for again well before they expire.
#[derive(Debug)]
struct Metadata {
    inner: AwsCredentialProvider,
    bucket: String,
    known: Mutex<Known>,
    /// Whoever has this asks. The others wait, and take what was learnt: a silent service is not waited for by each.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of the metadata service.
#[derive(Debug, Default)]
struct Known {
    /// Why it gave no keys when it was asked last, and when that was.
    failed: Option<(Instant, String)>,
    /// The keys that it gave, and when they were last known to be good for some minutes.
    keys: Option<(Instant, Arc<AwsCredential>)>,
}

impl Metadata {
    fn new(inner: AwsCredentialProvider, bucket: &str) -> Self {
        Self { inner, bucket: bucket.to_owned(), known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// What is had without asking.
    fn instead(&self, why: &str) -> object_store::Result<Arc<AwsCredential>> {
        match &self.known.lock().keys {
            Some((since, keys)) if since.elapsed() < STILL_GOOD => Ok(Arc::clone(keys)),
            Some(_) => Err(silent(why)),
            None => {
                let why =
                    format!("{}; this machine's metadata service has none either ({why})", CredentialsError::None);
                Err(no_credentials(&self.bucket, why))
            }
        }
    }
}

#[async_trait]
impl CredentialProvider for Metadata {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let _asking = self.asking.lock().await;
        let failed = self.known.lock().failed.clone().filter(|(since, _)| since.elapsed() < ABSENT);
        if let Some((_, why)) = failed {
            return self.instead(&why);
        }
        let given = self.inner.get_credential().await;
        match given {
            Ok(keys) => {
                let keys_now = (Instant::now(), Arc::clone(&keys));
                *self.known.lock() = Known { failed: None, keys: Some(keys_now) };
                Ok(keys)
            }
            Err(error) => {
                let why = error.to_string();
                let mut known = self.known.lock();
                known.failed = Some((Instant::now(), why.clone()));
                if known.keys.is_some() {
                    tracing::warn!(why, "this machine's metadata service gives no credentials for S3 any more");
                }
                drop(known);
                self.instead(&why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn keys(id: &str) -> AwsCredential {
        AwsCredential { key_id: id.to_owned(), secret_key: "secret".to_owned(), token: None }
    }

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

    /// A service that gives keys or does not answer.
    #[derive(Debug, Default)]
    struct Service {
        is_silent: AtomicBool,
    }

    #[async_trait]
    impl CredentialProvider for Service {
        type Credential = AwsCredential;

        async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
            match self.is_silent.load(Ordering::Relaxed) {
                true => Err(object_store::Error::Generic { store: "S3", source: "no answer".into() }),
                false => Ok(Arc::new(keys("role"))),
            }
        }
    }

    #[tokio::test]
    async fn a_metadata_service_that_is_silent_for_a_while_is_waited_for() {
        let service = Arc::new(Service::default());
        let metadata = Metadata::new(Arc::clone(&service) as _, "b");
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
        service.is_silent.store(true, Ordering::Relaxed);
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
        // In the end they are too old, which is no refusal.
        metadata.known.lock().keys.as_mut().unwrap().0 = Instant::now().checked_sub(STILL_GOOD).unwrap();
        let error = metadata.get_credential().await.unwrap_err();
        assert!(super::super::passes(&error), "{error}");
        assert!(error.to_string().contains("no answer"), "{error}");
        // It is asked again after a while.
        service.is_silent.store(false, Ordering::Relaxed);
        metadata.known.lock().failed.as_mut().unwrap().0 = Instant::now().checked_sub(ABSENT).unwrap();
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
    }

    #[tokio::test]
    async fn where_no_metadata_service_ever_was_nothing_is_configured() {
        let metadata = Metadata::new(Arc::new(Service { is_silent: AtomicBool::new(true) }), "b");
        let error = metadata.get_credential().await.unwrap_err();
        assert!(!super::super::passes(&error) && error.to_string().contains("set AWS_ACCESS_KEY_ID"), "{error}");
    }
}
