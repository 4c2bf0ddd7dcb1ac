//! The stream of messages in time order.
//!
//! Messages come in bursts: somebody writes, others answer within seconds or minutes. Burst starts follow the rhythm
//! in order; the bursts that are under way wait in a heap by the time of their next message. A burst lasts a few
//! hours at most, so the heap stays small however many messages there are. Nothing is sorted afterwards.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::object_id::{Kind, ObjectId};
use crate::random::{Purpose, Random};
use crate::world::World;

/// Users who write messages but are unknown to `users.json`.
const STRANGERS: u64 = 50;

/// What a message is before it is rendered; the rest follows from the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Position in time order, and the key of all further randomness.
    pub(crate) index: u64,
    pub(crate) created_ms: i64,
    pub(crate) conversation: u32,
    pub(crate) sender: ObjectId,
    /// None for a stranger.
    pub(crate) sender_user: Option<u32>,
    /// An earlier message of the conversation that this one answers.
    pub(crate) reply_to: Option<ObjectId>,
}

/// Yields all messages of a sample.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    world: &'a World,
    random: Random,
    total: u64,
    /// Messages given to bursts so far.
    allotted: u64,
    /// Messages yielded so far.
    emitted: u64,
    /// The next burst, not yet begun.
    upcoming: Option<Burst>,
    under_way: BinaryHeap<Burst>,
}

/// A run of messages in one conversation.
#[derive(Debug)]
struct Burst {
    next_ms: i64,
    /// The allotted messages when it was drawn: unique, and breaks ties of time.
    serial: u64,
    conversation: u32,
    remaining: u64,
    last_sender: Option<u32>,
    recent: [Option<ObjectId>; 4],
}

impl Ord for Burst {
    /// The earliest burst is the greatest, since the heap yields the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.next_ms, other.serial).cmp(&(self.next_ms, self.serial))
    }
}

impl PartialOrd for Burst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Burst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Burst {}

impl<'a> Traffic<'a> {
    /// All messages of the world, from the first.
    pub(crate) fn new(world: &'a World) -> Self {
        Self {
            world,
            random: Random::keyed(world.seed, Purpose::Traffic, 0),
            total: world.sizes.messages,
            allotted: 0,
            emitted: 0,
            upcoming: None,
            under_way: BinaryHeap::new(),
        }
    }

    /// The next burst, unless all messages are allotted.
    fn draw_burst(&mut self) -> Option<Burst> {
        let left = self.total - self.allotted;
        if left == 0 {
            return None;
        }
        let next_ms = self.world.rhythm.at(self.allotted, self.total, &mut self.random);
        let (low, high) = self.random.weighted(&[(300, (1, 1)), (350, (2, 4)), (250, (5, 12)), (100, (13, 40))]);
        let burst = Burst {
            next_ms,
            serial: self.allotted,
            conversation: self.world.population.draw_conversation(next_ms, &mut self.random),
            remaining: (self.random.between(low, high) as u64).min(left),
            last_sender: None,
            recent: [None; 4],
        };
        self.allotted += burst.remaining;
        Some(burst)
    }

    /// The next message of a burst; the burst then waits for the one after it.
    fn write(&mut self, burst: &mut Burst) -> Message {
        let world = self.world;
        let random = &mut self.random;
        let (index, created_ms) = (self.emitted, burst.next_ms);
        let (sender, sender_user) = match random.below(1000) {
            0 => (world.ids.id(Kind::Stranger, world.sizes.start_ms, random.below(STRANGERS)), None),
            share => {
                let user = if share < 5 {
                    world.population.draw_user(created_ms, random)
                } else {
                    let other = if random.per_mille(650) { burst.last_sender } else { None };
                    world.population.draw_member(burst.conversation, created_ms, other, random)
                };
                (world.user_id(user), Some(user))
            }
        };
        let reply_to = if random.per_mille(160) { random.pick(&burst.recent) } else { None };
        burst.last_sender = sender_user;
        burst.recent[(burst.remaining % 4) as usize] = Some(world.message_id(created_ms, index));
        burst.remaining -= 1;
        let (low, high) =
            random.weighted(&[(600, (2_000, 45_000)), (300, (45_000, 300_000)), (100, (300_000, 2_700_000))]);
        // Near the end of the range the answers come faster, so that none falls beyond it.
        let room = (world.sizes.end_ms - 1 - created_ms) / 2;
        burst.next_ms += random.between(low, high).min(room);
        self.emitted += 1;
        Message { index, created_ms, conversation: burst.conversation, sender, sender_user, reply_to }
    }
}

impl Iterator for Traffic<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.upcoming.is_none() {
            self.upcoming = self.draw_burst();
        }
        let is_new_first = match (&self.upcoming, self.under_way.peek()) {
            (Some(upcoming), Some(waiting)) => upcoming.next_ms < waiting.next_ms,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let mut burst = if is_new_first { self.upcoming.take()? } else { self.under_way.pop()? };
        let message = self.write(&mut burst);
        if burst.remaining > 0 {
            self.under_way.push(burst);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SampleOptions;

    #[test]
    fn yields_every_message_once_and_in_time_order() {
        let world = World::new(&SampleOptions { messages: 5000, days: 2, ..SampleOptions::default() }).unwrap();
        let messages: Vec<Message> = Traffic::new(&world).collect();
        assert_eq!(messages.len(), 5000);
        for (position, message) in messages.iter().enumerate() {
            assert_eq!(message.index, position as u64);
            assert!((world.sizes.start_ms..world.sizes.end_ms).contains(&message.created_ms));
            assert!(world.population.conversation(message.conversation).created_ms <= message.created_ms);
        }
        assert!(messages.is_sorted_by_key(|message| message.created_ms));
    }

    #[test]
    fn replies_point_to_earlier_messages_of_the_conversation() {
        let world = World::new(&SampleOptions { messages: 3000, ..SampleOptions::default() }).unwrap();
        let messages: Vec<Message> = Traffic::new(&world).collect();
        let mut replies = 0;
        for (position, message) in messages.iter().enumerate() {
            let Some(target) = message.reply_to else { continue };
            replies += 1;
            assert!(messages[..position].iter().any(|earlier| {
                world.message_id(earlier.created_ms, earlier.index) == target
                    && earlier.conversation == message.conversation
            }));
        }
        assert!(replies > 100, "{replies}");
    }
}
