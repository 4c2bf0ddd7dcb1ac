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
use crate::script::{Access, Script};
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
    /// All members of its set.
    pub(crate) members: Vec<SocketAddr>,
    pub(crate) process: ObjectId,
    pub(crate) deployment: script::Deployment,
    pub(crate) version: String,
    pub(crate) wire_versions: (i32, i32),
    pub(crate) snapshots: script::Snapshots,
    pub(crate) keeps_majority: bool,
    pub(crate) access: Mutex<Access>,
    pub(crate) privileges: Vec<Document>,
    pub(crate) missing: std::collections::BTreeSet<String>,
    pub(crate) replays: std::collections::HashMap<String, Replay>,
    /// What all members of its set hold.
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) cursors: Mutex<Cursors>,
    pub(crate) faults: Mutex<FaultPlan>,
    /// `None` if nothing is recorded.
    pub(crate) requests: Option<Mutex<Vec<Request>>>,
    pub(crate) role: watch::Sender<Role>,
    /// Whether requests are no longer held.
    released: watch::Sender<bool>,
}

/// A free port of this machine, and where it is.
fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
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
    pub fn start(mut script: Script) -> io::Result<Self> {
        let store = Arc::new(Mutex::new(std::mem::take(&mut script.store)));
        let (listener, address) = listen()?;
        Self::serve(Server::new(&script, store, address, vec![address]), listener, script.threads)
    }

    /// Starts a replica set of a primary and a secondary, which hold the same at any time. Each has its own cursors, and
    /// each of the script's faults for itself.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_pair(mut script: Script) -> io::Result<(Self, Self)> {
        let store = Arc::new(Mutex::new(std::mem::take(&mut script.store)));
        let ((first, primary), (second, secondary)) = (listen()?, listen()?);
        let members = vec![primary, secondary];
        let primary = Server::new(&script, Arc::clone(&store), primary, members.clone());
        let secondary = Server::new(&script, store, secondary, members);
        secondary.change_role(false);
        Ok((Self::serve(primary, first, script.threads)?, Self::serve(secondary, second, script.threads)?))
    }

    fn serve(server: Server, listener: TcpListener, threads: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("mongodb-stand-in")
            .enable_all()
            .build()?;
        let server = Arc::new(server);
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
        let hosts: Vec<String> = self.server.members.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(",");
        match &self.server.deployment {
            script::Deployment::ReplicaSet(name) => format!("mongodb://{hosts}/?replicaSet={name}"),
            _ => format!("mongodb://{hosts}/"),
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

    /// Lets the requests go on that [`Fault::Hold`] holds, and those that it would.
    pub fn release(&self) {
        self.server.released.send_replace(true);
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

    /// Takes a collection away with all that it holds, and says whether it was there. Its open cursors are killed.
    pub fn drop_collection(&self, namespace: &str) -> bool {
        self.server.cursors.lock().kill_all_on(namespace);
        self.server.store.lock().drop_collection(namespace)
    }

    /// Gives a collection another name, as [`drop_collection`](Self::drop_collection).
    pub fn rename_collection(&self, namespace: &str, to: &str) -> bool {
        self.server.cursors.lock().kill_all_on(namespace);
        self.server.store.lock().rename(namespace, to)
    }

    /// Lets others in from now on. Who is logged in stays so.
    pub fn set_access(&self, access: Access) {
        *self.server.access.lock() = access;
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
    /// A primary.
    fn new(script: &Script, store: Arc<Mutex<Store>>, address: SocketAddr, members: Vec<SocketAddr>) -> Self {
        Self {
            address,
            members,
            process: ObjectId::new(),
            deployment: script.deployment.clone(),
            version: script.version.clone(),
            wire_versions: script.wire_versions,
            snapshots: script.snapshots,
            keeps_majority: script.keeps_majority,
            access: Mutex::new(script.access.clone()),
            privileges: script.privileges.clone(),
            missing: script.missing.clone(),
            replays: script.replays.clone(),
            store,
            cursors: Mutex::default(),
            faults: Mutex::new(script.faults.clone()),
            requests: script.is_recording.then(Mutex::default),
            role: watch::Sender::new(Role { is_primary: true, changes: 1 }),
            released: watch::Sender::new(false),
        }
    }

    fn change_role(&self, is_primary: bool) {
        self.role.send_modify(|role| *role = Role { is_primary, changes: role.changes + 1 });
    }

    /// Ends when the test says so.
    pub(crate) async fn hold(&self) {
        let mut released = self.released.subscribe();
        // Fails only if the sender is gone, which is this server's own.
        let _released = released.wait_for(|is_released| *is_released).await.is_ok();
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
