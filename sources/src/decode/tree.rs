//! What a decoder needs to know of a parsed document, so that documents of every encoding have one meaning.

use super::{Reason, Strings, Text};

/// What stands at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Null.
    Null,
    /// An object with members of its own. A value that an encoding writes as an object, such as `{"$oid": ...}`, is
    /// none.
    Object,
    /// A list of so many elements.
    List(usize),
    /// Anything else.
    Value,
}

/// A parsed document, in which positions stand for values. Positions mean nothing but to the document itself, and
/// every position that is passed in must have come from it.
pub(crate) trait Tree: Strings {
    /// The position of the document itself.
    fn root(&self) -> usize;

    /// What stands at a position.
    fn shape(&self, at: usize) -> Shape;

    /// Calls `visit` with the name and the position of each member of the object at a position.
    fn members(&self, at: usize, visit: impl FnMut(&[u8], usize));

    /// The position of the first element of the list at a position, which is not empty.
    fn first(&self, list: usize) -> usize;

    /// The position of the next element of the same list; meaningless after the last.
    fn next(&self, element: usize) -> usize;

    /// An ObjectId or a string.
    fn id(&self, at: usize) -> Result<Text, Reason>;

    /// A string.
    fn text(&self, at: usize) -> Result<Text, Reason>;

    /// A boolean.
    fn boolean(&self, at: usize) -> Option<bool>;

    /// A number without fraction.
    fn integer(&self, at: usize) -> Option<i64>;

    /// A number; it may be infinite or none.
    fn double(&self, at: usize) -> Option<f64>;

    /// An instant in microseconds since 1970.
    fn time(&self, at: usize) -> Result<i64, Reason>;
}
