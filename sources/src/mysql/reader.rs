//! From rows to Arrow.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use mysql_async::Row;
use sha2::{Digest, Sha256};

use super::columns::{Form, Selected};
use super::fault::MySqlError;
use super::plan::RowRange;
use super::rows::Rows;
use super::session::bytes;
use super::zone::Zone;
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
    local: Local,
}

/// The times of the current row that its table has without a zone, with the offset that they get by the application's.
struct Local {
    zone: Option<Zone>,
    /// One a column, where it holds such times.
    located: Vec<Option<String>>,
}

impl Local {
    fn new(zone: Option<Zone>, range: &RowRange) -> Self {
        let buffer = |column: &Selected| (column.form == Form::DateTime).then(String::new);
        Self { zone, located: range.columns.iter().map(buffer).collect() }
    }

    fn locate(&mut self, row: &Row, zone: Zone) {
        for (index, located) in self.located.iter_mut().enumerate() {
            let Some(located) = located else { continue };
            located.clear();
            if let Some(Ok(text)) = bytes(row, index).map(std::str::from_utf8) {
                zone.locate(text, located);
            }
        }
    }

    fn at(&self, index: usize) -> Option<&[u8]> {
        self.located.get(index)?.as_ref().map(String::as_bytes).filter(|value| !value.is_empty())
    }
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
        let Started { rows, decoder, local } = &mut started;
        self.done = rows
            .read(|row| {
                self.decode(row, decoder, local);
                !decoder.is_full()
            })
            .await?;
        if self.done {
            decoder.push_tally(self.read);
        }
        let batch = decoder.finish(&format!("mysql/{}", self.range.table));
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
        let local = Local::new(open.zone, &self.range);
        Ok(Started { rows: Rows::new(open, self.range.clone()), decoder: decoder.keyed_by(0), local })
    }

    fn decode(&mut self, row: &Row, decoder: &mut RecordDecoder, local: &mut Local) {
        let place = Place { ordinal: ordinal(self.range.rank, self.read), line: self.read + 1 };
        self.read += 1;
        // An empty text is null, as in an export.
        let value = |index| bytes(row, index).filter(|value| !value.is_empty());
        let is_valid = match local.zone {
            None => self.fields.fill((0..row.len()).map(value)),
            Some(zone) => {
                local.locate(row, zone);
                self.fields.fill((0..row.len()).map(|index| local.at(index).or_else(|| value(index))))
            }
        };
        if is_valid {
            decoder.push(&self.fields, self.fields.text_len(), place, || digest(row));
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
