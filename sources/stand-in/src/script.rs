//! What a stand-in holds, what it claims to be, and what shall go wrong with it.

use std::collections::{BTreeSet, HashMap};

use bson::{Bson, Document, RawDocumentBuf};
use bytes::Bytes;

use crate::batch::Batch;
use crate::cursor::Replay;
use crate::fault::{Fault, FaultPlan, When};
use crate::store::Store;

/// What kind of deployment the server claims to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// The primary, and only member, of a replica set of this name.
    ReplicaSet(String),
    /// A server on its own: it has no cluster time and reads no snapshots.
    Standalone,
    /// A router in front of shards.
    Sharded,
}

/// How the server answers a read concern `snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// It reads what was there at the snapshot's time.
    Supported,
    /// It does not know them: 72, `InvalidOptions`.
    Unknown,
    /// It has none to offer: 246, `SnapshotUnavailable`.
    Unavailable,
}

/// Who may talk to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone without credentials.
    Open,
    /// This user of the database `admin`, by SCRAM-SHA-256; 18 for other credentials, 13 for reads without any.
    Password {
        /// The name: letters and digits.
        user: String,
        /// The password: ASCII.
        password: String,
    },
    /// Nobody: 18 for whoever presents credentials, 13 for reads without them.
    Refused,
}

/// The description of a stand-in, which [`StandIn::start`](crate::StandIn::start) brings to life.
#[derive(Debug)]
pub struct Script {
    pub(crate) deployment: Deployment,
    pub(crate) version: String,
    pub(crate) wire_versions: (i32, i32),
    pub(crate) snapshots: Snapshots,
    pub(crate) keeps_majority: bool,
    pub(crate) access: Access,
    pub(crate) privileges: Vec<Document>,
    pub(crate) missing: BTreeSet<String>,
    pub(crate) store: Store,
    pub(crate) replays: HashMap<String, Replay>,
    pub(crate) faults: FaultPlan,
    pub(crate) is_recording: bool,
    pub(crate) threads: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            deployment: Deployment::ReplicaSet("rs0".to_owned()),
            version: "7.0.14".to_owned(),
            wire_versions: (0, 21),
            snapshots: Snapshots::Supported,
            keeps_majority: true,
            access: Access::Open,
            privileges: Vec::new(),
            missing: BTreeSet::new(),
            store: Store::default(),
            replays: HashMap::new(),
            faults: FaultPlan::default(),
            is_recording: true,
            threads: 1,
        }
    }
}

impl Script {
    /// An empty, healthy MongoDB 7.0: the primary of the replica set `rs0`, open to everyone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the server claims to belong to.
    #[must_use]
    pub fn deployment(self, deployment: Deployment) -> Self {
        Self { deployment, ..self }
    }

    /// The version that it names, such as `4.2.24`, and the wire versions that it speaks. The driver refuses a highest
    /// wire version below 9 (MongoDB 4.4).
    #[must_use]
    pub fn version(self, version: &str, lowest_wire: i32, highest_wire: i32) -> Self {
        Self { version: version.to_owned(), wire_versions: (lowest_wire, highest_wire), ..self }
    }

    /// How it answers a read concern `snapshot`.
    #[must_use]
    pub fn snapshots(self, snapshots: Snapshots) -> Self {
        Self { snapshots, ..self }
    }

    /// Refuses a read concern `majority`, as a server does that does not keep what a majority has acknowledged: 148.
    #[must_use]
    pub fn without_majority(self) -> Self {
        Self { keeps_majority: false, ..self }
    }

    /// Whom it lets in.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// A privilege of whoever is logged in, such as `{ resource: { db: "chat", collection: "" }, actions: ["find"] }`. It
    /// is told, and not looked at when a command comes.
    #[must_use]
    pub fn privilege(mut self, privilege: Document) -> Self {
        self.privileges.push(privilege);
        self
    }

    /// Takes away a command (59, `CommandNotFound`) or, with a leading `$`, a stage of aggregations (40324).
    #[must_use]
    pub fn without(mut self, command_or_stage: &str) -> Self {
        self.missing.insert(command_or_stage.to_owned());
        self
    }

    /// An empty collection, by its full name `database.collection`.
    #[must_use]
    pub fn collection(mut self, namespace: &str) -> Self {
        self.store.create(namespace);
        self
    }

    /// Documents of a collection, in the order in which an unsorted `find` returns them.
    #[must_use]
    pub fn documents(mut self, namespace: &str, documents: impl IntoIterator<Item = Document>) -> Self {
        self.store.create(namespace);
        for document in documents {
            // Decimal128, MinKey and the like all have an encoding: a document of the `bson` crate can always be written.
            let raw = RawDocumentBuf::try_from(&document).unwrap_or_default();
            self.store.insert(namespace, raw.into_bytes().into(), None);
        }
        self
    }

    /// A document as bytes that are served as they are, valid or not. `id` is the key under which it is found, sorted
    /// and counted, for bytes that do not tell.
    #[must_use]
    pub fn raw_document(mut self, namespace: &str, id: Option<Bson>, bytes: impl Into<Bytes>) -> Self {
        self.store.insert(namespace, bytes.into(), id);
        self
    }

    /// Batches that every cursor on a collection sends in turns, whatever it was asked for: a reader's speed is
    /// measured, and not the server's. Two questions are answered: `batchSize: 0` opens a cursor without a batch, and
    /// one with a limit finds what it asks for in the first batch, so that a reader's plan costs what it would cost.
    #[must_use]
    pub fn replay(
        mut self,
        namespace: &str,
        batches: impl IntoIterator<Item = Batch>,
        batches_per_cursor: u64,
    ) -> Self {
        self.store.create(namespace);
        let replay = Replay { batches: batches.into_iter().collect(), batches_per_cursor };
        self.replays.insert(namespace.to_owned(), replay);
        self
    }

    /// Something that goes wrong. Where several faults are due, the one that was planned first strikes.
    #[must_use]
    pub fn fault(mut self, fault: Fault, when: When) -> Self {
        self.faults.add(fault, when);
        self
    }

    /// Keeps no record of the requests: for long measurements.
    #[must_use]
    pub fn without_recording(self) -> Self {
        Self { is_recording: false, ..self }
    }

    /// How many threads serve; one unless a measurement needs more.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }
}
