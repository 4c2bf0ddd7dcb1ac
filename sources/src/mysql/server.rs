//! The server that this process reads from.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::{Conn, Error, Opts, OptsBuilder, SslOpts};
use parking_lot::Mutex;
use quickchat_environment::Secret;
use tokio::sync::{OnceCell, Semaphore};

use super::address::Address;
use super::fault::{Circumstances, MySqlError, explain, is_passing, is_without_tls};
use super::session::{Answer, Session};
use super::tls::Tls;
use crate::live::{ATTEMPTS, install_tls, patience, pause};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of a process at a time: more than an executor has tasks, fewer than servers allow.
const MAX_CONNECTIONS: usize = 64;
/// The server gives a connection up whose rows nobody takes for so long: a batch may wait for others to be written.
const IDLE_SECONDS: u32 = 600;
/// The oldest versions that are still in use and know all that is asked: read-only snapshots, `utf8mb4`.
const OLDEST_MYSQL: (u32, u32) = (5, 7);
const OLDEST_MARIADB: (u32, u32) = (10, 2);

/// Where the server is and how to log in to it.
#[derive(Debug, Clone)]
pub struct MySqlSettings {
    /// `mysql://` or `jdbc:mysql://`, or either with `mariadb`; it names the database.
    pub url: Secret,
    /// The user, unless the address names one.
    pub user: Option<String>,
    /// The password, unless the address has one.
    pub password: Option<Secret>,
    /// File of the authorities that may have signed the server's certificate. With it the connection is always
    /// encrypted, and the server is who it should be.
    pub ca: Option<PathBuf>,
    /// How long the server may be silent.
    pub patience: Duration,
}

impl MySqlSettings {
    /// A server of which only the address is told.
    ///
    /// # Errors
    /// [`MySqlError::Environment`] if `SOURCE_TIMEOUT_SECONDS` is no number.
    pub fn of_url(url: impl Into<String>) -> Result<Self, MySqlError> {
        Ok(Self { url: url.into().into(), user: None, password: None, ca: None, patience: patience()? })
    }

    /// `MYSQL_URL`, `MYSQL_USER`, `MYSQL_PASSWORD` and `MYSQL_CA`, each of which may stand in a file.
    fn from_environment() -> Result<Option<Self>, MySqlError> {
        let Some(url) = quickchat_environment::secret("MYSQL_URL")? else { return Ok(None) };
        Ok(Some(Self {
            url,
            user: quickchat_environment::value("MYSQL_USER")?,
            password: quickchat_environment::secret("MYSQL_PASSWORD")?,
            ca: quickchat_environment::value("MYSQL_CA")?.map(PathBuf::from),
            patience: patience()?,
        }))
    }
}

/// The server, connected to when it is first used.
#[derive(Default)]
pub(crate) struct MySqlServer {
    given: Option<MySqlSettings>,
    open: OnceCell<Arc<Open>>,
}

impl MySqlServer {
    pub(crate) fn given(settings: MySqlSettings) -> Self {
        Self { given: Some(settings), open: OnceCell::new() }
    }

    /// The server. Nothing is sent to it yet.
    pub(super) async fn open(&self, what: &str) -> Result<Arc<Open>, MySqlError> {
        let open = self.open.get_or_try_init(|| async {
            let settings = match &self.given {
                Some(settings) => Some(settings.clone()),
                None => MySqlSettings::from_environment()?,
            };
            match settings {
                Some(settings) => Open::new(settings).await.map(Arc::new),
                None => Err(MySqlError::NotConfigured { what: what.to_owned() }),
            }
        });
        open.await.cloned()
    }
}

/// A server that can be connected to.
pub(super) struct Open {
    /// With the encryption that turned out to be possible.
    opts: Mutex<Opts>,
    tls: Tls,
    checked: AtomicBool,
    /// Host and port.
    pub(super) address: String,
    pub(super) database: String,
    /// The zone of `DATETIME` values, if that is not UTC.
    pub(super) zone: Option<String>,
    patience: Duration,
    limit: Arc<Semaphore>,
    /// Texts that must not show in messages.
    hidden: Vec<Secret>,
}

