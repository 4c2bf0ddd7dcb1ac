//! The only source of randomness: SplitMix64, keyed by seed, kind of thing and index.
//!
//! A keyed generator makes each document a pure function of its index: a repeat is rendered again instead of kept,
//! and a new field of one kind of document does not shift the values of another. Everything is integer arithmetic.

/// What a generator's values are for; each has its own, independent sequence per index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Population = 1,
    Traffic,
    Message,
    MessageVersion,
    Repeat,
    User,
    UserVersion,
    Conversation,
    ConversationVersion,
    Call,
    Notification,
    AuthUser,
    Session,
    AuditLog,
    Media,
    Flaw,
    ObjectId,
}

/// A generator of 64-bit integers whose values never change between releases or platforms.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// The increment of SplitMix64: the golden ratio's fraction, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64, a bijection that spreads every input bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The generator of the thing `index` of a kind.
    pub(crate) fn keyed(seed: u64, purpose: Purpose, index: u64) -> Self {
        let stream = mix(seed.wrapping_add(GOLDEN.wrapping_mul(purpose as u64)));
        Self { state: mix(stream ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93)) }
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A value below `bound`; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A value from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(0) as u64) as i64
    }

    /// An index into something of `length` elements.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True `share` times in a thousand.
    pub(crate) fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// One element of a list that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.index(list.len())]
    }

    /// One element of a list of (weight, element) that is not empty.
    pub(crate) fn weighted<T: Copy>(&mut self, list: &[(u64, T)]) -> T {
        let total = list.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, element) in list {
            if left < *weight {
                return *element;
            }
            left -= weight;
        }
        list[list.len() - 1].1
    }
}

/// An index drawn by weight among the first `count` things; `sums[i]` is the sum of the weights of the things before
/// the i-th, so `sums` has one element more than there are things. `count` must be at least 1.
pub(crate) fn draw_by_weight(sums: &[u64], count: usize, random: &mut Random) -> usize {
    let point = random.below(sums[count]);
    sums[1..count].partition_point(|sum| *sum <= point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_stay() {
        // The first outputs of the reference implementation of SplitMix64 for state 0.
        let mut random = Random { state: 0 };
        assert_eq!(random.bits(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.bits(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn bounds_hold() {
        let mut random = Random::keyed(1, Purpose::Traffic, 0);
        assert_eq!(random.below(0), 0);
        for _ in 0..1000 {
            assert!(random.below(3) < 3);
            assert!((-2..=2).contains(&random.between(-2, 2)));
            assert_eq!(random.weighted(&[(0, 'a'), (5, 'b'), (0, 'c')]), 'b');
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let sums = [0, 10, 10, 40];
        let mut random = Random::keyed(1, Purpose::Traffic, 1);
        let mut hits = [0; 3];
        for _ in 0..4000 {
            hits[draw_by_weight(&sums, 3, &mut random)] += 1;
        }
        assert_eq!(hits[1], 0);
        assert!((850..1150).contains(&hits[0]), "{hits:?}");
        assert_eq!(draw_by_weight(&sums, 1, &mut random), 0);
    }
}
