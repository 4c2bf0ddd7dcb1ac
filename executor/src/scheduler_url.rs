//! The address of a scheduler, as users write it: `df://host:port`.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Port that a scheduler listens on when nobody says otherwise.
const DEFAULT_PORT: u16 = 50050;

/// Host and port of a scheduler. Written `df://host:port`; `http://` and a bare `host:port` are understood too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchedulerUrl {
    host: String,
    port: u16,
}

/// Why a text is not a scheduler's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a scheduler ({reason}); write it as df://host:port")]
pub struct SchedulerUrlError {
    text: String,
    reason: String,
}

impl SchedulerUrl {
    /// The scheduler at a host (IPv6 addresses in brackets) and port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The url that a gRPC client takes.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }
}

impl From<std::net::SocketAddr> for SchedulerUrl {
    fn from(address: std::net::SocketAddr) -> Self {
        let host = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self::new(host, address.port())
    }
}

impl fmt::Display for SchedulerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "df://{}:{}", self.host, self.port)
    }
}

impl FromStr for SchedulerUrl {
    type Err = SchedulerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &str| SchedulerUrlError { text: text.to_owned(), reason: reason.to_owned() };
        let full = if text.contains("://") { text.to_owned() } else { format!("df://{text}") };
        let url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "df" | "http") {
            return Err(wrong("the scheme must be df"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must not hold a user or a password"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing may follow the port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?;
        Ok(Self::new(host, url.port().unwrap_or(DEFAULT_PORT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_usual_spellings() {
        for (text, canonical) in [
            ("df://10.0.0.1:50050", "df://10.0.0.1:50050"),
            ("df://scheduler", "df://scheduler:50050"),
            ("http://scheduler:7/", "df://scheduler:7"),
            ("scheduler:7", "df://scheduler:7"),
            ("127.0.0.1:50050", "df://127.0.0.1:50050"),
            ("df://[::1]:50050", "df://[::1]:50050"),
        ] {
            let url: SchedulerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_scheduler_and_says_what_to_write() {
        for text in ["", "df://", "https://host:1", "df://host:1/path", "df://user:pw@host:1", "df://host:99999"] {
            let error = text.parse::<SchedulerUrl>().unwrap_err();
            assert!(error.to_string().contains("df://host:port"), "{text}: {error}");
        }
    }
}
