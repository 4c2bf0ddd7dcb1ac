//! `sessions(timestamp)`: the sessions that a set of events makes.
//!
//! A session is a maximal run of events with gaps of at most 30 minutes; the result is the list of
//! `{session_start, session_end, event_count}` in ascending order. Null times do not count.
//!
//! The state is the list of sessions of the events so far. That is enough: two events belong to one session
//! of the union exactly if a chain of gaps of at most 30 minutes joins them, and a session seen so far is
//! such a chain, so sessions merge when the gap between them is at most 30 minutes or they overlap. The
//! result therefore depends neither on order nor on how events were split, and the state is as small as
//! the result.
//!
//! Rejected: the usual window functions (`lag`, then a running sum), which sort every event by user and time
//! and travel between executors one row per event.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::arguments::{list_array, range_of, struct_elements};
use super::groups::{GroupState, Groups, SingleGroup, counts};
use crate::column::{list_element, utc_timestamp};

const NAME: &str = "sessions";

/// The longest pause within a session, in microseconds: 30 minutes.
const MAX_GAP_MICROS: i64 = 30 * 60 * 1_000_000;

/// Unmerged sessions that a group may hold beyond twice the merged ones before they are merged.
const SLACK: usize = 16;

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sessions {
    signature: Signature,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![utc_timestamp()], Volatility::Immutable) }
    }
}

fn session_fields() -> Fields {
    vec![
        Field::new("session_start", utc_timestamp(), false),
        Field::new("session_end", utc_timestamp(), false),
        Field::new("event_count", DataType::Int64, false),
    ]
    .into()
}

fn session_list() -> DataType {
    DataType::List(list_element(DataType::Struct(session_fields())))
}

impl AggregateUDFImpl for Sessions {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(session_list())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[sessions]", args.name), session_list(), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut sessions = SessionGroups::default();
        sessions.groups.reserve(1);
        Ok(Box::new(SingleGroup(sessions)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(SessionGroups::default()))
    }
}

/// Events without a gap of more than 30 minutes. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    start: i64,
    end: i64,
    events: i64,
}

impl Session {
    fn of_event(at: i64) -> Self {
        Self { start: at, end: at, events: 1 }
    }

    /// Whether the two are parts of one session.
    fn touches(&self, other: &Self) -> bool {
        self.start <= other.end.saturating_add(MAX_GAP_MICROS) && other.start <= self.end.saturating_add(MAX_GAP_MICROS)
    }

    fn absorb(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.events += other.events;
    }
}

/// The sessions of a group. Those up to `merged` were apart from each other when last merged; later ones
/// may touch any.
#[derive(Debug, Default)]
struct SessionSet {
    sessions: Vec<Session>,
    merged: usize,
}

impl GroupState for SessionSet {
    fn heap_bytes(&self) -> usize {
        self.sessions.capacity() * size_of::<Session>()
    }
}

impl SessionSet {
    fn add(&mut self, session: Session) {
        // Events come roughly in order of time, so most belong to the session before them.
        if let Some(last) = self.sessions.last_mut().filter(|last| last.touches(&session)) {
            last.absorb(&session);
            return;
        }
        if self.sessions.len() >= 2 * self.merged + SLACK {
            self.merge();
        }
        self.sessions.push(session);
    }

    fn merge(&mut self) {
        self.sessions.sort_unstable();
        self.sessions.dedup_by(|later, earlier| {
            let touches = earlier.touches(later);
            if touches {
                earlier.absorb(later);
            }
            touches
        });
        self.merged = self.sessions.len();
    }
}

fn session_array(mut sets: Vec<SessionSet>) -> Result<ArrayRef> {
    sets.iter_mut().for_each(SessionSet::merge);
    let all = || sets.iter().flat_map(|set| &set.sessions);
    let times = |times: Vec<i64>| TimestampMicrosecondArray::from(times).with_data_type(utc_timestamp());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times(all().map(|session| session.start).collect())),
        Arc::new(times(all().map(|session| session.end).collect())),
        Arc::new(all().map(|session| session.events).collect::<Int64Array>()),
    ];
    Ok(Arc::new(ListArray::try_new(
        list_element(DataType::Struct(session_fields())),
        OffsetBuffer::from_lengths(sets.iter().map(|set| set.sessions.len())),
        Arc::new(StructArray::try_new(session_fields(), columns, None)?),
        None,
    )?))
}

/// The sessions of all groups.
#[derive(Debug, Default)]
struct SessionGroups {
    groups: Groups<SessionSet>,
}

