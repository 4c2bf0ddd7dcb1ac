//! SQL, built where it is sent.
//!
//! Names are quoted, values are digits or hexadecimal literals, and every column is named with its table, so that it is
//! never taken for the alias of another.

use super::columns::{ChangeTime, Changed, Form, Selected};
use super::keys::{KeyKind, unhex};
use super::plan::RowRange;
use super::zone::Zone;

/// The time before which no row is valid; what MySQL calls a zero date lies before it.
const FIRST_TIME: &str = "'1970-01-01 00:00:00'";
/// Microseconds that clocks may be put back by.
const TWICE: i64 = 2 * 3_600 * 1_000_000;

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn column(name: &str) -> String {
    format!("t.{}", quoted(name))
}

/// The rows of a range that stand behind a key; none if a bound is not of the key's kind.
pub(super) fn select(range: &RowRange, zone: Option<Zone>, after: Option<&[u8]>) -> Option<String> {
    let columns: Vec<String> = range.columns.iter().map(select_column).collect();
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
        if range.is_unique {
            order = format!(" ORDER BY {key}");
        }
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

fn select_column(selected: &Selected) -> String {
    let source = column(&selected.source);
    let value = match selected.form {
        Form::Bits => format!("{source} + 0"),
        Form::Hex => format!("LOWER(HEX({source}))"),
        Form::Address => address(&source, &source),
        // No host has an address whose last 96 bits are zeros.
        Form::PaddedAddress => {
            let zeros = "00".repeat(12);
            address(&format!("IF(RIGHT({source}, 12) = X'{zeros}', LEFT({source}, 4), {source})"), &source)
        }
        _ => source,
    };
    format!("{value} AS {}", quoted(&selected.field))
}

/// The text of an address; what is none stays as it is.
fn address(bytes: &str, source: &str) -> String {
    format!("COALESCE(INET6_NTOA({bytes}), {source})")
}

/// The condition for a row that may have changed.
pub(super) fn condition(changed: &Changed, zone: Option<Zone>) -> String {
    let mut any = Vec::new();
    for ChangeTime { column: name, form, or_missing } in &changed.times {
        let name = column(name);
        let since = match (form, zone) {
            (Form::Date, _) => format!("DATE({})", instant(changed.since)),
            // An hour that comes twice in a zone is read from its first time on.
            (Form::DateTime, Some(zone)) => instant(zone.shown_at(changed.since).saturating_sub(TWICE)),
            _ => instant(changed.since),
        };
        any.push(format!("{name} >= {since}"));
        if *or_missing {
            any.push(format!("{name} IS NULL OR {name} < {FIRST_TIME}"));
        }
    }
    let flag = |(flag, time): &(String, String)| {
        let (flag, time) = (column(flag), column(time));
        format!("({flag} <> 0 AND ({time} IS NULL OR {time} < {FIRST_TIME}))")
    };
    any.extend(changed.flags.iter().map(flag));
    format!("({})", any.join(" OR "))
}

/// A time in SQL, which the server adds up once for the statement.
fn instant(micros: i64) -> String {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    format!("(TIMESTAMP {FIRST_TIME} + INTERVAL {seconds} SECOND + INTERVAL {micros} MICROSECOND)")
}

/// The keys that have so many below and so many above them.
pub(super) fn ends(table: &str, key: &str, skipped: u64) -> String {
    let (key, table) = (column(key), quoted(table));
    let end = |order| format!("(SELECT {key} FROM {table} AS t ORDER BY {key}{order} LIMIT 1 OFFSET {skipped})");
    format!("{} UNION ALL {}", end(""), end(" DESC"))
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
pub(super) fn explain_changes(table: &str, changed: &Changed, zone: Option<Zone>) -> String {
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
            is_unique: true,
            keys: KeyRange::default(),
            changed: None,
            ids_only: false,
        }
    }

    #[test]
    fn a_whole_table_in_the_order_of_its_key() {
        assert_eq!(select(&range(), None, None).unwrap(), "SELECT t.`id` AS `id` FROM `users` AS t ORDER BY t.`id`");
        let unordered = RowRange { key: None, is_unique: false, ..range() };
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
        // Rows that share a key are cut by it too, but not put in order: they are not read on behind it.
        let sql = select(&RowRange { is_unique: false, ..range.clone() }, None, None).unwrap();
        assert!(sql.ends_with("WHERE t.`id` > 10 AND t.`id` <= 20"), "{sql}");
        let text = RowRange { key: Some(KeyKind::Text), keys: KeyRange::default(), ..range };
        let sql = select(&text, None, Some(b"it's")).unwrap();
        assert!(sql.contains("WHERE t.`id` > _utf8mb4 X'69742773' ORDER BY"), "{sql}");
    }

    #[test]
    fn what_is_no_text_is_read_as_such() {
        let columns = vec![
            selected("id", "id", Form::Hex),
            selected("b", "revoked", Form::Bits),
            selected("ip", "ip_address", Form::Address),
            selected("at", "created_at", Form::DateTime),
        ];
        let range = RowRange { columns, key: Some(KeyKind::Bytes), ..range() };
        assert_eq!(
            select(&range, Zone::parse("Europe/Berlin"), Some(&[0xab])).unwrap(),
            "SELECT LOWER(HEX(t.`id`)) AS `id`, t.`b` + 0 AS `revoked`, \
             COALESCE(INET6_NTOA(t.`ip`), t.`ip`) AS `ip_address`, t.`at` AS `created_at` \
             FROM `users` AS t WHERE t.`id` > X'ab' ORDER BY t.`id`"
        );
    }

    #[test]
    fn changes() {
        let changed = |times: &[(&str, Form, bool)], flags: &[(&str, &str)]| Changed {
            since: 1_700_000_000_000_005,
            times: times
                .iter()
                .map(|(name, form, or_missing)| ChangeTime {
                    column: (*name).to_owned(),
                    form: *form,
                    or_missing: *or_missing,
                })
                .collect(),
            flags: flags.iter().map(|(flag, time)| ((*flag).to_owned(), (*time).to_owned())).collect(),
        };
        let since = "(TIMESTAMP '1970-01-01 00:00:00' + INTERVAL 1700000000 SECOND + INTERVAL 5 MICROSECOND)";
        let times = [("created_at", Form::DateTime, true), ("revoked_at", Form::Timestamp, false)];
        assert_eq!(
            condition(&changed(&times, &[("revoked", "revoked_at")]), None),
            format!(
                "(t.`created_at` >= {since} OR t.`created_at` IS NULL OR t.`created_at` < '1970-01-01 00:00:00' \
                 OR t.`revoked_at` >= {since} OR (t.`revoked` <> 0 AND (t.`revoked_at` IS NULL OR \
                 t.`revoked_at` < '1970-01-01 00:00:00')))"
            )
        );
        let day = condition(&changed(&[("day", Form::Date, false)], &[]), None);
        assert_eq!(day, format!("(t.`day` >= DATE({since}))"));
        // What clocks show in the zone, less what they may be put back by.
        let zoned = condition(&changed(&[("at", Form::DateTime, false)], &[]), Zone::parse("+03:00"));
        assert!(zoned.contains("INTERVAL 1700003600 SECOND"), "{zoned}");
        let instant = condition(&changed(&[("at", Form::Timestamp, false)], &[]), Zone::parse("+03:00"));
        assert!(instant.contains("INTERVAL 1700000000 SECOND"), "{instant}");
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
