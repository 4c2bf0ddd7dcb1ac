//! Keys that expire: of a web identity, a container or an instance.
//!
//! `object_store` renews them. While it does that it lets every request wait, each for a try of its own, and has no use
//! for keys that are good for some minutes more; so it is asked through [`Renewed`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, CredentialProvider, Error, RetryConfig};
use parking_lot::Mutex;

use super::CredentialsError;
use crate::stores::fault::{heard, no_credentials, no_credentials_now};

/// How long it is believed that there is no metadata service. Every request would otherwise wait for it anew. The same
/// holds for whatever has given keys that are good still.
const ABSENT: Duration = Duration::from_secs(20);

/// How long it is believed that a service which must be there gives nothing: no longer than it takes those who have
/// waited together to hear of it.
const SILENT: Duration = Duration::from_secs(2);

/// How long keys that expire serve after they were given: they are renewed when they have five minutes left, so they are
/// good for as much when that fails. Keys that were given with less left serve a little too long, as `object_store` does
/// not tell when they expire.
const STILL_GOOD: Duration = Duration::from_secs(4 * 60);

/// For one answer of a service for roles, which is in the same region or on the same machine.
const ANSWER: &str = "5s";

/// Who gives keys that expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Giver {
    /// The instance's metadata service, the last resort. Where it never gave any, nothing is configured, and that is what
    /// is said.
    Metadata,
    /// The token service (STS), for a role.
    WebIdentity,
    /// The service of the container's platform.
    Container,
}

/// Keys that expire, by what `builder` chooses, which is `giver`.
pub(super) fn by_platform(
    builder: AmazonS3Builder,
    bucket: &str,
    giver: Giver,
) -> Result<AwsCredentialProvider, CredentialsError> {
    let token_file = builder.get_config_value(&match giver {
        Giver::WebIdentity => AmazonS3ConfigKey::WebIdentityTokenFile,
        _ => AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    });
    let builder = match giver {
        Giver::Metadata => builder.with_client_options(metadata_options()).with_retry(metadata_retry()),
        Giver::WebIdentity | Giver::Container => {
            let timeouts = [ClientConfigKey::Timeout, ClientConfigKey::ConnectTimeout];
            let set = |builder: AmazonS3Builder, key| builder.with_config(AmazonS3ConfigKey::Client(key), ANSWER);
            timeouts.into_iter().fold(builder, set).with_retry(service_retry())
        }
    };
    let store = builder.with_bucket_name(bucket).build().map_err(|_| CredentialsError::None)?;
    let token_file = token_file.filter(|_| giver != Giver::Metadata).map(PathBuf::from);
    Ok(Arc::new(Renewed::new(Arc::clone(store.credentials()), bucket, giver, token_file)))
}

/// The metadata service is on the same machine: it answers at once, or it is not there.
fn metadata_options() -> ClientOptions {
    ClientOptions::new().with_timeout(Duration::from_secs(2)).with_connect_timeout(Duration::from_secs(1))
}

fn metadata_retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 1, retry_timeout: Duration::from_secs(3) }
}

/// A service that has answered before may be restarted or throttle; one that says nothing at all is not waited for twice.
fn service_retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 6, retry_timeout: Duration::from_secs(4) }
}

/// Keys that are renewed before they expire. When that fails, the last ones serve on; only one request waits for new ones,
/// and the others with it only if there are none that are good. Then all take what was learnt.
#[derive(Debug)]
struct Renewed {
    inner: AwsCredentialProvider,
    bucket: String,
    giver: Giver,
    /// What the giver wants to see, as a file that the platform writes.
    token_file: Option<PathBuf>,
    known: Mutex<Known>,
    /// Whoever has this asks.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of the giver.
#[derive(Debug, Default)]
struct Known {
    /// Why it gave no keys when it was asked last, if so.
    failed: Option<Failed>,
    /// The keys that it gave, and when they were last known to be good for some minutes.
    keys: Option<(Instant, Arc<AwsCredential>)>,
}

#[derive(Debug, Clone)]
struct Failed {
    since: Instant,
    why: String,
    passes: bool,
}

impl Known {
    fn good_keys(&self) -> Option<Arc<AwsCredential>> {
        self.keys.as_ref().filter(|(since, _)| since.elapsed() < STILL_GOOD).map(|(_, keys)| Arc::clone(keys))
    }
}

impl Renewed {
    fn new(inner: AwsCredentialProvider, bucket: &str, giver: Giver, token_file: Option<PathBuf>) -> Self {
        let (bucket, known, asking) = (bucket.to_owned(), Mutex::default(), tokio::sync::Mutex::default());
        Self { inner, bucket, giver, token_file, known, asking }
    }

    fn good_keys(&self) -> Option<Arc<AwsCredential>> {
        self.known.lock().good_keys()
    }

