//! Users and conversations: who exists when, who belongs where, and how active each is.
//!
//! Users and conversations are held in order of their creation, so those that exist at an instant are a prefix, and a
//! draw by weight among them is a binary search in running sums. Activity follows Zipf's law with a flattened head
//! (weight 1/(rank + k)) over ranks that are shuffled against the order of creation.

use crate::options::{DAY_MS, HISTORY_DAYS, Sizes};
use crate::random::{Purpose, Random, draw_by_weight};
use crate::rhythm::Rhythm;

/// The largest group.
const MAX_GROUP: usize = 50;

/// Conversations are at most this old when the range begins.
const CONVERSATION_HISTORY_DAYS: i64 = 550;

/// A single chat or a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversation {
    pub(crate) created_ms: i64,
    /// From here on nobody begins to write in it.
    quiet_ms: i64,
    first_member: usize,
    member_count: u32,
    pub(crate) is_group: bool,
    /// Which vocabulary is spoken.
    pub(crate) language: u8,
}

/// Everybody and every conversation of one sample.
#[derive(Debug)]
pub(crate) struct Population {
    user_created_ms: Vec<i64>,
    user_quits_ms: Vec<i64>,
    user_weight_sums: Vec<u64>,
    conversations: Vec<Conversation>,
    conversation_weight_sums: Vec<u64>,
    members: Vec<u32>,
}

impl Population {
    /// Draws all users and conversations.
    pub(crate) fn new(seed: u64, sizes: &Sizes, rhythm: &Rhythm) -> Self {
        let mut random = Random::keyed(seed, Purpose::Population, 0);
        let (start, end) = (sizes.start_ms, sizes.end_ms);
        let user_created_ms = creation_times(sizes.users, 55, HISTORY_DAYS, start, rhythm, &mut random);
        let user_quits_ms = user_created_ms
            .iter()
            .map(|created| if random.per_mille(220) { random.between(*created.max(&start), end) } else { i64::MAX })
            .collect();
        let user_weight_sums = zipf_sums(sizes.users, 20, &mut random);
        let created = creation_times(sizes.conversations, 60, CONVERSATION_HISTORY_DAYS, start, rhythm, &mut random);
        let mut population = Self {
            user_created_ms,
            user_quits_ms,
            user_weight_sums,
            conversations: Vec::with_capacity(created.len()),
            conversation_weight_sums: zipf_sums(sizes.conversations, 10, &mut random),
            members: Vec::new(),
        };
        // Nobody can talk before there are two; the second user always signed up before the range.
        let two_users_ms = population.user_created_ms[1];
        for created_ms in created {
            population.add_conversation(created_ms.max(two_users_ms), start, end, &mut random);
        }
        population
    }

    fn add_conversation(&mut self, created_ms: i64, start: i64, end: i64, random: &mut Random) {
        let available = self.users_at(created_ms);
        let is_group = available >= 3 && random.per_mille(250);
        let size = if is_group { group_size(random).min(available) } else { 2 };
        let first_member = self.members.len();
        for _ in 0..size {
            let mut user = draw_by_weight(&self.user_weight_sums, available, random) as u32;
            for _ in 0..20 {
                if !self.members[first_member..].contains(&user) {
                    break;
                }
                user = draw_by_weight(&self.user_weight_sums, available, random) as u32;
            }
            while self.members[first_member..].contains(&user) {
                user = (user + 1) % available as u32;
            }
            self.members.push(user);
        }
        let quiet_ms = if random.per_mille(400) { random.between(created_ms.max(start), end) } else { i64::MAX };
        let language = if random.per_mille(500) { 0 } else { random.below(256) as u8 };
        let member_count = size as u32;
        let conversation = Conversation { created_ms, quiet_ms, first_member, member_count, is_group, language };
        self.conversations.push(conversation);
    }

    /// How many users there are.
    pub(crate) fn user_count(&self) -> u64 {
        self.user_created_ms.len() as u64
    }

    /// How many conversations there are.
    pub(crate) fn conversation_count(&self) -> u64 {
        self.conversations.len() as u64
    }

    /// When a user signed up.
    pub(crate) fn user_created_ms(&self, user: u32) -> i64 {
        self.user_created_ms[user as usize]
    }

    /// One conversation.
    pub(crate) fn conversation(&self, conversation: u32) -> &Conversation {
        &self.conversations[conversation as usize]
    }

    /// The members of a conversation, its creator first.
    pub(crate) fn members(&self, conversation: u32) -> &[u32] {
        let conversation = self.conversation(conversation);
        &self.members[conversation.first_member..][..conversation.member_count as usize]
    }

    /// Any user who exists at an instant, at which there must be one.
    pub(crate) fn draw_user(&self, ms: i64, random: &mut Random) -> u32 {
        draw_by_weight(&self.user_weight_sums, self.users_at(ms), random) as u32
    }

