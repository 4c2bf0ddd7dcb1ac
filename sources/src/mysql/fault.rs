//! What can go wrong with a MySQL server, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError, ServerError};
use quickchat_environment::EnvironmentError;

use crate::Fault;
use crate::live::Failures;

/// Errors of a server that a later attempt may see pass: it is full, stopping, offline for maintenance or killed the
/// statement, a lock was not to be had in time, the table was being altered, a proxy before it did not reach it (9001).
const PASSING: [u16; 32] = [
    1021, 1030, 1037, 1038, 1040, 1041, 1053, 1077, 1078, 1079, 1080, 1114, 1152, 1158, 1159, 1160, 1161, 1184, 1203,
    1205, 1213, 1226, 1317, 1412, 1927, 1969, 3024, 3032, 3168, 3169, 4031, 9001,
];
/// User and password are not, or no longer, those of an account; or the password has to be changed first.
const LOGIN: [u16; 3] = [1045, 1820, 1862];
/// The account may not do it, or is not who it says; or may not do it through a view (1356).
const NOT_ALLOWED: [u16; 20] = [
    1044, 1045, 1129, 1130, 1131, 1132, 1133, 1142, 1143, 1227, 1251, 1275, 1356, 1370, 1396, 1698, 1820, 1862, 3118,
    4151,
];
const NO_DATABASE: u16 = 1049;
/// A table or column that the plan found is gone.
const GONE: [u16; 3] = [1051, 1054, 1146];

/// Reading from MySQL failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MySqlError {
    /// No address.
    #[error("MYSQL_URL is not set where {what} is read; set it for the scheduler and for every executor")]
    NotConfigured {
        /// What was to be read.
        what: String,
    },
    /// A variable cannot be used.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The address cannot be used.
    #[error("MYSQL_URL cannot be used: {why}; correct it")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// The file of authorities cannot be read.
    #[error("cannot read {}, which MYSQL_CA names: {source}; correct MYSQL_CA or the file's rights", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No server answers.
    #[error(
        "cannot reach MySQL at {address} for {doing}: {why}; is it running, and is the address in MYSQL_URL right?"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What was being done.
        doing: String,
        /// What the driver says.
        why: String,
    },
    /// The connection cannot be encrypted, or the server is not who it should be.
    #[error(
        "cannot make a secure connection to MySQL at {address}: {why}; let MYSQL_CA name the file of the authority that signed the server's certificate, or correct sslMode in MYSQL_URL"
    )]
    Insecure {
        /// Host and port.
        address: String,
        /// What the driver says.
        why: String,
    },
    /// The server does not answer.
    #[error(
        "MySQL at {address} has not answered for {seconds} s while {doing}; see what it is busy with and run again, or set SOURCE_TIMEOUT_SECONDS to give it more time"
    )]
    Hangs {
        /// Host and port.
        address: String,
        /// What was being done.
        doing: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// User, password or rights.
    #[error(
        "MySQL refused {doing}: {why}; correct MYSQL_USER and MYSQL_PASSWORD or those in MYSQL_URL, or grant SELECT on the database"
    )]
    Refused {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// The server is too old.
    #[error(
        "MySQL at {address} is of version {version}, too old to be read; MySQL 5.7 and MariaDB 10.2 are the oldest"
    )]
    TooOld {
        /// Host and port.
        address: String,
        /// As it calls itself.
        version: String,
    },
    /// The database is not there, or has nothing in it.
    #[error(
        "the MySQL database `{database}` does not exist or has no tables, or this user sees none; correct the database in MYSQL_URL, or grant SELECT on it"
    )]
    NoDatabase {
        /// The database.
        database: String,
    },
    /// The table is not there.
    #[error(
        "the MySQL database `{database}` has no table {tables}, or this user does not see it; if it is called otherwise, say so under [mysql.{usual}] in quickchat-etl.toml, and if it is not used, set `optional = true` there"
    )]
    NoTable {
        /// The database.
        database: String,
        /// The tables that were looked for.
        tables: String,
        /// Its name in the lake.
        usual: &'static str,
    },
    /// A column is not there.
    #[error(
        "the MySQL table `{table}` has no column {column} for {usual}.{lake_column}, or this user may not read it; say how it is called by `columns = {{ {lake_column} = \"…\" }}` under [mysql.{usual}] in quickchat-etl.toml"
    )]
    NoColumn {
        /// The table.
        table: String,
        /// The columns that were looked for.
        column: String,
        /// The table's name in the lake.
        usual: &'static str,
        /// The column's name in the lake.
        lake_column: String,
    },
    /// The configuration names a column that the lake does not have.
    #[error(
        "{usual} has no column `{column}`, which `columns` under [mysql.{usual}] in quickchat-etl.toml names; it has {known}"
    )]
    UnknownColumn {
        /// The table's name in the lake.
        usual: &'static str,
        /// The column.
        column: String,
        /// Those that it has.
        known: String,
    },
    /// The configuration asks for what must not be read.
    #[error(
        "the column `{column}` of the MySQL table `{table}` holds secrets by its name and is never read; take it out of [mysql.{usual}] in quickchat-etl.toml"
    )]
    SecretColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The table's name in the lake.
        usual: &'static str,
    },
    /// A table or column that was there is gone.
    #[error("the table was changed after the read was planned ({doing}): {why}; run again")]
    Changed {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// The server failed in a way that passes.
    #[error("MySQL failed {attempts} times while {doing}, the last time: {why}; run again when it is well")]
    Failing {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The server does not understand a statement.
    #[error("MySQL cannot do what was asked while {doing}: {why}")]
    Statement {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// A reply is not what it should be.
    #[error("MySQL's answer while {doing} cannot be understood: {why}")]
    Answer {
        /// What was being done.
        doing: String,
        /// What is wrong.
        why: String,
    },
}

impl MySqlError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. } | Self::Hangs { .. } | Self::Failing { .. } | Self::Changed { .. } => {
                Fault::External
            }
            Self::Statement { .. } | Self::Answer { .. } => Fault::Internal,
            _ => Fault::User,
        }
    }
}

