//! Stages 1 and 2 joined: bytes in, settled words with their pieces out, and the text that mentions may
//! still need. Shared by all tasks of a document.
//!
//! Holds the words from the first one that somebody needs, one unfinished word of at most
//! `word_bytes_max`, and at most three bytes of an unfinished code point.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::finding::{Place, Span};
use super::offset::{Position, TextRange};
use super::pieces::{PieceCache, Pieces};
use super::plan::{KeepText, Plan};
use super::prefix::Prefix;
use super::scores::{Prompt, WindowInput};
use super::utf8::{Decoded, InvalidUtf8, Utf8Decoder};
use super::window::{WordShape, Words};
use super::words::{SplitWord, WordSplitter};

/// Forgotten text is given back once it is this much and half of what is held.
const TEXT_WASTE_BYTES: usize = 16 << 10;
/// Text of a result; a longer one is given by its place alone, so that any result fits into a message.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// The same for a result that waits for the last window.
const HELD_TEXT_BYTES_MAX: u64 = 16 << 10;

/// Reads a document and holds what is needed of it.
pub struct Intake {
    invalid_utf8: InvalidUtf8,
    /// Text is kept, for results or for the prompts of relations.
    keep_text: KeepText,
    /// Results carry text.
    give_text: KeepText,
    /// Pieces that some task reads of one word; no more are held.
    word_pieces_max: usize,
    decoder: Utf8Decoder,
    splitter: WordSplitter,
    cache: PieceCache,
    unknown_piece: Option<u32>,
    words: VecDeque<Word>,
    /// The document's number of the first word held.
    first_word: u64,
    text: String,
    /// Where `text` starts in all the text that was ever kept.
    text_start: u64,
    split: Vec<SplitWord>,
    counts: IntakeCounts,
}

struct Word {
    split: SplitWord,
    pieces: Pieces,
}

/// What was met on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Invalid parts that became U+FFFD.
    pub invalid_parts: u64,
    /// Words of which the model's tokenizer knows nothing.
    pub unknown_words: u64,
    /// Words closed by their length.
    pub words_cut: u64,
    /// Words that gave the encoder fewer pieces than they have.
    pub words_with_pieces_cut: u64,
}