    /// What came of the last try, if it is so young that it is not worth another.
    fn failed(&self) -> Option<Failed> {
        let known = self.known.lock();
        let believed = match self.giver {
            Giver::WebIdentity | Giver::Container if known.good_keys().is_none() => SILENT,
            _ => ABSENT,
        };
        known.failed.clone().filter(|failed| failed.since.elapsed() < believed)
    }

    async fn renew(&self) -> object_store::Result<Arc<AwsCredential>> {
        match self.inner.get_credential().await {
            Ok(keys) => {
                let keys_now = (Instant::now(), Arc::clone(&keys));
                *self.known.lock() = Known { failed: None, keys: Some(keys_now) };
                Ok(keys)
            }
            Err(error) => {
                let (why, passes) = heard(&error);
                let failed = Failed { since: Instant::now(), why, passes };
                let mut known = self.known.lock();
                if known.keys.is_some() {
                    tracing::warn!(giver = ?self.giver, why = failed.why, "credentials for S3 cannot be renewed");
                }
                known.failed = Some(failed.clone());
                drop(known);
                self.instead(&failed)
            }
        }
    }

    /// What is had without asking.
    fn instead(&self, failed: &Failed) -> object_store::Result<Arc<AwsCredential>> {
        self.good_keys().ok_or_else(|| self.explain(failed))
    }

    fn explain(&self, Failed { why, passes, .. }: &Failed) -> Error {
        if let Some(file) = &self.token_file
            && let Err(error) = std::fs::File::open(file)
        {
            let variable = match self.giver {
                Giver::WebIdentity => "AWS_WEB_IDENTITY_TOKEN_FILE",
                _ => "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            };
            let file = file.display();
            let words =
                format!("cannot read {file}, which {variable} names: {error}; correct that, or the file's rights");
            return no_credentials(&self.bucket, words);
        }
        let had_keys = self.known.lock().keys.is_some();
        match self.giver {
            Giver::Metadata if had_keys => {
                no_credentials_now(format!("this machine's metadata service gives no credentials any more ({why})"))
            }
            Giver::Metadata => {
                let none = CredentialsError::None;
                let words = format!("{none}; this machine's metadata service has none either ({why})");
                no_credentials(&self.bucket, words)
            }
            Giver::WebIdentity if *passes => no_credentials_now(format!(
                "the token service gives no credentials for the role in AWS_ROLE_ARN ({why})"
            )),
            Giver::WebIdentity => {
                let words = "the token service refuses credentials for the role in AWS_ROLE_ARN; correct that, the role's \
                             trust policy, or AWS_WEB_IDENTITY_TOKEN_FILE";
                no_credentials(&self.bucket, format!("{words} ({why})"))
            }
            Giver::Container if *passes => {
                no_credentials_now(format!("the service of this container's platform gives no credentials ({why})"))
            }
            Giver::Container => {
                let words = "the service of this container's platform refuses credentials; give the container a role, or \
                             correct the AWS_CONTAINER_* variables";
                no_credentials(&self.bucket, format!("{words} ({why})"))
            }
        }
    }
}

#[async_trait]
impl CredentialProvider for Renewed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => match self.good_keys() {
                Some(keys) => return Ok(keys),
                None => self.asking.lock().await,
            },
        };
        match self.failed() {
            Some(failed) => self.instead(&failed),
            None => self.renew().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
    use quickchat_testing::StandIn;

    use super::super::keys;
    use super::*;
    use crate::stores::{REFUSED, fault, passes};

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
        let metadata = Renewed::new(Arc::clone(&service) as _, "b", Giver::Metadata, None);
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
        service.is_silent.store(true, Ordering::Relaxed);
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
        // In the end they are too old, which is no refusal.
        metadata.known.lock().keys.as_mut().unwrap().0 = Instant::now().checked_sub(STILL_GOOD).unwrap();
        let error = metadata.get_credential().await.unwrap_err();
        assert!(passes(&error), "{error}");
        assert!(error.to_string().contains("no answer"), "{error}");
        // It is asked again after a while.
        service.is_silent.store(false, Ordering::Relaxed);
        metadata.known.lock().failed.as_mut().unwrap().since = Instant::now().checked_sub(ABSENT).unwrap();
        assert_eq!(metadata.get_credential().await.unwrap().key_id, "role");
    }

    #[tokio::test]
    async fn where_no_metadata_service_ever_was_nothing_is_configured() {
        let service = Service { is_silent: AtomicBool::new(true) };
        let metadata = Renewed::new(Arc::new(service), "b", Giver::Metadata, None);
        let error = metadata.get_credential().await.unwrap_err();
        assert!(!passes(&error) && error.to_string().contains("set AWS_ACCESS_KEY_ID"), "{error}");
    }