/// The server did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {seconds} s")]
pub(super) struct Elapsed {
    pub(super) seconds: u64,
    pub(super) is_connecting: bool,
}

impl Elapsed {
    pub(super) fn of(error: &Error) -> Option<Self> {
        let Error::Io(IoError::Io(error)) = error else { return None };
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Elapsed> for Error {
    /// As an accident of the connection, which is what those who judge errors take it for.
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::other(elapsed).into()
    }
}

/// Counts a failure, and says how long to wait before the next attempt; none if there is to be none.
pub(super) fn next_attempt(error: &Error, failures: &mut Failures) -> Option<Duration> {
    match Elapsed::of(error) {
        Some(_) => failures.silent(),
        None if is_passing(error) => failures.told(),
        None => None,
    }
}

/// Whether it is for user and password.
pub(super) fn is_about_login(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if LOGIN.contains(code))
}

/// Whether the same attempt may succeed a little later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Server(ServerError { code, state, .. }) => PASSING.contains(code) || state.starts_with("08"),
        Error::Io(IoError::Io(error)) => !is_about_tls(error),
        Error::Driver(error) => matches!(
            error,
            DriverError::ConnectionClosed | DriverError::PacketOutOfOrder | DriverError::UnexpectedPacket { .. }
        ),
        _ => false,
    }
}

/// Whether the server has no TLS.
pub(super) fn is_without_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

/// Whether two sides do not agree on how to be secure. What arrives damaged is an accident of the way.
fn is_about_tls(error: &std::io::Error) -> bool {
    use rustls::{AlertDescription, Error};
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else { return false };
    !matches!(
        error,
        Error::DecryptError
            | Error::InvalidMessage(_)
            | Error::PeerSentOversizedRecord
            | Error::AlertReceived(AlertDescription::BadRecordMac | AlertDescription::DecodeError)
    )
}

/// What an explanation may say about a failure.
pub(super) struct Circumstances<'a> {
    /// Host and port.
    pub(super) address: &'a str,
    pub(super) database: &'a str,
    pub(super) doing: &'a str,
    /// The driver's words without secrets.
    pub(super) why: String,
    pub(super) attempts: u32,
}

