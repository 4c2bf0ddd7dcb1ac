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
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.rows(sql).await.map(|_| ())
    }

    /// The rows of a small answer, as text.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let texts = |row: Row| (0..row.len()).map(|index| text(&row, index)).collect();
        Ok(self.rows(sql).await?.into_iter().map(texts).collect())
    }

    /// The rows of a small answer.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        self.begin(sql).await?;
        let mut rows = Vec::new();
        let keep = |row| {
            rows.push(row);
            true
        };
        self.read(keep).await?;
        Ok(rows)
    }

    /// Sends a query, whose rows are then read.
    pub(super) async fn begin(&mut self, sql: &str) -> Result<(), Error> {
        let Self { open, conn: Some(conn), .. } = self else { return Err(closed()) };
        open.wait(async { conn.query_iter(sql).await.map(|_| ()) }).await
    }

    /// Hands rows of the query on until one is not taken or there are no more; true if it ends for want of rows.
    pub(super) async fn read(&mut self, mut take: impl FnMut(Row) -> bool) -> Result<bool, Error> {
        let Self { open, conn: Some(conn), .. } = self else { return Err(closed()) };
        let mut answer = QueryResult::<TextProtocol>::new(conn);
        loop {
            let mut row = pin!(answer.next());
            // Most rows are there already, and need no clock.
            let row = match futures::poll!(row.as_mut()) {
                Poll::Ready(row) => row?,
                Poll::Pending => open.wait(row).await?,
            };
            let Some(row) = row else { return Ok(true) };
            if !take(row) {
                return Ok(false);
            }
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
