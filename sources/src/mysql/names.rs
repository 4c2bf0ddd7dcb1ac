//! What a table is called, where an application may have it under one of several usual names.

use super::plan::{find_table, table_names, tables};
use crate::live::Connections;
use crate::{Collection, SourceError};

/// The usual names of a collection's table that are there: first the one that is read, then those that could be meant.
pub(crate) async fn names_of_tables(
    connections: &Connections,
    collection: Collection,
) -> Result<Vec<String>, SourceError> {
    let open = connections.mysql().open(collection.name()).await?;
    let doing = format!("looking for the table of {} in {}", collection.name(), open.database);
    let tables = open.repeat(&doing, |mut session| async move { Ok(tables(&mut session).await) }).await?;
    let names = table_names(collection, None);
    let read = find_table(&tables, &names);
    let others = names.iter().filter_map(|name| find_table(&tables, &[*name]));
    let others = others.filter(|table| Some(&table.name) != read.map(|read| &read.name));
    Ok(read.into_iter().chain(others).map(|table| table.name.clone()).collect())
}
