//! Why a document is rejected.

use std::fmt;

/// The kinds of failure that quarantine tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    InvalidUtf8,
    InvalidJson,
    InvalidBson,
    TooDeep,
    NotAnObject,
    MissingKey,
    WrongType,
    BadDate,
}

impl Reason {
    /// The value of the quarantine column `reason`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::InvalidBson => "invalid_bson",
            Self::TooDeep => "too_deep",
            Self::NotAnObject => "not_an_object",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::BadDate => "bad_date",
        }
    }
}

/// Where in a document: `createdAt`, `admins[]`, `reactions[].userId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) outer: &'static str,
    pub(crate) in_list: bool,
    pub(crate) inner: Option<&'static str>,
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.outer)?;
        if self.in_list {
            out.write_str("[]")?;
        }
        if let Some(inner) = self.inner {
            write!(out, ".{inner}")?;
        }
        Ok(())
    }
}

/// The first failure found in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) field: Option<Field>,
}

impl Failure {
    /// A failure of the document as a whole.
    pub(crate) const fn whole(reason: Reason) -> Self {
        Self { reason, field: None }
    }

    /// A failure of one top-level field.
    pub(crate) const fn at(reason: Reason, outer: &'static str) -> Self {
        Self { reason, field: Some(Field { outer, in_list: false, inner: None }) }
    }

    /// The same failure, found in an element of the list under `outer`.
    pub(crate) const fn in_list(self, outer: &'static str) -> Self {
        let inner = match self.field {
            Some(field) => Some(field.outer),
            None => None,
        };
        Self { reason: self.reason, field: Some(Field { outer, in_list: true, inner }) }
    }
}
