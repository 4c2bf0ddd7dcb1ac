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
    /// How the key is compared; none if the read can neither be cut nor resumed by it.
    pub(super) key: Option<KeyKind>,
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
    let planner = &Planner { open: &open, doing: &doing, collection, request, policy };
    Ok(open.repeat(&doing, |mut session| async move { planner.ranges(&mut session).await }).await?)
}

struct Planner<'a> {
    open: &'a Arc<Open>,
    doing: &'a str,
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
        let Self { open, doing, collection, request, .. } = self;
        let tables = answered!(tables(session, doing).await?);
        if tables.is_empty() {
            return Err(MySqlError::NoDatabase { database: open.database.clone() });
        }
        let names = table_names(*collection, request.names.name.as_deref());
        let Some(table) = find_table(&tables, &names) else {
            if request.names.optional {
                tracing::warn!(tables = or_list(&names), "MySQL has no such table; it is taken for empty");
                return Ok(Ok(Vec::new()));
            }
            return Err(MySqlError::NoTable {
                database: open.database.clone(),
                tables: or_list(&names),
                usual: collection.name(),
            });
        };
        let columns = answered!(self.columns(session, table).await?);
        let shape = Shape { collection: *collection, names: &request.names, table: &table.name, columns: &columns };
        let selected = shape.select()?;
        let changed = match request.changed_since {
            Some(since) => shape.changed(since, &selected)?,
            None => None,
        };
        let key = answered!(self.key(session, table, &columns, &selected).await?);
        let parts = match &changed {
            Some(changed) if answered!(self.are_few(session, table, changed).await?) => 1,
            _ => self.policy.parts(table.bytes.max(table.rows * USUAL_ROW_BYTES)),
        };
        let keys = answered!(self.cut(session, table, key, &selected, parts).await?);
        let read = if request.ids_only { selected.get(..1).unwrap_or_default() } else { &selected };
        tracing::debug!(table = table.name, ranges = keys.len(), rows = table.rows, ?changed, "planned");
        let range = |(rank, keys)| RowRange {
            rank,
            table: table.name.clone(),
            columns: read.to_vec(),
            key,
            keys,
            changed: changed.clone(),
            ids_only: request.ids_only,
        };
        Ok(Ok((0..).zip(keys).map(range).collect()))
    }

    async fn columns(&self, session: &mut Session, table: &Table) -> Answer<Vec<TableColumn>> {
        let sql = format!(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name = {} ORDER BY ordinal_position",
            name_literal(&table.name)
        );
        let rows = answered!(session.texts(self.doing, &sql).await?);
        let column = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            TableColumn {
                name: values.next().unwrap_or_default(),
                data_type: values.next().unwrap_or_default().to_ascii_lowercase(),
                is_nullable: values.next().is_none_or(|text| !text.eq_ignore_ascii_case("NO")),
            }
        };
        Ok(Ok(rows.into_iter().map(column).collect()))
    }

    /// How the key is compared, if it has a value in every row that no other row has, and an index to read it by.
    async fn key(
        &self,
        session: &mut Session,
        table: &Table,
        columns: &[TableColumn],
        selected: &[Selected],
    ) -> Answer<Option<KeyKind>> {
        let key = selected.first().and_then(|key| columns.iter().find(|column| column.name == key.source));
        let Some(key) = key.filter(|key| !key.is_nullable) else { return Ok(Ok(None)) };
        // Unique indexes of one whole column.
        let sql = format!(
            "SELECT MIN(column_name) FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND table_name = {} AND non_unique = 0 \
             GROUP BY index_name HAVING COUNT(*) = 1 AND COUNT(sub_part) = 0",
            name_literal(&table.name)
        );
        let unique = answered!(session.texts(self.doing, &sql).await?);
        let mut unique = unique.into_iter().flatten().flatten();
        let is_unique = unique.any(|name| name.eq_ignore_ascii_case(&key.name));
        let kind = KeyKind::of(&key.data_type).filter(|_| is_unique);
        if kind.is_none() {
            tracing::warn!(
                table = table.name,
                column = key.name,
                "the key has no unique index; the table is read in one go"
            );
        }
        Ok(Ok(kind))
    }

    /// Whether one range is enough for the changes, as the server estimates them.
    async fn are_few(&self, session: &mut Session, table: &Table, changed: &Changed) -> Answer<bool> {
        let sql = query::explain_changes(&table.name, changed, self.open.zone.as_deref());
        let rows = match session.rows(self.doing, &sql).await? {
            Ok(rows) => rows,
            // Whatever comes in between, ranges of keys are right too, only more work.
            Err(Error::Server(_)) => return Ok(Ok(false)),
            Err(error) => return Ok(Err(error)),
        };
        let estimate = rows.first().and_then(|row| {
            let at = row.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case("rows"))?;
            text(row, at)?.parse::<u64>().ok()
        });
        Ok(Ok(estimate.is_some_and(|rows| rows <= FEW_CHANGES)))
    }

    /// The keys as so many ranges; fewer if they are few.
    async fn cut(
        &self,
        session: &mut Session,
        table: &Table,
        key: Option<KeyKind>,
        selected: &[Selected],
        parts: u32,
    ) -> Answer<Vec<KeyRange>> {
        let (Some(kind), Some(column), 2..) = (key, selected.first(), parts) else {
            return Ok(Ok(KeyRange::between(&[])));
        };
        let cuts = match kind {
            KeyKind::Number => {
                let rows = answered!(session.texts(self.doing, &query::ends(&table.name, &column.source)).await?);
                let ends: Vec<i128> = rows.into_iter().flatten().flatten().filter_map(|end| end.parse().ok()).collect();
                match ends.as_slice() {
                    [least, greatest] => interpolate(*least, *greatest, parts),
                    _ => Vec::new(),
                }
            }
            KeyKind::Text | KeyKind::Bytes => answered!(self.steps(session, table, kind, column, parts).await?),
        };
        Ok(Ok(KeyRange::between(&cuts)))
    }

    /// Every so manieth key. What lies between keys of text depends on the collation, so the server has to say.
    async fn steps(
        &self,
        session: &mut Session,
        table: &Table,
        kind: KeyKind,
        column: &Selected,
        parts: u32,
    ) -> Answer<Vec<Vec<u8>>> {
        let rows = table.rows.div_ceil(u64::from(parts)).max(1);
        let most = usize::try_from(self.policy.max_partitions).unwrap_or(usize::MAX);
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        while cuts.len() + 1 < most {
            let after = cuts.last().map(Vec::as_slice);
            let Some(sql) = query::step(&table.name, &column.source, kind, after, rows) else { break };
            let found = answered!(session.rows(self.doing, &sql).await?);
            match found.first().and_then(|row| bytes(row, 0)) {
                Some(key) => cuts.push(key.to_vec()),
                None => break,
            }
        }
        Ok(Ok(cuts))
    }
}

/// The tables of the database that the account sees.
pub(super) async fn tables(session: &mut Session, doing: &str) -> Answer<Vec<Table>> {
    // MySQL 8 remembers its estimates for a day; others do not know this.
    let _unknown = session.run(doing, "SET SESSION information_schema_stats_expiry = 0").await?;
    let rows = answered!(session.texts(doing, TABLES).await?);
    let table = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let name = values.next().flatten()?;
        let mut number = || values.next().flatten().and_then(|text| text.parse().ok()).unwrap_or_default();
        Some(Table { name, rows: number(), bytes: number() })
    };
    Ok(Ok(rows.into_iter().filter_map(table).collect()))
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
