//! Which columns of a table are read, and what the values of the database become.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::MySqlError;
use crate::Collection;
use crate::column::{Absent, Column};
use crate::json::secret::is_withheld_column;
use crate::live::LiveNames;

/// The field of addresses of the network, and the types of columns that hold them as `INET6_ATON` gives them. Written as
/// text, even the addresses of IPv4 may be too long for these.
const ADDRESS: &str = "ip_address";
const ADDRESS_TYPES: [&str; 3] = ["binary(4)", "varbinary(4)", "varbinary(16)"];
/// The type that fills the bytes of an address of IPv4 up with zeros.
const PADDED_ADDRESS_TYPE: &str = "binary(16)";
/// Bytes of ids that are text, the digits of an ObjectId and of a UUID, for which a binary type only says how they are
/// compared.
const TEXT_TYPES: [&str; 2] = ["binary(24)", "binary(36)"];
/// What of a session changes later on, besides its end.
const CHANGING: [&str; 4] = ["device_id", "device_name", "ip_address", "revoked_reason"];

/// A column as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// The type without its length, in lower case: `bigint`, `datetime`.
    pub(super) data_type: String,
    /// The type with its length, in lower case: `bigint(20) unsigned`, `binary(16)`.
    pub(super) column_type: String,
    pub(super) is_nullable: bool,
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selected {
    /// What it is called there.
    pub(super) source: String,
    /// The field of the collection that it stands for.
    pub(super) field: String,
    pub(super) form: Form,
}

/// The types of columns that are not read, or not compared, as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    Plain,
    /// Bits, which are read as a number.
    Bits,
    /// Bytes of a fixed number, such as those of a UUID, which are read as hexadecimal digits.
    Hex,
    /// An address of the network as its bytes, which is read as text.
    Address,
    /// The same where the bytes of an address of IPv4 are followed by zeros.
    PaddedAddress,
    /// A time in the zone of the application.
    DateTime,
    /// An instant, which the session shows in UTC.
    Timestamp,
    /// A day.
    Date,
}

impl Form {
    fn of(column: &TableColumn, field: &str) -> Self {
        match column.data_type.as_str() {
            "binary" | "varbinary" if field == ADDRESS && ADDRESS_TYPES.contains(&column.column_type.as_str()) => {
                Self::Address
            }
            "binary" if field == ADDRESS && column.column_type == PADDED_ADDRESS_TYPE => Self::PaddedAddress,
            "binary" if !TEXT_TYPES.contains(&column.column_type.as_str()) => Self::Hex,
            "bit" => Self::Bits,
            "datetime" => Self::DateTime,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            _ => Self::Plain,
        }
    }

    const fn is_time(self) -> bool {
        matches!(self, Self::DateTime | Self::Timestamp | Self::Date)
    }
}

/// What changed since an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// Microseconds since 1970.
    pub(super) since: i64,
    /// A row may have changed if one of these times is not before the instant.
    pub(super) times: Vec<ChangeTime>,
    /// Flags that may have been set without their time; each is beside its time.
    pub(super) flags: Vec<(String, String)>,
}

/// A time that tells of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChangeTime {
    /// As it is called there.
    pub(super) column: String,
    pub(super) form: Form,
    /// Whether a row without it may have changed at any time.
    pub(super) or_missing: bool,
}

/// A table of the database and how the collection's columns are called in it.
pub(super) struct Shape<'a> {
    pub(super) collection: Collection,
    pub(super) names: &'a LiveNames,
    pub(super) table: &'a str,
    pub(super) columns: &'a [TableColumn],
}

