//! SQL, built where it is sent.
//!
//! Names are quoted, values are digits or hexadecimal literals, and every column is named with its table, so that it is
//! never taken for the alias of another.

use super::columns::{Changed, Form, Selected};
use super::keys::{KeyKind, unhex};
use super::plan::RowRange;

/// The time before which no row is valid; what MySQL calls a zero date lies before it.
const FIRST_TIME: &str = "'1970-01-01 00:00:00'";

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn column(name: &str) -> String {
    format!("t.{}", quoted(name))
}

/// The rows of a range that stand behind a key; none if a bound is not of the key's kind.
pub(super) fn select(range: &RowRange, zone: Option<&str>, after: Option<&[u8]>) -> Option<String> {
    let columns: Vec<String> = range.columns.iter().map(|selected| select_column(selected, zone)).collect();
    let mut conditions = Vec::new();
    let mut order = String::new();
    if let (Some(kind), Some(key)) = (range.key, range.columns.first()) {
        let key = column(&key.source);
        let lower = after.map(<[u8]>::to_vec).or(bound(range.keys.after.as_deref())?);
        if let Some(lower) = lower {
            conditions.push(format!("{key} > {}", kind.literal(&lower)?));
        }
        if let Some(upper) = bound(range.keys.up_to.as_deref())? {
            conditions.push(format!("{key} <= {}", kind.literal(&upper)?));
        }
        order = format!(" ORDER BY {key}");
    }
    conditions.extend(range.changed.as_ref().map(|changed| condition(changed, zone)));
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    Some(format!("SELECT {} FROM {} AS t{filter}{order}", columns.join(", "), quoted(&range.table)))
}

/// No bound is none inside; a bound that cannot be understood is none outside.
fn bound(digits: Option<&str>) -> Option<Option<Vec<u8>>> {
    match digits {
        None => Some(None),
        Some(digits) => unhex(digits).map(Some),
    }
}

fn select_column(selected: &Selected, zone: Option<&str>) -> String {
    let source = column(&selected.source);
    let value = match (selected.form, zone) {
        (Form::Bits, _) => format!("{source} + 0"),
        (Form::DateTime, Some(zone)) => format!("CONVERT_TZ({source}, '{zone}', '+00:00')"),
        _ => source,
    };
    format!("{value} AS {}", quoted(&selected.field))
}

/// The condition for a row that may have changed.
pub(super) fn condition(changed: &Changed, zone: Option<&str>) -> String {
    let (seconds, micros) = (changed.since.div_euclid(1_000_000), changed.since.rem_euclid(1_000_000));
    // Added up by the server, once for the statement.
    let since = format!("TIMESTAMP {FIRST_TIME} + INTERVAL {seconds} SECOND + INTERVAL {micros} MICROSECOND");
    let compare = |(name, form): &(String, Form)| {
        let since = match (form, zone) {
            (Form::Date, _) => format!("DATE({since})"),
            // An hour that comes twice in a zone is read from its first time on.
            (Form::DateTime, Some(zone)) => {
                format!("CONVERT_TZ({since}, '+00:00', '{zone}') - INTERVAL 2 HOUR")
            }
            _ => format!("({since})"),
        };
        format!("{} >= {since}", column(name))
    };
    let mut any: Vec<String> = changed.times.iter().map(compare).collect();
    if let Some((name, _)) = changed.times.first() {
        let name = column(name);
        any.push(format!("{name} IS NULL OR {name} < {FIRST_TIME}"));
    }
    format!("({})", any.join(" OR "))
}

/// The least and the greatest key.
pub(super) fn ends(table: &str, key: &str) -> String {
    let key = column(key);
    format!("SELECT MIN({key}), MAX({key}) FROM {} AS t", quoted(table))
}

/// The key so many rows behind another one; none if that is not of its kind.
pub(super) fn step(table: &str, key: &str, kind: KeyKind, after: Option<&[u8]>, rows: u64) -> Option<String> {
    let key = column(key);
    let filter = match after {
        Some(after) => format!(" WHERE {key} > {}", kind.literal(after)?),
        None => String::new(),
    };
    let skipped = rows.saturating_sub(1);
    Some(format!("SELECT {key} FROM {} AS t{filter} ORDER BY {key} LIMIT 1 OFFSET {skipped}", quoted(table)))
}

