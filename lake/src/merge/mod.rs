//! Plan nodes that an upsert needs and SQL has only slowly.
//!
//! * [`Listed`]: wide rows whose key stands, or does not stand, in a short list. The list is sent whole to every task
//!   that has rows, so the rows stay where they are. As a join of SQL it would be a sort-merge join here (hash joins are
//!   not preferred, see the engine's settings), for which both sides travel and are sorted.
//! * [`Newest`]: marks the rows that are not the newest of their key. As a window function that numbers the rows of each
//!   key it costs microseconds a key, since DataFusion evaluates every key's window by itself.
//!
//! Both are made of nodes of DataFusion and one of their own, [`NewestExec`], and are planned on the scheduler by
//! [`MergePlanner`].

mod listed;
mod newest;
mod planner;

pub use listed::{Keep, Listed};
pub use newest::{Newest, NewestExec};
pub use planner::MergePlanner;
