//! Addresses of servers: `mysql://user:password@host:port/database?…`, and those of JDBC.
//!
//! What is wrong with an address is told without quoting it, since a password may stand in any part of it.

use quickchat_environment::Secret;
use url::Url;

use super::zone::Zone;

const DEFAULT_PORT: u16 = 3_306;
/// Parameters of drivers that have no meaning here: text always comes as UTF-8, statements are not prepared, versions
/// and ciphers of TLS are those that are safe. Only of these may a log have the name: what stands in the place of
/// another name may be a piece of a password.
const IGNORED: [&str; 32] = [
    "allowmultiqueries",
    "allowpublickeyretrieval",
    "autoreconnect",
    "cacheprepstmts",
    "characterencoding",
    "characterset",
    "charset",
    "collation",
    "connectioncollation",
    "connecttimeout",
    "defaultfetchsize",
    "enabledsslciphersuites",
    "enabledsslprotocolsuites",
    "enabledtlsprotocols",
    "maxreconnects",
    "nullcatalogmeanscurrent",
    "preserveinstants",
    "prepstmtcachesize",
    "prepstmtcachesqllimit",
    "rewritebatchedstatements",
    "sessionvariables",
    "sockettimeout",
    "tcpkeepalive",
    "tcpnodelay",
    "tinyint1isbit",
    "tlsciphersuites",
    "tlsversions",
    "usecompression",
    "usecursorfetch",
    "uselegacydatetimecode",
    "useserverprepstmts",
    "useunicode",
];
/// What the names of parameters about TLS hold.
const ABOUT_TLS: [&str; 3] = ["ssl", "tls", "cert"];

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// None if nothing is said about it.
    pub(super) tls: Option<TlsMode>,
    /// The zone of `DATETIME` values. None is UTC.
    pub(super) zone: Option<Zone>,
}

/// Whether the connection is encrypted, and how the server shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

impl Address {
    /// The address of this text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let plain = text.strip_prefix("jdbc:").unwrap_or(text);
        if !plain.starts_with("mysql://") && !plain.starts_with("mariadb://") {
            return Err("it must begin with mysql://, mariadb://, jdbc:mysql:// or jdbc:mariadb://".to_owned());
        }
        let authority = plain.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()).unwrap_or_default();
        if authority.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) {
            return Err("it names several hosts; name one".to_owned());
        }
        let url = Url::parse(plain).map_err(|error| error.to_string())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if database.is_empty() || database.contains('/') {
            return Err("it must name one database behind the host: mysql://host:3306/database".to_owned());
        }
        let user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decoded).transpose()?.map(Secret::from);
        let mut address = Self {
            host: decoded(host.trim_start_matches('[').trim_end_matches(']'))?,
            port: url.port().unwrap_or(DEFAULT_PORT),
            database,
            user,
            password,
            tls: None,
            zone: None,
        };
        address.take_parameters(&url)?;
        Ok(address)
    }

    fn take_parameters(&mut self, url: &Url) -> Result<(), String> {
        let mut legacy = Legacy { is_mariadb: url.scheme() == "mariadb", ..Legacy::default() };
        let mut mode = None;
        for (name, value) in url.query_pairs() {
            let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let plain = plain.to_ascii_lowercase();
            match plain.as_str() {
                "user" => self.user = Some(value.into_owned()),
                "password" => self.password = Some(value.into_owned().into()),
                "sslmode" => mode = Some(tls_mode(&value)?),
                "usessl" => legacy.used = Some(boolean(&name, &value)?),
                "requiressl" => legacy.required = boolean(&name, &value)?,
                "verifyservercertificate" | "verifyca" => legacy.verified = boolean(&name, &value)?,
                "verifyidentity" => legacy.identified = boolean(&name, &value)?,
                "trustservercertificate" => legacy.trusted = boolean(&name, &value)?,
                "servertimezone" | "connectiontimezone" => self.zone = zone(&value)?,
                known if IGNORED.contains(&known) => {
                    tracing::debug!(parameter = known, "a parameter of the MySQL address is ignored");
                }
                // Ignored, it would leave the connection weaker than its writer believes.
                unknown if ABOUT_TLS.iter().any(|part| unknown.contains(part)) => return Err(UNKNOWN_TLS.to_owned()),
                _ => tracing::debug!("an unknown parameter of the MySQL address is ignored"),
            }
        }
        self.tls = mode.or_else(|| legacy.mode());
        Ok(())
    }
}

