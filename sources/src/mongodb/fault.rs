//! What can go wrong with a MongoDB server, and what to do about it.

use bson::Document;
use mongodb::error::{Error, ErrorKind};
use quickchat_environment::EnvironmentError;

use crate::Fault;

/// Codes of commands that a later attempt may see succeed: the server is changing its roles, stopping, overloaded, or
/// has forgotten a cursor. The driver's specification of retryable errors, and those of cursors.
const PASSING: [i32; 24] = [
    6, 7, 43, 50, 63, 89, 91, 133, 134, 136, 150, 175, 189, 237, 262, 358, 384, 9001, 10107, 11600, 11602, 13388,
    13435, 13436,
];
/// The login failed.
const LOGIN_FAILED: i32 = 18;
/// The account may not do it, or is not who it says.
const NOT_ALLOWED: [i32; 4] = [11, 13, 18, 8000];
/// The instant of a snapshot is gone, or the server cannot say what it was, or which shard had what then.
const SNAPSHOT_GONE: [i32; 3] = [239, 246, 250];
/// A server that has not been told to keep what a majority has acknowledged.
const NO_MAJORITY: i32 = 148;

/// Reading from MongoDB failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MongoError {
    /// No address.
    #[error("MONGODB_URI is not set where {collection} is read; set it for the scheduler and for every executor")]
    NotConfigured {
        /// What was to be read.
        collection: String,
    },
    /// A variable cannot be used.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The address cannot be used.
    #[error("MONGODB_URI cannot be used: {why}; correct it")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// No server answers, or none that may be read from.
    #[error("cannot reach MongoDB for {doing}: {why}; is it running, and is the address in MONGODB_URI right?")]
    Unreachable {
        /// What was being done.
        doing: String,
        /// What the driver says.
        why: String,
    },
    /// The server does not answer.
    #[error("MongoDB has not answered for {seconds} s while {doing}; see what it is busy with, and run again")]
    Hangs {
        /// What was being done.
        doing: String,
        /// How long it was waited for in all.
        seconds: u64,
    },
    /// User or password.
    #[error("MongoDB refused the login for {doing}: {why}; correct user and password in MONGODB_URI")]
    Login {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// Rights.
    #[error(
        "MongoDB refused {doing}: {why}; name a user in MONGODB_URI who has the role `read`, or grant the role `read`"
    )]
    Refused {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// The process that reads is told another database than the one that planned.
    #[error(
        "{collection} was planned to be read from the MongoDB database `{planned}`, and the process that reads it is told `{named}`; set MONGODB_URI and MONGODB_DATABASE to the same for the scheduler and for every executor"
    )]
    OtherDatabase {
        /// The collection as it is called there.
        collection: String,
        /// The database of the plan.
        planned: String,
        /// The one that is named here.
        named: String,
    },
    /// What was planned is not there, or something else is.
    #[error(
        "{collection} is not at {place}, or not the one for which the read was planned: it was dropped, renamed or replaced meanwhile, or MONGODB_URI names another server here; see that it names the same for the scheduler and for every executor, and run again"
    )]
    Replaced {
        /// Database and collection.
        collection: String,
        /// Hosts and database.
        place: String,
    },
    /// The server is older than the driver can talk to.
    #[error("this version of MongoDB cannot be read from: {why}; 4.4 is the oldest that can")]
    TooOld {
        /// What the driver says.
        why: String,
    },
    /// The database has nothing in it.
    #[error(
        "the MongoDB database `{database}` has no collections, or this user sees none; correct MONGODB_DATABASE or the database in MONGODB_URI"
    )]
    NoDatabase {
        /// The database.
        database: String,
    },
    /// The collection is not there.
    #[error(
        "the MongoDB database `{database}` has no collection `{collection}`; if it is called otherwise, say so under [mongodb.{usual}] in quickchat-etl.toml, and if it is not used, set `optional = true` there"
    )]
    NoCollection {
        /// The database.
        database: String,
        /// The collection as it was looked for.
        collection: String,
        /// Its name in the lake.
        usual: &'static str,
    },
    /// The server failed in a way that passes.
    #[error("MongoDB failed {attempts} times while {doing}, the last time: {why}; run again when it is well")]
    Failing {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The server does not understand a command.
    #[error("MongoDB cannot do what was asked while {doing}: {why}")]
    Command {
        /// What was being done.
        doing: String,
        /// What the server says.
        why: String,
    },
    /// This program has broken down.
    #[error("reading from MongoDB broke down: {why}; that is an error of this program, please report it")]
    Broken {
        /// How.
        why: String,
    },
    /// A reply is not what it should be.
    #[error("MongoDB's answer while {doing} cannot be understood: {why}")]
    Answer {
        /// What was being done.
        doing: String,
        /// What is wrong.
        why: String,
    },
}