impl GroupsAccumulator for SessionGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let times = values[0].as_primitive::<TimestampMicrosecondType>();
        for (row, group) in group_indices.iter().enumerate() {
            if counts(opt_filter, times, row) {
                self.groups.change(*group, |set| set.add(Session::of_event(times.value(row))));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        session_array(self.groups.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![session_array(self.groups.emit(emit_to))?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.reserve(total_num_groups);
        let lists = list_array(NAME, &values[0])?;
        let sessions = struct_elements(NAME, lists)?;
        let starts = sessions.column(0).as_primitive::<TimestampMicrosecondType>();
        let ends = sessions.column(1).as_primitive::<TimestampMicrosecondType>();
        let events = sessions.column(2).as_primitive::<Int64Type>();
        for (row, group) in group_indices.iter().enumerate() {
            for at in range_of(lists, row) {
                let session = Session { start: starts.value(at), end: ends.value(at), events: events.value(at) };
                self.groups.change(*group, |set| set.add(session));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let times = values[0].as_primitive::<TimestampMicrosecondType>();
        let sets = (0..times.len())
            .map(|row| {
                let mut set = SessionSet::default();
                if counts(opt_filter, times, row) {
                    set.add(Session::of_event(times.value(row)));
                }
                set
            })
            .collect();
        Ok(vec![session_array(sets)?])
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn sessions(events: &[i64]) -> Vec<(i64, i64, i64)> {
        let mut set = SessionSet::default();
        events.iter().for_each(|at| set.add(Session::of_event(*at)));
        set.merge();
        set.sessions.iter().map(|session| (session.start, session.end, session.events)).collect()
    }

    #[test]
    fn a_gap_of_exactly_thirty_minutes_continues_the_session() {
        assert_eq!(sessions(&[0, 30 * MINUTE]), [(0, 30 * MINUTE, 2)]);
        assert_eq!(sessions(&[0, 30 * MINUTE + 1]), [(0, 0, 1), (30 * MINUTE + 1, 30 * MINUTE + 1, 1)]);
    }

    #[test]
    fn an_event_between_two_sessions_joins_them_whenever_it_comes() {
        let (a, b, c) = (0, 25 * MINUTE, 50 * MINUTE);
        for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            assert_eq!(sessions(&order), [(a, c, 3)]);
        }
    }

    #[test]
    fn events_at_one_time_count_each() {
        assert_eq!(sessions(&[5, 5, 5]), [(5, 5, 3)]);
        assert_eq!(sessions(&[]), []);
    }

    /// Sorts all events and starts a session after every longer gap.
    fn plainly(mut events: Vec<i64>) -> Vec<(i64, i64, i64)> {
        events.sort_unstable();
        let mut sessions: Vec<(i64, i64, i64)> = Vec::new();
        for at in events {
            match sessions.last_mut() {
                Some(last) if at - last.1 <= MAX_GAP_MICROS => (last.1, last.2) = (at, last.2 + 1),
                _ => sessions.push((at, at, 1)),
            }
        }
        sessions
    }

    #[test]
    fn any_order_and_any_split_give_the_same_sessions() {
        let mut seed = 42_u64;
        let mut random = |bound: i64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(seed >> 33).unwrap() % bound
        };
        for _ in 0..50 {
            let events: Vec<i64> = (0..400).map(|_| random(400 * 20) * MINUTE).collect();
            let expected = plainly(events.clone());
            assert_eq!(sessions(&events), expected);

            let mut merged = SessionGroups::default();
            for part in events.chunks(150) {
                let mut groups = SessionGroups::default();
                let array = TimestampMicrosecondArray::from(part.to_vec()).with_timezone("UTC");
                groups.update_batch(&[Arc::new(array)], &vec![0; part.len()], None, 1).unwrap();
                merged.merge_batch(&groups.state(EmitTo::All).unwrap(), &[0], 1).unwrap();
            }
            let mut set = merged.groups.emit(EmitTo::All).remove(0);
            set.merge();
            let merged: Vec<_> =
                set.sessions.iter().map(|session| (session.start, session.end, session.events)).collect();
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn rows_without_a_time_or_filtered_out_do_not_count() {
        let array: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(3)]).with_timezone("UTC"));
        let filter = BooleanArray::from(vec![true, true, false]);
        let states = SessionGroups::default().convert_to_state(&[array], Some(&filter)).unwrap();
        let lengths: Vec<i32> = (0..3).map(|row| states[0].as_list::<i32>().value_length(row)).collect();
        assert_eq!(lengths, [1, 0, 0]);
    }
}