impl Shape<'_> {
    /// The columns that are read, the key first. Columns of which the collection does not know are not.
    pub(super) fn select(&self) -> Result<Vec<Selected>, MySqlError> {
        let columns = self.collection.layout().columns;
        if let Some(unknown) = self.names.columns.keys().find(|name| columns.iter().all(|it| it.name != name.as_str()))
        {
            let known: Vec<&str> = columns.iter().map(|column| column.name).collect();
            return Err(MySqlError::UnknownColumn {
                usual: self.collection.name(),
                column: unknown.clone(),
                known: known.join(", "),
            });
        }
        let mut selected = Vec::with_capacity(columns.len());
        for column in columns {
            self.select_column(column, &self.names.columns, &mut selected)?;
        }
        Ok(selected)
    }

    fn select_column(
        &self,
        column: &Column,
        mapped: &BTreeMap<String, String>,
        selected: &mut Vec<Selected>,
    ) -> Result<(), MySqlError> {
        let read = |found: &TableColumn, field: &str| Selected {
            source: found.name.clone(),
            field: field.to_owned(),
            form: Form::of(found, field),
        };
        let preferred = column.fields.first().copied().unwrap_or(column.name);
        if let Some(source) = mapped.get(column.name) {
            let found = self.find(source).ok_or_else(|| self.no_column(&[source], column.name))?;
            if is_withheld_column(&found.name) {
                return Err(MySqlError::SecretColumn {
                    table: self.table.to_owned(),
                    column: found.name.clone(),
                    usual: self.collection.name(),
                });
            }
            selected.push(read(found, preferred));
            return Ok(());
        }
        let before = selected.len();
        selected.extend(column.fields.iter().filter_map(|field| Some(read(self.find(field)?, field))));
        if selected.len() == before && matches!(column.absent, Absent::Reject) {
            return Err(self.no_column(column.fields, column.name));
        }
        Ok(())
    }

    /// The condition for what changed, if the table can tell by columns what the collection says about its rows (rule
    /// 1.15); if not, it is read whole.
    pub(super) fn changed(&self, since: i64, selected: &[Selected]) -> Result<Option<Changed>, MySqlError> {
        let by = |column: &str, form: Form| {
            let time = ChangeTime { column: column.to_owned(), form, or_missing: true };
            form.is_time().then(|| Changed { since, times: vec![time], flags: Vec::new() })
        };
        let of = |field: &str| selected.iter().find(|column| column.field == field);
        let changed = if let Some(field) = &self.names.changed_field {
            let found = self.find(field).ok_or_else(|| self.no_column(&[field], "updated_at"))?;
            by(&found.name, Form::of(found, field))
        } else if let Some(column) = of("updated_at") {
            by(&column.source, column.form)
        } else {
            let created = of("created_at").and_then(|column| by(&column.source, column.form));
            match self.collection {
                Collection::AuditLogs => created,
                Collection::AuthSessions => created.and_then(|changed| self.changed_session(changed, selected)),
                _ => None,
            }
        };
        if changed.is_none() {
            tracing::info!(table = self.table, "the table does not tell when its rows changed; it is read whole");
        }
        Ok(changed.filter(|_| since > 0))
    }

    /// A session changes after it was made while it lasts, and when it is revoked.
    fn changed_session(&self, mut changed: Changed, selected: &[Selected]) -> Option<Changed> {
        let of = |field: &str| selected.iter().find(|column| column.field == field);
        let mut add = |column: &Selected, or_missing| {
            let time = ChangeTime { column: column.source.clone(), form: column.form, or_missing };
            column.form.is_time().then(|| changed.times.push(time))
        };
        match of("expires_at") {
            Some(expires) => add(expires, true)?,
            None if CHANGING.into_iter().any(|field| of(field).is_some()) => return None,
            None => {}
        }
        let flags: Vec<&Selected> = ["is_revoked", "revoked"].into_iter().filter_map(of).collect();
        let Some(revoked_at) = of("revoked_at") else {
            // A revocation that leaves no time is only found by reading the row.
            return Some(changed).filter(|_| flags.is_empty());
        };
        add(revoked_at, false)?;
        for flag in flags {
            let column = self.find(&flag.source).filter(|column| is_number(&column.data_type))?;
            changed.flags.push((column.name.clone(), revoked_at.source.clone()));
        }
        Some(changed)
    }

    fn find(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    fn no_column(&self, names: &[impl AsRef<str>], lake_column: &str) -> MySqlError {
        MySqlError::NoColumn {
            table: self.table.to_owned(),
            column: or_list(names),
            usual: self.collection.name(),
            lake_column: lake_column.to_owned(),
        }
    }
}

