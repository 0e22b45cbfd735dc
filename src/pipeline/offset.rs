//! Places in a document. A place is counted in three units at once, so that every result carries
//! exact offsets for any language without a second look at the text.

use std::ops::AddAssign;

/// A place in the document: how much of the input lies before it.
///
/// Bytes are those of the input as received; code points and UTF-16 units are those of the decoded
/// text, in which each invalid part (under [`InvalidUtf8::Replace`](super::utf8::InvalidUtf8)) is
/// one U+FFFD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Bytes of the input.
    pub bytes: u64,
    /// Unicode code points.
    pub chars: u64,
    /// UTF-16 code units.
    pub utf16: u64,
}

impl Position {
    /// What one character adds.
    #[must_use]
    pub fn of(c: char) -> Self {
        Self { bytes: c.len_utf8() as u64, chars: 1, utf16: c.len_utf16() as u64 }
    }

    /// What one replaced invalid part of `bytes` bytes adds: a U+FFFD.
    #[must_use]
    pub fn of_replacement(bytes: u64) -> Self {
        Self { bytes, chars: 1, utf16: 1 }
    }
}

impl AddAssign for Position {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.chars += other.chars;
        self.utf16 += other.utf16;
    }
}

/// A half-open range of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRange {
    /// Where the first character starts.
    pub start: Position,
    /// Where the last character ends.
    pub end: Position,
}