/// The driver's error for people.
pub(super) fn explain(error: &Error, circumstances: Circumstances<'_>) -> MySqlError {
    let Circumstances { address, database, doing, why, attempts } = circumstances;
    let (address, doing) = (address.to_owned(), doing.to_owned());
    if let Some(Elapsed { seconds, .. }) = Elapsed::of(error) {
        return MySqlError::Hangs { address, doing, seconds };
    }
    match error {
        Error::Server(server) if NOT_ALLOWED.contains(&server.code) => MySqlError::Refused { doing, why },
        Error::Server(server) if server.code == NO_DATABASE => MySqlError::NoDatabase { database: database.to_owned() },
        Error::Server(server) if GONE.contains(&server.code) => MySqlError::Changed { doing, why },
        Error::Io(IoError::Tls(_)) => MySqlError::Insecure { address, why },
        Error::Io(IoError::Io(io)) if is_about_tls(io) => MySqlError::Insecure { address, why },
        _ if is_without_tls(error) => MySqlError::Insecure { address, why },
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => MySqlError::Refused { doing, why },
        Error::Driver(DriverError::CantParseServerVersion { .. } | DriverError::PacketTooLarge) => {
            MySqlError::Answer { doing, why }
        }
        _ if is_passing(error) => MySqlError::Failing { doing, why, attempts },
        _ => MySqlError::Statement { doing, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, state: &str) -> Error {
        Error::Server(ServerError { code, message: "words".to_owned(), state: state.to_owned() })
    }

    fn fault_of(error: &Error) -> Fault {
        let circumstances =
            Circumstances { address: "h:1", database: "d", doing: "reading d.t", why: error.to_string(), attempts: 2 };
        explain(error, circumstances).fault()
    }

    #[test]
    fn what_passes_is_the_servers_fault_and_tried_again() {
        for error in [
            server(1040, "08004"),
            server(1205, "HY000"),
            server(1213, "40001"),
            server(1317, "70100"),
            server(1927, "70100"),
            server(3032, "HY000"),
            server(1114, "HY000"),
            server(1030, "HY000"),
            server(9001, "HY000"),
            server(65_000, "08S01"),
            Error::Driver(DriverError::ConnectionClosed),
            Error::Driver(DriverError::PacketOutOfOrder),
            std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
            std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into(),
            std::io::Error::other(rustls::Error::DecryptError).into(),
        ] {
            assert!(is_passing(&error), "{error}");
            assert_eq!(fault_of(&error), Fault::External, "{error}");
        }
    }

    #[test]
    fn what_hangs_is_tried_less_often_than_what_fails() {
        let attempts = |error: &Error| {
            let mut failures = Failures::default();
            while next_attempt(error, &mut failures).is_some() {}
            failures.count()
        };
        let hangs = Error::from(Elapsed { seconds: 60, is_connecting: false });
        assert_eq!(attempts(&hangs), crate::live::SILENCES);
        assert_eq!(attempts(&server(1205, "HY000")), crate::live::ATTEMPTS);
        assert_eq!(attempts(&server(1064, "42000")), 0);
        assert!(hangs.to_string().contains("no answer within 60 s") && fault_of(&hangs) == Fault::External, "{hangs}");
    }

    #[test]
    fn what_does_not_pass_is_told_at_once() {
        let about_tls = std::io::Error::other(rustls::Error::General("words".to_owned()));
        for (error, fault) in [
            (server(1045, "28000"), Fault::User),
            (server(1049, "42000"), Fault::User),
            (server(1142, "42000"), Fault::User),
            (server(1146, "42S02"), Fault::External),
            (server(1054, "42S22"), Fault::External),
            (server(1064, "42000"), Fault::Internal),
            (about_tls.into(), Fault::User),
            (Error::Driver(DriverError::NoClientSslFlagFromServer), Fault::User),
            (Error::Driver(DriverError::UnknownAuthPlugin { name: "x".to_owned() }), Fault::User),
        ] {
            assert!(!is_passing(&error), "{error}");
            assert_eq!(fault_of(&error), fault, "{error}");
        }
    }
}
