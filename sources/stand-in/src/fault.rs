//! What goes wrong, when, and how often it did.
//!
//! A fault is planned before or while the server runs, and it is counted when it strikes: a test that does not assert
//! that its fault struck proves nothing.

use std::time::Duration;

use crate::refusal::Refusal;

/// Something that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed instead of an answer.
    CutBeforeReply,
    /// The connection is closed after half the bytes of the answer.
    CutMidReply,
    /// The request is never answered; the connection stays open.
    Hang,
    /// The answer comes later.
    Delay(Duration),
    /// The answer waits until the test has called [`StandIn::release`](crate::StandIn::release).
    Hold,
    /// 43; the cursor is gone from then on.
    CursorNotFound,
    /// 10107: another server has become the primary.
    NotWritablePrimary,
    /// 189: this server steps down.
    PrimarySteppedDown,
    /// 11602: the request was killed because the server changes its role.
    InterruptedDueToReplStateChange,
    /// 50.
    MaxTimeMsExpired,
    /// 13.
    Unauthorized,
    /// 239; the cursor is gone from then on.
    SnapshotTooOld,
    /// 246.
    SnapshotUnavailable,
    /// Any other error.
    Refusal(Refusal),
}

impl Fault {
    /// The error with which the fault answers, if it answers at all.
    pub(crate) fn refusal(&self, command: &str, cursor: i64) -> Option<Refusal> {
        let state_change = "operation was interrupted because this node changes its role";
        Some(match self {
            Self::CutBeforeReply | Self::CutMidReply | Self::Hang | Self::Delay(_) | Self::Hold => return None,
            Self::CursorNotFound => Refusal::cursor_not_found(cursor),
            Self::NotWritablePrimary => Refusal::new(10107, "NotWritablePrimary", "not primary"),
            Self::PrimarySteppedDown => Refusal::new(189, "PrimarySteppedDown", state_change),
            Self::InterruptedDueToReplStateChange => {
                Refusal::new(11602, "InterruptedDueToReplStateChange", state_change)
            }
            Self::MaxTimeMsExpired => Refusal::new(50, "MaxTimeMSExpired", "operation exceeded time limit"),
            Self::Unauthorized => Refusal::unauthorized(format!("not authorized to execute command {command}")),
            Self::SnapshotTooOld => Refusal::snapshot_too_old(),
            Self::SnapshotUnavailable => Refusal::snapshot_unavailable(),
            Self::Refusal(refusal) => refusal.clone(),
        })
    }

    /// Whether the request is answered all the same, only later.
    fn is_delay(&self) -> bool {
        matches!(self, Self::Delay(_) | Self::Hold)
    }

    /// Whether the cursor that was asked for is lost with the request.
    pub(crate) fn loses_cursor(&self) -> bool {
        matches!(self, Self::CursorNotFound | Self::SnapshotTooOld)
    }
}

/// Which requests a fault strikes: by default the first of its kind, once.
#[derive(Clone, Debug)]
pub struct When {
    commands: Vec<String>,
    namespace: Option<String>,
    first: u64,
    times: u64,
}

impl When {
    /// Requests of this name. `hello` stands for its older names, too.
    #[must_use]
    pub fn command(name: &str) -> Self {
        Self { commands: vec![name.to_owned()], namespace: None, first: 1, times: 1 }
    }

    /// Requests that open a cursor on a collection by `find`.
    #[must_use]
    pub fn find() -> Self {
        Self::command("find")
    }

    /// Requests for a cursor's next batch.
    #[must_use]
    pub fn get_more() -> Self {
        Self::command("getMore")
    }

    /// All requests that return documents: `find`, `aggregate` and `getMore`, counted together.
    #[must_use]
    pub fn read() -> Self {
        let commands = ["find", "aggregate", "getMore"].map(str::to_owned).to_vec();
        Self { commands, ..Self::find() }
    }

    /// Only requests on this collection, by its full name `database.collection`.
    #[must_use]
    pub fn on(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// From the nth such request on, counted from 1 since the fault was planned.
    #[must_use]
    pub fn nth(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// So many times in a row.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Every time.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn concerns(&self, command: &str, namespace: &str) -> bool {
        self.commands.iter().any(|name| name == command) && self.namespace.as_deref().is_none_or(|on| on == namespace)
    }
}

/// The faults that are planned, and their counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan {
    planned: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    fault: Fault,
    when: When,
    seen: u64,
    fired: u64,
}

impl FaultPlan {
    pub(crate) fn add(&mut self, fault: Fault, when: When) {
        self.planned.push(Planned { fault, when, seen: 0, fired: 0 });
    }

    /// The faults that strike this request: all delays, and the first that is none.
    pub(crate) fn strike(&mut self, command: &str, namespace: &str) -> Vec<Fault> {
        let mut struck: Vec<Fault> = Vec::new();
        for planned in self.planned.iter_mut().filter(|planned| planned.when.concerns(command, namespace)) {
            planned.seen += 1;
            let is_due = planned.seen >= planned.when.first && planned.fired < planned.when.times;
            if is_due && (planned.fault.is_delay() || struck.iter().all(Fault::is_delay)) {
                planned.fired += 1;
                struck.push(planned.fault.clone());
            }
        }
        struck
    }

    pub(crate) fn fired(&self, fault: &Fault) -> u64 {
        self.planned.iter().filter(|planned| planned.fault == *fault).map(|planned| planned.fired).sum()
    }

    /// Faults that never struck.
    pub(crate) fn unfired(&self) -> Vec<Fault> {
        self.planned.iter().filter(|planned| planned.fired == 0).map(|planned| planned.fault.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_when_they_are_due_and_are_counted() {
        let mut plan = FaultPlan::default();
        plan.add(Fault::CursorNotFound, When::get_more().on("a.b").nth(2).times(2));
        plan.add(Fault::Hang, When::get_more().nth(3));
        let mut strike = |namespace| plan.strike("getMore", namespace);
        assert_eq!(strike("a.b"), []);
        assert_eq!(strike("a.c"), []);
        assert_eq!(strike("a.b"), [Fault::CursorNotFound]);
        assert_eq!(strike("a.b"), [Fault::CursorNotFound], "one answer cannot also hang");
        assert_eq!(strike("a.b"), [Fault::Hang]);
        assert_eq!(strike("a.b"), []);
        assert_eq!((plan.fired(&Fault::CursorNotFound), plan.fired(&Fault::Hang)), (2, 1));
        assert_eq!(plan.unfired(), []);
    }

    #[test]
    fn delays_add_up_with_what_follows_them() {
        let mut plan = FaultPlan::default();
        let delay = Fault::Delay(Duration::from_millis(1));
        plan.add(delay.clone(), When::find().always());
        plan.add(Fault::CutMidReply, When::find());
        assert_eq!(plan.strike("find", "a.b"), [delay.clone(), Fault::CutMidReply]);
        assert_eq!(plan.strike("find", "a.b"), [delay]);
    }
}
