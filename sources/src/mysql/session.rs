//! One connection.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, QueryResult, Row, TextProtocol, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::fault::MySqlError;
use super::server::Open;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the server says: the outer error is final, the inner one is for the caller to judge.
pub(super) type Answer<T> = Result<Result<T, Error>, MySqlError>;

/// A connection that is set up. One that is dropped while an answer is pending is cut off; the driver alone would read
/// the answer to its end.
pub(super) struct Session {
    open: Arc<Open>,
    conn: Option<Conn>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) fn new(open: Arc<Open>, conn: Conn, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { open, conn: Some(conn), _permit: permit }
    }

    /// Sends a statement without an answer.
    pub(super) async fn run(&mut self, doing: &str, sql: &str) -> Answer<()> {
        self.rows(doing, sql).await.map(|answer| answer.map(|_| ()))
    }

    /// The rows of a small answer, as text.
    pub(super) async fn texts(&mut self, doing: &str, sql: &str) -> Answer<Vec<Vec<Option<String>>>> {
        let texts = |row: Row| (0..row.len()).map(|index| text(&row, index)).collect();
        Ok(self.rows(doing, sql).await?.map(|rows| rows.into_iter().map(texts).collect()))
    }

    /// The rows of a small answer.
    pub(super) async fn rows(&mut self, doing: &str, sql: &str) -> Answer<Vec<Row>> {
        if let Err(error) = self.begin(doing, sql).await? {
            return Ok(Err(error));
        }
        let mut rows = Vec::new();
        loop {
            match self.next_row(doing).await? {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => return Ok(Ok(rows)),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Sends a query, whose rows are then taken one by one.
    pub(super) async fn begin(&mut self, doing: &str, sql: &str) -> Answer<()> {
        let Self { open, conn: Some(conn), .. } = self else { return Ok(Err(closed())) };
        open.wait(doing, async { conn.query_iter(sql).await.map(|_| ()) }).await
    }

    /// The next row of the query; none at its end.
    pub(super) async fn next_row(&mut self, doing: &str) -> Answer<Option<Row>> {
        let Self { open, conn: Some(conn), .. } = self else { return Ok(Err(closed())) };
        let mut answer = QueryResult::<TextProtocol>::new(conn);
        let mut row = pin!(answer.next());
        // Most rows are there already, and need no clock.
        match futures::poll!(row.as_mut()) {
            Poll::Ready(row) => Ok(row),
            Poll::Pending => open.wait(doing, row).await,
        }
    }

    /// Says goodbye to the server.
    pub(super) async fn close(mut self) {
        if let Some(conn) = self.conn.take() {
            // A server that is gone needs none.
            let _heard = tokio::time::timeout(GOODBYE, conn.disconnect()).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(conn), Ok(runtime)) = (self.conn.take(), tokio::runtime::Handle::try_current()) {
            // Begun and given up at once: what is begun marks the connection as one that needs no goodbye.
            runtime.spawn(tokio::time::timeout(Duration::ZERO, conn.disconnect()));
        }
    }
}

fn closed() -> Error {
    mysql_async::DriverError::ConnectionClosed.into()
}

/// A value as the server wrote it; none if it is null.
pub(super) fn bytes(row: &Row, index: usize) -> Option<&[u8]> {
    match row.as_ref(index)? {
        Value::Bytes(bytes) => Some(bytes),
        // Text is all that the text protocol has.
        _ => None,
    }
}

pub(super) fn text(row: &Row, index: usize) -> Option<String> {
    bytes(row, index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
