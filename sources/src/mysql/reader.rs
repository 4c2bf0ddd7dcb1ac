//! From rows to Arrow.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use mysql_async::Row;
use sha2::{Digest, Sha256};

use super::fault::MySqlError;
use super::plan::RowRange;
use super::rows::Rows;
use super::session::bytes;
use crate::SourceError;
use crate::decode::{Fields, Place, RecordDecoder, hex};
use crate::read::LiveSite;
use crate::split::ordinal;

/// Reads the rows of one range.
pub(crate) struct RowReader {
    site: Arc<LiveSite>,
    range: RowRange,
    started: Option<Started>,
    fields: Fields,
    read: u64,
    done: bool,
}

struct Started {
    rows: Rows,
    decoder: RecordDecoder,
}

impl RowReader {
    /// A reader that has not read anything yet.
    pub(crate) fn new(site: Arc<LiveSite>, range: RowRange) -> Self {
        Self { site, range, started: None, fields: Fields::default(), read: 0, done: false }
    }

    /// The next batch; the last one ends with the range's tally.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.done {
            return Ok(None);
        }
        let mut started = match self.started.take() {
            Some(started) => started,
            None => self.start().await?,
        };
        while !started.decoder.is_full() {
            match started.rows.next().await? {
                Some(row) => self.decode(&row, &mut started.decoder),
                None => {
                    self.done = true;
                    started.decoder.push_tally(self.read);
                    break;
                }
            }
        }
        let batch = started.decoder.finish(&format!("mysql/{}", self.range.table));
        self.started = Some(started);
        batch.map(Some)
    }

    async fn start(&self) -> Result<Started, MySqlError> {
        let LiveSite { collection, projection, connections } = self.site.as_ref();
        let open = connections.mysql().open(collection.name()).await?;
        let header = self.range.columns.iter().map(|column| column.field.clone()).collect();
        let decoder = match self.range.ids_only {
            true => RecordDecoder::of_ids(*collection, projection.as_deref(), header),
            false => RecordDecoder::new(*collection, projection.as_deref(), header),
        };
        let decoder = decoder.map_err(|column| {
            let why = format!("the plan lacks the column {column}");
            MySqlError::Answer { doing: format!("reading {}", self.range.table), why }
        })?;
        Ok(Started { rows: Rows::new(open, self.range.clone()), decoder: decoder.keyed_by(0) })
    }

    fn decode(&mut self, row: &Row, decoder: &mut RecordDecoder) {
        let place = Place { ordinal: ordinal(self.range.rank, self.read), line: self.read + 1 };
        self.read += 1;
        self.fields.clear();
        let mut size = 0;
        let mut is_valid = true;
        for index in 0..row.len() {
            let value = bytes(row, index).map(|value| {
                size += value.len();
                // First as the text that it nearly always is: looking for what to replace costs several times that.
                std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
            });
            is_valid &= !matches!(value, Some(Cow::Owned(_)));
            self.fields.push(value.as_deref());
        }
        if is_valid {
            decoder.push(&self.fields, size, place, || digest(row));
        } else {
            decoder.push_invalid_text(&self.fields, digest(row), place);
        }
    }
}

/// The digest of a row's values, which differs whenever one of them does.
fn digest(row: &Row) -> String {
    let mut digest = Sha256::new();
    for index in 0..row.len() {
        match bytes(row, index) {
            Some(value) => {
                digest.update((value.len() as u64).to_le_bytes());
                digest.update(value);
            }
            None => digest.update(u64::MAX.to_le_bytes()),
        }
    }
    hex(digest.finalize().as_slice())
}
