//! A collection's table of columns, prepared for decoding: names resolved to slots and positions.

use super::keys::Keys;
use crate::column::{Absent, Column, Kind, Layout};

/// What a row decoder needs to know of a collection, or of the elements of a list.
pub(crate) struct Plan {
    pub(super) keys: Keys,
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) settle: Option<fn(&mut super::Staged<'_>)>,
}

/// One column with its names resolved.
pub(super) struct ColumnPlan {
    pub(super) column: &'static Column,
    /// Slot and name of each accepted field, the preferred one first.
    pub(super) fields: Vec<(usize, &'static str)>,
    /// The column whose value stands in for a missing one.
    pub(super) copy_of: Option<usize>,
    /// The elements of a list of structs.
    pub(super) elements: Option<ElementPlan>,
}

/// The elements of a list of structs.
pub(super) struct ElementPlan {
    pub(super) plan: Plan,
    pub(super) bare_ids: bool,
}

impl Plan {
    pub(crate) fn new(layout: Layout) -> Self {
        let mut keys = Keys::new();
        let columns = layout
            .columns
            .iter()
            .map(|column| ColumnPlan {
                column,
                fields: column.fields.iter().map(|field| (keys.add(field), *field)).collect(),
                copy_of: copied_column(layout.columns, column),
                elements: elements(column),
            })
            .collect();
        Self { keys, columns, settle: layout.settle }
    }
}

impl ColumnPlan {
    /// The name by which a missing value is reported.
    pub(super) fn preferred_field(&self) -> &'static str {
        self.fields.first().map_or(self.column.name, |(_, name)| *name)
    }
}

fn copied_column(columns: &[Column], column: &Column) -> Option<usize> {
    match column.absent {
        Absent::Copy(origin) => columns.iter().position(|other| other.name == origin),
        _ => None,
    }
}

fn elements(column: &Column) -> Option<ElementPlan> {
    match column.kind {
        Kind::Structs(items) => Some(ElementPlan {
            plan: Plan::new(Layout { columns: items.columns, settle: None }),
            bare_ids: items.bare_ids,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Collection;

    #[test]
    fn copies_refer_to_earlier_columns_and_masks_have_room() {
        for collection in Collection::ALL {
            let plan = Plan::new(collection.layout());
            assert!(plan.columns.len() <= 64, "{collection}: one bit a column");
            for (at, column) in plan.columns.iter().enumerate() {
                assert!(column.copy_of.is_none_or(|origin| origin < at));
                assert_eq!(column.copy_of.is_some(), matches!(column.column.absent, Absent::Copy(_)));
            }
        }
    }
}
