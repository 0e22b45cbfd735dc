//! Stage 3: words to windows. Cores partition the words; a window is a core with margins on both sides.
//!
//! A window is a function of the words before its end and of the flushes, never of how they came: one
//! that is not the last is cut only when a further word is there (P1), and a candidate belongs to the
//! window whose core holds its first word (ARCHITECTURE.md, "Words and windows").

use std::collections::VecDeque;
use std::ops::Range;

use super::plan::WindowPolicy;

/// Sizes of a task's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Words of a window.
    pub words_max: usize,
    /// Pieces of a window's words, the prompt not counted.
    pub pieces_max: usize,
    /// Words of context before a core.
    pub left_margin: usize,
    /// Words behind a core, so wide that a mention of [`Self::mention_words_max`] has room.
    pub right_margin: usize,
    /// The widest mention that is found wherever it starts.
    pub mention_words_max: usize,
    /// Pieces that one word gives the encoder.
    pub word_pieces_max: usize,
}

impl Geometry {
    /// Sizes for windows of `words_max` words and `pieces_max` pieces.
    #[must_use]
    pub fn new(words_max: usize, pieces_max: usize, policy: WindowPolicy) -> Self {
        // Both margins together leave at least half of the window to the core.
        let margin = (words_max / 8).max(1);
        let bound = words_max / 4;
        let mention_words_max = policy.mention_words_max.unwrap_or(margin).clamp(1, bound.max(1));
        Self {
            words_max,
            pieces_max,
            left_margin: policy.margin_words.unwrap_or(margin).min(bound),
            right_margin: mention_words_max - 1,
            mention_words_max,
            // With the margin's quarter, one more word always fits.
            word_pieces_max: policy.word_pieces_max.clamp(1, (pieces_max / 2).max(1)),
        }
    }
}

/// What a planner must know of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordShape {
    /// Pieces that the tokenizer gives.
    pub pieces: usize,
    /// A core likes to end before this word.
    pub border_before: bool,
}

/// Settled words by their number in the document.
pub trait Words {
    /// Settled words so far, forgotten ones included.
    fn settled(&self) -> u64;
    /// One word; only those that [`WindowPlanner::needed_from`] still needs are asked for.
    fn shape(&self, word: u64) -> WordShape;
}

/// A window: which words the model sees, and which of them it decides about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowShape {
    /// Words that the model sees.
    pub words: Range<u64>,
    /// Words whose spans count.
    pub core: Range<u64>,
    /// The margin behind the core had to be narrower than promised, because words had many pieces.
    pub narrowed: bool,
}

/// Cuts windows for one task.
#[derive(Debug)]
pub struct WindowPlanner {
    geometry: Geometry,
    core_start: u64,
    /// Where the text counts as ended, in order: flushes, then the end itself.
    stops: VecDeque<u64>,
    /// A flush that came less than a window of text after the one before it.
    held_flush: Option<u64>,
    last_flush: Option<u64>,
    /// How far the next window is known to reach; begun anew for each core.
    reach: Option<Reach>,
}

/// A window that grows word by word, so that many small chunks cost no more than a large one.
#[derive(Clone, Copy, Debug)]
struct Reach {
    start: u64,
    end: u64,
    pieces_left: usize,
}

impl WindowPlanner {
    /// A planner at the start of a document.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            core_start: 0,
            stops: VecDeque::new(),
            held_flush: None,
            last_flush: None,
            reach: None,
        }
    }

    /// The first word that a window still to come may show.
    #[must_use]
    pub fn needed_from(&self) -> u64 {
        self.core_start.saturating_sub(self.geometry.left_margin as u64)
    }

    /// Ends the text at `word` for the cores before it. At most one flush for each window of text takes
    /// effect at once; the next is held until a window is full, so that flushes cannot multiply the work. True where it is
    /// held.
    pub fn flush(&mut self, word: u64) -> bool {
        if word == self.core_start {
            return false;
        }
        let early =
            self.last_flush.is_some_and(|last| word - last < self.geometry.words_max as u64);
        if early {
            self.held_flush = Some(word);
        } else {
            self.stop_at(word);
        }
        early
    }

    /// Ends the text at `word` for good.
    pub fn finish(&mut self, word: u64) {
        self.held_flush = None;
        if word > self.core_start {
            self.stops.push_back(word);
        }
    }

    fn stop_at(&mut self, word: u64) {
        self.held_flush = None;
        self.last_flush = Some(word);
        self.stops.push_back(word);
    }

    /// The next window, if the words and stops so far decide it.
    pub fn next(&mut self, words: &impl Words) -> Option<WindowShape> {
        let stop = self.stops.front().copied();
        let seen = stop.unwrap_or_else(|| words.settled());
        let mut window = self.reach(words, seen);
        if window.end < seen {
            match (stop, self.held_flush) {
                (None, Some(flush)) if flush > self.core_start => {
                    self.stop_at(flush);
                    window.end = flush;
                }
                _ => return Some(self.cut_full(words, window)),
            }
        } else if stop.is_none() {
            return None;
        }
        self.stops.pop_front();
        let core = self.core_start..window.end;
        self.begin_core(window.end);
        Some(WindowShape { words: window, core, narrowed: false })
    }

    fn begin_core(&mut self, word: u64) {
        self.core_start = word;
        self.reach = None;
    }

    /// The widest window for the next core that fits and ends at `seen` or before it.
    fn reach(&mut self, words: &impl Words, seen: u64) -> Range<u64> {
        let mut reach = self.reach.unwrap_or_else(|| self.first_reach(words));
        let words_max = self.geometry.words_max as u64;
        while reach.end < seen && reach.end - reach.start < words_max {
            let Some(rest) = reach.pieces_left.checked_sub(self.pieces(words, reach.end)) else {
                break;
            };
            reach.pieces_left = rest;
            reach.end += 1;
        }
        self.reach = Some(reach);
        reach.start..reach.end
    }

    /// The left margin alone, which may take a quarter of the pieces.
    fn first_reach(&self, words: &impl Words) -> Reach {
        let mut margin_left = self.geometry.pieces_max / 4;
        let mut pieces_left = self.geometry.pieces_max;
        let mut start = self.core_start;
        while start > self.needed_from() {
            let pieces = self.pieces(words, start - 1);
            let Some(rest) = margin_left.checked_sub(pieces) else { break };
            margin_left = rest;
            pieces_left -= pieces;
            start -= 1;
        }
        Reach { start, end: self.core_start, pieces_left }
    }

    /// Cuts a window that has text behind it: the core ends a right margin before the window does, if
    /// it can at a border in its second half.
    fn cut_full(&mut self, words: &impl Words, window: Range<u64>) -> WindowShape {
        let mut left = self.geometry.pieces_max / 4;
        let wanted =
            window.end.saturating_sub(self.geometry.right_margin as u64).max(self.core_start + 1);
        let mut last = window.end;
        while last > wanted {
            let Some(rest) = left.checked_sub(self.pieces(words, last - 1)) else { break };
            left = rest;
            last -= 1;
        }
        let half = self.core_start + (last - self.core_start) / 2;
        let border = (half + 1..=last).rev().find(|&word| words.shape(word).border_before);
        let core = self.core_start..border.unwrap_or(last);
        self.begin_core(core.end);
        let narrowed = window.end - core.end < self.geometry.right_margin as u64;
        WindowShape { words: window, core, narrowed }
    }

    fn pieces(&self, words: &impl Words, word: u64) -> usize {
        words.shape(word).pieces.min(self.geometry.word_pieces_max)
    }
}
