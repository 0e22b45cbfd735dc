//! Ranges of a text, and texts made of words.
//!
//! Data sets give lists of words and count in them; the daemon reads text and counts bytes. A text is its words
//! joined with one blank, and every range is in bytes of it, half-open.

use serde::{Deserialize, Serialize};

/// A half-open range of a text, in bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl ByteRange {
    /// The same range in a text that has `bytes` more in front.
    #[must_use]
    pub fn shifted(self, bytes: usize) -> Self {
        Self { start: self.start + bytes, end: self.end + bytes }
    }

    /// What the range covers; nothing where it does not fit the text or cuts a character.
    #[must_use]
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start..self.end)
    }
}

/// A labelled range of a text, in bytes of UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Name of its type.
    pub label: String,
}

impl Span {
    /// A labelled range.
    #[must_use]
    pub fn new(range: ByteRange, label: String) -> Self {
        Self { start: range.start, end: range.end, label }
    }

    /// Where it is.
    #[must_use]
    pub fn range(&self) -> ByteRange {
        ByteRange { start: self.start, end: self.end }
    }
}

/// The words joined with one blank, and where each of them lies.
#[must_use]
pub fn join<S: AsRef<str>>(words: &[S]) -> (String, Vec<ByteRange>) {
    let mut text = String::new();
    let mut ranges = Vec::with_capacity(words.len());
    for word in words {
        if !ranges.is_empty() {
            text.push(' ');
        }
        let start = text.len();
        text.push_str(word.as_ref());
        ranges.push(ByteRange { start, end: text.len() });
    }
    (text, ranges)
}

/// From the start of one word to the end of another: `first` and `last` are counted from 0, both inside. Nothing
/// where there is no such word or they are in the wrong order.
#[must_use]
pub fn cover(words: &[ByteRange], first: usize, last: usize) -> Option<ByteRange> {
    let range = words.get(first..=last)?;
    Some(ByteRange { start: range.first()?.start, end: range.last()?.end })
}

/// White space as Python has it, in which the programs that others score with are written: also the four separators
/// of ASCII, which Unicode does not count.
#[must_use]
pub fn is_white_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_with_one_blank_and_counted_in_bytes() {
        let (text, words) = join(&["Zoë", "is", "39"]);
        assert_eq!(text, "Zoë is 39");
        assert_eq!(cover(&words, 0, 1), Some(ByteRange { start: 0, end: 7 }));
        assert_eq!(cover(&words, 1, 2).and_then(|range| range.of(&text)), Some("is 39"));
    }

    #[test]
    fn words_that_are_not_there_cover_nothing() {
        let (_, words) = join(&["a", "b"]);
        assert_eq!(cover(&words, 1, 2), None);
        assert_eq!(cover(&words, 1, 0), None);
        assert_eq!(cover(&words, 0, usize::MAX), None);
    }

    #[test]
    fn a_range_that_cuts_a_character_covers_nothing() {
        assert_eq!(ByteRange { start: 0, end: 1 }.of("ë"), None);
    }
}
