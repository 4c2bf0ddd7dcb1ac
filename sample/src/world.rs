//! What all writers share: sizes, population, rhythm, ids, and the facts about a user that several files repeat.

use crate::error::SampleError;
use crate::media::MediaPool;
use crate::object_id::{IdMint, Kind, ObjectId};
use crate::options::{SampleOptions, Sizes};
use crate::population::Population;
use crate::random::{Purpose, Random};
use crate::rhythm::Rhythm;
use crate::vocabulary;

/// The fixed facts of one sample.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) sizes: Sizes,
    pub(crate) ids: IdMint,
    pub(crate) rhythm: Rhythm,
    pub(crate) population: Population,
    pub(crate) media: MediaPool,
}

/// The facts of a user that users.json and the auth tables agree on.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// In ASCII and unique.
    pub(crate) username: String,
    /// None for users who gave only a phone number.
    pub(crate) email: Option<String>,
    /// How the auth row of the user is found.
    pub(crate) link: AuthLink,
}

/// How a user's auth row refers to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthLink {
    /// By `external_id`.
    ExternalId,
    /// By the email alone.
    Email,
    /// There is no auth row.
    None,
}

impl World {
    /// Checks the options and draws the population.
    pub(crate) fn new(options: &SampleOptions) -> Result<Self, SampleError> {
        let sizes = options.sizes()?;
        let rhythm = Rhythm::new(sizes.start_ms, sizes.end_ms);
        let population = Population::new(options.seed, &sizes, &rhythm);
        let media = MediaPool::new(options.seed, &sizes);
        Ok(Self { seed: options.seed, ids: IdMint::new(options.seed), sizes, rhythm, population, media })
    }

    /// The id of a user.
    pub(crate) fn user_id(&self, user: u32) -> ObjectId {
        self.ids.id(Kind::User, self.population.user_created_ms(user), u64::from(user))
    }

    /// The id of a conversation.
    pub(crate) fn conversation_id(&self, conversation: u32) -> ObjectId {
        let created_ms = self.population.conversation(conversation).created_ms;
        self.ids.id(Kind::Conversation, created_ms, u64::from(conversation))
    }

    /// The id of a message.
    pub(crate) fn message_id(&self, created_ms: i64, index: u64) -> ObjectId {
        self.ids.id(Kind::Message, created_ms, index)
    }

    /// The generator of the thing `index` of a kind.
    pub(crate) fn random(&self, purpose: Purpose, index: u64) -> Random {
        Random::keyed(self.seed, purpose, index)
    }

    /// An instant after `from`, by at most `within` milliseconds and before the end of the range; `from` itself when
    /// there is no room.
    pub(crate) fn later(&self, from: i64, within: i64, random: &mut Random) -> i64 {
        let room = (self.sizes.end_ms - 1 - from).min(within).max(0);
        from + if room == 0 { 0 } else { random.between(1, room) }
    }

    /// Who a user is.
    pub(crate) fn identity(&self, user: u32) -> Identity {
        let mut random = self.random(Purpose::AuthUser, u64::from(user));
        let given = random.pick(vocabulary::ASCII_GIVEN_NAMES);
        let family = random.pick(vocabulary::ASCII_FAMILY_NAMES);
        let username = format!("{given}.{family}{user}");
        let host = random.pick(&["example.com", "example.org", "mail.example.net"]);
        let email = (!random.per_mille(40)).then(|| format!("{username}@{host}"));
        let link = match (random.below(1000), &email) {
            (0..20, _) => AuthLink::None,
            (20..400, Some(_)) => AuthLink::Email,
            _ => AuthLink::ExternalId,
        };
        Identity { username, email, link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_stays_in_range() {
        let world = World::new(&SampleOptions { messages: 10, ..SampleOptions::default() }).unwrap();
        let mut random = world.random(Purpose::Message, 0);
        let end = world.sizes.end_ms;
        assert_eq!(world.later(end - 1, 1000, &mut random), end - 1);
        assert_eq!(world.later(end - 2, 1000, &mut random), end - 1);
        for _ in 0..100 {
            let ms = world.later(end - 500, 1000, &mut random);
            assert!(ms > end - 500 && ms < end);
        }
    }

    #[test]
    fn user_facts_are_stable_and_varied() {
        let world = World::new(&SampleOptions { messages: 100_000, ..SampleOptions::default() }).unwrap();
        let identities: Vec<Identity> = (0..1000).map(|user| world.identity(user)).collect();
        assert_eq!(identities[3].username, world.identity(3).username);
        for link in [AuthLink::ExternalId, AuthLink::Email, AuthLink::None] {
            assert!(identities.iter().any(|identity| identity.link == link), "{link:?}");
        }
        assert!(identities.iter().all(|identity| identity.link != AuthLink::Email || identity.email.is_some()));
    }
}
