//! Which columns of a table are read, and what the values of the database become.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::MySqlError;
use crate::Collection;
use crate::column::{Absent, Column};
use crate::json::secret::is_withheld_column;
use crate::live::LiveNames;

/// A column as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    /// The type without its length, in lower case: `bigint`, `datetime`.
    pub(super) data_type: String,
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
    /// A time in the zone of the application.
    DateTime,
    /// An instant, which the session shows in UTC.
    Timestamp,
    /// A day.
    Date,
}

impl Form {
    fn of(data_type: &str) -> Self {
        match data_type {
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
    /// A row changed at the latest of these times. Where the first is missing, it may have changed at any time.
    pub(super) times: Vec<(String, Form)>,
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
            form: Form::of(&found.data_type),
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
        let time = |field: &str| {
            let column = selected.iter().find(|column| column.field == field)?;
            column.form.is_time().then(|| (column.source.clone(), column.form))
        };
        let has = |field: &str| selected.iter().any(|column| column.field == field);
        let times = if let Some(field) = &self.names.changed_field {
            let found = self.find(field).ok_or_else(|| self.no_column(&[field], "updated_at"))?;
            vec![Some((found.name.clone(), Form::of(&found.data_type))).filter(|(_, form)| form.is_time())]
        } else if has("updated_at") {
            vec![time("updated_at")]
        } else {
            match self.collection {
                // A revocation that leaves no time is only found by reading the row.
                Collection::AuthSessions if has("revoked_at") => vec![time("created_at"), time("revoked_at")],
                Collection::AuthSessions if has("is_revoked") || has("revoked") => vec![None],
                Collection::AuthSessions | Collection::AuditLogs => vec![time("created_at")],
                _ => vec![None],
            }
        };
        let times: Option<Vec<_>> = times.into_iter().collect();
        if times.is_none() {
            tracing::info!(table = self.table, "the table does not tell when its rows changed; it is read whole");
        }
        Ok(times.filter(|_| since > 0).map(|times| Changed { since, times }))
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

/// Names in quotes: "`a` or `b`".
pub(super) fn or_list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn column(name: &str, data_type: &str) -> TableColumn {
        TableColumn { name: name.to_owned(), data_type: data_type.to_owned(), is_nullable: true }
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
            let changed = shape.changed(since, &shape.select().unwrap()).unwrap();
            changed.map(|changed| changed.times.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        let usual = LiveNames::default();
        let users = [("id", "bigint"), ("created_at", "datetime")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 5), None);
        let users = [("id", "bigint"), ("created_at", "datetime"), ("updated_at", "timestamp")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 5).unwrap(), ["updated_at"]);
        assert_eq!(changed(Collection::AuthUsers, &usual, &users, 0), None);
        let as_text = [("id", "bigint"), ("updated_at", "varchar")];
        assert_eq!(changed(Collection::AuthUsers, &usual, &as_text, 5), None);

        let other = LiveNames { changed_field: Some("Touched".to_owned()), ..LiveNames::default() };
        let users = [("id", "bigint"), ("updated_at", "datetime"), ("touched", "datetime")];
        assert_eq!(changed(Collection::AuthUsers, &other, &users, 5).unwrap(), ["touched"]);

        let plain = [("id", "bigint"), ("created_at", "datetime")];
        let flagged = [("id", "bigint"), ("created_at", "datetime"), ("revoked", "tinyint")];
        let timed = [("id", "bigint"), ("created_at", "datetime"), ("revoked", "bit"), ("revoked_at", "datetime")];
        assert_eq!(changed(Collection::AuthSessions, &usual, &plain, 5).unwrap(), ["created_at"]);
        assert_eq!(changed(Collection::AuthSessions, &usual, &flagged, 5), None);
        assert_eq!(changed(Collection::AuthSessions, &usual, &timed, 5).unwrap(), ["created_at", "revoked_at"]);
        assert_eq!(changed(Collection::AuditLogs, &usual, &plain, 5).unwrap(), ["created_at"]);
    }
}
