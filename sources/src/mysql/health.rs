//! How the server is: whether it answers, what it has, and what the account may do.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::fault::MySqlError;
use super::plan::{find_table, table_names, tables};
use super::server::{MySqlServer, Open};
use super::session::{Answer, Session};
use crate::health::{Health, clock_ahead_millis};
use crate::instant::from_iso;
use crate::{Collection, LiveNames, Origin};

/// Rights that let an account change the database.
const WRITING: [&str; 10] =
    ["ALL", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "REPLACE", "SUPER", "TRIGGER"];

/// What is warned of where the account may do more than read.
const MAY_WRITE: &str = "this account may change the database; the right to SELECT is enough";
/// What is warned of where passwords and rows travel in the clear.
const NOT_ENCRYPTED: &str = "the connection is not encrypted; say sslMode=VERIFY_CA in MYSQL_URL";

impl MySqlServer {
    /// How the server is.
    pub(crate) async fn check(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<Health, MySqlError> {
        let open = self.open("the server's health").await?;
        let open = &open;
        open.repeat("looking after its health", |mut session| async move { check(open, names, &mut session).await })
            .await
    }
}

async fn check(open: &Open, names: &BTreeMap<Collection, LiveNames>, session: &mut Session) -> Answer<Health> {
    let doing = "looking after its health";
    let tables = match tables(session, doing).await? {
        Ok(tables) => tables,
        Err(error) => return Ok(Err(error)),
    };
    let collections = Collection::ALL.into_iter().filter(|collection| collection.origin() == Origin::MySql);
    let table_of = |collection: Collection| {
        let given = names.get(&collection).and_then(|names| names.name.as_deref());
        let found = find_table(&tables, &table_names(collection, given))?;
        Some(found.rows)
    };
    let counts = collections.map(|collection| (collection, table_of(collection))).collect();
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
    let sent = SystemTime::now();
    let clock = match texts("SELECT UTC_TIMESTAMP(6), VERSION()").await? {
        Ok(values) => values,
        Err(error) => return Ok(Err(error)),
    };
    let received = SystemTime::now();
    let answered = |index: usize| clock.get(index).cloned().unwrap_or_default();
    let there = from_iso(&answered(0))
        .ok_or_else(|| MySqlError::Answer { doing: doing.to_owned(), why: "its time is none".to_owned() })?;
    let is_encrypted = encryption.get(1).is_some_and(|version| !version.is_empty());
    let warnings = [(may_write(&grants, &open.database), MAY_WRITE), (!is_encrypted, NOT_ENCRYPTED)];
    Ok(Ok(Health {
        place: format!("{}/{}", open.address, open.database),
        version: answered(1),
        counts,
        latency: received.duration_since(sent).unwrap_or_default(),
        clock_ahead_millis: clock_ahead_millis(there / 1_000, sent, received),
        warnings: warnings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect(),
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
