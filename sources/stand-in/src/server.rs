//! The running server: its threads, what its connections share, and what a test may ask it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cursor::{Cursors, Replay};
use crate::element::field;
use crate::fault::{Fault, FaultPlan, When};
use crate::script::Script;
use crate::store::Store;
use crate::{connection, script};

/// A command that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The place among all requests, those of the driver's own monitors included, from 0.
    pub order: usize,
    /// The connection that it came by, from 0.
    pub connection: u64,
    /// The command's name; `hello` also for its older names.
    pub name: String,
    /// `database.collection`, or `database` for a command that concerns no collection.
    pub namespace: String,
    /// The command with all its options, `$db`, `lsid` and the like included.
    pub body: Document,
}

/// What the server is in its replica set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    pub(crate) is_primary: bool,
    /// Drivers wait for this count to change, and ignore errors that come with an older one.
    pub(crate) changes: i64,
}

/// What the connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: ObjectId,
    pub(crate) deployment: script::Deployment,
    pub(crate) version: String,
    pub(crate) wire_versions: (i32, i32),
    pub(crate) snapshots: script::Snapshots,
    pub(crate) access: script::Access,
    pub(crate) missing: std::collections::BTreeSet<String>,
    pub(crate) replays: std::collections::HashMap<String, Replay>,
    pub(crate) store: Mutex<Store>,
    pub(crate) cursors: Mutex<Cursors>,
    pub(crate) faults: Mutex<FaultPlan>,
    /// `None` if nothing is recorded.
    pub(crate) requests: Option<Mutex<Vec<Request>>>,
    pub(crate) role: watch::Sender<Role>,
}

/// A MongoDB server that is none. It serves until it is stopped or dropped, on threads of its own: a test may block, and
/// a client's runtime is not measured together with the server's.
#[derive(Debug)]
pub struct StandIn {
    server: Arc<Server>,
    runtime: Option<Runtime>,
}

impl StandIn {
    /// Starts a server on a free port of this machine.
    ///
    /// # Errors
    /// If the machine gives no port or no thread.
    pub fn start(script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(script.threads)
            .thread_name("mongodb-stand-in")
            .enable_all()
            .build()?;
        let server = Arc::new(Server::new(script, address));
        let listener = {
            let _in_runtime = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(connection::accept(listener, Arc::clone(&server)));
        Ok(Self { server, runtime: Some(runtime) })
    }

    /// Where to connect, without credentials and options but the replica set's name.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.server.deployment {
            script::Deployment::ReplicaSet(name) => format!("mongodb://{}/?replicaSet={name}", self.server.address),
            _ => format!("mongodb://{}/", self.server.address),
        }
    }

    /// Where to connect with credentials. Whether they are right is for [`Access`](crate::Access) to say.
    #[must_use]
    pub fn uri_as(&self, user: &str, password: &str) -> String {
        self.uri().replacen("://", &format!("://{user}:{password}@"), 1)
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// All requests so far, in the order of their arrival; none if the script records none.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests.as_ref().map(|requests| requests.lock().clone()).unwrap_or_default()
    }

    /// The requests of one name so far.
    #[must_use]
    pub fn requests_named(&self, name: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.name == name).collect()
    }

    /// Forgets the requests so far; places start from 0 again.
    pub fn forget_requests(&self) {
        if let Some(requests) = &self.server.requests {
            requests.lock().clear();
        }
    }

    /// How often a fault struck.
    #[must_use]
    pub fn fired(&self, fault: &Fault) -> u64 {
        self.server.faults.lock().fired(fault)
    }

    /// The planned faults that have not struck yet.
    #[must_use]
    pub fn unfired(&self) -> Vec<Fault> {
        self.server.faults.lock().unfired()
    }

    /// Plans another fault; its requests are counted from now on.
    pub fn inject(&self, fault: Fault, when: When) {
        self.server.faults.lock().add(fault, when);
    }

    /// Adds a document to a collection. Open cursors and older snapshots do not see it.
    pub fn insert(&self, namespace: &str, document: &Document) {
        let raw = RawDocumentBuf::try_from(document).unwrap_or_default();
        self.insert_raw(namespace, None, raw.into_bytes());
    }

    /// Adds a document as bytes, as [`Script::raw_document`] does.
    pub fn insert_raw(&self, namespace: &str, id: Option<Bson>, bytes: impl Into<Bytes>) {
        self.server.store.lock().insert(namespace, bytes.into(), id);
    }

    /// Removes the documents of an `_id` and says how many they were. Open cursors and older snapshots still see them.
    pub fn remove(&self, namespace: &str, id: impl Into<Bson>) -> usize {
        let key = RawDocumentBuf::try_from(&doc! { "_id": id.into() }).unwrap_or_default();
        field(key.as_bytes(), "_id").map_or(0, |id| self.server.store.lock().remove(namespace, id))
    }

    /// Cursors that no client has exhausted or killed.
    #[must_use]
    pub fn open_cursors(&self) -> usize {
        self.server.cursors.lock().len()
    }

    /// Makes the server a secondary of a set without a primary: reads that ask for a primary are refused with 13435, and
    /// drivers wait for one.
    pub fn step_down(&self) {
        self.server.change_role(false);
    }

    /// Makes the server the primary again.
    pub fn step_up(&self) {
        self.server.change_role(true);
    }

    /// Closes the port and all connections, and returns when that is done. Dropping does the same.
    pub fn stop(self) {}
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Inside of another runtime, which is where tests end, a runtime may not be dropped; and it must not be left to
            // end by itself, or a server that was stopped would still answer.
            let _ended = std::thread::spawn(move || drop(runtime)).join();
        }
    }
}

impl Server {
    fn new(script: Script, address: SocketAddr) -> Self {
        Self {
            address,
            process: ObjectId::new(),
            deployment: script.deployment,
            version: script.version,
            wire_versions: script.wire_versions,
            snapshots: script.snapshots,
            access: script.access,
            missing: script.missing,
            replays: script.replays,
            store: Mutex::new(script.store),
            cursors: Mutex::default(),
            faults: Mutex::new(script.faults),
            requests: script.is_recording.then(Mutex::default),
            role: watch::Sender::new(Role { is_primary: true, changes: 1 }),
        }
    }

    fn change_role(&self, is_primary: bool) {
        self.role.send_modify(|role| *role = Role { is_primary, changes: role.changes + 1 });
    }

    pub(crate) fn record(&self, connection: u64, name: &str, namespace: &str, body: impl FnOnce() -> Document) {
        if let Some(requests) = &self.requests {
            let body = body();
            let mut requests = requests.lock();
            let (order, name, namespace) = (requests.len(), name.to_owned(), namespace.to_owned());
            requests.push(Request { order, connection, name, namespace, body });
        }
    }
}
