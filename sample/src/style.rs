//! How one document is written: its shape, the extended JSON dialect, and the forms of dates and references.

use crate::random::Random;

/// The two generations of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As the pipeline's documentation has it: `readBy`, `filename`, `lastMessageId`, `startTime`.
    Documented,
    /// As the application writes today: `readReceipts`, `fileName`, `lastMessage`, `startedAt`, `encryptedContent`.
    App,
}

/// How dates are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateForm {
    /// `{"$date": ...}` in the document's dialect.
    Bson,
    /// A plain ISO-8601 string.
    Iso,
    /// Milliseconds since 1970.
    Epoch,
}

/// The style of one document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) shape: Shape,
    /// Canonical extended JSON (`{"$numberInt": "5"}`) instead of relaxed (`5`).
    pub(crate) canonical: bool,
    pub(crate) dates: DateForm,
    /// References to other documents are hex strings instead of `{"$oid": ...}`.
    pub(crate) plain_references: bool,
    /// Characters beyond ASCII are written as `\u` escapes.
    pub(crate) ascii: bool,
}

impl Style {
    /// Half of the documents in each shape, one in ten canonical; odd forms are rare and of the older shape.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let shape = if random.per_mille(500) { Shape::Documented } else { Shape::App };
        let canonical = random.per_mille(100);
        let odd = random.below(1000);
        let dates = match (shape, odd) {
            (Shape::Documented, 0..40) => DateForm::Iso,
            (Shape::Documented, 40..80) => DateForm::Epoch,
            _ => DateForm::Bson,
        };
        Self {
            shape,
            canonical,
            dates,
            plain_references: shape == Shape::Documented && random.per_mille(600),
            ascii: random.per_mille(20),
        }
    }

    /// True for the documented shape.
    pub(crate) fn is_documented(&self) -> bool {
        self.shape == Shape::Documented
    }
}