/// How many rows the server expects to read for the changes.
pub(super) fn explain_changes(table: &str, changed: &Changed, zone: Option<&str>) -> String {
    format!("EXPLAIN FORMAT = TRADITIONAL SELECT 1 FROM {} AS t WHERE {}", quoted(table), condition(changed, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::keys::KeyRange;

    fn selected(source: &str, field: &str, form: Form) -> Selected {
        Selected { source: source.to_owned(), field: field.to_owned(), form }
    }

    fn range() -> RowRange {
        RowRange {
            rank: 0,
            table: "users".to_owned(),
            columns: vec![selected("id", "id", Form::Plain)],
            key: Some(KeyKind::Number),
            keys: KeyRange::default(),
            changed: None,
            ids_only: false,
        }
    }

    #[test]
    fn a_whole_table_in_the_order_of_its_key() {
        assert_eq!(select(&range(), None, None).unwrap(), "SELECT t.`id` AS `id` FROM `users` AS t ORDER BY t.`id`");
        let unordered = RowRange { key: None, ..range() };
        assert_eq!(select(&unordered, None, None).unwrap(), "SELECT t.`id` AS `id` FROM `users` AS t");
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let evil = RowRange {
            table: "a` JOIN `b".to_owned(),
            columns: vec![selected("x` FROM y; --", "id", Form::Plain)],
            key: None,
            ..range()
        };
        assert_eq!(select(&evil, None, None).unwrap(), "SELECT t.`x`` FROM y; --` AS `id` FROM `a`` JOIN ``b` AS t");
    }

    #[test]
    fn ranges_are_between_their_bounds_and_behind_what_was_read() {
        let keys = KeyRange::between(&[b"10".to_vec(), b"20".to_vec()]).remove(1);
        let range = RowRange { keys, ..range() };
        let sql = select(&range, None, None).unwrap();
        assert!(sql.contains("WHERE t.`id` > 10 AND t.`id` <= 20 ORDER BY t.`id`"), "{sql}");
        let sql = select(&range, None, Some(b"15")).unwrap();
        assert!(sql.contains("WHERE t.`id` > 15 AND t.`id` <= 20"), "{sql}");
        assert_eq!(select(&range, None, Some(b"x")), None);
        let text = RowRange { key: Some(KeyKind::Text), keys: KeyRange::default(), ..range };
        let sql = select(&text, None, Some(b"it's")).unwrap();
        assert!(sql.contains("WHERE t.`id` > _utf8mb4 X'69742773' ORDER BY"), "{sql}");
    }

    #[test]
    fn bits_are_numbers_and_times_in_a_zone_are_converted() {
        let columns = vec![selected("b", "revoked", Form::Bits), selected("at", "created_at", Form::DateTime)];
        let range = RowRange { columns, key: None, ..range() };
        let sql = select(&range, Some("Europe/Berlin"), None).unwrap();
        assert!(sql.contains("t.`b` + 0 AS `revoked`"), "{sql}");
        assert!(sql.contains("CONVERT_TZ(t.`at`, 'Europe/Berlin', '+00:00') AS `created_at`"), "{sql}");
        assert!(select(&range, None, None).unwrap().contains("t.`at` AS `created_at`"));
    }

    #[test]
    fn changes() {
        let changed = |times: &[(&str, Form)]| Changed {
            since: 1_700_000_000_000_005,
            times: times.iter().map(|(name, form)| ((*name).to_owned(), *form)).collect(),
        };
        let since = "TIMESTAMP '1970-01-01 00:00:00' + INTERVAL 1700000000 SECOND + INTERVAL 5 MICROSECOND";
        assert_eq!(
            condition(&changed(&[("created_at", Form::DateTime), ("revoked_at", Form::Timestamp)]), None),
            format!(
                "(t.`created_at` >= ({since}) OR t.`revoked_at` >= ({since}) OR t.`created_at` IS NULL OR t.`created_at` < '1970-01-01 00:00:00')"
            )
        );
        let day = condition(&changed(&[("day", Form::Date)]), None);
        assert!(day.starts_with(&format!("(t.`day` >= DATE({since}) OR")), "{day}");
        let zoned = condition(&changed(&[("at", Form::DateTime)]), Some("+02:00"));
        assert!(zoned.contains("CONVERT_TZ("), "{zoned}");
        let zoned = condition(&changed(&[("at", Form::Timestamp)]), Some("+02:00"));
        assert!(!zoned.contains("CONVERT_TZ("), "{zoned}");
    }

    #[test]
    fn steps() {
        assert_eq!(
            step("t", "id", KeyKind::Text, None, 100).unwrap(),
            "SELECT t.`id` FROM `t` AS t ORDER BY t.`id` LIMIT 1 OFFSET 99"
        );
        let next = step("t", "id", KeyKind::Text, Some(b"a"), 100).unwrap();
        assert!(next.contains(" WHERE t.`id` > _utf8mb4 X'61' ORDER BY"), "{next}");
    }
}
