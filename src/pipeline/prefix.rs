//! The words that a task puts before every window's text: a question, an instruction, a list of classes.
//!
//! The reference joins them to the text with `" \n "` (gliner 0.2.29, `multitask`), so to the model they are words like
//! those of the document. Here they stay apart: they are split and tokenised once, and no result may touch them.

use std::fmt;
use std::ops::Range;

use super::ports::Encoder;
use super::scores::WindowInput;
use super::words::split;

/// Words before the text, as the model reads them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prefix {
    pieces: Vec<u32>,
    /// For every word, the end of its pieces in `pieces`.
    word_ends: Vec<u32>,
}

impl Prefix {
    /// The words of `text`.
    #[must_use]
    pub fn new(text: &str, encoder: &dyn Encoder) -> Self {
        let mut prefix = Self::default();
        prefix.push(text, encoder);
        prefix
    }

    /// Adds the words of `text`, which blanks or punctuation keep apart from those before, and says which they are.
    pub fn push(&mut self, text: &str, encoder: &dyn Encoder) -> Range<usize> {
        let first = self.words();
        for word in split(text) {
            let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let range = index(word.range.start.bytes)..index(word.range.end.bytes);
            self.pieces.extend(encoder.pieces(text.get(range).unwrap_or_default()));
            self.word_ends.push(narrow(self.pieces.len()));
        }
        first..self.words()
    }

    /// Words before the text.
    #[must_use]
    pub fn words(&self) -> usize {
        self.word_ends.len()
    }

    /// Their pieces.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Puts these words before the text of a window.
    pub fn join(&self, input: &mut WindowInput) {
        if self.word_ends.is_empty() {
            return;
        }
        let shift = narrow(self.pieces.len());
        let shifted = input.word_ends.iter().map(|end| end + shift);
        input.word_ends = self.word_ends.iter().copied().chain(shifted).collect();
        input.pieces.splice(0..0, self.pieces.iter().copied());
    }
}

// Pieces spell what a client wrote.
impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix")
            .field("words", &self.words())
            .field("pieces", &self.pieces())
            .finish()
    }
}

fn narrow(pieces: usize) -> u32 {
    u32::try_from(pieces).expect("a window has far fewer pieces than 2^32")
}