    /// A container whose platform's service is at an address.
    fn container(service: &StandIn, folder: &tempfile::TempDir) -> AwsCredentialProvider {
        let token = folder.path().join("token");
        std::fs::write(&token, "token").unwrap();
        let builder = AmazonS3Builder::new()
            .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, service.endpoint())
            .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token.to_str().unwrap());
        by_platform(builder, "b", Giver::Container).unwrap()
    }

    /// Keys that `object_store` holds for too old to be used without a look at newer ones.
    fn keys_that_expire_soon() -> String {
        let soon = chrono::Utc::now() + chrono::Duration::minutes(5);
        let keys = r#""AccessKeyId": "role", "SecretAccessKey": "s", "Token": "t""#;
        format!("{{{keys}, \"Expiration\": \"{}\"}}", soon.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    #[tokio::test]
    async fn requests_wait_for_a_silent_service_together() {
        let (service, folder) = (StandIn::start(|_| None), tempfile::tempdir().unwrap());
        let provider = container(&service, &folder);
        let answers = futures::future::join_all((0..8).map(|_| provider.get_credential())).await;
        for answer in answers {
            let error = answer.unwrap_err();
            assert!(passes(&error), "{error}");
            assert!(error.to_string().contains("this container's platform"), "{error}");
        }
        assert_eq!(service.take_requests().len(), 1);
    }

    #[tokio::test]
    async fn keys_that_are_still_good_serve_while_new_ones_are_waited_for() {
        let mut first = true;
        let service = StandIn::start(move |_| std::mem::take(&mut first).then(|| (200, keys_that_expire_soon())));
        let folder = tempfile::tempdir().unwrap();
        let provider = container(&service, &folder);
        assert_eq!(provider.get_credential().await.unwrap().key_id, "role");
        assert_eq!(service.take_requests().len(), 1);
        // `object_store` gives them once more if it is asked at once.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asking = Arc::clone(&provider);
        let asking = tokio::spawn(async move { asking.get_credential().await });
        while service.take_requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Somebody waits for an answer, and now others come.
        for _ in 0..3 {
            assert_eq!(provider.get_credential().await.unwrap().key_id, "role");
        }
        assert!(!asking.is_finished(), "they have waited for the answer too");
        assert_eq!(asking.await.unwrap().unwrap().key_id, "role");
        // For a while the service is not asked again.
        provider.get_credential().await.unwrap();
        assert!(service.take_requests().is_empty());
    }

    #[tokio::test]
    async fn a_service_that_gives_a_container_nothing_is_told_from_one_that_is_silent() {
        for (status, passing, words) in [(403, false, "give the container a role"), (503, true, "gives no credentials")]
        {
            let service = StandIn::start(move |_| Some((status, "no role".to_owned())));
            let folder = tempfile::tempdir().unwrap();
            let error = container(&service, &folder).get_credential().await.unwrap_err();
            assert_eq!(passes(&error), passing, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    /// Has the token service be reached without encryption.
    #[derive(Debug)]
    struct InTheClear;

    impl HttpConnector for InTheClear {
        fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
            ReqwestConnector::default().connect(&options.clone().with_allow_http(true))
        }
    }

    fn web_identity(endpoint: &str, token_file: &str) -> AwsCredentialProvider {
        let builder = AmazonS3Builder::new()
            .with_http_connector(InTheClear)
            .with_config(AmazonS3ConfigKey::StsEndpoint, endpoint)
            .with_config(AmazonS3ConfigKey::RoleArn, "arn:aws:iam::1:role/r")
            .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file);
        by_platform(builder, "b", Giver::WebIdentity).unwrap()
    }

    #[tokio::test]
    async fn a_role_that_is_refused_is_no_matter_of_the_bucket() {
        let refused = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                       <Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>";
        let service = StandIn::start(move |_| Some((403, refused.to_owned())));
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "hunter2").unwrap();
        let error = web_identity(&service.endpoint(), token.to_str().unwrap()).get_credential().await.unwrap_err();
        let text = fault::explain("b", error).to_string();
        assert!(text.contains(REFUSED) && text.contains("trust policy"), "{text}");
        assert!(text.contains("AccessDenied: Not authorized"), "{text}");
        assert!(!text.contains("s3:ListBucket") && !text.contains("hunter2") && !text.contains('<'), "{text}");
        assert_eq!(service.take_requests().len(), 1, "it is not asked twice");
    }

    #[tokio::test]
    async fn a_token_that_is_not_there_is_a_refusal() {
        let service = StandIn::start(|_| None);
        let error = web_identity(&service.endpoint(), "/nowhere/token").get_credential().await.unwrap_err();
        assert!(!passes(&error), "{error}");
        assert!(error.to_string().contains("/nowhere/token, which AWS_WEB_IDENTITY_TOKEN_FILE names"), "{error}");
        assert!(service.take_requests().is_empty());
    }
}