const UNKNOWN_TLS: &str = "one of its parameters seems to be about TLS, but is not known; write sslMode as one of \
                           DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY, and let MYSQL_CA name the \
                           file of the authority that signed the server's certificate";

/// The parameters about TLS that older drivers have in place of `sslMode`.
#[derive(Default)]
struct Legacy {
    /// For whose driver `useSsl` is a must; for that of MySQL it is a wish.
    is_mariadb: bool,
    used: Option<bool>,
    required: bool,
    verified: bool,
    identified: bool,
    trusted: bool,
}

impl Legacy {
    fn mode(&self) -> Option<TlsMode> {
        match self.used {
            Some(false) => Some(TlsMode::Disabled),
            _ if self.identified => Some(TlsMode::VerifyIdentity),
            _ if self.verified => Some(TlsMode::VerifyCa),
            Some(true) if self.is_mariadb => Some(TlsMode::Required),
            _ if self.required || self.trusted => Some(TlsMode::Required),
            Some(true) => Some(TlsMode::Preferred),
            None => None,
        }
    }
}

fn tls_mode(text: &str) -> Result<TlsMode, String> {
    Ok(match text.to_ascii_lowercase().replace('-', "_").as_str() {
        "disabled" | "disable" => TlsMode::Disabled,
        "preferred" | "prefer" => TlsMode::Preferred,
        "required" | "require" | "trust" => TlsMode::Required,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_identity" | "verify_full" => TlsMode::VerifyIdentity,
        _ => {
            return Err(
                "sslMode must be one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY".to_owned()
            );
        }
    })
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{name} must be true or false")),
    }
}

/// The zone, none if it is UTC.
fn zone(text: &str) -> Result<Option<Zone>, String> {
    let wrong = || "serverTimezone must be the name of a zone such as Europe/Berlin, or an offset such as %2B02:00";
    match text.trim() {
        "" => Ok(None),
        text => {
            Zone::parse(text).map(|zone| Some(zone).filter(|zone| !zone.is_utc())).ok_or_else(|| wrong().to_owned())
        }
    }
}

