//! What goes into a model and what comes out of it, as plain numbers with a shape.

use std::fmt;
use std::sync::Arc;

/// The encoded schema: every piece that stands before and after a window's text.
///
/// The whole model input of a window is `head`, then the pieces of its words, then `tail`
/// (gliner 0.2.29: `[CLS] (<<ENT>> label)* <<SEP>> words [SEP]`).
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Pieces before the text.
    pub head: Vec<u32>,
    /// For every label, in order, the index in `head` of the piece whose state is the label's vector.
    pub label_positions: Vec<u32>,
    /// Pieces after the text.
    pub tail: Vec<u32>,
}

impl Prompt {
    /// Pieces that the prompt takes from the encoder's limit.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Labels that this prompt asks for.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.label_positions.len()
    }
}

// Pieces spell the labels, so they are not printed.
impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("pieces", &self.pieces())
            .field("labels", &self.labels())
            .finish()
    }
}

/// One window as a model reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct WindowInput {
    /// The prompt around the text, shared by all windows of a label group.
    pub prompt: Arc<Prompt>,
    /// Pieces of the window's words, one word after the other.
    pub pieces: Vec<u32>,
    /// For every word, the end of its pieces in `pieces`; a word without pieces ends where it starts.
    pub word_ends: Vec<u32>,
}

impl WindowInput {
    /// Words to be scored.
    #[must_use]
    pub fn words(&self) -> usize {
        self.word_ends.len()
    }

    /// Pieces of the whole model input, prompt included: the cost of this window.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.prompt.pieces() + self.pieces.len()
    }
}

// Pieces spell the document, so they are not printed.
impl fmt::Debug for WindowInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WindowInput")
            .field("prompt", &self.prompt)
            .field("pieces", &self.pieces.len())
            .field("words", &self.words())
            .finish()
    }
}

/// Start, end and inside probability of one word for one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Probability that a span of the label starts at the word.
    pub start: f32,
    /// Probability that a span of the label ends with the word.
    pub end: f32,
    /// Probability that the word belongs to a span of the label.
    pub inside: f32,
}

/// Token-level scores of one window: a probability for every word, label and channel.
///
/// Row-major `(word, label, channel)` with the channels start, end, inside (gliner >= 0.2.22).
#[derive(Clone, PartialEq)]
pub struct Scores {
    labels: usize,
    probabilities: Vec<f32>,
}

impl Scores {
    /// Wraps `probabilities` of shape `(words, labels, 3)`.
    ///
    /// # Errors
    /// [`ShapeError`] when the length is not `words * labels * 3`.
    pub fn new(words: usize, labels: usize, probabilities: Vec<f32>) -> Result<Self, ShapeError> {
        let expected = words * labels * 3;
        if probabilities.len() != expected {
            return Err(ShapeError { expected, actual: probabilities.len() });
        }
        Ok(Self { labels, probabilities })
    }

    /// Checks that these are scores of so many words and labels.
    ///
    /// # Errors
    /// [`ShapeError`] when they are not.
    pub fn check(&self, words: usize, labels: usize) -> Result<(), ShapeError> {
        if self.words() == words && self.labels == labels {
            return Ok(());
        }
        Err(ShapeError { expected: words * labels * 3, actual: self.probabilities.len() })
    }

    /// Labels of every word.
    #[must_use]
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Words of the window.
    #[must_use]
    pub fn words(&self) -> usize {
        self.probabilities.len().checked_div(self.labels * 3).unwrap_or(0)
    }

    /// The probabilities of one word and label.
    ///
    /// # Panics
    /// When `word` or `label` is out of range.
    #[must_use]
    pub fn cell(&self, word: usize, label: usize) -> Cell {
        let at = (word * self.labels + label) * 3;
        let cell = &self.probabilities[at..at + 3];
        Cell { start: cell[0], end: cell[1], inside: cell[2] }
    }

    /// All probabilities, row-major `(word, label, channel)`.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.probabilities
    }
}

impl fmt::Debug for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scores")
            .field("words", &self.words())
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

/// A model returned scores of another shape than its input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model returned {actual} values where the window asks for {expected}")]
pub struct ShapeError {
    /// Values that the window asks for.
    pub expected: usize,
    /// Values that came.
    pub actual: usize,
}
