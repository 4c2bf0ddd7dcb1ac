//! A client for one bucket, from the environment of the process.
//!
//! All that `object_store` reads from `AWS_*` is honoured, most of all `AWS_ENDPOINT_URL` (for a server that is not
//! Amazon's; addressed by path, as all of them understand), `AWS_REGION` and `AWS_ALLOW_HTTP`. Credentials are
//! [`super::credentials`]' matter.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::credentials::{self, CredentialsError};
use super::small_files::SmallFiles;
use super::steady::SteadyStore;

/// The region when none is named. Servers that are not Amazon's take any, and most call theirs so.
const REGION: &str = "us-east-1";

/// For one attempt, with its body. Bodies are some megabytes at most (a part of an upload, a range of a file), so this is
/// a tenth of what a bad line needs, and short enough that a server that hangs does not hold a task for long.
const REQUEST: Duration = Duration::from_secs(30);

/// Across continents it takes a third of a second.
const CONNECT: Duration = Duration::from_secs(5);

/// Servers and what stands before them close idle connections after some time, Amazon's after about 20 s. One that is
/// closed just when it is used again costs a repetition.
const IDLE: Duration = Duration::from_secs(15);

/// After this no new attempt is begun, so a request ends within a minute and a half. Throttling and the fail-over of a
/// server take seconds; what takes longer is for the task's own repetition, which begins elsewhere and anew.
const RETRIES: Duration = Duration::from_secs(60);

/// With pauses of 0.1 s that double up to 8 s, with jitter, the time runs out before the attempts do.
const MAX_RETRIES: usize = 12;

/// A client that cannot be made of what is configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error(transparent)]
    Environment(#[from] quickchat_environment::EnvironmentError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("AWS_ENDPOINT_URL is {endpoint:?}, which is no http:// or https:// address; correct it")]
    Endpoint { endpoint: String },
    #[error(
        "AWS_ENDPOINT_URL is {endpoint}, over which rows travel in the clear; use https://, or accept that with \
         AWS_ALLOW_HTTP=true"
    )]
    Clear { endpoint: String },
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

/// Opens a bucket. Nothing is asked of the store yet.
pub(super) fn connect(bucket: &str) -> Result<Arc<dyn ObjectStore>, SettingsError> {
    let builder = settings()?;
    let anonymous = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_some_and(|value| is_true(&value));
    let builder = match anonymous {
        true => builder,
        false => builder.clone().with_credentials(credentials::provider(builder, bucket)?),
    };
    let store = builder.with_bucket_name(bucket).build()?;
    Ok(wrapped(store, bucket))
}

/// A bucket's client with what is done about its failures, and about the number of its requests.
pub(super) fn wrapped(client: AmazonS3, bucket: &str) -> Arc<dyn ObjectStore> {
    Arc::new(SmallFiles::new(Arc::new(SteadyStore::new(Arc::new(client), bucket))))
}

/// Everything but bucket and credentials.
fn settings() -> Result<AmazonS3Builder, SettingsError> {
    let options = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT).with_pool_idle_timeout(IDLE);
    let mut builder = AmazonS3Builder::new().with_client_options(options).with_retry(retries());
    for (name, value) in std::env::vars().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let profile = credentials::profile()?;
    let profile = |key| profile.as_ref().and_then(|profile| profile.setting(key)).map(str::to_owned);
    if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region(profile("region").unwrap_or_else(|| REGION.to_owned()));
    }
    let special = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    let endpoint = match special {
        Some(endpoint) => Some(endpoint),
        None => quickchat_environment::value("AWS_ENDPOINT_URL")?.or_else(|| profile("endpoint_url")),
    };
    match endpoint {
        Some(endpoint) => with_endpoint(builder, endpoint),
        None => Ok(builder),
    }
}

fn with_endpoint(builder: AmazonS3Builder, endpoint: String) -> Result<AmazonS3Builder, SettingsError> {
    let allow_http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    let scheme = url::Url::parse(&endpoint).ok().filter(url::Url::has_host).map(|url| url.scheme().to_owned());
    match scheme.as_deref() {
        Some("https") => {}
        Some("http") if builder.get_config_value(&allow_http).is_some_and(|value| is_true(&value)) => {}
        Some("http") => return Err(SettingsError::Clear { endpoint }),
        _ => return Err(SettingsError::Endpoint { endpoint }),
    }
    Ok(builder.with_endpoint(endpoint))
}

fn is_true(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&value.to_ascii_lowercase().as_str())
}

fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(8), base: 2.0 };
    RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: RETRIES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_encryption_must_be_accepted() {
        let http = || "http://127.0.0.1:9000".to_owned();
        let error = with_endpoint(AmazonS3Builder::new(), http()).unwrap_err().to_string();
        assert!(error.contains("AWS_ALLOW_HTTP=true"), "{error}");
        assert!(with_endpoint(AmazonS3Builder::new().with_allow_http(true), http()).is_ok());
        assert!(with_endpoint(AmazonS3Builder::new(), "https://example.org".to_owned()).is_ok());
        let error = with_endpoint(AmazonS3Builder::new(), "minio:9000".to_owned()).unwrap_err().to_string();
        assert!(error.contains("AWS_ENDPOINT_URL"), "{error}");
    }
}
