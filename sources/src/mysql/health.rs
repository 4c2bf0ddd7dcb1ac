//! How the server is: whether it answers, what it has, and what the account may do.

use std::collections::BTreeMap;
use std::time::SystemTime;

use mysql_async::Error;

use super::fault::MySqlError;
use super::plan::{Table, find_table, table_names, tables};
use super::server::{MySqlServer, Open};
use super::session::Session;
use crate::health::{Health, clock_ahead_millis};
use crate::instant::from_iso;
use crate::{Collection, LiveNames, Origin};

const DOING: &str = "looking after its health";

/// Rights that let an account change the database.
const WRITING: [&str; 10] =
    ["ALL", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "REPLACE", "SUPER", "TRIGGER"];

/// What is warned of where the account may do more than read.
const MAY_WRITE: &str = "this account may change the database; the right to SELECT is enough";
/// What is warned of where passwords and rows travel in the clear.
const NOT_ENCRYPTED: &str = "the connection is not encrypted; say sslMode=VERIFY_CA in MYSQL_URL";

impl MySqlServer {
    /// Where the server is, without user and password; none if its address cannot be understood.
    pub(crate) async fn place(&self) -> Option<String> {
        self.open(DOING).await.ok().map(|open| place(&open))
    }

    /// How the server is.
    pub(crate) async fn check(&self, names: &BTreeMap<Collection, LiveNames>) -> Result<Health, MySqlError> {
        let open = self.open("the server's health").await?;
        let open = &open;
        let look = |mut session: Session| async move {
            match ask(&mut session).await {
                Ok(told) => health(open, names, told).map(Ok),
                Err(error) => Ok(Err(error)),
            }
        };
        open.repeat(DOING, look).await
    }
}

fn place(open: &Open) -> String {
    format!("{}/{}", open.address, open.database)
}

/// What a server says of itself and of the account.
struct Told {
    tables: Vec<Table>,
    grants: Vec<String>,
    is_encrypted: bool,
    version: String,
    time: String,
    /// When it was asked for its time, and when it had answered.
    asked: (SystemTime, SystemTime),
}

async fn ask(session: &mut Session) -> Result<Told, Error> {
    let tables = tables(session).await?;
    let encryption = texts(session, "SHOW SESSION STATUS LIKE 'Ssl_version'").await?;
    let sent = SystemTime::now();
    let mut clock = texts(session, "SELECT UTC_TIMESTAMP(6), VERSION()").await?.into_iter();
    let asked = (sent, SystemTime::now());
    let mut answered = || clock.next().unwrap_or_default();
    let (time, version) = (answered(), answered());
    // Last, as the session takes on roles.
    let grants = grants(session, version.contains("MariaDB")).await?;
    let is_encrypted = encryption.get(1).is_some_and(|version| !version.is_empty());
    Ok(Told { tables, grants, is_encrypted, version, time, asked })
}

async fn texts(session: &mut Session, sql: &str) -> Result<Vec<String>, Error> {
    Ok(session.texts(sql).await?.into_iter().flatten().flatten().collect())
}

/// The grants of the account and of its roles, which it may take on at any time.
async fn grants(session: &mut Session, is_mariadb: bool) -> Result<Vec<String>, Error> {
    let mut grants = texts(session, "SHOW GRANTS").await?;
    for role in roles(&grants) {
        match grants_of_role(session, &role, is_mariadb).await {
            Ok(found) => grants.extend(found),
            Err(Error::Server(error)) => tracing::warn!(role, %error, "MySQL does not say what a role may do"),
            Err(error) => return Err(error),
        }
    }
    Ok(grants)
}

/// What else the account may do in a role, as each server shows it to whom the role is granted.
async fn grants_of_role(session: &mut Session, role: &str, is_mariadb: bool) -> Result<Vec<String>, Error> {
    if !is_mariadb {
        return texts(session, &format!("SHOW GRANTS FOR CURRENT_USER() USING {role}")).await;
    }
    session.run(&format!("SET ROLE {role}")).await?;
    texts(session, "SHOW GRANTS").await
}

/// The roles that are granted, by `GRANT … TO …`, each as the server quotes it; several may stand in one grant.
fn roles(grants: &[String]) -> Vec<String> {
    let of_roles = |grant: &String| {
        let (roles, _) = grant.strip_prefix("GRANT ")?.split_once(" TO ")?;
        (!roles.contains(" ON ")).then(|| roles.to_owned())
    };
    grants.iter().filter_map(of_roles).collect()
}

fn health(open: &Open, names: &BTreeMap<Collection, LiveNames>, told: Told) -> Result<Health, MySqlError> {
    let collections = Collection::ALL.into_iter().filter(|collection| collection.origin() == Origin::MySql);
    let rows_of = |collection: Collection| {
        let given = names.get(&collection).and_then(|names| names.name.as_deref());
        Some(find_table(&told.tables, &table_names(collection, given))?.rows)
    };
    let counts = collections.map(|collection| (collection, rows_of(collection))).collect();
    let there = from_iso(&told.time)
        .ok_or_else(|| MySqlError::Answer { doing: DOING.to_owned(), why: "its time is none".to_owned() })?;
    let (sent, received) = told.asked;
    let warnings = [(may_write(&told.grants, &open.database), MAY_WRITE), (!told.is_encrypted, NOT_ENCRYPTED)];
    Ok(Health {
        place: place(open),
        version: told.version,
        counts,
        latency: received.duration_since(sent).unwrap_or_default(),
        clock_ahead_millis: clock_ahead_millis(there / 1_000, sent, received),
        warnings: warnings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect(),
    })
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

    #[test]
    fn roles_are_told_from_rights() {
        for (grant, role) in [
            ("GRANT SELECT ON `chat`.* TO `reader`@`%`", None),
            ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", None),
            ("SET DEFAULT ROLE `writer` FOR `reader`@`%`", None),
            ("GRANT `writer`@`%`,`ops`@`10.%` TO `reader`@`%`", Some("`writer`@`%`,`ops`@`10.%`")),
            ("GRANT `writer` TO `reader`@`%` WITH ADMIN OPTION", Some("`writer`")),
            ("GRANT writer TO 'reader'@'%'", Some("writer")),
        ] {
            assert_eq!(roles(&[grant.to_owned()]), Vec::from_iter(role), "{grant}");
        }
    }
}
