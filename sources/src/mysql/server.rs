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
use super::fault::{Circumstances, Elapsed, MySqlError, explain, is_about_login, is_without_tls, next_attempt};
use super::session::{Answer, Session};
use super::tls::Tls;
use super::zone::Zone;
use crate::live::{Failures, install_tls, patience};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of a process at a time: more than an executor has tasks, fewer than servers allow.
const MAX_CONNECTIONS: usize = 64;
/// The server gives a connection up whose rows nobody takes for so long: a batch may wait for others to be written.
const IDLE_SECONDS: u32 = 600;
/// The oldest versions that are still in use and know all that is asked: read-only snapshots, `utf8mb4`.
const OLDEST_MYSQL: (u32, u32) = (5, 7);
const OLDEST_MARIADB: (u32, u32) = (10, 2);
/// The only level under which a snapshot is one, and under which those that write are not held up: the server may have
/// another.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

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

/// Where settings are found: user and password once more whenever the server refuses them.
#[derive(Debug, Clone, Default)]
enum Settings {
    Given(Box<MySqlSettings>),
    #[default]
    Environment,
}

impl Settings {
    fn read(&self) -> Result<Option<MySqlSettings>, MySqlError> {
        match self {
            Self::Given(settings) => Ok(Some(settings.as_ref().clone())),
            Self::Environment => MySqlSettings::from_environment(),
        }
    }
}

/// The server, connected to when it is first used.
#[derive(Default)]
pub(crate) struct MySqlServer {
    settings: Settings,
    open: OnceCell<Arc<Open>>,
}

impl MySqlServer {
    pub(crate) fn given(settings: MySqlSettings) -> Self {
        Self { settings: Settings::Given(Box::new(settings)), open: OnceCell::new() }
    }

    /// The server. Nothing is sent to it yet.
    pub(super) async fn open(&self, what: &str) -> Result<Arc<Open>, MySqlError> {
        let open = self.open.get_or_try_init(|| async {
            match self.settings.read()? {
                Some(settings) => Open::new(settings, self.settings.clone()).await.map(Arc::new),
                None => Err(MySqlError::NotConfigured { what: what.to_owned() }),
            }
        });
        open.await.cloned()
    }
}

/// Who reads, and what of it must not show in messages.
#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: Option<String>,
    password: Option<Secret>,
    url: Secret,
}

impl Login {
    fn of(address: &Address, settings: &MySqlSettings) -> Self {
        Self {
            user: address.user.clone().or_else(|| settings.user.clone()),
            password: address.password.clone().or_else(|| settings.password.clone()),
            url: settings.url.clone(),
        }
    }

    fn apply(&self, opts: OptsBuilder) -> OptsBuilder {
        let password = self.password.as_ref().map(|password| password.expose().to_owned());
        opts.user(self.user.clone()).pass(password)
    }
}

/// A server that can be connected to.
pub(super) struct Open {
    /// With the encryption that turned out to be possible.
    opts: Mutex<Opts>,
    login: Mutex<Login>,
    settings: Settings,
    tls: Tls,
    is_checked: AtomicBool,
    /// Host and port.
    pub(super) address: String,
    pub(super) database: String,
    /// The zone of `DATETIME` values, if that is not UTC.
    pub(super) zone: Option<Zone>,
    patience: Duration,
    limit: Arc<Semaphore>,
}

impl Open {
    async fn new(found: MySqlSettings, settings: Settings) -> Result<Self, MySqlError> {
        install_tls();
        let address = parse(&found.url)?;
        let login = Login::of(&address, &found);
        let base = OptsBuilder::default()
            .ip_or_hostname(address.host.clone())
            .tcp_port(address.port)
            .db_name(Some(address.database.clone()))
            // It would look for a file on this machine that the server names.
            .prefer_socket(false);
        let authority = match &found.ca {
            Some(path) => Some(read_authority(path).await?),
            None => None,
        };
        let tls = Tls::new(address.tls, authority)?;
        Ok(Self {
            opts: Mutex::new(login.apply(base).ssl_opts(tls.opts.clone()).into()),
            login: Mutex::new(login),
            settings,
            tls,
            is_checked: AtomicBool::new(false),
            address: format!("{}:{}", address.host, address.port),
            database: address.database,
            zone: address.zone,
            patience: found.patience,
            limit: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        })
    }

    /// A session in which all text is UTF-8, all times are UTC, and answers are whole and of one instant, whatever the
    /// server's own settings are. The outer error is final, the inner one is the server's, for the caller to judge.
    pub(super) async fn connect(self: &Arc<Self>) -> Answer<Session> {
        let login = self.login.lock().clone();
        match self.connect_once().await? {
            // A password may have been changed since this process read it.
            Err(error) if is_about_login(&error) && self.has_other_login(&login)? => self.connect_once().await,
            answer => Ok(answer),
        }
    }

