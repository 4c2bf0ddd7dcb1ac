//! Finds lines that simd-json might misread.
//!
//! Two of its habits, found by comparing it with an exact reader on mutated documents, would let bad documents in:
//! it reads the lone surrogate `"\ud800"` as U+0000 and some wrong pairs as other characters, and after a number of
//! 19 digits or more it does not look whether the number ends there. Lines with either must not reach it.
//!
//! The test may be wrong in one direction only: a line it lets through has neither. Most lines have no `\u` at all
//! and no long run of digits, and pass at the speed of a substring search.

use memchr::memmem::Finder;

/// Digits and points in a row from which simd-json takes its unchecked way.
const LONG_RUN: usize = 19;

/// A reusable search.
pub(super) struct Doubt {
    escape: Finder<'static>,
}

impl Doubt {
    pub(super) fn new() -> Self {
        Self { escape: Finder::new(b"\\u") }
    }

    /// Whether the line must be read exactly.
    pub(super) fn about(&self, line: &[u8]) -> bool {
        has_long_number(line) || self.may_have_lone_surrogate(line)
    }

    /// Whether some escape of a surrogate is not plainly the first or second of a pair.
    fn may_have_lone_surrogate(&self, line: &[u8]) -> bool {
        let mut from = 0;
        while let Some(found) = self.escape.find(&line[from..]) {
            let at = from + found;
            from = at + 2;
            if !matches!(line.get(at + 2), Some(b'd' | b'D'))
                || !matches!(line.get(at + 3), Some(b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'))
            {
                continue;
            }
            // After another backslash this one may be escaped itself, and so may be half of the pair.
            let escaped = at > 0 && line[at - 1] == b'\\';
            if escaped || !is_pair(&line[at..]) {
                return true;
            }
            from = at + 12;
        }
        false
    }
}

/// Whether there is a long run of digits and points, also inside a string. Every such run covers a position that is a
/// multiple of its length, so only those are looked at.
fn has_long_number(line: &[u8]) -> bool {
    let numeric = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let mut at = LONG_RUN - 1;
    while at < line.len() {
        if numeric(&line[at]) {
            let before = line[..at].iter().rev().take_while(|byte| numeric(byte));
            let after = line[at..].iter().take_while(|byte| numeric(byte));
            if before.take(LONG_RUN).count() + after.take(LONG_RUN).count() >= LONG_RUN {
                return true;
            }
        }
        at += LONG_RUN;
    }
    false
}

/// Whether an escape of a high surrogate and one of a low surrogate begin here.
fn is_pair(text: &[u8]) -> bool {
    let digits = |at: usize| text.get(at..at + 2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    matches!(text.get(3), Some(b'8' | b'9' | b'a' | b'b' | b'A' | b'B'))
        && digits(4)
        && matches!(text.get(6..9), Some([b'\\', b'u', b'd' | b'D']))
        && matches!(text.get(9), Some(b'c'..=b'f' | b'C'..=b'F'))
        && digits(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_pass_and_lone_surrogates_do_not() {
        let doubt = Doubt::new();
        for text in ["", "x", r"\u0041", r"\ud83d\ude00", r"\uD83D\uDE00\uDBFF\udfff", r"\ud7ff", r"\\u", r"\u"] {
            assert!(!doubt.about(text.as_bytes()), "{text}");
        }
        for text in [
            r"\ud800",
            r"\udc00",
            r"\ud800\u0041",
            r"\ud800x\udc00",
            r"\ude00\ud83d",
            r"\ud83d\ude00\ud83d",
            r"\\ud83d\ude00",
            r"\ud83d\ud83d\ude00",
            r"\ud83d\\ude00",
            r"\ud8",
            r"\ud83d\uffff",
            r"\ud83g\ude00",
        ] {
            assert!(doubt.about(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn long_runs_of_digits_are_found_wherever_they_stand() {
        for before in 0..60 {
            for after in 0..25 {
                let line = |run: &str| format!("{}{run}{}", "x".repeat(before), "y".repeat(after));
                assert!(has_long_number(line("1234567890.12345678").as_bytes()));
                assert!(!has_long_number(line("1234567890.1234567").as_bytes()));
            }
        }
    }
}
