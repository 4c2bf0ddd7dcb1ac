//! The commands, by name.

use bson::{Document, doc};

use crate::answer::Answer;
use crate::command::Command;
use crate::cursor::{Cursor, FIRST_BATCH_DOCUMENTS, Source};
use crate::element::{Value, field};
use crate::filter::Filter;
use crate::refusal::Refusal;
use crate::script::Access;
use crate::server::Server;
use crate::store::Stored;
use crate::{aggregate, read};

/// Carries out any command but `hello` and those of a login.
pub(crate) fn carry_out(
    server: &Server,
    command: &Command<'_>,
    namespace: &str,
    user: Option<&str>,
) -> Result<Answer, Refusal> {
    if server.missing.contains(command.name) {
        return Err(Refusal::command_not_found(command.name));
    }
    match command.name {
        "ping" | "endSessions" | "killSessions" | "logout" => return done(),
        "buildInfo" | "buildinfo" => return Ok(Answer::Document(build_info(server))),
        "connectionStatus" => return Ok(Answer::Document(connection_status(server, command, user))),
        _ => {}
    }
    if *server.access.lock() != Access::Open && user.is_none() {
        return Err(Refusal::unauthorized(format!("Command {} requires authentication", command.name)));
    }
    if wants_primary(command) && !server.role.borrow().is_primary {
        return Err(Refusal::new(13435, "NotPrimaryNoSecondaryOk", "not primary and secondaryOk=false"));
    }
    match command.name {
        "find" => read::find(server, command, namespace),
        "getMore" => read::get_more(server, command, namespace),
        "killCursors" => Ok(Answer::Document(kill_cursors(server, command))),
        "count" => read::count(server, command, namespace),
        "aggregate" => aggregate::aggregate(server, command, namespace),
        "collStats" => Ok(Answer::Document(aggregate::storage_stats(server, namespace))),
        "listCollections" => list_collections(server, command),
        "listIndexes" => list_indexes(server, namespace),
        "abortTransaction" | "commitTransaction" => done(),
        name => Err(Refusal::command_not_found(name)),
    }
}

/// Cursors are read to their end wherever they were opened.
fn wants_primary(command: &Command<'_>) -> bool {
    let preference = command.document("$readPreference").and_then(|preference| field(preference, "mode")?.as_str());
    preference.is_none_or(|mode| mode == "primary") && !["getMore", "killCursors"].contains(&command.name)
}

fn done() -> Result<Answer, Refusal> {
    Ok(Answer::Document(Document::new()))
}

fn build_info(server: &Server) -> Document {
    let mut numbers: Vec<i32> = server.version.split('.').map(|number| number.parse().unwrap_or(0)).collect();
    numbers.resize(4, 0);
    doc! {
        "version": &server.version, "versionArray": numbers, "gitVersion": "stand-in", "modules": [],
        "bits": 64, "debug": false, "maxBsonObjectSize": 16 << 20,
    }
}

fn connection_status(server: &Server, command: &Command<'_>, user: Option<&str>) -> Document {
    let users: Vec<Document> = user.into_iter().map(|user| doc! { "user": user, "db": "admin" }).collect();
    let mut info = doc! { "authenticatedUsers": users, "authenticatedUserRoles": [] };
    if command.flag("showPrivileges") {
        let privileges = if user.is_some() { server.privileges.clone() } else { Vec::new() };
        info.insert("authenticatedUserPrivileges", privileges);
    }
    doc! { "authInfo": info }
}

fn kill_cursors(server: &Server, command: &Command<'_>) -> Document {
    let ids = command.option("cursors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64);
    let mut cursors = server.cursors.lock();
    let (killed, unknown): (Vec<i64>, Vec<i64>) = ids.partition(|&id| cursors.kill(id));
    doc! { "cursorsKilled": killed, "cursorsNotFound": unknown, "cursorsAlive": [], "cursorsUnknown": [] }
}

fn list_collections(server: &Server, command: &Command<'_>) -> Result<Answer, Refusal> {
    let filter = Filter::parse(command.document("filter").unwrap_or_default())?;
    let store = server.store.lock();
    let described = store.collections_of(command.database).map(|full_name| {
        let name = full_name.strip_prefix(command.database).and_then(|rest| rest.strip_prefix('.'));
        let mut described = doc! { "name": name.unwrap_or(full_name), "type": "collection" };
        if !command.flag("nameOnly") {
            let info = doc! { "readOnly": false, "uuid": store.uuid(full_name) };
            described.extend(doc! { "options": {}, "info": info, "idIndex": id_index() });
        }
        described
    });
    let found: Vec<Document> = described.filter(|it| filter.matches(&Stored::computed(it))).collect();
    drop(store);
    Ok(answer_all(server, &format!("{}.$cmd.listCollections", command.database), found))
}

fn list_indexes(server: &Server, namespace: &str) -> Result<Answer, Refusal> {
    if !server.store.lock().exists(namespace) {
        return Err(Refusal::new(26, "NamespaceNotFound", format!("ns does not exist: {namespace}")));
    }
    Ok(answer_all(server, namespace, [id_index()]))
}

fn id_index() -> Document {
    doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }
}

fn answer_all(server: &Server, namespace: &str, documents: impl IntoIterator<Item = Document>) -> Answer {
    let encoded: Vec<_> =
        documents.into_iter().filter_map(|document| document.to_vec().ok()).map(bytes::Bytes::from).collect();
    let batch_size = encoded.len().max(FIRST_BATCH_DOCUMENTS);
    let source = Source::Documents { documents: encoded.into_iter(), knows_its_end: true };
    let cursor = Cursor { namespace: namespace.to_owned(), source, at_cluster_time: None };
    Answer::Cursor(server.cursors.lock().open(cursor, batch_size, true))
}
