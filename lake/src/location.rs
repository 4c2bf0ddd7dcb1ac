//! Addresses of lakes and tables.
//!
//! One form inside the program: an absolute URL that ends in `/`. Paths, `file://`, `s3://` and Hadoop's `s3a://`
//! (which the replaced system used) are accepted from users and normalised once, here.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{LakeError, Result};

/// The folder or bucket prefix that holds all tables of a lake: `<root>/<layer>/<table>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LakeRoot(Url);

impl LakeRoot {
    /// Parses a path, `file://`, `s3://` or `s3a://` address. A relative path is taken from the working folder.
    pub fn parse(text: &str) -> Result<Self> {
        parse_folder(text).map(Self)
    }

    /// The table `layer.name`.
    pub fn table(&self, layer: &str, name: &str) -> TableUrl {
        TableUrl(child(&child(&self.0, layer), name))
    }

    /// A folder below the root that is no table.
    pub fn folder(&self, name: &str) -> TableUrl {
        TableUrl(child(&self.0, name))
    }

    /// The address itself, with a trailing slash.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for LakeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// The address of one table (or of one folder of data files).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableUrl(Url);

impl TableUrl {
    /// Parses the same forms as [`LakeRoot::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        parse_folder(text).map(Self)
    }

    /// The address itself, with a trailing slash.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// A folder below this one.
    pub fn folder(&self, name: &str) -> Self {
        Self(child(&self.0, name))
    }

    /// Scheme and authority, the part that names the object store.
    pub fn store(&self) -> &str {
        &self.0[..url::Position::BeforePath]
    }

    /// The name of the bucket, if it is in one.
    pub(crate) fn bucket(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The folder's path inside its object store.
    pub fn path(&self) -> Result<object_store::path::Path> {
        object_store::path::Path::from_url_path(self.0.path())
            .map_err(|error| LakeError::Location { location: self.0.to_string(), reason: error.to_string() })
    }
}

impl fmt::Display for TableUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn child(url: &Url, name: &str) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(name).push("");
    }
    url
}

fn parse_folder(text: &str) -> Result<Url> {
    let refuse = |reason: &str| refused(text, reason);
    if text.trim().is_empty() {
        return Err(refuse("it is empty"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let path = absolute(Path::new(text)).map_err(|error| refuse(&error.to_string()))?;
        return Url::from_directory_path(path).map_err(|()| refuse("it is no absolute path"));
    };
    match scheme {
        "file" => {
            check_address(scheme, rest)?;
            let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
            let path = url.to_file_path().map_err(|()| refuse("it names another host"))?;
            Url::from_directory_path(path).map_err(|()| refuse("it is no absolute path"))
        }
        "s3" | "s3a" | "s3n" => {
            check_address(scheme, rest)?;
            let mut url = Url::parse(&format!("s3://{rest}")).map_err(|error| refuse(&error.to_string()))?;
            if url.host_str().is_none_or(str::is_empty) {
                return Err(refuse("it names no bucket"));
            }
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push("");
            }
            Ok(url)
        }
        // What stands in the address of something else is not ours to show.
        _ => Err(refused(&hidden(scheme), "its scheme is not known")),
    }
}

/// Refuses what a URL may have and a folder has not, before anything is parsed or shown: keys of the form
/// `s3a://id:secret@bucket`, whose secret may hold a `/` and then look like a port and a path, and what a parser would
/// cut off without a word. An `@` in the path of an address whose bucket has no `:` is part of a name.
fn check_address(scheme: &str, rest: &str) -> Result<()> {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') || (host.contains(':') && rest.contains('@')) {
        return Err(refused(&hidden(scheme), "it holds credentials, which belong into AWS_* variables"));
    }
    if host.contains(':') {
        return Err(refused(&hidden(scheme), "it names a port; the address of a server belongs into AWS_ENDPOINT_URL"));
    }
    if let Some((folder, _)) = rest.split_once(['?', '#']) {
        let shown = format!("{scheme}://{folder}…");
        return Err(refused(&shown, "a ? or # in a name must be written as %3F or %23"));
    }
    Ok(())
}

