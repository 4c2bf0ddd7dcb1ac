//! Values that a process takes from its environment: addresses, names and secrets of outside systems.
//!
//! Every one of them may stand in a file instead, which `<NAME>_FILE` names: that is how container platforms hand out
//! secrets, and an environment variable shows in more places than a file. Both crates that open outside systems read
//! them here, so that the rule is the same for all.
//!
//! Nothing is cached: whoever opens a system reads what it needs when it opens it.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A larger file is no secret but a mistake.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// A text that must not be shown. Its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A value that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Two answers to one question.
    #[error("both {name} and {name}_FILE are set; set one of them")]
    Twice {
        /// The variable.
        name: String,
    },
    /// The value is no text.
    #[error("{name} is not UTF-8; correct it")]
    NotText {
        /// The variable.
        name: String,
    },
    /// The value is not what it should be.
    #[error("{name} must be {expected}; correct it")]
    Value {
        /// The variable.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read {path}, which {name}_FILE names: {source}; correct {name}_FILE or the file's rights")]
    File {
        /// The variable, without `_FILE`.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The value of the variable `name`, or of the file that `<name>_FILE` names, without line ends at its end. Empty
/// means that it is not set.
///
/// # Errors
/// If both are set, the value is no text, or the file cannot be read or is larger than 64 KiB.
pub fn secret(name: &str) -> Result<Option<Secret>, EnvironmentError> {
    read(name, &|variable| std::env::var_os(variable))
}

/// As [`secret`], for what may be shown.
///
/// # Errors
/// As [`secret`].
pub fn value(name: &str) -> Result<Option<String>, EnvironmentError> {
    Ok(secret(name)?.map(|value| value.expose().to_owned()))
}

fn read(name: &str, variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Result<Option<Secret>, EnvironmentError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match (set(name), set(&format!("{name}_FILE"))) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(EnvironmentError::Twice { name: name.to_owned() }),
        (Some(value), None) => match value.into_string() {
            Ok(text) => Ok(Some(text.into())),
            Err(_) => Err(EnvironmentError::NotText { name: name.to_owned() }),
        },
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let text =
                text_of(&path).map_err(|source| EnvironmentError::File { name: name.to_owned(), path, source })?;
            Ok(Some(text).filter(|text| !text.expose().is_empty()))
        }
    }
}

fn text_of(path: &std::path::Path) -> std::io::Result<Secret> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is larger than 64 KiB"));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn read_from(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        match read("PASSWORD", &find) {
            Ok(found) => Ok(found.map(|secret| secret.expose().to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_value_stands_in_the_variable_or_in_the_file_that_another_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "from file\r\n").unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(read_from(&[]), Ok(None));
        assert_eq!(read_from(&[("PASSWORD", ""), ("PASSWORD_FILE", "")]), Ok(None));
        assert_eq!(read_from(&[("PASSWORD", " from variable ")]), Ok(Some(" from variable ".to_owned())));
        assert_eq!(read_from(&[("PASSWORD", ""), ("PASSWORD_FILE", file)]), Ok(Some("from file".to_owned())));
        assert!(read_from(&[("PASSWORD", "x"), ("PASSWORD_FILE", file)]).unwrap_err().contains("both PASSWORD"));
    }

    #[test]
    fn a_file_that_is_no_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = read_from(&[("PASSWORD_FILE", missing.to_str().unwrap())]).unwrap_err();
        assert!(error.contains("PASSWORD_FILE") && error.contains("missing"), "{error}");
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'x'; 65 << 10]).unwrap();
        let error = read_from(&[("PASSWORD_FILE", large.to_str().unwrap())]).unwrap_err();
        assert!(error.contains("64 KiB"), "{error}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "[secret]");
    }
}