impl MongoError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. } | Self::Hangs { .. } | Self::Failing { .. } => Fault::External,
            Self::Command { .. } | Self::Answer { .. } | Self::Broken { .. } => Fault::Internal,
            _ => Fault::User,
        }
    }
}

/// What a failure of a command means for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It may succeed when it is sent again.
    Passing,
    /// It may succeed without the snapshot.
    SnapshotGone,
    /// It may succeed without the concern for a majority.
    NoMajority,
    /// It may succeed with the password of today.
    LoginRefused,
    /// It will not succeed.
    Final,
}

/// What can be expected after a failure.
pub(super) fn outlook(error: &Error) -> Outlook {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if SNAPSHOT_GONE.contains(&command.code) => Outlook::SnapshotGone,
        ErrorKind::Command(command) if command.code == NO_MAJORITY => Outlook::NoMajority,
        _ if is_login_refused(error) => Outlook::LoginRefused,
        ErrorKind::Command(command) if PASSING.contains(&command.code) => Outlook::Passing,
        _ if error.contains_label("RetryableReadError") || error.contains_label("RetryableWriteError") => {
            Outlook::Passing
        }
        // A server that cannot be found has been looked for long enough by the driver.
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => Outlook::Passing,
        _ => Outlook::Final,
    }
}

/// What can be expected after the failure of a cursor, which lives on one server: that this one cannot be found says
/// nothing of the others.
pub(super) fn outlook_of_cursor(error: &Error) -> Outlook {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } => Outlook::Passing,
        _ => outlook(error),
    }
}

fn is_login_refused(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => true,
        ErrorKind::Command(command) => command.code == LOGIN_FAILED,
        _ => false,
    }
}

/// Whether the server does not know what was asked, so that it may be asked otherwise.
pub(super) fn is_unsupported(error: &Error) -> bool {
    // Not understood, not implemented, not on this kind of server, unknown stage, unknown option.
    const UNSUPPORTED: [i32; 10] = [2, 9, 14, 20, 59, 72, 115, 238, 263, 40324];
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if UNSUPPORTED.contains(&command.code))
}

/// Whether the account may not do what was asked.
pub(super) fn is_not_allowed(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if NOT_ALLOWED.contains(&command.code))
}

/// The driver's error for people; `why` is its text without secrets.
pub(super) fn explain(error: &Error, doing: &str, why: String, attempts: u32) -> MongoError {
    let doing = doing.to_owned();
    if is_login_refused(error) {
        return MongoError::Login { doing, why };
    }
    if is_not_allowed(error) {
        return MongoError::Refused { doing, why };
    }
    match error.kind.as_ref() {
        ErrorKind::IncompatibleServer { .. } => MongoError::TooOld { why },
        ErrorKind::ServerSelection { message, .. } if message.contains("wire version") => MongoError::TooOld { why },
        ErrorKind::InvalidArgument { .. } | ErrorKind::InvalidTlsConfig { .. } => MongoError::Address { why },
        ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. } => MongoError::Unreachable { doing, why },
        ErrorKind::InvalidResponse { .. } | ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => {
            MongoError::Answer { doing, why }
        }
        _ if outlook(error) == Outlook::Final => MongoError::Command { doing, why },
        _ => MongoError::Failing { doing, why, attempts },
    }
}

/// A number of a reply, of whatever type servers give it.
pub(super) fn number(document: &Document, name: &str) -> Option<u64> {
    let value = document.get(name)?;
    let whole = value.as_i64().or_else(|| value.as_i32().map(i64::from));
    // Sizes beyond 2^53 do not occur.
    #[allow(clippy::cast_possible_truncation)]
    whole.or_else(|| value.as_f64().map(|value| value as i64)).and_then(|value| u64::try_from(value).ok())
}