    /// A conversation in which somebody begins to write at an instant of the range.
    pub(crate) fn draw_conversation(&self, ms: i64, random: &mut Random) -> u32 {
        let count = self.conversations.partition_point(|conversation| conversation.created_ms <= ms);
        let mut drawn = 0;
        for _ in 0..8 {
            drawn = draw_by_weight(&self.conversation_weight_sums, count, random);
            if self.conversations[drawn].quiet_ms > ms {
                break;
            }
        }
        drawn as u32
    }

    /// A member who writes at an instant, preferably not `other` nor one who has quit. The first members write most.
    pub(crate) fn draw_member(&self, conversation: u32, ms: i64, other: Option<u32>, random: &mut Random) -> u32 {
        let members = self.members(conversation);
        let mut drawn = members[0];
        for _ in 0..6 {
            drawn = members[random.index(members.len()).min(random.index(members.len()))];
            if Some(drawn) != other && self.user_quits_ms[drawn as usize] > ms {
                break;
            }
        }
        drawn
    }

    fn users_at(&self, ms: i64) -> usize {
        self.user_created_ms.partition_point(|created| *created <= ms)
    }
}

/// `count` instants in ascending order, `percent_before` of them spread over the history before the range. The first
/// two are always there.
fn creation_times(
    count: u64,
    percent_before: u64,
    history_days: i64,
    start_ms: i64,
    rhythm: &Rhythm,
    random: &mut Random,
) -> Vec<i64> {
    let before = (count * percent_before / 100).max(2).min(count);
    let span = (history_days * DAY_MS) as u128;
    (0..count)
        .map(|position| {
            if position < before {
                let jitter = u128::from(random.below(span as u64));
                let offset = (u128::from(position) * span + jitter) / u128::from(before);
                start_ms - span as i64 + offset as i64
            } else {
                rhythm.at(position - before, count - before, random)
            }
        })
        .collect()
}

/// Running sums of Zipf weights, the ranks shuffled.
fn zipf_sums(count: u64, flattening: u64, random: &mut Random) -> Vec<u64> {
    let mut ranks: Vec<u32> = (0..count as u32).collect();
    for last in (1..ranks.len()).rev() {
        ranks.swap(last, random.index(last + 1));
    }
    let mut sum = 0;
    let mut sums = Vec::with_capacity(ranks.len() + 1);
    sums.push(sum);
    for rank in ranks {
        // Never 0: ranks stay below 2^32.
        sum += (1 << 40) / (u64::from(rank) + flattening);
        sums.push(sum);
    }
    sums
}

/// From 3 to 50 members, small groups most often.
fn group_size(random: &mut Random) -> usize {
    let weight = |size: usize| 10_000 / (size as u64 - 2);
    let mut left = random.below((3..=MAX_GROUP).map(weight).sum());
    for size in 3..MAX_GROUP {
        if left < weight(size) {
            return size;
        }
        left -= weight(size);
    }
    MAX_GROUP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SampleOptions;

    fn population(users: u64) -> (Sizes, Population) {
        let sizes = SampleOptions { users: Some(users), ..SampleOptions::default() }.sizes().unwrap();
        let rhythm = Rhythm::new(sizes.start_ms, sizes.end_ms);
        let population = Population::new(5, &sizes, &rhythm);
        (sizes, population)
    }

    #[test]
    fn members_are_distinct_and_exist_when_a_conversation_begins() {
        for users in [2, 3, 10, 500] {
            let (sizes, population) = population(users);
            let mut last = i64::MIN;
            for index in 0..population.conversation_count() as u32 {
                let conversation = population.conversation(index);
                assert!(conversation.created_ms >= last && conversation.created_ms < sizes.end_ms);
                last = conversation.created_ms;
                let mut members = population.members(index).to_vec();
                assert!(members.iter().all(|user| population.user_created_ms(*user) <= last));
                assert_eq!(conversation.is_group, members.len() > 2);
                assert!(members.len() >= 2 && members.len() <= MAX_GROUP);
                members.sort_unstable();
                members.dedup();
                assert_eq!(members.len(), population.members(index).len());
            }
            assert!(population.conversation(0).created_ms < sizes.start_ms);
        }
    }

    #[test]
    fn activity_is_skewed() {
        let (sizes, population) = population(1000);
        let mut random = Random::keyed(5, Purpose::Traffic, 0);
        let mut hits = vec![0_u32; 1000];
        for _ in 0..20_000 {
            hits[population.draw_user(sizes.end_ms, &mut random) as usize] += 1;
        }
        hits.sort_unstable();
        let top: u32 = hits[900..].iter().sum();
        assert!((7_000..12_000).contains(&top), "the top tenth has {top} of 20000");
    }
}
