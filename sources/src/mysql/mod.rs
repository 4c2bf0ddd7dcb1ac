//! Tables of MySQL and MariaDB, read by ranges of their key.
//!
//! The process that plans asks the server what the tables and columns are called, and cuts the key into ranges
//! ([`plan`]); each executor reads its ranges ([`rows`]) and hands the values, as the text that the server sends, to the
//! decoder of CSV files ([`reader`]), so that a row means the same wherever it comes from; an empty text is null, as it
//! is there. A key that no two rows share is read in its order, which makes the read resumable: after a lost connection
//! it goes on behind the last key that it saw.
//!
//! # Consistency
//! A range is read in a read-only transaction with a consistent snapshot, under the isolation level that has one
//! whatever the server's own is. Ranges, and what is read after a lost connection, have snapshots of their own: MySQL
//! cannot share one between connections. A row that changes meanwhile is read before or after its change; it is never
//! missed and never doubled, because its key does not change, and the next run reads whatever changed since the
//! watermark, less the lookback, once more.
//!
//! # Time
//! The session is in UTC. A `TIMESTAMP` is an instant; a `DATETIME` is UTC too, unless the address says by
//! `serverTimezone`, as JDBC does, in which zone the application writes it ([`zone`]).
//!
//! # What travels
//! Names, bounds of keys, instants. Address and password stay with the process that connects, and so does SQL, which is
//! built where it is sent. Names come from a configuration file and are quoted; bounds and keys are sent as digits or as
//! hexadecimal literals, which mean the same in every SQL mode.
//!
//! # Rejected
//! * The driver's pool: when a read is given up, the pool reads the rest of the answer to use the connection again, and
//!   idle connections weigh on a server that is not ours. A range takes seconds, a new connection milliseconds.
//! * The binary protocol: it would need a second decoder, and two meanings of a value.
//! * Ranges of a time column: it is indexed only sometimes and never unique, so neither resumable nor cheap.

mod address;
mod columns;
mod fault;
mod health;
mod keys;
mod names;
mod plan;
mod query;
mod reader;
mod rows;
mod server;
mod session;
mod tls;
mod zone;

pub use fault::MySqlError;
pub(crate) use names::names_of_tables;
pub(crate) use plan::{RowRange, plan};
pub(crate) use reader::RowReader;
pub(crate) use server::MySqlServer;
pub use server::MySqlSettings;
