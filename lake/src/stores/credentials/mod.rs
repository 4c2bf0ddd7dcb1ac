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
//! Keys in files and profiles are read again now and then, see [`reread`]. The other three expire, see [`renewed`].

mod renewed;
mod reread;

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use quickchat_environment::EnvironmentError;

use self::renewed::{Giver, by_platform};
use self::reread::Reread;
use super::profile::{Profile, ProfileError, ProfileFile};

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
    let name = quickchat_environment::value("AWS_PROFILE")?;
    let file = |variable: &str, usual: &str| {
        let given = std::env::var_os(variable).filter(|path| !path.is_empty());
        let asked_for = given.is_some() || name.is_some();
        let usual = || std::env::home_dir().unwrap_or_default().join(".aws").join(usual);
        ProfileFile { path: given.map_or_else(usual, PathBuf::from), asked_for }
    };
    let (credentials, config) = (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config"));
    Ok(Profile::find(name.as_deref(), &credentials, &config)?)
}

/// The provider for a bucket's requests. `builder` has the settings of the environment; what it would choose by itself
/// counts only from web identity on.
pub(super) fn provider(builder: AmazonS3Builder, bucket: &str) -> Result<AwsCredentialProvider, CredentialsError> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
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
    if web_identity {
        return by_platform(builder, bucket, Giver::WebIdentity);
    }
    if container {
        return by_platform(builder, bucket, Giver::Container);
    }
    if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(CredentialsError::None);
    }
    by_platform(builder, bucket, Giver::Metadata)
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

/// Keys for the tests of those who keep them.
#[cfg(test)]
fn keys(id: &str) -> AwsCredential {
    AwsCredential { key_id: id.to_owned(), secret_key: "secret".to_owned(), token: None }
}
