//! How the server is: whether it answers, what it has, and what the account may do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::fault::MySqlError;
use super::plan::{find_table, table_names, tables};
use super::server::{MySqlServer, Open};
use super::session::{Answer, Session};
use crate::health::Health;
use crate::instant::from_iso;
use crate::{Collection, LiveNames, Origin};

/// Rights that let an account change the database.
const WRITING: [&str; 10] =
    ["ALL", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "REPLACE", "SUPER", "TRIGGER"];

/// What a MySQL server says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct MySqlHealth {
    /// Host and port.
    pub address: String,
    /// The database that is read.
    pub database: String,
    /// The version, as the server calls itself.
    pub version: String,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// The table of each collection, if there is one.
    pub tables: BTreeMap<Collection, Option<TableHealth>>,
    /// Whether the account may change the database, by the rights that it has itself; those of roles are not counted.
    /// A reader should not.
    pub may_write: bool,
    /// How far the server's clock is ahead of this machine's, in microseconds, to half of `latency`.
    pub clock_ahead_micros: i64,
    /// The time of a question and its answer.
    pub latency: Duration,
}

/// A table of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableHealth {
    /// What it is called there.
    pub name: String,
    /// The server's estimate of its rows.
    pub estimated_rows: u64,
}

impl From<MySqlHealth> for Health {
    fn from(found: MySqlHealth) -> Self {
        let mut warnings = Vec::new();
        if found.may_write {
            warnings.push("this account may change the database; the right to SELECT is enough".to_owned());
        }
        if !found.is_encrypted {
            warnings.push("the connection is not encrypted; say sslMode=VERIFY_CA in MYSQL_URL".to_owned());
        }
        Self {
            place: format!("{}/{}", found.address, found.database),
            version: found.version,
            counts: found.tables.into_iter().map(|(name, table)| (name, table.map(|it| it.estimated_rows))).collect(),
            latency: found.latency,
            clock_ahead_millis: Some(found.clock_ahead_micros / 1_000),
            warnings,
        }
    }
}

impl MySqlServer {
    /// How the server is.
    pub(crate) async fn check(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<MySqlHealth, MySqlError> {
        let open = self.open("the server's health").await?;
        let open = &open;
        open.repeat("looking after its health", |mut session| async move { check(open, names, &mut session).await })
            .await
    }
}

async fn check(open: &Open, names: &BTreeMap<Collection, LiveNames>, session: &mut Session) -> Answer<MySqlHealth> {
    let doing = "looking after its health";
    let tables = match tables(session, doing).await? {
        Ok(tables) => tables,
        Err(error) => return Ok(Err(error)),
    };
    let collections = Collection::ALL.into_iter().filter(|collection| collection.origin() == Origin::MySql);
    let table_of = |collection: Collection| {
        let given = names.get(&collection).and_then(|names| names.name.as_deref());
        let found = find_table(&tables, &table_names(collection, given))?;
        Some(TableHealth { name: found.name.clone(), estimated_rows: found.rows })
    };
    let tables = collections.map(|collection| (collection, table_of(collection))).collect();
    let mut texts = async |sql: &str| -> Answer<Vec<String>> {
        let rows = session.texts(doing, sql).await?;
        Ok(rows.map(|rows| rows.into_iter().flatten().flatten().collect()))
    };
    let grants = match texts("SHOW GRANTS").await? {
        Ok(grants) => grants,
        Err(error) => return Ok(Err(error)),
    };
    let encryption = match texts("SHOW SESSION STATUS LIKE 'Ssl_version'").await? {
        Ok(values) => values,
        Err(error) => return Ok(Err(error)),
    };
    let (before, asked) = (SystemTime::now(), Instant::now());
    let clock = match texts("SELECT UTC_TIMESTAMP(6), VERSION()").await? {
        Ok(values) => values,
        Err(error) => return Ok(Err(error)),
    };
    let latency = asked.elapsed();
    let understood = |index: usize| clock.get(index).cloned().unwrap_or_default();
    let here = before.duration_since(UNIX_EPOCH).unwrap_or_default() + latency / 2;
    let there = from_iso(&understood(0))
        .ok_or_else(|| MySqlError::Answer { doing: doing.to_owned(), why: "its time is none".to_owned() })?;
    Ok(Ok(MySqlHealth {
        address: open.address.clone(),
        database: open.database.clone(),
        version: understood(1),
        is_encrypted: encryption.get(1).is_some_and(|version| !version.is_empty()),
        tables,
        may_write: may_write(&grants, &open.database),
        clock_ahead_micros: there - i64::try_from(here.as_micros()).unwrap_or(i64::MAX),
        latency,
    }))
}

/// Whether one of these `GRANT … ON … TO …` lets an account change the database.
fn may_write(grants: &[String], database: &str) -> bool {
    grants.iter().any(|grant| {
        let Some((rights, place)) = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")) else {
            return false;
        };
        // Columns of a right stand in parentheses behind it.
        let mut rights = rights.split(',').filter_map(|right| right.split_whitespace().next());
        rights.any(|right| WRITING.contains(&right)) && is_place_in(place, database)
    })
}

/// Whether the place of a grant, `*.*` or `` `data\_base%`.`table` ``, is all of the database or a part of it.
fn is_place_in(place: &str, database: &str) -> bool {
    if place.starts_with("*.") {
        return true;
    }
    let Some(rest) = place.strip_prefix('`') else { return false };
    let mut pattern = String::new();
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '`' && characters.next_if_eq(&'`').is_none() {
            break;
        }
        pattern.push(character);
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &database.chars().collect::<Vec<_>>())
}

/// Whether a text is of a pattern of `LIKE`.
fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (['\\', literal, pattern @ ..], [first, text @ ..]) => literal == first && matches(pattern, text),
        (['%', rest @ ..], text) => {
            matches(rest, text) || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
        }
        (['_', pattern @ ..], [_, text @ ..]) => matches(pattern, text),
        ([literal, pattern @ ..], [first, text @ ..]) => literal == first && matches(pattern, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_to_write() {
        for (grant, expected) in [
            ("GRANT USAGE ON *.* TO `reader`@`%` IDENTIFIED BY PASSWORD '*X'", false),
            ("GRANT SELECT ON `chat`.* TO `reader`@`%`", false),
            ("GRANT SELECT, SHOW VIEW ON `chat`.* TO `reader`@`%`", false),
            ("GRANT SELECT, INSERT ON `chat`.* TO `writer`@`%`", true),
            ("GRANT SELECT (`id`), UPDATE (`name`) ON `chat`.`users` TO `writer`@`%`", true),
            ("GRANT ALL PRIVILEGES ON `other`.* TO `writer`@`%`", false),
            ("GRANT ALL PRIVILEGES ON `ch%`.* TO `writer`@`%`", true),
            ("GRANT ALL PRIVILEGES ON `c_at`.* TO `writer`@`%`", true),
            ("GRANT ALL PRIVILEGES ON `c\\_at`.* TO `writer`@`%`", false),
            ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", true),
            ("GRANT `reader`@`%` TO `writer`@`%`", false),
        ] {
            assert_eq!(may_write(&[grant.to_owned()], "chat"), expected, "{grant}");
        }
    }
}