    async fn connect_once(self: &Arc<Self>) -> Answer<Session> {
        let permit = Arc::clone(&self.limit).acquire_owned().await.ok();
        let conn = match self.reach().await {
            Ok(conn) => conn,
            Err(error) => return Ok(Err(error)),
        };
        let mut session = Session::new(Arc::clone(self), conn, permit);
        // First, since a server that is too old does not know the settings.
        if !self.is_checked.load(Ordering::Relaxed) {
            match session.texts("SELECT VERSION()").await {
                Ok(rows) => self.check(rows.into_iter().flatten().flatten().next().unwrap_or_default())?,
                Err(error) => return Ok(Err(error)),
            }
            self.is_checked.store(true, Ordering::Relaxed);
        }
        for settings in [ISOLATION, &settings_of_sessions()] {
            if let Err(error) = session.run(settings).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(session))
    }

    /// Looks whether the server is one that can be read.
    fn check(&self, version: String) -> Result<(), MySqlError> {
        if is_too_old(&version) {
            return Err(MySqlError::TooOld { address: self.address.clone(), version });
        }
        Ok(())
    }

    /// Reads user and password once more, to connect with them; whether they are others than those that were refused.
    fn has_other_login(&self, refused: &Login) -> Result<bool, MySqlError> {
        let Some(found) = self.settings.read()? else { return Ok(false) };
        let address = parse(&found.url)?;
        if format!("{}:{}", address.host, address.port) != self.address || address.database != self.database {
            // What is meant for another server is none of this one's business.
            return Ok(false);
        }
        let login = Login::of(&address, &found);
        if *refused == login {
            return Ok(false);
        }
        tracing::info!(server = self.address, "MySQL refused user or password; trying those that are set now");
        self.change_opts(|opts| login.apply(opts));
        *self.login.lock() = login;
        Ok(true)
    }

    async fn reach(&self) -> Result<Conn, Error> {
        let opts = self.opts.lock().clone();
        match self.reach_with(opts).await {
            Ok(conn) => Ok(conn),
            Err(error) => match self.way_around(&error) {
                Some(tls) => self.reach_with(self.change_opts(|opts| opts.ssl_opts(tls))).await,
                None => Err(error),
            },
        }
    }

    /// Changes what connections are made with from now on, and leaves all else of it as it is by now.
    fn change_opts(&self, change: impl FnOnce(OptsBuilder) -> OptsBuilder) -> Opts {
        let mut opts = self.opts.lock();
        *opts = change(OptsBuilder::from_opts(opts.clone())).into();
        opts.clone()
    }

    /// How else to encrypt after a failure, as far as that is allowed.
    fn way_around(&self, error: &Error) -> Option<Option<SslOpts>> {
        if self.tls.may_be_plain && is_without_tls(error) {
            tracing::warn!(server = self.address, "MySQL has no TLS; the connection is not encrypted");
            return Some(None);
        }
        self.tls.renamed(error).map(Some)
    }

    async fn reach_with(&self, opts: Opts) -> Result<Conn, Error> {
        let limit = CONNECT_TIMEOUT.min(self.patience);
        let elapsed = |_| Error::from(Elapsed { seconds: limit.as_secs(), is_connecting: true });
        tokio::time::timeout(limit, Conn::new(opts)).await.map_err(elapsed)?
    }

    /// Does something in a session of its own, again and again while its failure may pass.
    pub(super) async fn repeat<T, F: Future<Output = Answer<T>>>(
        self: &Arc<Self>,
        doing: &str,
        work: impl Fn(Session) -> F,
    ) -> Result<T, MySqlError> {
        let mut failures = Failures::default();
        loop {
            let error = match self.connect().await? {
                Ok(session) => match work(session).await? {
                    Ok(found) => return Ok(found),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let Some(pause) = next_attempt(&error, &mut failures) else {
                return Err(self.explain(&error, doing, failures.count()));
            };
            self.note(doing, failures.count(), &error);
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits for the server, but not for ever.
    pub(super) async fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let elapsed = |_| Error::from(Elapsed { seconds: self.patience.as_secs(), is_connecting: false });
        tokio::time::timeout(self.patience, answer).await.map_err(elapsed)?
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
        let Login { url, password, .. } = self.login.lock().clone();
        for secret in std::iter::once(url).chain(password) {
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
    if let Some(elapsed) = Elapsed::of(error) {
        return elapsed.is_connecting;
    }
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

/// Whatever the server's own settings are, no row is left out and no time or text means something else.
fn settings_of_sessions() -> String {
    format!(
        "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '', sql_select_limit = {}, sql_big_selects = 1, \
         net_write_timeout = {IDLE_SECONDS} /*!50708 , max_execution_time = 0 */ /*M!100101 , max_statement_time = 0 */",
        u64::MAX
    )
}

fn parse(url: &Secret) -> Result<Address, MySqlError> {
    Address::parse(url.expose()).map_err(|why| MySqlError::Address { why })
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
