//! The rows of a range, in the order of the key, whatever happens to connections meanwhile.
//!
//! A failure that may pass is answered by a new connection and a query behind the last key that was handed on, after a
//! pause; only failures without any row in between are counted. A table without a usable key cannot be resumed: its
//! read fails as one that is worth another attempt.

use std::sync::Arc;

use mysql_async::{Error, Row};

use super::fault::{MySqlError, is_passing};
use super::plan::RowRange;
use super::query;
use super::server::Open;
use super::session::{Answer, Session, bytes};
use crate::live::{ATTEMPTS, pause};

/// All that a range sees is of one instant, and nothing can be changed.
const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// The rows of a range.
pub(super) struct Rows {
    open: Arc<Open>,
    range: RowRange,
    doing: String,
    session: Option<Session>,
    /// The key of the last row that was handed on.
    last: Vec<u8>,
    has_last: bool,
    /// In a row, without a row of the table in between.
    failures: u32,
}

impl Rows {
    pub(super) fn new(open: Arc<Open>, range: RowRange) -> Self {
        let doing = format!("reading {}.{}", open.database, range.table);
        Self { open, range, doing, session: None, last: Vec::new(), has_last: false, failures: 0 }
    }

    /// The next row; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, MySqlError> {
        loop {
            let answer = match &mut self.session {
                Some(session) => session.next_row(&self.doing).await?,
                None => match self.begin().await? {
                    Ok(session) => {
                        self.session = Some(session);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match answer {
                Ok(Some(row)) => {
                    self.note_key(&row);
                    return Ok(Some(row));
                }
                Ok(None) => {
                    if let Some(session) = self.session.take() {
                        session.close().await;
                    }
                    return Ok(None);
                }
                Err(error) => self.recover(&error).await?,
            }
        }
    }

    /// A query for what was not read yet.
    async fn begin(&self) -> Answer<Session> {
        let after = self.has_last.then_some(self.last.as_slice());
        let sql = query::select(&self.range, self.open.zone.as_deref(), after).ok_or_else(|| MySqlError::Answer {
            doing: self.doing.clone(),
            why: "a key is not of the type of its column".to_owned(),
        })?;
        let mut session = match self.open.connect(&self.doing).await? {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        for statement in [SNAPSHOT, &sql] {
            if let Err(error) = session.begin(&self.doing, statement).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(session))
    }

    fn note_key(&mut self, row: &Row) {
        self.failures = 0;
        self.last.clear();
        self.last.extend_from_slice(bytes(row, 0).unwrap_or_default());
        self.has_last = true;
    }

    /// Prepares for the next query after a failure, or gives up.
    async fn recover(&mut self, error: &Error) -> Result<(), MySqlError> {
        self.session = None;
        self.failures += 1;
        let is_resumable = self.range.key.is_some() || !self.has_last;
        if !is_passing(error) || !is_resumable || self.failures >= ATTEMPTS {
            return Err(self.open.explain(error, &self.doing, self.failures));
        }
        self.open.note(&self.doing, self.failures, error);
        tokio::time::sleep(pause(self.failures)).await;
        Ok(())
    }
}
