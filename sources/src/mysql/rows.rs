//! The rows of a range, whatever happens to connections meanwhile; in the order of the key where no two rows share one.
//!
//! A failure that may pass is answered by a new connection and a query behind the last key that was handed on, after a
//! pause; only failures without any row in between are counted. A table whose rows may share a key cannot be resumed:
//! its read fails as one that is worth another attempt.

use std::sync::Arc;

use mysql_async::{Error, Row};

use super::columns::Form;
use super::fault::{MySqlError, next_attempt};
use super::keys::unhex;
use super::plan::RowRange;
use super::query;
use super::server::Open;
use super::session::{Answer, Session, bytes};
use crate::live::Failures;

/// All that a range sees is of one instant, and nothing can be changed; under the isolation level that sessions are set
/// to, without holding up those that write.
const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The rows of a range.
pub(super) struct Rows {
    open: Arc<Open>,
    range: RowRange,
    doing: String,
    session: Option<Session>,
    progress: Progress,
}

/// How far a read has come.
#[derive(Default)]
struct Progress {
    /// The key of the last row that was handed on, as the server shows it.
    last: Vec<u8>,
    has_last: bool,
    failures: Failures,
}

impl Progress {
    fn note(&mut self, row: &Row) {
        self.failures = Failures::default();
        self.last.clear();
        self.last.extend_from_slice(bytes(row, 0).unwrap_or_default());
        self.has_last = true;
    }
}

impl Rows {
    pub(super) fn new(open: Arc<Open>, range: RowRange) -> Self {
        let doing = format!("reading {}.{}", open.database, range.table);
        Self { open, range, doing, session: None, progress: Progress::default() }
    }

    /// Hands rows on until one is not taken or there are no more; true if it ends for want of rows.
    pub(super) async fn read(&mut self, mut take: impl FnMut(&Row) -> bool) -> Result<bool, MySqlError> {
        loop {
            let Self { session: Some(session), progress, .. } = self else {
                match self.begin().await? {
                    Ok(session) => self.session = Some(session),
                    Err(error) => self.recover(&error).await?,
                }
                continue;
            };
            let answer = session.read(|row| {
                progress.note(&row);
                take(&row)
            });
            match answer.await {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    if let Some(session) = self.session.take() {
                        session.close().await;
                    }
                    return Ok(true);
                }
                Err(error) => self.recover(&error).await?,
            }
        }
    }

    /// A query for what was not read yet.
    async fn begin(&self) -> Answer<Session> {
        let sql = self.sql().ok_or_else(|| MySqlError::Answer {
            doing: self.doing.clone(),
            why: "a key is not of the type of its column".to_owned(),
        })?;
        let mut session = match self.open.connect().await? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        for statement in [SNAPSHOT, &sql] {
            if let Err(error) = session.begin(statement).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(session))
    }

    /// None if a key is not of the type of its column.
    fn sql(&self) -> Option<String> {
        let Self { open, range, progress, .. } = self;
        let last = match range.columns.first().map(|key| key.form) {
            Some(Form::Hex) => unhex(std::str::from_utf8(&progress.last).ok()?)?,
            _ => progress.last.clone(),
        };
        query::select(range, open.zone, progress.has_last.then_some(&last))
    }

    /// Prepares for the next query after a failure, or gives up.
    async fn recover(&mut self, error: &Error) -> Result<(), MySqlError> {
        let Self { open, range, doing, progress, session } = self;
        *session = None;
        let is_resumable = range.is_unique || !progress.has_last;
        let failures = &mut progress.failures;
        let Some(pause) = next_attempt(error, failures).filter(|_| is_resumable) else {
            return Err(open.explain(error, doing, failures.count()));
        };
        open.note(doing, failures.count(), error);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
