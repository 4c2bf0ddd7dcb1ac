//! `call_participants(participants, initiator_id, is_ended, created_at)`: who else was in a call.
//!
//! The result has one entry `{user_id, joined_at}` per user, ascending by user_id, without the initiator:
//! the initiator started the call and did not join it. A user listed twice joined at the earlier time. In
//! an ended call of which no joined_at is known, the initiator's entry included, everybody joined at
//! created_at: documents of the application's older shape have ids only.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, TimestampMicrosecondType};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::{
    field_of, list_array, range_of, require_string_fields, string_argument, strings, struct_elements,
};
use crate::column::{list_element, utc_timestamp};

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CallParticipants {
    signature: Signature,
}

impl CallParticipants {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(4, Volatility::Immutable) }
    }
}

fn entry_fields() -> Fields {
    vec![Field::new("user_id", DataType::Utf8, false), Field::new("joined_at", utc_timestamp(), true)].into()
}

impl ScalarUDFImpl for CallParticipants {
    fn name(&self) -> &str {
        "call_participants"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        require_string_fields(self.name(), arguments, 0, &["user_id"])?;
        Ok(DataType::List(list_element(DataType::Struct(entry_fields()))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let participants = args.args[0].to_array(rows)?;
        let calls = Calls::new(self.name(), &participants, &args.args[1..], rows)?;
        let mut users = StringBuilder::new();
        let mut joined = Vec::new();
        let mut lengths = Vec::with_capacity(rows);
        let mut of_call = Vec::new();
        for row in 0..rows {
            calls.others(row, &mut of_call);
            for (user, at) in &of_call {
                users.append_value(user);
                joined.push(*at);
            }
            lengths.push(of_call.len());
        }
        let joined = TimestampMicrosecondArray::from(joined).with_data_type(utc_timestamp());
        let entries = StructArray::try_new(entry_fields(), vec![Arc::new(users.finish()), Arc::new(joined)], None)?;
        let list: ArrayRef = Arc::new(ListArray::try_new(
            list_element(DataType::Struct(entry_fields())),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(entries),
            None,
        )?);
        Ok(ColumnarValue::Array(list))
    }
}

/// The arguments, row by row.
struct Calls<'a> {
    participants: &'a ListArray,
    users: StringArray,
    joined: &'a TimestampMicrosecondArray,
    initiators: StringArray,
    ended: ArrayRef,
    created: ArrayRef,
}

impl<'a> Calls<'a> {
    fn new(function: &str, participants: &'a ArrayRef, others: &[ColumnarValue], rows: usize) -> Result<Self> {
        let participants = list_array(function, participants)?;
        let elements = struct_elements(function, participants)?;
        let users = strings(field_of(function, elements, "user_id")?)?;
        let joined = field_of(function, elements, "joined_at")?;
        let Some(joined) = joined.as_primitive_opt::<TimestampMicrosecondType>() else {
            return exec_err!("{function} takes joined_at in microseconds, not {}", joined.data_type());
        };
        let initiators = string_argument(&others[0], rows)?;
        let ended = others[1].to_array(rows)?;
        let created = others[2].to_array(rows)?;
        if ended.as_boolean_opt().is_none() || created.as_primitive_opt::<TimestampMicrosecondType>().is_none() {
            return exec_err!("{function} takes a boolean and a timestamp in microseconds as its last arguments");
        }
        Ok(Self { participants, users, joined, initiators, ended, created })
    }

    /// Puts the entries of call `row` into `entries`.
    fn others<'b>(&'b self, row: usize, entries: &mut Vec<(&'b str, Option<i64>)>) {
        let range = range_of(self.participants, row);
        let joined_at = |at: usize| self.joined.is_valid(at).then(|| self.joined.value(at));
        let ended = self.ended.as_boolean();
        let created = self.created.as_primitive::<TimestampMicrosecondType>();
        let nobody_timed = range.clone().all(|at| joined_at(at).is_none());
        let fallback = (nobody_timed && ended.is_valid(row) && ended.value(row) && created.is_valid(row))
            .then(|| created.value(row));
        entries.clear();
        entries.extend(
            range
                .filter(|at| self.users.is_valid(*at))
                .map(|at| (self.users.value(at), joined_at(at).or(fallback)))
                .filter(|(user, _)| self.initiators.is_null(row) || *user != self.initiators.value(row)),
        );
        // A known time before none, so that the first entry of a user is the earliest.
        entries.sort_unstable_by_key(|(user, at)| (*user, at.is_none(), *at));
        entries.dedup_by_key(|(user, _)| *user);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::BooleanArray;

    use super::super::testing::invoke;
    use super::*;

    const CREATED: i64 = 1_000;

    fn others(participants: &[(&str, Option<i64>)], is_ended: bool) -> Vec<(String, Option<i64>)> {
        let users: ArrayRef = Arc::new(StringArray::from_iter_values(participants.iter().map(|entry| entry.0)));
        let joined: TimestampMicrosecondArray = participants.iter().map(|entry| entry.1).collect();
        let joined: ArrayRef = Arc::new(joined.with_timezone("UTC"));
        let elements = StructArray::new(entry_fields(), vec![users, joined], None);
        let list: ArrayRef = Arc::new(ListArray::new(
            list_element(elements.data_type().clone()),
            OffsetBuffer::from_lengths([participants.len()]),
            Arc::new(elements),
            None,
        ));
        let initiator: ArrayRef = Arc::new(StringArray::from(vec!["me"]));
        let ended: ArrayRef = Arc::new(BooleanArray::from(vec![is_ended]));
        let created: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![CREATED]).with_timezone("UTC"));
        let result = invoke(CallParticipants::new(), vec![list, initiator, ended, created]);
        let entries = result.as_list::<i32>().value(0);
        let entries = entries.as_struct();
        let users = entries.column(0).as_string::<i32>();
        let joined = entries.column(1).as_primitive::<TimestampMicrosecondType>();
        users.iter().map(|user| user.unwrap().to_owned()).zip(joined).collect()
    }

    fn entry(user: &str, at: Option<i64>) -> (String, Option<i64>) {
        (user.to_owned(), at)
    }

    #[test]
    fn one_entry_per_user_the_earliest_time() {
        let list = [("b", None), ("a", Some(7)), ("b", Some(9)), ("b", Some(8)), ("me", Some(1))];
        assert_eq!(others(&list, true), [entry("a", Some(7)), entry("b", Some(8))]);
    }

    #[test]
    fn an_ended_call_without_any_time_was_joined_by_all() {
        assert_eq!(others(&[("a", None), ("me", None)], true), [entry("a", Some(CREATED))]);
        assert_eq!(others(&[("a", None)], false), [entry("a", None)]);
    }

    #[test]
    fn the_initiators_own_time_shows_that_times_are_known() {
        assert_eq!(others(&[("a", None), ("me", Some(5))], true), [entry("a", None)]);
        assert_eq!(others(&[("a", None), ("b", Some(5))], true), [entry("a", None), entry("b", Some(5))]);
    }

    #[test]
    fn nobody_else() {
        assert_eq!(others(&[], true), []);
        assert_eq!(others(&[("me", Some(5))], true), []);
    }
}
