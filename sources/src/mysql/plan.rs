//! Cutting a table into ranges, where the query is planned.

use std::sync::Arc;

use mysql_async::Error;
use serde::{Deserialize, Serialize};

use super::columns::{Changed, Selected, Shape, TableColumn, or_list};
use super::fault::MySqlError;
use super::keys::{KeyKind, KeyRange, interpolate};
use super::query;
use super::server::Open;
use super::session::{Answer, Session, bytes, text};
use crate::live::{Connections, LiveRequest};
use crate::{Collection, SourceError, SplitPolicy};

/// A read of fewer changes is one range: each more would go through the same changes again.
const FEW_CHANGES: u64 = 50_000;
/// The size of rows when the server's own estimate is behind.
const USUAL_ROW_BYTES: u64 = 100;
/// Rows at either end of a table that say nothing about where the others are, at most: one in a hundred of them. Some
/// tables have a few with the least or greatest number there is.
const MOST_OUTLIERS: u64 = 1_000;
/// The tables of the database.
const TABLES: &str = "SELECT table_name, table_rows, data_length FROM information_schema.tables \
                      WHERE table_schema = DATABASE() ORDER BY table_name";

/// A part of a table: what one descriptor row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowRange {
    /// Rank of the range among the table's ranges.
    pub(super) rank: u32,
    /// The table as it is called there.
    pub(super) table: String,
    /// The columns that are read, the key first.
    pub(super) columns: Vec<Selected>,
    /// How the key is compared; none if the table cannot be cut by it.
    pub(super) key: Option<KeyKind>,
    /// Whether no two rows share a key: only then are they read in its order, and on behind the last one.
    pub(super) is_unique: bool,
    /// The rows, by their keys.
    pub(super) keys: KeyRange,
    /// Of these only what changed, if that was asked and can be told.
    pub(super) changed: Option<Changed>,
    /// Whether nothing but the key is wanted.
    pub(super) ids_only: bool,
}

/// The ranges of a table; none if it is absent and may be.
pub(crate) async fn plan(
    connections: &Connections,
    collection: Collection,
    request: &LiveRequest,
    policy: &SplitPolicy,
) -> Result<Vec<RowRange>, SourceError> {
    let open = connections.mysql().open(collection.name()).await?;
    let doing = format!("planning to read {} from {}", collection.name(), open.database);
    let planner = &Planner { open: &open, collection, request, policy };
    Ok(open.repeat(&doing, |mut session| async move { planner.ranges(&mut session).await }).await?)
}

struct Planner<'a> {
    open: &'a Arc<Open>,
    collection: Collection,
    request: &'a LiveRequest,
    policy: &'a SplitPolicy,
}

/// A table as the server describes it, with its own estimates of how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) rows: u64,
    bytes: u64,
}

