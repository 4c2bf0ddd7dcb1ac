//! Whether a run whose row says `running` still runs.
//!
//! On the machine on which it runs there is nothing to guess: its row names the process, and the reader looks for it.
//! A process is told from all others by the boot of its machine, its process namespace (containers have their own), its
//! id and its start time. A reader of another machine or container cannot look; it goes by the signs of life that the
//! process leaves in the lake once a minute: a run that has left none for ten minutes is taken for crashed.
//!
//! The signs' times are the store's, and are compared with the reader's clock; before the first sign, the start by the
//! clock of the run's host counts. So clocks may differ by some minutes without any harm. Should they differ by more,
//! or should the store have been out of reach for so long, then a run is shown as crashed that is not: nothing but what
//! is shown depends on it, and its row is right as soon as it ends.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use quickchat_lake::heartbeat::{beat, last_beat};
use quickchat_lake::snapshot::Tables;
use quickchat_lake::{LakeError, LakeRoot, TableUrl};
use tokio::task::JoinHandle;

use super::row::{RunRow, State};
use crate::run::LANDING_FOLDER;

/// How often a run leaves a sign of life. A run that is shorter leaves none.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long a run that cannot be looked at may be silent: several signs, and what clocks may differ by.
const SILENCE: TimeDelta = TimeDelta::minutes(10);

/// The folder for a run's signs of life: that of its temporary files, which is removed at its end, or by vacuum.
pub(super) fn folder(root: &LakeRoot, run_id: &str) -> TableUrl {
    root.folder(LANDING_FOLDER).folder(run_id)
}

/// Leaves signs of life until it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    beating: JoinHandle<()>,
    has_begun: Arc<AtomicBool>,
}

impl Heartbeat {
    pub(super) fn start(tables: Tables, folder: TableUrl) -> Self {
        let has_begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&has_begun);
        let beating = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                begins.store(true, Ordering::Relaxed);
                if let Err(error) = beat(&tables, &folder).await {
                    tracing::warn!(%error, "this run may be shown as crashed elsewhere");
                }
            }
        });
        Self { beating, has_begun }
    }

    /// Whether there may be a sign of life by now.
    pub(super) fn may_have_beaten(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// The state of a run as far as it can be told now.
pub(super) async fn state(tables: &Tables, root: &LakeRoot, row: &RunRow) -> Result<State, LakeError> {
    if row.state != State::Running {
        return Ok(row.state);
    }
    let process = row.process.as_deref().and_then(|text| text.parse::<Process>().ok());
    let lives = match process.and_then(|process| process.lives()) {
        Some(lives) => lives,
        None => {
            let beat = last_beat(tables, &folder(root, &row.run_id)).await?;
            spoke_lately(beat.unwrap_or(row.started_at).max(row.started_at), Utc::now())
        }
    };
    Ok(if lives { State::Running } else { State::Crashed })
}

fn spoke_lately(last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(last) < SILENCE
}

/// A process, told from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    boot: String,
    namespace: String,
    id: u32,
    /// In the system's ticks since the boot.
    started: u64,
}

impl Process {
    /// This process; none where the system does not tell.
    pub(super) fn own() -> Option<Self> {
        let id = std::process::id();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
        let namespace = namespace.trim_matches(|character: char| !character.is_ascii_digit()).to_owned();
        Some(Self { boot, namespace, id, started: Stat::of(id).ok()??.started })
    }

    /// Whether it still runs; none if that cannot be seen from here.
    fn lives(&self) -> Option<bool> {
        let own = Self::own()?;
        if own.boot != self.boot || own.namespace != self.namespace {
            return None;
        }
        let stat = Stat::of(self.id).ok()?;
        Some(stat.is_some_and(|stat| stat.started == self.started && !stat.is_over))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.boot, self.namespace, self.id, self.started)
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [boot, namespace, id, started] = text.split('/').collect::<Vec<_>>()[..] else { return Err(()) };
        let (id, started) = (id.parse().map_err(drop)?, started.parse().map_err(drop)?);
        Ok(Self { boot: boot.to_owned(), namespace: namespace.to_owned(), id, started })
    }
}

/// What the system says of a process.
struct Stat {
    started: u64,
    /// It has ended, and only its parent has not noticed.
    is_over: bool,
}

impl Stat {
    /// None if there is no such process.
    fn of(id: u32) -> std::io::Result<Option<Self>> {
        match std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The state is the third field and the start the 22nd; the second is a name in brackets and may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let is_over = matches!(fields.next()?, "Z" | "X");
        Some(Self { started: fields.nth(18)?.parse().ok()?, is_over })
    }
}

/// Name of this machine or container, as far as the system tells.
pub(super) fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_until_it_ends() {
        let own = Process::own().unwrap();
        assert_eq!(own.lives(), Some(true));
        assert_eq!(own.to_string().parse::<Process>(), Ok(own.clone()));
        let successor = Process { started: own.started + 1, ..own.clone() };
        assert_eq!(successor.lives(), Some(false), "the id alone does not make a process");
        let elsewhere = Process { boot: "another".to_owned(), ..own.clone() };
        assert_eq!(elsewhere.lives(), None, "another machine cannot be looked at");
        let contained = Process { namespace: "1".to_owned(), ..own };
        assert_eq!(contained.lives(), None, "nor another container");
    }

    #[test]
    fn a_process_that_has_ended_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let own = Process::own().unwrap();
        let process = Process { id: child.id(), started: Stat::of(child.id()).unwrap().unwrap().started, ..own };
        assert_eq!(process.lives(), Some(true));
        child.kill().unwrap();
        while process.lives() == Some(true) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(process.lives(), Some(false), "ended, but not waited for");
        child.wait().unwrap();
        assert_eq!(process.lives(), Some(false));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = Stat::parse("7 (a) b) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123 0 0").unwrap();
        assert_eq!((stat.started, stat.is_over), (123, false));
        assert!(Stat::parse("nonsense").is_none());
    }

    #[test]
    fn silence_is_judged_leniently() {
        let now = Utc::now();
        for (last, lives) in [(TimeDelta::minutes(-9), true), (TimeDelta::hours(5), true), (-SILENCE, false)] {
            assert_eq!(spoke_lately(now + last, now), lives, "{last}");
        }
    }

    #[tokio::test]
    async fn a_run_of_another_machine_is_judged_by_its_signs_of_life() {
        let lake = tempfile::tempdir().unwrap();
        let root = LakeRoot::parse(lake.path().to_str().unwrap()).unwrap();
        let tables = Tables::default();
        let started = |ago: TimeDelta| {
            let row = super::super::row::tests::row(State::Running);
            RunRow { started_at: Utc::now() - ago, process: Some("another/1/2/3".to_owned()), ..row }
        };
        let (young, old) = (started(TimeDelta::minutes(1)), started(TimeDelta::hours(1)));
        let state = async |row: &RunRow| state(&tables, &root, row).await.unwrap();
        assert_eq!(state(&young).await, State::Running, "too short for a sign of life");
        assert_eq!(state(&old).await, State::Crashed);
        assert_eq!(state(&RunRow { process: None, ..old.clone() }).await, State::Crashed);
        beat(&tables, &folder(&root, &old.run_id)).await.unwrap();
        assert_eq!(state(&old).await, State::Running);
        assert_eq!(state(&RunRow { state: State::Failed, ..old }).await, State::Failed);
    }
}
