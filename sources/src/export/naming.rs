//! Which file belongs to which collection, by its name.
//!
//! A file belongs to `messages` if its name is `messages`, something that sets a part apart (`messages_2024.json`,
//! `messages-0001.json.gz`, `messages.part3.json`, `messages2.json`) and the ending. It does not
//! * if a lower-case letter follows the name: `userstats.json` is another word;
//! * if the part begins with the name of another collection or table: `users_sessions.csv` holds sessions,
//!   `messages_archive.json` holds messages;
//! * if it is the `.metadata.json` that `mongodump` writes beside its data.

use super::FileFormat;

/// Every name that a collection or table may have in an export, also those that are not ingested.
const KNOWN_NAMES: [&str; 11] = [
    "messages",
    "users",
    "conversations",
    "calls",
    "notifications",
    "auth_users",
    "sessions",
    "auth_sessions",
    "user_sessions",
    "refresh_tokens",
    "audit_logs",
];

/// Format, compression and the name without its ending.
pub(super) fn format_of(name: &str) -> Option<(FileFormat, bool, &str)> {
    let (stem, gzip) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    let (stem, extension) = stem.rsplit_once('.')?;
    let format = match extension {
        "json" => FileFormat::Json,
        "csv" => FileFormat::Csv,
        // Parquet compresses its own pages.
        "parquet" if !gzip => FileFormat::Parquet,
        _ => return None,
    };
    Some((format, gzip, stem))
}

/// Whether a file, given by its path, belongs to the collection or table of this name.
pub(super) fn belongs_to(path: &str, name: &str) -> bool {
    let file_name = path.rsplit('/').next().unwrap_or(path);
    let Some(part) = format_of(file_name).and_then(|(_, _, stem)| stem.strip_prefix(name)) else {
        return false;
    };
    let another_word = part.starts_with(|first: char| first.is_lowercase());
    let metadata = part == ".metadata" || part.ends_with(".metadata");
    let part = part.trim_start_matches(|character: char| !character.is_alphanumeric());
    let another_name = KNOWN_NAMES.iter().any(|known| {
        part.strip_prefix(known).is_some_and(|rest| !rest.starts_with(|first: char| first.is_lowercase()))
    });
    !another_word && !metadata && !another_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, name) in [
            ("mongodb/messages.json", "messages"),
            ("mongodb/messages.json.gz", "messages"),
            ("mongodb/messages_archive.json", "messages"),
            ("mongodb/messages-2024-01.json.gz", "messages"),
            ("mongodb/messages.part3.json", "messages"),
            ("mongodb/messages2.json", "messages"),
            ("mongodb/messages 2.json", "messages"),
            ("mongodb/messagesOld.json", "messages"),
            ("mysql/users.csv", "users"),
            ("mysql/users_2.parquet", "users"),
            ("mysql/auth_users.csv.gz", "auth_users"),
            ("mysql/users_callsigns.csv", "users"),
        ] {
            assert!(belongs_to(path, name), "{path} belongs to {name}");
        }
        for (path, name) in [
            ("mongodb/userstats.json", "users"),
            ("mongodb/messagesarchive.json", "messages"),
            ("mysql/users_sessions.csv", "users"),
            ("mysql/users-notifications.csv", "users"),
            ("mysql/auth_users.csv", "users"),
            ("mongodb/messages.metadata.json", "messages"),
            ("mongodb/messages.bson", "messages"),
            ("mongodb/messages", "messages"),
            ("mongodb/message.json", "messages"),
            ("mysql/users.parquet.gz", "users"),
        ] {
            assert!(!belongs_to(path, name), "{path} does not belong to {name}");
        }
    }
}
