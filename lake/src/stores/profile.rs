//! Profiles of AWS' own configuration files, `~/.aws/credentials` and `~/.aws/config`.
//!
//! Only what stands in the files is read: keys, session token, region and endpoint. What the AWS tools compute from
//! them (single sign-on, roles assumed by other profiles, programs that print credentials) is refused with the command
//! that turns it into variables. AWS' own crate for all of that, `aws-config`, was rejected: it brings some forty crates
//! and a second HTTP client, minutes of compile time, for laptops only; in a cluster credentials come from the platform.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings of one profile, keys in lower case. `config` gives what `credentials` does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    settings: BTreeMap<String, String>,
}

/// One of the files.
#[derive(Debug)]
pub(super) struct ProfileFile {
    pub(super) path: PathBuf,
    /// Whether somebody has asked for it. In a container the usual place may be a folder that nobody may enter.
    pub(super) asked_for: bool,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileError {
    #[error(
        "profile {name:?}, which AWS_PROFILE names, is neither in {credentials} nor in {config}; correct AWS_PROFILE"
    )]
    Missing { name: String, credentials: PathBuf, config: PathBuf },
    #[error("cannot read {path}: {source}; correct its rights, or AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "profile {name:?} gets its credentials by {way}, which this program does not do; run `eval \"$(aws configure \
         export-credentials --profile {name} --format env)\"` first, and unset AWS_PROFILE"
    )]
    Computed { name: String, way: &'static str },
    #[error(
        "profile {name:?} has no aws_access_key_id with an aws_secret_access_key; add them, or choose another profile"
    )]
    NoKeys { name: String },
}

impl Profile {
    /// The named profile, or the one that is called `default`, if it is there.
    pub(super) fn find(
        name: Option<&str>,
        credentials: &ProfileFile,
        config: &ProfileFile,
    ) -> Result<Option<Self>, ProfileError> {
        let wanted = name.unwrap_or("default");
        let own = section(&credentials.read()?, wanted);
        let more = config.read()?;
        let more = section(&more, &format!("profile {wanted}")).or_else(|| section(&more, wanted));
        if own.is_none() && more.is_none() {
            return match name {
                None => Ok(None),
                Some(name) => Err(ProfileError::Missing {
                    name: name.to_owned(),
                    credentials: credentials.path.clone(),
                    config: config.path.clone(),
                }),
            };
        }
        let mut settings = more.unwrap_or_default();
        settings.extend(own.unwrap_or_default());
        Ok(Some(Self { name: wanted.to_owned(), settings }))
    }

    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether the profile says anything about credentials.
    pub(super) fn has_credentials(&self) -> bool {
        self.setting("aws_access_key_id").is_some() || self.way().is_some()
    }

    /// Access key and secret key.
    pub(super) fn keys(&self) -> Result<(&str, &str), ProfileError> {
        match (self.setting("aws_access_key_id"), self.setting("aws_secret_access_key"), self.way()) {
            (Some(id), Some(secret), _) => Ok((id, secret)),
            (_, _, Some(way)) => Err(ProfileError::Computed { name: self.name.clone(), way }),
            _ => Err(ProfileError::NoKeys { name: self.name.clone() }),
        }
    }

    /// How the AWS tools would compute credentials.
    fn way(&self) -> Option<&'static str> {
        let ways = [
            ("credential_process", "a program (credential_process)"),
            ("sso_session", "single sign-on (sso_session)"),
            ("sso_start_url", "single sign-on (sso_start_url)"),
            ("role_arn", "assuming a role (role_arn)"),
            ("login_session", "signing in (login_session)"),
        ];
        ways.into_iter().find_map(|(key, way)| self.setting(key).map(|_| way))
    }
}

impl ProfileFile {
    /// Its text; none if it is not there, or nobody has asked for it and it cannot be read.
    fn read(&self) -> Result<String, ProfileError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) if !self.asked_for => {
                tracing::debug!(path = %self.path.display(), %error, "a file of AWS profiles is passed over");
                Ok(String::new())
            }
            Err(source) => Err(ProfileError::Read { path: self.path.clone(), source }),
        }
    }
}

/// The settings of a section. Indented lines belong to a setting with parts, none of which is of interest here.
fn section(text: &str, wanted: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
            inside = name.split_whitespace().eq(wanted.split_whitespace());
            if inside {
                found.get_or_insert_default();
            }
        } else if inside && let Some((key, value)) = line.split_once('=') {
            let value = value.split(" #").next().unwrap_or_default().trim();
            if let Some(settings) = &mut found {
                settings.insert(key.trim().to_lowercase(), value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: Option<&str>, credentials: &str, config: &str) -> Result<Option<Profile>, ProfileError> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            ProfileFile { path, asked_for: true }
        };
        Profile::find(name, &file("credentials", credentials), &file("config", config))
    }

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B # old\n\n[ work ]\n\
                               aws_access_key_id=C\naws_secret_access_key=D=\naws_session_token = E\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile work]\nregion=eu-central-1\ns3 =\n  region = wrong\n\
                          endpoint_url = http://localhost:9000\n[profile sso]\nsso_session = x\n";

    #[test]
    fn both_files_make_a_profile() {
        let profile = find(None, CREDENTIALS, CONFIG).unwrap().unwrap();
        assert_eq!(profile.keys().unwrap(), ("A", "B"));
        assert_eq!(profile.setting("region"), Some("eu-west-1"));
        let profile = find(Some("work"), CREDENTIALS, CONFIG).unwrap().unwrap();
        assert_eq!(profile.keys().unwrap(), ("C", "D="));
        assert_eq!(profile.setting("aws_session_token"), Some("E"));
        assert_eq!(profile.setting("region"), Some("eu-central-1"));
        assert_eq!(profile.setting("endpoint_url"), Some("http://localhost:9000"));
    }

    #[test]
    fn a_profile_that_is_not_there_is_missed_only_when_it_was_asked_for() {
        assert_eq!(find(None, "", "").unwrap(), None);
        let error = find(Some("other"), CREDENTIALS, CONFIG).unwrap_err().to_string();
        assert!(error.contains("\"other\"") && error.contains("AWS_PROFILE"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_matters_only_when_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = ProfileFile { path: folder.path().join("config"), asked_for: true };
        std::fs::write(&config.path, CONFIG).unwrap();
        // What is below a file cannot be read, and neither can a folder.
        for path in [config.path.join("credentials"), folder.path().to_owned()] {
            let profile = |asked_for| Profile::find(None, &ProfileFile { path: path.clone(), asked_for }, &config);
            let found = profile(false).unwrap().unwrap();
            assert_eq!(found.setting("region"), Some("eu-west-1"));
            let error = profile(true).unwrap_err().to_string();
            assert!(error.contains("AWS_SHARED_CREDENTIALS_FILE"), "{error}");
        }
        let missing = ProfileFile { path: folder.path().join("none"), asked_for: true };
        assert!(Profile::find(None, &missing, &config).is_ok());
    }

    #[test]
    fn what_would_have_to_be_computed_is_refused_with_a_way_out() {
        let profile = find(Some("sso"), CREDENTIALS, CONFIG).unwrap().unwrap();
        assert!(profile.has_credentials());
        let error = profile.keys().unwrap_err().to_string();
        assert!(error.contains("sso_session") && error.contains("export-credentials --profile sso"), "{error}");
    }
}
