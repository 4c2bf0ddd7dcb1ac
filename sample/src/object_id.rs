//! MongoDB ObjectIds that embed the creation time, computed from (kind, creation time, index) and so never stored.
//!
//! Layout as in MongoDB: 4 bytes seconds since 1970, 5 bytes that identify the writing process, 3 bytes counter. The
//! index's low 24 bits are the counter, the rest goes into the process bytes, so ids of one kind are distinct.

use crate::random::{Purpose, Random};

/// Twelve bytes, printed as 24 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId([u8; 12]);

/// What an id names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    User = 1,
    Conversation,
    Message,
    Call,
    Notification,
    /// A user whom `users.json` does not know.
    Stranger,
    /// The id of a document that cannot be decoded.
    Flawed,
}

/// Makes the ids of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdMint {
    process: [u64; 8],
}

impl IdMint {
    /// Ids of different seeds differ.
    pub(crate) fn new(seed: u64) -> Self {
        let mut process = [0; 8];
        for (kind, value) in process.iter_mut().enumerate() {
            *value = Random::keyed(seed, Purpose::ObjectId, kind as u64).bits();
        }
        Self { process }
    }

    /// The id of the thing `index` of a kind.
    pub(crate) fn id(&self, kind: Kind, created_ms: i64, index: u64) -> ObjectId {
        let seconds = (created_ms / 1000) as u32;
        let process = (self.process[kind as usize] ^ (index >> 24)) & 0xFF_FFFF_FFFF;
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..9].copy_from_slice(&process.to_be_bytes()[3..]);
        bytes[9..].copy_from_slice(&(index as u32).to_be_bytes()[1..]);
        ObjectId(bytes)
    }
}

impl ObjectId {
    /// The id as 24 hex digits.
    pub(crate) fn hex(self) -> [u8; 24] {
        let mut hex = [0; 24];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        hex
    }
}

/// The digits of lower-case hexadecimal numbers.
pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeds_time_and_counter() {
        let id = IdMint::new(7).id(Kind::Message, 1_769_817_600_123, 0x01_0203);
        let hex = String::from_utf8(id.hex().to_vec()).unwrap();
        assert_eq!(&hex[..8], "697d4600");
        assert_eq!(&hex[18..], "010203");
    }

    #[test]
    fn differs_beyond_the_counter() {
        let mint = IdMint::new(7);
        assert_ne!(mint.id(Kind::Message, 0, 5), mint.id(Kind::Message, 0, 5 + (1 << 24)));
        assert_ne!(mint.id(Kind::Message, 0, 5), mint.id(Kind::User, 0, 5));
    }
}