/// The same as `?`, for the inner of two errors.
macro_rules! answered {
    ($answer:expr) => {
        match $answer {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl Planner<'_> {
    async fn ranges(&self, session: &mut Session) -> Answer<Vec<RowRange>> {
        let Self { open, collection, request, .. } = self;
        let tables = answered!(tables(session).await);
        let names = table_names(*collection, request.names.name.as_deref());
        let Some(table) = find_table(&tables, &names) else {
            if request.names.optional {
                tracing::warn!(tables = or_list(&names), "MySQL has no such table; it is taken for empty");
                return Ok(Ok(Vec::new()));
            }
            if tables.is_empty() {
                return Err(MySqlError::NoDatabase { database: open.database.clone() });
            }
            return Err(MySqlError::NoTable {
                database: open.database.clone(),
                tables: or_list(&names),
                usual: collection.name(),
            });
        };
        let columns = answered!(self.columns(session, table).await);
        let shape = Shape { collection: *collection, names: &request.names, table: &table.name, columns: &columns };
        let selected = shape.select()?;
        let changed = match request.changed_since {
            Some(since) => shape.changed(since, &selected)?,
            None => None,
        };
        let key = answered!(self.key(session, table, &columns, &selected).await);
        let parts = match &changed {
            Some(changed) if answered!(self.are_few(session, table, changed).await) => 1,
            _ => self.policy.parts(table.bytes.max(table.rows * USUAL_ROW_BYTES)),
        };
        let keys = answered!(self.cut(session, table, key, &selected, parts).await);
        let read = if request.ids_only { selected.get(..1).unwrap_or_default() } else { &selected };
        tracing::debug!(table = table.name, ranges = keys.len(), rows = table.rows, ?changed, "planned");
        let range = |(rank, keys)| RowRange {
            rank,
            table: table.name.clone(),
            columns: read.to_vec(),
            key: key.map(|key| key.kind),
            is_unique: key.is_some_and(|key| key.is_unique),
            keys,
            changed: changed.clone(),
            ids_only: request.ids_only,
        };
        Ok(Ok((0..).zip(keys).map(range).collect()))
    }

    async fn columns(&self, session: &mut Session, table: &Table) -> Result<Vec<TableColumn>, Error> {
        let sql = format!(
            "SELECT column_name, data_type, column_type, is_nullable FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = {} ORDER BY ordinal_position",
            name_literal(&table.name)
        );
        let rows = session.texts(&sql).await?;
        let column = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            TableColumn {
                name: values.next().unwrap_or_default(),
                data_type: values.next().unwrap_or_default().to_ascii_lowercase(),
                column_type: values.next().unwrap_or_default().to_ascii_lowercase(),
                is_nullable: values.next().is_none_or(|text| !text.eq_ignore_ascii_case("NO")),
            }
        };
        Ok(rows.into_iter().map(column).collect())
    }

    /// The key, if it has a value in every row, and an index to read it by.
    async fn key(
        &self,
        session: &mut Session,
        table: &Table,
        columns: &[TableColumn],
        selected: &[Selected],
    ) -> Result<Option<Key>, Error> {
        let column = selected.first().and_then(|key| columns.iter().find(|column| column.name == key.source));
        let Some(column) = column else { return Ok(None) };
        let whole = |why: &str| {
            tracing::warn!(table = table.name, column = column.name, "the key {why}; the table is read in one go");
            Ok(None)
        };
        if column.is_nullable {
            return whole("may be null");
        }
        let Some(kind) = KeyKind::of(&column.data_type) else {
            return whole("is of a type whose values are not cut into ranges");
        };
        // Others are not in the order of their values: MariaDB has unique hashes of long texts.
        let sql = format!(
            "SELECT index_name, non_unique, seq_in_index, column_name, sub_part FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND table_name = {} AND index_type = 'BTREE'",
            name_literal(&table.name)
        );
        let parts: Vec<IndexPart> = session.texts(&sql).await?.into_iter().filter_map(IndexPart::of).collect();
        match is_unique(&parts, &column.name) {
            Some(is_unique) => Ok(Some(Key { kind, is_unique })),
            None => whole("has no index"),
        }
    }

    /// Whether one range is enough for the changes, as the server estimates them.
    async fn are_few(&self, session: &mut Session, table: &Table, changed: &Changed) -> Result<bool, Error> {
        let sql = query::explain_changes(&table.name, changed, self.open.zone);
        let rows = match session.rows(&sql).await {
            Ok(rows) => rows,
            // Whatever comes in between, ranges of keys are right too, only more work.
            Err(Error::Server(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let estimate = rows.first().and_then(|row| {
            let at = row.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case("rows"))?;
            text(row, at)?.parse::<u64>().ok()
        });
        Ok(estimate.is_some_and(|rows| rows <= FEW_CHANGES))
    }

    /// The keys as so many ranges; fewer if they are few.
    async fn cut(
        &self,
        session: &mut Session,
        table: &Table,
        key: Option<Key>,
        selected: &[Selected],
        parts: u32,
    ) -> Result<Vec<KeyRange>, Error> {
        let (Some(Key { kind, .. }), Some(column), 2..) = (key, selected.first(), parts) else {
            return Ok(KeyRange::between(&[]));
        };
        let cuts = match kind {
            KeyKind::Number => {
                let outliers = (table.rows / 100).min(MOST_OUTLIERS);
                match self.ends(session, table, column, outliers).await? {
                    Some((least, greatest)) => interpolate(least, greatest, parts),
                    None => Vec::new(),
                }
            }
            KeyKind::Text | KeyKind::Bytes => self.steps(session, table, kind, column, parts).await?,
        };
        Ok(KeyRange::between(&cuts))
    }

    /// The least and the greatest number but for so many.
    async fn ends(
        &self,
        session: &mut Session,
        table: &Table,
        column: &Selected,
        outliers: u64,
    ) -> Result<Option<(i128, i128)>, Error> {
        // Where the table has fewer rows than the server believes, they are few.
        for skipped in [outliers, 0] {
            let sql = query::ends(&table.name, &column.source, skipped);
            let rows = session.texts(&sql).await?;
            let ends: Vec<i128> = rows.into_iter().flatten().flatten().filter_map(|end| end.parse().ok()).collect();
            if let [least, greatest] = ends.as_slice() {
                return Ok(Some((*least, *greatest)));
            }
        }
        Ok(None)
    }

    /// Every so manieth key. What lies between keys of text depends on the collation, so the server has to say.
    async fn steps(
        &self,
        session: &mut Session,
        table: &Table,
        kind: KeyKind,
        column: &Selected,
        parts: u32,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let rows = table.rows.div_ceil(u64::from(parts)).max(1);
        let most = usize::try_from(self.policy.max_partitions).unwrap_or(usize::MAX);
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        while cuts.len() + 1 < most {
            let after = cuts.last().map(Vec::as_slice);
            let Some(sql) = query::step(&table.name, &column.source, kind, after, rows) else { break };
            let found = session.rows(&sql).await?;
            match found.first().and_then(|row| bytes(row, 0)) {
                Some(key) => cuts.push(key.to_vec()),
                None => break,
            }
        }
        Ok(cuts)
    }
}

/// What ranges are made of.
#[derive(Debug, Clone, Copy)]
struct Key {
    kind: KeyKind,
    is_unique: bool,
}

/// A column of an index.
#[derive(Debug, Clone)]
struct IndexPart {
    index: String,
    may_repeat: bool,
    is_first: bool,
    column: String,
    is_whole: bool,
}

impl IndexPart {
    fn of(row: Vec<Option<String>>) -> Option<Self> {
        let mut values = row.into_iter();
        Some(Self {
            index: values.next()??,
            may_repeat: values.next()?? != "0",
            is_first: values.next()?? == "1",
            // Expressions have no name.
            column: values.next()?.unwrap_or_default(),
            is_whole: values.next()?.is_none(),
        })
    }
}

/// Whether no two rows share a value of this column, if an index begins with all of it.
fn is_unique(parts: &[IndexPart], column: &str) -> Option<bool> {
    let firsts = parts.iter().filter(|part| part.is_first && part.is_whole && part.column.eq_ignore_ascii_case(column));
    let is_alone = |index: &str| parts.iter().filter(|part| part.index == index).count() == 1;
    firsts.map(|part| !part.may_repeat && is_alone(&part.index)).reduce(|one, other| one || other)
}

/// The tables of the database that the account sees.
pub(super) async fn tables(session: &mut Session) -> Result<Vec<Table>, Error> {
    // MySQL 8 remembers its estimates for a day; others do not know this.
    let unknown = session.run("SET SESSION information_schema_stats_expiry = 0").await;
    if let Err(error) = unknown
        && !matches!(error, Error::Server(_))
    {
        return Err(error);
    }
    let rows = session.texts(TABLES).await?;
    let table = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let name = values.next().flatten()?;
        let mut number = || values.next().flatten().and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(Table { name, rows: number(), bytes: number() })
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// The names under which a collection's table is looked for, the preferred one first.
pub(super) fn table_names(collection: Collection, given: Option<&str>) -> Vec<&str> {
    match given {
        Some(name) => vec![name],
        None => collection.file_names().to_vec(),
    }
}

/// The first of these names that is there; in other letters only if no name is there as it is.
pub(super) fn find_table<'t>(tables: &'t [Table], names: &[&str]) -> Option<&'t Table> {
    let exact = names.iter().find_map(|name| tables.iter().find(|table| table.name == *name));
    exact.or_else(|| names.iter().find_map(|name| tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))))
}

