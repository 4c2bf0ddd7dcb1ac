//! Contracts change: what of it a stored table can follow in place, and what it cannot.
//!
//! A new column that may be null, and new descriptions, need nothing but another metadata action: the next commit of
//! the table carries it, and rows of older files have null in the new column. Everything else (a column that is gone,
//! of another type, or null where it was not; another partitioning) would need every file to be written anew, or would
//! give old rows a meaning that they do not have; it is refused before anything is written. Delta could rename and
//! drop columns by *column mapping*, which was rejected: it asks for a protocol that many readers do not have.

use arrow::datatypes::Schema;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{Metadata, MetadataExt, StructField, StructType};

use super::Target;
use crate::schema::COMMENT;
use crate::snapshot::PinnedTable;
use crate::{LakeError, Result, TableUrl};

/// Columns in Delta's terms, with their descriptions.
pub(super) fn described(schema: &Schema, table: &TableUrl) -> Result<StructType> {
    schema
        .try_into_kernel()
        .map_err(|error: arrow::error::ArrowError| LakeError::query("describe the columns", table, error.into()))
}

fn stored(target: &Target, pinned: &PinnedTable) -> Result<StructType> {
    let parsed = pinned.metadata.parse_schema();
    parsed.map_err(|error| LakeError::log("understand the columns", &target.url, error))
}

/// Refuses a table that the contract cannot be brought to by [`evolved`].
pub(super) fn check_fits(target: &Target, pinned: &PinnedTable) -> Result<()> {
    let table = target.url.to_string();
    let (stored, wanted) = (stored(target, pinned)?, described(&target.schema, &target.url)?);
    if !stored.fields().any(|column| wanted.field(column.name()).is_some()) && stored.fields().len() > 0 {
        let columns = stored.fields().map(|column| column.name().as_str()).collect::<Vec<_>>().join(", ");
        return Err(LakeError::ForeignTable { table, difference: format!("its columns are {columns}") });
    }
    match difference(&stored, &wanted, pinned, target) {
        Some(difference) => Err(LakeError::ContractChanged { table, difference }),
        None => Ok(()),
    }
}

/// What keeps a table from following its contract.
fn difference(stored: &StructType, wanted: &StructType, pinned: &PinnedTable, target: &Target) -> Option<String> {
    if pinned.partition_columns != target.partition_columns {
        let (theirs, ours) = (&pinned.partition_columns, &target.partition_columns);
        return Some(format!("it is partitioned by {theirs:?}, the contract by {ours:?}"));
    }
    let changed = wanted.fields().find_map(|column| match stored.field(column.name()) {
        Some(old) => column_difference(old, column),
        None if column.is_nullable() => None,
        None => Some(format!("column {} is missing, and never null, while stored rows have no value", column.name())),
    });
    let dropped = || stored.fields().find(|column| wanted.field(column.name()).is_none());
    changed.or_else(|| dropped().map(|column| format!("column {} is unknown to the contract", column.name())))
}

fn column_difference(stored: &StructField, wanted: &StructField) -> Option<String> {
    let name = wanted.name();
    if stored.data_type() != wanted.data_type() {
        let (old, new) = (stored.data_type().to_string(), wanted.data_type().to_string());
        return Some(match old == new {
            true => {
                format!("column {name} is of another type: a part of {old} may be null in one and not in the other")
            }
            false => format!("column {name} is of another type: {old}, in the contract {new}"),
        });
    }
    let told = |nullable: bool| if nullable { "may be null" } else { "is never null" };
    (stored.is_nullable() != wanted.is_nullable()).then(|| {
        format!("column {name} {}, in the contract it {}", told(stored.is_nullable()), told(wanted.is_nullable()))
    })
}

/// The metadata of a table that fits its contract but for new columns and descriptions; none if there is nothing new.
///
/// What other programs have noted about a column stays, and so does a description that the contract does not replace.
pub(super) fn evolved(target: &Target, pinned: &PinnedTable) -> Result<Option<Metadata>> {
    let failed = |error| LakeError::log("describe the columns", &target.url, error);
    let (stored, wanted) = (stored(target, pinned)?, described(&target.schema, &target.url)?);
    let merged = wanted.fields().map(|column| match stored.field(column.name()) {
        None => column.clone(),
        Some(old) => {
            let mut column = column.clone();
            let comment = column.metadata.remove(COMMENT);
            column.metadata.clone_from(&old.metadata);
            column.metadata.extend(comment.map(|comment| (COMMENT.to_owned(), comment)));
            column
        }
    });
    let merged =
        StructType::try_new(merged).map_err(|error| LakeError::log("describe the columns", &target.url, error))?;
    if merged.fields().eq(stored.fields()) {
        return Ok(None);
    }
    pinned.metadata.clone().with_schema(&merged).map(Some).map_err(failed)
}
