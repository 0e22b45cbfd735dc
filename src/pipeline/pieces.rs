//! A bounded cache from a word to its pieces: text repeats itself, and a tokenizer call costs far more
//! than a look-up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::ports::Encoder;

/// Words in one generation; two are held, so at most twice as many words of at most [`WORD_BYTES_MAX`].
const GENERATION_WORDS: usize = 2048;
/// Longer words hardly repeat and are not kept.
const WORD_BYTES_MAX: usize = 64;

/// Pieces of one word, shared by all windows that hold it.
pub type Pieces = Arc<[u32]>;

/// Two generations: a word that is asked for moves to the young one; when that is full it becomes the
/// old one, and the words nobody asked for meanwhile are forgotten.
pub struct PieceCache {
    encoder: Arc<dyn Encoder>,
    young: HashMap<Box<str>, Pieces>,
    old: HashMap<Box<str>, Pieces>,
}

impl PieceCache {
    /// An empty cache in front of `encoder`.
    #[must_use]
    pub fn new(encoder: Arc<dyn Encoder>) -> Self {
        Self { encoder, young: HashMap::new(), old: HashMap::new() }
    }

    /// The pieces of `word`.
    pub fn get(&mut self, word: &str) -> Pieces {
        if word.len() > WORD_BYTES_MAX {
            return self.encoder.pieces(word).into();
        }
        if let Some(pieces) = self.young.get(word) {
            return Arc::clone(pieces);
        }
        let (key, pieces) = match self.old.remove_entry(word) {
            Some(entry) => entry,
            None => (word.into(), self.encoder.pieces(word).into()),
        };
        if self.young.len() >= GENERATION_WORDS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, Arc::clone(&pieces));
        pieces
    }
}

// Keys are text of the document.
impl fmt::Debug for PieceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceCache")
            .field("words", &(self.young.len() + self.old.len()))
            .finish_non_exhaustive()
    }
}
