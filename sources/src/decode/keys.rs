//! From field names to slots.
//!
//! A table of fixed size with linear probing over a hash of length, first and last byte: the names of a collection
//! are few and known, so nearly every look-up is one probe and one comparison. A general hash map spends more on
//! hashing a name than this spends in all.

const EMPTY: u8 = u8::MAX;

/// The slots of a set of names.
#[derive(Debug)]
pub(super) struct Keys {
    names: Vec<&'static str>,
    table: [u8; 256],
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { names: Vec::new(), table: [EMPTY; 256] }
    }

    /// The slot of a name, new if it has none. Tables of columns are constants with far fewer names than slots.
    pub(super) fn add(&mut self, name: &'static str) -> usize {
        if let Some(slot) = self.slot(name.as_bytes()) {
            return slot;
        }
        debug_assert!(self.names.len() < usize::from(EMPTY), "too many field names");
        let mut at = hash(name.as_bytes());
        while self.table[usize::from(at)] != EMPTY {
            at = at.wrapping_add(1);
        }
        let slot = self.names.len();
        self.table[usize::from(at)] = u8::try_from(slot).unwrap_or(EMPTY);
        self.names.push(name);
        slot
    }

    /// The slot of a name.
    pub(super) fn slot(&self, name: &[u8]) -> Option<usize> {
        let mut at = hash(name);
        loop {
            match self.table[usize::from(at)] {
                EMPTY => return None,
                slot if self.names[usize::from(slot)].as_bytes() == name => return Some(usize::from(slot)),
                _ => at = at.wrapping_add(1),
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

// Truncation is the point: only the low byte selects the slot.
#[allow(clippy::cast_possible_truncation)]
fn hash(name: &[u8]) -> u8 {
    let first = name.first().copied().unwrap_or_default();
    let last = name.last().copied().unwrap_or_default();
    (name.len() as u8).wrapping_mul(23).wrapping_add(first.wrapping_mul(7)).wrapping_add(last.wrapping_mul(59))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_slot() {
        let mut keys = Keys::new();
        // Same length, first and last byte: one hash for all.
        let names = ["abcz", "acbz", "abbz", "accz", "", "a", "createdAt"];
        for (slot, name) in names.into_iter().enumerate() {
            assert_eq!(keys.add(name), slot);
        }
        assert_eq!(keys.add("abbz"), 2);
        assert_eq!(keys.len(), names.len());
        for (slot, name) in names.into_iter().enumerate() {
            assert_eq!(keys.slot(name.as_bytes()), Some(slot));
        }
        assert_eq!(keys.slot(b"aaaz"), None);
        assert_eq!(keys.slot(b"createdat"), None);
    }
}