impl Open {
    async fn new(settings: MySqlSettings) -> Result<Self, MySqlError> {
        install_tls();
        let address = Address::parse(settings.url.expose()).map_err(|why| MySqlError::Address { why })?;
        let password = address.password.clone().or(settings.password);
        let mut hidden = vec![settings.url];
        hidden.extend(password.clone());
        let base = OptsBuilder::default()
            .ip_or_hostname(address.host.clone())
            .tcp_port(address.port)
            .db_name(Some(address.database.clone()))
            .user(address.user.clone().or(settings.user))
            .pass(password.map(|password| password.expose().to_owned()))
            // It would look for a file on this machine that the server names.
            .prefer_socket(false);
        let authority = match &settings.ca {
            Some(path) => Some(read_authority(path).await?),
            None => None,
        };
        let tls = Tls::new(address.tls, authority)?;
        Ok(Self {
            opts: Mutex::new(base.ssl_opts(tls.opts.clone()).into()),
            tls,
            checked: AtomicBool::new(false),
            address: format!("{}:{}", address.host, address.port),
            database: address.database,
            zone: address.zone,
            patience: settings.patience,
            limit: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            hidden,
        })
    }

    /// A session in which all text is UTF-8 and all times are UTC, whatever the server's own settings are. The outer
    /// error is final, the inner one is the server's, for the caller to judge.
    pub(super) async fn connect(self: &Arc<Self>, doing: &str) -> Answer<Session> {
        let permit = Arc::clone(&self.limit).acquire_owned().await.ok();
        let conn = match self.reach(doing).await? {
            Ok(conn) => conn,
            Err(error) => return Ok(Err(error)),
        };
        let mut session = Session::new(Arc::clone(self), conn, permit);
        let settings =
            format!("SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '', net_write_timeout = {IDLE_SECONDS}");
        if let Err(error) = session.run(doing, &settings).await? {
            return Ok(Err(error));
        }
        if !self.checked.load(Ordering::Relaxed) {
            if let Err(error) = self.check(doing, &mut session).await? {
                return Ok(Err(error));
            }
            self.checked.store(true, Ordering::Relaxed);
        }
        Ok(Ok(session))
    }

    async fn reach(&self, doing: &str) -> Answer<Conn> {
        let opts = self.opts.lock().clone();
        match self.reach_with(opts.clone(), doing).await? {
            Ok(conn) => Ok(Ok(conn)),
            Err(error) => match self.way_around(&error) {
                Some(tls) => {
                    let other = Opts::from(OptsBuilder::from_opts(opts).ssl_opts(tls));
                    *self.opts.lock() = other.clone();
                    self.reach_with(other, doing).await
                }
                None => Ok(Err(error)),
            },
        }
    }

    /// How else to encrypt after a failure, as far as that is allowed.
    fn way_around(&self, error: &Error) -> Option<Option<SslOpts>> {
        if self.tls.may_be_plain && is_without_tls(error) {
            tracing::warn!(server = self.address, "MySQL has no TLS; the connection is not encrypted");
            return Some(None);
        }
        self.tls.renamed(error).map(Some)
    }

    async fn reach_with(&self, opts: Opts, doing: &str) -> Answer<Conn> {
        self.wait_for(CONNECT_TIMEOUT.min(self.patience), doing, Conn::new(opts)).await
    }

    /// Looks, once a process, whether the server is one that can be read.
    async fn check(&self, doing: &str, session: &mut Session) -> Answer<()> {
        let zone = self.zone.as_deref().unwrap_or("+00:00");
        let sql = format!("SELECT VERSION(), CONVERT_TZ('2020-01-01 00:00:00', '{zone}', '+00:00')");
        let rows = match session.texts(doing, &sql).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        let mut values = rows.into_iter().flatten();
        let version = values.next().flatten().unwrap_or_default();
        if is_too_old(&version) {
            return Err(MySqlError::TooOld { address: self.address.clone(), version });
        }
        if values.next().flatten().is_none() {
            return Err(MySqlError::Zone { address: self.address.clone(), zone: zone.to_owned() });
        }
        Ok(Ok(()))
    }

