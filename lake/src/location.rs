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
    let refuse = |reason: &str| LakeError::Location { location: text.to_owned(), reason: reason.to_owned() };
    if text.trim().is_empty() {
        return Err(refuse("it is empty"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let path = absolute(Path::new(text)).map_err(|error| refuse(&error.to_string()))?;
        return Url::from_directory_path(path).map_err(|()| refuse("it is no absolute path"));
    };
    match scheme {
        "file" => {
            let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
            let path = url.to_file_path().map_err(|()| refuse("it names another host"))?;
            Url::from_directory_path(path).map_err(|()| refuse("it is no absolute path"))
        }
        "s3" | "s3a" | "s3n" => {
            let mut url = Url::parse(&format!("s3://{rest}")).map_err(|error| refuse(&error.to_string()))?;
            if url.host_str().is_none_or(str::is_empty) {
                return Err(refuse("it names no bucket"));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(LakeError::Location {
                    location: format!("{scheme}://…"),
                    reason: "it holds credentials, which belong into AWS_* variables".to_owned(),
                });
            }
            url.set_query(None);
            url.set_fragment(None);
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push("");
            }
            Ok(url)
        }
        _ => Err(refuse("its scheme is not known")),
    }
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
        for text in ["", "  ", "ftp://host/x", "s3://", "file://host/x"] {
            assert!(LakeRoot::parse(text).is_err(), "{text:?}");
        }
        let error = LakeRoot::parse("s3://key:hunter2@bucket/x").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