/// A name as a value.
fn name_literal(name: &str) -> String {
    KeyKind::Text.literal(name.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_indexes() {
        let parts = |rows: &[(&str, &str, &str, &str, Option<&str>)]| -> Vec<IndexPart> {
            let own = |text: &str| Some(text.to_owned());
            rows.iter()
                .map(|(index, non_unique, seq, column, sub_part)| {
                    let row = vec![own(index), own(non_unique), own(seq), own(column), sub_part.and_then(own)];
                    IndexPart::of(row).unwrap()
                })
                .collect()
        };
        let alone = ("PRIMARY", "0", "1", "ID", None);
        assert_eq!(is_unique(&parts(&[alone]), "id"), Some(true));
        let with_time = [("PRIMARY", "0", "1", "id", None), ("PRIMARY", "0", "2", "created_at", None)];
        assert_eq!(is_unique(&parts(&with_time), "id"), Some(false));
        assert_eq!(is_unique(&parts(&with_time), "created_at"), None);
        assert_eq!(
            is_unique(&parts(&[with_time.as_slice(), &[("u", "0", "1", "id", None)]].concat()), "id"),
            Some(true)
        );
        assert_eq!(is_unique(&parts(&[("k", "1", "1", "id", None)]), "id"), Some(false));
        assert_eq!(is_unique(&parts(&[("u", "0", "1", "id", Some("10"))]), "id"), None);
        assert_eq!(is_unique(&[], "id"), None);
    }
}