    /// Does something in a session of its own, again and again while its failure may pass.
    pub(super) async fn repeat<T, F: Future<Output = Answer<T>>>(
        self: &Arc<Self>,
        doing: &str,
        work: impl Fn(Session) -> F,
    ) -> Result<T, MySqlError> {
        let mut failures = 0;
        loop {
            let error = match self.connect(doing).await? {
                Ok(session) => match work(session).await? {
                    Ok(found) => return Ok(found),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            failures += 1;
            if !is_passing(&error) || failures >= ATTEMPTS {
                return Err(self.explain(&error, doing, failures));
            }
            self.note(doing, failures, &error);
            tokio::time::sleep(pause(failures)).await;
        }
    }

    /// Waits for the server, but not for ever.
    pub(super) async fn wait<T>(&self, doing: &str, answer: impl Future<Output = T>) -> Result<T, MySqlError> {
        self.wait_for(self.patience, doing, answer).await
    }

    async fn wait_for<T>(
        &self,
        patience: Duration,
        doing: &str,
        answer: impl Future<Output = T>,
    ) -> Result<T, MySqlError> {
        tokio::time::timeout(patience, answer).await.map_err(|_| MySqlError::Hangs {
            address: self.address.clone(),
            doing: doing.to_owned(),
            seconds: patience.as_secs(),
        })
    }

    /// The driver's error for people.
    pub(super) fn explain(&self, error: &Error, doing: &str, attempts: u32) -> MySqlError {
        let Self { address, database, .. } = self;
        let why = self.words(error);
        if is_refused_connection(error) {
            return MySqlError::Unreachable { address: address.clone(), doing: doing.to_owned(), why };
        }
        explain(error, Circumstances { address, database, doing, why, attempts })
    }

    /// Logs a failure after which it is tried again.
    pub(super) fn note(&self, doing: &str, attempt: u32, error: &Error) {
        tracing::warn!(doing, attempt, error = self.words(error), "MySQL failed; trying again");
    }

    /// The driver's words without the address and the password, should it quote them.
    fn words(&self, error: &Error) -> String {
        let mut text = error.to_string();
        for secret in &self.hidden {
            if !secret.expose().is_empty() {
                text = text.replace(secret.expose(), "…");
            }
        }
        text.truncate(text.floor_char_boundary(1_000));
        text
    }
}

/// Whether no connection came about at all.
fn is_refused_connection(error: &Error) -> bool {
    use std::io::ErrorKind;
    let Error::Io(mysql_async::IoError::Io(error)) = error else { return false };
    // Names that cannot be resolved are of no kind.
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable
            | ErrorKind::TimedOut
    ) || error.to_string().contains("lookup address")
}

async fn read_authority(path: &std::path::Path) -> Result<Vec<u8>, MySqlError> {
    tokio::fs::read(path).await.map_err(|source| MySqlError::Authority { path: path.to_owned(), source })
}

/// Whether a version, as the server calls itself, is too old. One that cannot be understood is taken for a new one.
fn is_too_old(version: &str) -> bool {
    let mut parts = version.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return false };
    let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
    (major, minor) < if is_mariadb { OLDEST_MARIADB } else { OLDEST_MYSQL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for version in ["5.5.62", "5.6.51-log", "5.1.73", "10.1.48-MariaDB", "5.5.68-MariaDB"] {
            assert!(is_too_old(version), "{version}");
        }
        for version in ["5.7.44-log", "8.0.36", "9.1.0", "10.2.0-MariaDB", "10.11.6-MariaDB-0+deb12u1", "odd", ""] {
            assert!(!is_too_old(version), "{version}");
        }
    }
}