fn refused(location: &str, reason: &str) -> LakeError {
    LakeError::Location { location: location.to_owned(), reason: reason.to_owned() }
}

/// An address of which nothing but the scheme may be shown.
fn hidden(scheme: &str) -> String {
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    format!("{}://…", if is_scheme { scheme } else { "…" })
}

/// The absolute form of a path that need not exist, without `.` and `..`, so that one folder has one address.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let mut result = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_address() {
        let plain = LakeRoot::parse("/data/lake").unwrap();
        for other in ["/data/lake/", "file:///data/lake", "/data/./x/../lake"] {
            assert_eq!(LakeRoot::parse(other).unwrap(), plain, "{other}");
        }
        assert_eq!(plain.table("silver", "messages").to_string(), "file:///data/lake/silver/messages");
    }

    #[test]
    fn hadoop_schemes_mean_s3() {
        let root = LakeRoot::parse("s3a://bucket/some/prefix").unwrap();
        assert_eq!(root.url().as_str(), "s3://bucket/some/prefix/");
        let table = root.table("gold", "daily_metrics");
        assert_eq!(table.store(), "s3://bucket");
        assert_eq!(table.path().unwrap().as_ref(), "some/prefix/gold/daily_metrics");
        assert_eq!(LakeRoot::parse("s3://bucket").unwrap().table("a", "b").path().unwrap().as_ref(), "a/b");
    }

    #[test]
    fn paths_with_spaces_and_umlauts_stay_the_same_folder() {
        let table = LakeRoot::parse("/data/my läke").unwrap().table("silver", "users");
        assert_eq!(table.path().unwrap().as_ref(), "data/my läke/silver/users");
    }

    #[test]
    fn what_is_no_lake_is_refused_without_repeating_secrets() {
        for text in ["", "  ", "ftp://host/x", "s3://", "s3:///x", "file://host/x", "s3://bucket:9000/x"] {
            assert!(LakeRoot::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "s3://key:hunter2@bucket/x",
            "s3a://key:hun/ter2@bucket/x",
            "s3a://key:123/hunter2@bucket/x",
            "s3a://key:/hunter2@bucket",
            "s3a://hunter2@bucket/x",
            "s3a://key:hunter2/@/x",
            "s3a://key:hunter2",
            "s3n://key:hun?ter2@bucket/x",
            "s3n://key:hun#ter2@bucket/x",
            "s3://bucket/x?secret=hunter2",
            "http://user:hunter2@host/x",
            "https://host/x?signature=hunter2",
            "file://user:hunter2@host/x",
            "key:hunter2@s3://bucket",
        ] {
            let error = LakeRoot::parse(text).unwrap_err().to_string();
            assert!(!error.contains("ter2") && !error.contains("hun"), "{text}: {error}");
        }
        let error = LakeRoot::parse("s3a://key:hun/ter2@bucket/x").unwrap_err().to_string();
        assert!(error.contains("\"s3a://…\": it holds credentials"), "{error}");
    }

    #[test]
    fn no_part_of_a_name_is_cut_off() {
        for text in ["s3://b/team#1/lake", "s3://b/team?1/lake", "s3://b#1", "file:///data/team#1/lake"] {
            let error = LakeRoot::parse(text).unwrap_err().to_string();
            assert!(error.contains("%3F or %23"), "{error}");
        }
        let path = |text: &str| LakeRoot::parse(text).unwrap().folder("t").path().unwrap().to_string();
        assert_eq!(path("s3://b/team%231/a%3Fb"), "team#1/a?b/t");
        assert_eq!(path("/data/team#1/a?b"), "data/team#1/a?b/t");
        assert_eq!(path("file:///data/team%231"), "data/team#1/t");
        assert_eq!(path("s3://b/me@work:8/x"), "me@work:8/x/t");
    }
}
