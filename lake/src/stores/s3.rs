//! A client for one bucket, from the environment of the process.
//!
//! All that `object_store` reads from `AWS_*` is honoured, most of all `AWS_ENDPOINT_URL` (for a server that is not
//! Amazon's; addressed by path, as all of them understand), `AWS_REGION` and `AWS_ALLOW_HTTP`. Credentials are
//! [`super::credentials`]' matter.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use quickchat_environment::EnvironmentError;

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
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("AWS_ENDPOINT_URL is {endpoint:?}, which is no http:// or https:// address; correct it")]
    Endpoint { endpoint: String },
    #[error("AWS_ENDPOINT_URL holds credentials, which belong into other AWS_* variables; remove all up to the @")]
    EndpointCredentials,
    #[error(
        "AWS_ENDPOINT_URL is {endpoint}, over which rows travel in the clear; use https://, or accept that with \
         AWS_ALLOW_HTTP=true"
    )]
    Clear { endpoint: String },
}

/// The client of a bucket by the environment.
pub(super) fn client(bucket: &str) -> Result<AmazonS3Builder, SettingsError> {
    let builder = settings()?;
    let anonymous = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_some_and(|value| is_true(&value));
    Ok(match anonymous {
        true => builder,
        false => builder.clone().with_credentials(credentials::provider(builder, bucket)?),
    })
}

/// Opens a bucket by a client, with what is done about its failures, and about the number of its requests. Nothing is
/// asked of the store yet.
pub(super) fn open(client: AmazonS3Builder, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(SmallFiles::new(Arc::new(steady(client, bucket)?))))
}

/// The same bucket for conditional puts of which each is one request, so that its answer is heard of, whatever it is.
pub(super) fn open_impatient(client: AmazonS3Builder, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let never = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    Ok(Arc::new(steady(client.with_retry(never), bucket)?))
}

fn steady(client: AmazonS3Builder, bucket: &str) -> object_store::Result<SteadyStore> {
    Ok(SteadyStore::of_s3(client.with_bucket_name(bucket).build()?, bucket))
}

/// Everything but bucket and credentials.
fn settings() -> Result<AmazonS3Builder, SettingsError> {
    let options = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(CONNECT).with_pool_idle_timeout(IDLE);
    let builder = AmazonS3Builder::new().with_client_options(options).with_retry(retries());
    let mut builder = with_variables(builder, std::env::vars_os())?;
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

/// All variables that `object_store` knows. What else is in the environment need not be text.
fn with_variables(
    mut builder: AmazonS3Builder,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<AmazonS3Builder, EnvironmentError> {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_")) else { continue };
        let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
        match value.into_string() {
            Ok(value) if value.is_empty() => {}
            Ok(value) => builder = builder.with_config(key, value),
            Err(_) => return Err(EnvironmentError::NotText { name: name.to_owned() }),
        }
    }
    Ok(builder)
}

fn with_endpoint(builder: AmazonS3Builder, endpoint: String) -> Result<AmazonS3Builder, SettingsError> {
    // Nothing else that the address of a server consists of holds one, so it is not shown.
    if endpoint.contains('@') {
        return Err(SettingsError::EndpointCredentials);
    }
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

    #[test]
    fn credentials_in_an_endpoint_are_refused_and_not_shown() {
        for endpoint in
            ["http://id:hunter2@host", "https://id:hun/ter2@host:9000", "id:hunter2@host", "https://hunter2@h"]
        {
            let builder = AmazonS3Builder::new().with_allow_http(true);
            let error = with_endpoint(builder, endpoint.to_owned()).unwrap_err();
            assert!(matches!(error, SettingsError::EndpointCredentials), "{endpoint}");
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_what_is_used_of_the_environment_must_be_text() {
        use std::os::unix::ffi::OsStringExt;

        let odd = || OsString::from_vec(vec![b'x', 0xff]);
        let read = |name: OsString, value: OsString| {
            let variables =
                [(name, value), ("AWS_REGION".into(), "eu-west-1".into()), ("AWS_PROXY_URL".into(), "".into())];
            with_variables(AmazonS3Builder::new(), variables.into_iter())
                .map(|builder| builder.get_config_value(&AmazonS3ConfigKey::Region))
        };
        for name in ["HOME".into(), "AWS_UNHEARD_OF".into(), odd()] {
            assert_eq!(read(name, odd()).unwrap().as_deref(), Some("eu-west-1"));
        }
        let error = read("AWS_DEFAULT_REGION".into(), odd()).unwrap_err().to_string();
        assert!(error.contains("AWS_DEFAULT_REGION is not UTF-8"), "{error}");
    }
}