fn is_number(data_type: &str) -> bool {
    matches!(data_type, "bit" | "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal")
}

/// Names in quotes: "`a` or `b`".
pub(super) fn or_list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn column(name: &str, data_type: &str) -> TableColumn {
        let plain = data_type.split('(').next().unwrap_or_default().to_owned();
        TableColumn { name: name.to_owned(), data_type: plain, column_type: data_type.to_owned(), is_nullable: true }
    }

    fn select(collection: Collection, names: &LiveNames, columns: &[TableColumn]) -> Result<Vec<Selected>, MySqlError> {
        Shape { collection, names, table: "t", columns }.select()
    }

    fn mapped(columns: &[(&str, &str)]) -> LiveNames {
        let columns = columns.iter().map(|(lake, source)| ((*lake).to_owned(), (*source).to_owned())).collect();
        LiveNames { columns, ..LiveNames::default() }
    }

    fn pairs(selected: &[Selected]) -> Vec<(&str, &str)> {
        selected.iter().map(|column| (column.source.as_str(), column.field.as_str())).collect()
    }

    #[test]
    fn only_known_columns_are_read_under_the_names_that_the_decoder_knows() {
        let table = [
            column("password_hash", "varchar"),
            column("Email", "varchar"),
            column("ID", "bigint"),
            column("user_agent", "text"),
            column("two_factor_enabled", "bit"),
        ];
        let selected = select(Collection::AuthUsers, &LiveNames::default(), &table).unwrap();
        assert_eq!(pairs(&selected), [("ID", "id"), ("Email", "email"), ("two_factor_enabled", "two_factor_enabled")]);
        assert_eq!(selected[2].form, Form::Bits);

        let table = [column("uid", "char"), column("email", "varchar"), column("mail", "varchar")];
        let selected =
            select(Collection::AuthUsers, &mapped(&[("auth_user_id", "UID"), ("email", "mail")]), &table).unwrap();
        assert_eq!(pairs(&selected), [("uid", "id"), ("mail", "email")]);

        let table = ["id", "created_at", "revoked", "is_revoked"].map(|name| column(name, "tinyint"));
        let selected = select(Collection::AuthSessions, &LiveNames::default(), &table).unwrap();
        assert_eq!(
            pairs(&selected),
            [("id", "id"), ("is_revoked", "is_revoked"), ("revoked", "revoked"), ("created_at", "created_at")]
        );
    }

    #[test]
    fn bytes_are_read_as_what_they_mean() {
        let table = [
            column("id", "binary(16)"),
            column("user_id", "varbinary(16)"),
            column("ip_address", "varbinary(16)"),
            column("created_at", "datetime"),
        ];
        let selected = select(Collection::AuditLogs, &LiveNames::default(), &table).unwrap();
        let forms: BTreeMap<&str, Form> = selected.iter().map(|it| (it.field.as_str(), it.form)).collect();
        let expected = [
            ("id", Form::Hex),
            ("user_id", Form::Plain),
            ("ip_address", Form::Address),
            ("created_at", Form::DateTime),
        ];
        assert_eq!(forms, expected.into_iter().collect());
        for (name, column_type, form) in [
            ("ip_address", "varbinary(45)", Form::Plain),
            ("ip_address", "binary(4)", Form::Address),
            ("ip_address", "binary(16)", Form::PaddedAddress),
            ("user_id", "binary(24)", Form::Plain),
            ("user_id", "binary(36)", Form::Plain),
            ("user_id", "binary(20)", Form::Hex),
        ] {
            let table = [column("id", "int"), column(name, column_type), column("created_at", "date")];
            let selected = select(Collection::AuditLogs, &LiveNames::default(), &table).unwrap();
            assert!(selected.iter().any(|it| it.field == name && it.form == form), "{column_type}: {selected:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let table = [column("id", "bigint"), column("session_token", "char"), column("note", "text")];
        for (collection, names, expected) in [
            (Collection::AuditLogs, LiveNames::default(), "no column `created_at` for audit_logs.created_at"),
            (Collection::AuthUsers, mapped(&[("email", "mail")]), "no column `mail` for auth_users.email"),
            (Collection::AuthUsers, mapped(&[("mail", "note")]), "auth_users has no column `mail`"),
            (Collection::AuthUsers, mapped(&[("email", "Session_Token")]), "holds secrets"),
        ] {
            let error = select(collection, &names, &table).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.fault(), Fault::User);
        }
    }

    #[test]
    fn changes_are_asked_for_where_the_table_tells_them() {
        let changed = |collection, names: &LiveNames, columns: &[(&str, &str)], since| {
            let columns: Vec<TableColumn> = columns.iter().map(|(name, kind)| column(name, kind)).collect();
            let shape = Shape { collection, names, table: "t", columns: &columns };
            let changed = shape.changed(since, &shape.select().unwrap()).unwrap()?;
            let time = |time: ChangeTime| format!("{}{}", time.column, if time.or_missing { "?" } else { "" });
            let flag = |(flag, time): (String, String)| format!("{flag} without {time}");
            Some(changed.times.into_iter().map(time).chain(changed.flags.into_iter().map(flag)).collect::<Vec<_>>())
        };
        let usual = LiveNames::default();
        let users = [("id", "bigint"), ("created_at", "datetime")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 5), None);
        let users = [("id", "bigint"), ("created_at", "datetime"), ("updated_at", "timestamp")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 5).unwrap(), ["updated_at?"]);
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 0), None);
        let as_text = [("id", "bigint"), ("updated_at", "varchar")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &as_text, 5), None);

        let other = LiveNames { changed_field: Some("Touched".to_owned()), ..LiveNames::default() };
        let users = [("id", "bigint"), ("updated_at", "datetime"), ("touched", "datetime")];
        assert_eq!(changed(Collection::AuthUsers, &other, &users, 5).unwrap(), ["touched?"]);

        let plain = [("id", "bigint"), ("created_at", "datetime")];
        let and = |more: &[(&'static str, &'static str)]| [plain.as_slice(), more].concat();
        let sessions = |more: &[(&'static str, &'static str)]| changed(Collection::AuthSessions, &usual, &and(more), 5);
        assert_eq!(sessions(&[]).unwrap(), ["created_at?"]);
        assert_eq!(sessions(&[("revoked", "tinyint")]), None);
        let (at, ends) = (("revoked_at", "datetime"), ("expires_at", "datetime"));
        let expected = ["created_at?", "revoked_at", "revoked without revoked_at"];
        assert_eq!(sessions(&[("revoked", "bit"), at]).unwrap(), expected);
        let expected = ["created_at?", "expires_at?", "revoked_at", "is_revoked without revoked_at"];
        assert_eq!(sessions(&[("is_revoked", "tinyint"), at, ends, ("ip_address", "varchar")]).unwrap(), expected);
        // What cannot be told is read whole: a flag that is no number, a device without an end of the session.
        assert_eq!(sessions(&[("revoked", "char"), at]), None);
        assert_eq!(sessions(&[("device_name", "varchar"), at]), None);
        assert_eq!(sessions(&[("expires_at", "bigint")]), None);
        let updated = [("updated_at", "datetime"), ("device_name", "varchar"), ("revoked", "char")];
        assert_eq!(sessions(&updated).unwrap(), ["updated_at?"]);
        assert_eq!(changed(Collection::AuditLogs, &usual, &plain, 5).unwrap(), ["created_at?"]);
    }
}