/// Resolves `%XX`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a % in it must be followed by two hexadecimal digits of UTF-8; write %25 for the sign itself";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>().ok_or_else(wrong)?;
        let value = std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.ok_or_else(wrong)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| wrong().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn plain_addresses_and_those_of_jdbc() {
        let plain = parse("mysql://reader:p%40ss%2F@db.example:3307/chat");
        let expected = Address {
            host: "db.example".to_owned(),
            port: 3_307,
            database: "chat".to_owned(),
            user: Some("reader".to_owned()),
            password: Some("p@ss/".to_owned().into()),
            tls: None,
            zone: None,
        };
        assert_eq!(plain, expected);
        for text in [
            "jdbc:mysql://db.example:3307/chat?user=reader&password=p%40ss/",
            "jdbc:mariadb://reader:p%40ss%2f@db.example:3307/chat?characterEncoding=utf8&connectTimeout=5",
            " mariadb://reader:p%40ss%2F@db.example:3307/chat\n",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let bare = parse("mysql://[::1]/chat");
        assert_eq!((bare.host.as_str(), bare.port, bare.user, bare.password), ("::1", 3_306, None, None));
    }

    #[test]
    fn tls_is_said_in_many_ways() {
        for (parameters, mode) in [
            ("", None),
            ("sslMode=DISABLED", Some(TlsMode::Disabled)),
            ("ssl-mode=preferred", Some(TlsMode::Preferred)),
            ("ssl_mode=REQUIRED", Some(TlsMode::Required)),
            ("sslMode=trust", Some(TlsMode::Required)),
            ("sslMode=VERIFY_CA", Some(TlsMode::VerifyCa)),
            ("sslMode=verify-full", Some(TlsMode::VerifyIdentity)),
            ("useSSL=false", Some(TlsMode::Disabled)),
            ("useSSL=false&requireSSL=true", Some(TlsMode::Disabled)),
            ("useSSL=true", Some(TlsMode::Preferred)),
            ("useSSL=true&requireSSL=true", Some(TlsMode::Required)),
            ("requireSSL=true&verifyServerCertificate=true", Some(TlsMode::VerifyCa)),
            ("useSSL=false&sslMode=VERIFY_IDENTITY", Some(TlsMode::VerifyIdentity)),
        ] {
            assert_eq!(parse(&format!("jdbc:mysql://h/d?{parameters}")).tls, mode, "{parameters}");
        }
        for scheme in ["mariadb", "jdbc:mariadb"] {
            let mode = |parameters: &str| parse(&format!("{scheme}://h/d?{parameters}")).tls;
            assert_eq!(mode("useSsl=true"), Some(TlsMode::Required));
            assert_eq!(mode("useSsl=true&trustServerCertificate=true"), Some(TlsMode::Required));
            assert_eq!(mode("useSsl=false"), Some(TlsMode::Disabled));
            assert_eq!(mode(""), None);
        }
    }

    #[test]
    fn what_seems_to_be_about_tls_is_not_passed_over() {
        for parameters in
            ["tls=true", "ssl=true", "sslmod=VERIFY_CA", "serverSslCert=/ca.pem", "trustCertificateKeyStoreUrl=x"]
        {
            let why = Address::parse(&format!("mysql://h/d?{parameters}")).unwrap_err();
            assert!(why.contains("VERIFY_CA") && why.contains("MYSQL_CA"), "{why}");
        }
        assert_eq!(parse("mysql://h/d?enabledTLSProtocols=TLSv1.2&sslMode=REQUIRED").tls, Some(TlsMode::Required));
    }

    /// What one thread logs.
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<String>>);

    impl tracing::field::Visit for Log {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }

        fn enter(&self, _span: &tracing::span::Id) {}

        fn exit(&self, _span: &tracing::span::Id) {}
    }

    #[test]
    fn a_piece_of_a_password_is_not_logged_as_a_name() {
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            parse("mysql://h/d?user=u&password=ab&CANARY&useUnicode=yes")
        });
        let text = log.0.lock().unwrap().clone();
        assert!(text.contains("an unknown parameter") && text.contains("\"useunicode\""), "{text}");
        assert!(!text.to_uppercase().contains("CANARY"), "{text}");
    }

    #[test]
    fn zones() {
        let zone = |text: &str| parse(&format!("jdbc:mysql://h/d?serverTimezone={text}")).zone;
        for text in ["UTC", "Etc/UTC", "GMT", "Z", "%2B00:00", "-00:00", ""] {
            assert_eq!(zone(text), None, "{text}");
        }
        assert_eq!(zone("Europe/Berlin"), Zone::parse("Europe/Berlin"));
        assert_eq!(zone("GMT%2B02:00"), Zone::parse("+02:00"));
        assert_eq!(parse("mysql://h/d?connectionTimeZone=-05:30").zone, Zone::parse("-05:30"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_address() {
        for text in [
            "",
            "CANARY",
            "postgres://u:CANARY@h/d",
            "jdbc:mysql:replication://u:CANARY@h/d",
            "mysql://u:CANARY@/d",
            "mysql://u:CANARY@h",
            "mysql://u:CANARY@h/a/b",
            "mysql://u:CANARY@h:port/d",
            "mysql://u:CANARY@h1,h2/d",
            "mysql://u:CANARY%zz@h/d",
            "mysql://u:CANARY%ff@h/d",
            "mysql://u:CANARY@h/d?sslMode=CANARY",
            "mysql://u:CANARY@h/d?useSSL=CANARY",
            "mysql://u:CANARY@h/d?serverTimezone=LOCAL",
            "mysql://u:CANARY@h/d?serverTimezone=SERVER",
            "mysql://u@h/d?password=ab&CANARYcert",
            "mysql://u:CANARY@h/d?serverTimezone='CANARY",
        ] {
            let why = Address::parse(text).unwrap_err();
            assert!(!why.contains("CANARY"), "{text}: {why}");
        }
    }
}