impl Intake {
    /// An intake at the start of a document.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            invalid_utf8: plan.invalid_utf8,
            keep_text: plan.text_needed(),
            give_text: plan.keep_text,
            word_pieces_max: plan
                .tasks
                .iter()
                .map(|t| t.geometry.word_pieces_max)
                .max()
                .unwrap_or(1),
            decoder: Utf8Decoder::default(),
            splitter: WordSplitter::new(plan.policy.word_bytes_max as u64),
            unknown_piece: plan.encoder.unknown_piece(),
            cache: PieceCache::new(Arc::clone(&plan.encoder)),
            words: VecDeque::new(),
            first_word: 0,
            text: String::new(),
            text_start: 0,
            split: Vec::new(),
            counts: IntakeCounts::default(),
        }
    }

    /// Reads `bytes`.
    ///
    /// # Errors
    /// The byte offset of the first invalid part, where those are rejected.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), u64> {
        let mut decoder = std::mem::take(&mut self.decoder);
        let mut invalid_at = None;
        decoder.push(bytes, &mut |decoded| self.take(decoded, &mut invalid_at));
        self.decoder = decoder;
        self.settle();
        invalid_at.map_or(Ok(()), Err)
    }

    /// Whether the bytes so far end inside a code point.
    #[must_use]
    pub fn is_inside_code_point(&self) -> bool {
        self.decoder.carried() > 0
    }

    /// Closes the open word, as at the end of the text.
    pub fn close_word(&mut self) {
        self.splitter.close(&mut |word| self.split.push(word));
        self.settle();
    }

    /// Ends the text.
    ///
    /// # Errors
    /// As [`Self::read`]: the input may end inside a code point.
    pub fn finish(&mut self) -> Result<(), u64> {
        let mut decoder = std::mem::take(&mut self.decoder);
        let mut invalid_at = None;
        decoder.finish(&mut |decoded| self.take(decoded, &mut invalid_at));
        self.close_word();
        invalid_at.map_or(Ok(()), Err)
    }

    /// How much of the document was read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.splitter.position()
    }

    /// What was met so far.
    #[must_use]
    pub fn counts(&self) -> IntakeCounts {
        self.counts
    }

    /// The pieces of a word, at most `max`. Each task has a limit of its own, so that none depends on the
    /// others (ARCHITECTURE.md, "Words and windows").
    #[must_use]
    pub fn pieces(&self, word: u64, max: usize) -> &[u32] {
        let pieces = &self.word(word).pieces;
        &pieces[..pieces.len().min(max)]
    }

    /// Where the words from `first` to the one before `end` stand.
    #[must_use]
    pub fn range(&self, first: u64, end: u64) -> TextRange {
        TextRange {
            start: self.word(first).split.range.start,
            end: self.word(end - 1).split.range.end,
        }
    }

    /// A window as a model reads it.
    #[must_use]
    pub fn window(
        &self,
        prompt: &Arc<Prompt>,
        prefix: &Prefix,
        words: Range<u64>,
        word_pieces_max: usize,
    ) -> WindowInput {
        let mut pieces = Vec::new();
        let word_ends = words
            .map(|word| {
                pieces.extend_from_slice(self.pieces(word, word_pieces_max));
                u32::try_from(pieces.len()).expect("a window has far fewer pieces than 2^32")
            })
            .collect();
        let mut input = WindowInput { prompt: Arc::clone(prompt), pieces, word_ends };
        prefix.join(&mut input);
        input
    }

    /// The text of these words as a label is made of it, at most so many bytes; where blanks without end stand between
    /// two words, one blank does.
    #[must_use]
    pub fn words_text(&self, first: u64, end: u64, bytes_max: usize) -> String {
        let range = self.range(first, end);
        if range.end.bytes - range.start.bytes <= bytes_max as u64
            && let Some(text) = self.text(first, end)
        {
            return text;
        }
        let mut text = String::new();
        for word in (first..end).filter_map(|word| self.text(word, word + 1)) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&word);
            if text.len() > bytes_max {
                break;
            }
        }
        text.truncate(text.floor_char_boundary(bytes_max));
        text
    }

    /// Where a finding stands, with its text if results carry it and it is not too long for a message.
    #[must_use]
    pub fn span(&self, place: Place) -> Span {
        match place {
            Place::Words(first, end) => self.bounded_span(first, end, TEXT_BYTES_MAX),
            Place::Held(span) => span,
        }
    }

    /// The same for a result that waits for the last window.
    #[must_use]
    pub fn held_span(&self, first: u64, end: u64) -> Span {
        self.bounded_span(first, end, HELD_TEXT_BYTES_MAX)
    }

    fn bounded_span(&self, first: u64, end: u64, text_bytes_max: u64) -> Span {
        let range = self.range(first, end);
        let fits = range.end.bytes - range.start.bytes <= text_bytes_max;
        let text = match self.give_text {
            KeepText::Yes if fits => self.text(first, end),
            KeepText::Yes | KeepText::No => None,
        };
        Span { range, text }
    }

    /// The text of these words and what stands between them, if text is kept: that of a blank stretch
    /// without end is not.
    #[must_use]
    pub fn text(&self, first: u64, end: u64) -> Option<String> {
        let has_hole = (first + 1..end).any(|word| self.word(word).split.far);
        if self.keep_text == KeepText::No || has_hole {
            return None;
        }
        let from = index(self.word(first).split.text_start - self.text_start);
        let to = index(self.word(end - 1).split.text_end - self.text_start);
        self.text.get(from..to).map(str::to_owned)
    }

    /// Forgets the words before `word` and the text that only they need.
    pub fn forget_before(&mut self, word: u64) {
        while self.first_word < word && self.words.pop_front().is_some() {
            self.first_word += 1;
        }
        let open = self.splitter.text_needed_from();
        let needed = match (self.keep_text, self.words.front()) {
            (KeepText::Yes, Some(first)) => first.split.text_start.min(open),
            (KeepText::Yes, None) | (KeepText::No, _) => open,
        };
        let waste = index(needed - self.text_start);
        if waste >= TEXT_WASTE_BYTES && waste >= self.text.len() / 2 {
            self.text.drain(..waste);
            self.text.shrink_to(4 * TEXT_WASTE_BYTES);
            self.text_start = needed;
        }
    }

    fn take(&mut self, decoded: Decoded<'_>, invalid_at: &mut Option<u64>) {
        if invalid_at.is_some() {
            return;
        }
        let sink = &mut |word| self.split.push(word);
        match decoded {
            Decoded::Text(text) => self.splitter.push(text, &mut self.text, sink),
            Decoded::Invalid(_) if self.invalid_utf8 == InvalidUtf8::Reject => {
                *invalid_at = Some(self.splitter.position().bytes);
            }
            Decoded::Invalid(bytes) => {
                self.counts.invalid_parts += 1;
                self.splitter.push_replacement(bytes, &mut self.text, sink);
            }
        }
    }

    /// Gives the words that were just split their pieces.
    fn settle(&mut self) {
        for split in self.split.drain(..) {
            let from = index(split.text_start - self.text_start);
            let to = index(split.text_end - self.text_start);
            let text = self.text.get(from..to).expect("words stand at code points of held text");
            let pieces = self.cache.get(text);
            let unknown = self.unknown_piece;
            self.counts.unknown_words +=
                u64::from(pieces.iter().all(|&piece| Some(piece) == unknown));
            self.counts.words_cut += u64::from(split.cut);
            let too_many = pieces.len() > self.word_pieces_max;
            self.counts.words_with_pieces_cut += u64::from(too_many);
            let pieces = if too_many { pieces[..self.word_pieces_max].into() } else { pieces };
            self.words.push_back(Word { split, pieces });
        }
    }

    fn word(&self, word: u64) -> &Word {
        &self.words[index(word - self.first_word)]
    }
}

impl Words for Intake {
    fn settled(&self) -> u64 {
        self.first_word + self.words.len() as u64
    }

    fn shape(&self, word: u64) -> WordShape {
        let word = self.word(word);
        WordShape { pieces: word.pieces.len(), border_before: word.split.border_before }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("position", &self.position())
            .field("words_held", &self.words.len())
            .field("text_bytes_held", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// A distance inside what is held in memory.
fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("what is held fits into memory")
}
