//! `earliest_reactions(reactions, created_at)`: the distinct reactions to a message.
//!
//! The result has one entry `{user_id, emoji, reacted_at}` per user and emoji, ascending: the earliest,
//! where a reaction without a time happened at the message's created_at. Doing this before the list is
//! unnested spares a grouping of all reactions by three strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder, StructArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, TimestampMicrosecondType};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::{field_of, list_array, range_of, require_string_fields, strings, struct_elements};
use crate::column::{list_element, utc_timestamp};

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct EarliestReactions {
    signature: Signature,
}

impl EarliestReactions {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

fn reaction_fields() -> Fields {
    vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new("emoji", DataType::Utf8, false),
        Field::new("reacted_at", utc_timestamp(), true),
    ]
    .into()
}

impl ScalarUDFImpl for EarliestReactions {
    fn name(&self) -> &str {
        "earliest_reactions"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        require_string_fields(self.name(), arguments, 0, &["user_id", "emoji"])?;
        Ok(DataType::List(list_element(DataType::Struct(reaction_fields()))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let list = list_array(self.name(), &array)?;
        let sent = args.args[1].to_array(args.number_rows)?;
        let entries = struct_elements(self.name(), list)?;
        let of_user = strings(field_of(self.name(), entries, "user_id")?)?;
        let of_emoji = strings(field_of(self.name(), entries, "emoji")?)?;
        let times = field_of(self.name(), entries, "created_at")?;
        let (Some(times), Some(sent)) =
            (times.as_primitive_opt::<TimestampMicrosecondType>(), sent.as_primitive_opt::<TimestampMicrosecondType>())
        else {
            return exec_err!("{} takes timestamps in microseconds", self.name());
        };

        let (mut users, mut emojis, mut reacted) = (StringBuilder::new(), StringBuilder::new(), Vec::new());
        let mut lengths = Vec::with_capacity(list.len());
        let mut of_message: Vec<(&str, &str, Option<i64>)> = Vec::new();
        for row in 0..list.len() {
            let sent_at = sent.is_valid(row).then(|| sent.value(row));
            let time = |at: usize| if times.is_valid(at) { Some(times.value(at)) } else { sent_at };
            of_message.clear();
            of_message.extend(range_of(list, row).map(|at| (of_user.value(at), of_emoji.value(at), time(at))));
            of_message.sort_unstable();
            of_message.dedup_by(|a, b| (a.0, a.1) == (b.0, b.1));
            for (user, emoji, at) in &of_message {
                users.append_value(user);
                emojis.append_value(emoji);
                reacted.push(*at);
            }
            lengths.push(of_message.len());
        }
        let reacted = TimestampMicrosecondArray::from(reacted).with_data_type(utc_timestamp());
        let columns: Vec<ArrayRef> = vec![Arc::new(users.finish()), Arc::new(emojis.finish()), Arc::new(reacted)];
        let reactions: ArrayRef = Arc::new(ListArray::try_new(
            list_element(DataType::Struct(reaction_fields())),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(StructArray::try_new(reaction_fields(), columns, None)?),
            None,
        )?);
        Ok(ColumnarValue::Array(reactions))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::super::testing::invoke;
    use super::*;

    #[test]
    fn the_earliest_of_each_user_and_emoji() {
        let given =
            [("u", "x", Some(9)), ("v", "x", None), ("u", "x", Some(3)), ("u", "y", Some(9)), ("v", "x", Some(5))];
        let users: ArrayRef = Arc::new(StringArray::from_iter_values(given.iter().map(|entry| entry.0)));
        let emojis: ArrayRef = Arc::new(StringArray::from_iter_values(given.iter().map(|entry| entry.1)));
        let times: TimestampMicrosecondArray = given.iter().map(|entry| entry.2).collect();
        let fields: Fields = vec![
            Field::new("user_id", DataType::Utf8, false),
            Field::new("emoji", DataType::Utf8, false),
            Field::new("created_at", utc_timestamp(), true),
        ]
        .into();
        let entries = StructArray::new(fields, vec![users, emojis, Arc::new(times.with_timezone("UTC"))], None);
        let list: ArrayRef = Arc::new(ListArray::new(
            list_element(entries.data_type().clone()),
            OffsetBuffer::from_lengths([0, 5]),
            Arc::new(entries),
            None,
        ));
        let sent: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 4]).with_timezone("UTC"));

        let result = invoke(EarliestReactions::new(), vec![list, sent]);
        let lists = result.as_list::<i32>();
        assert_eq!(lists.value_length(0), 0);
        let reactions = lists.value(1);
        let reactions = reactions.as_struct();
        let column = |index: usize| reactions.column(index).as_string::<i32>().iter().flatten().collect::<Vec<_>>();
        assert_eq!(column(0), ["u", "u", "v"]);
        assert_eq!(column(1), ["x", "y", "x"]);
        let reacted = reactions.column(2).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(reacted.values().to_vec(), [3, 9, 4], "the time that is missing is when the message was sent");
    }
}
