//! Spans widened to the sentences that they touch. Sentences end where a core likes to end (a full stop, a blank line) and
//! at a flush; one without an end is cut after a bound on each side of the span.

use std::collections::VecDeque;

use crate::pipeline::decode::Candidate;
use crate::pipeline::intake::Intake;
use crate::pipeline::window::Words as _;

/// Bounds a chain of sentences that spans hold together: it is closed after as many words as so many sides of one span.
const CHAIN_SIDES: u64 = 8;

/// A span of whole words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wide {
    /// First word.
    pub start: u64,
    /// The word after the last one.
    pub end: u64,
    /// The best score of what it is made of.
    pub score: f32,
}

impl Wide {
    /// A span as it was found.
    #[must_use]
    pub fn of(candidate: Candidate) -> Self {
        Self { start: candidate.start, end: candidate.end, score: candidate.score }
    }

    /// Words in it.
    #[must_use]
    pub fn words(&self) -> u64 {
        self.end - self.start
    }
}

/// Widens spans that come in order, none overlapping another.
#[derive(Debug)]
pub struct Sentences {
    /// Words that a span is widened by on each side at most.
    side_max: u64,
    /// Where a sentence ends although no word behind it may ever come: flushes and the end. Rising.
    stops: VecDeque<u64>,
    /// The widened span that may still grow; its end is that of its last span, not widened yet.
    open: Option<Wide>,
    /// Where the last one that was handed out ended.
    told: u64,
}

impl Sentences {
    /// Nothing was read.
    #[must_use]
    pub fn new(side_max: u64) -> Self {
        Self { side_max, stops: VecDeque::new(), open: None, told: 0 }
    }

    /// A sentence ends before `word`.
    pub fn stop(&mut self, word: u64) {
        if self.stops.back() != Some(&word) {
            self.stops.push_back(word);
        }
    }

    /// Takes the next span.
    pub fn push(&mut self, span: Candidate, intake: &Intake, sink: &mut impl FnMut(Wide)) {
        if let Some(open) = &mut self.open {
            let bound = open.start + CHAIN_SIDES * self.side_max;
            // Every word before the span is settled, so an end that is not known lies behind its start.
            let end =
                sentence_end(&self.stops, self.side_max, open.end, intake).unwrap_or(u64::MAX);
            if span.start < end && span.end <= bound {
                open.end = span.end;
                open.score = open.score.max(span.score);
                return;
            }
            self.close(end.min(span.start), sink);
        }
        let start = self.sentence_start(span.start, intake);
        self.open = Some(Wide { start, end: span.end, score: span.score });
    }

    /// States that every later span starts at `frontier` or behind it.
    pub fn advance(&mut self, frontier: u64, intake: &Intake, sink: &mut impl FnMut(Wide)) {
        let end =
            self.open.and_then(|open| sentence_end(&self.stops, self.side_max, open.end, intake));
        if let Some(end) = end.filter(|end| *end <= frontier) {
            self.close(end, sink);
        }
        let needed = self.needed_from(frontier);
        while self.stops.front().is_some_and(|stop| *stop < needed) {
            self.stops.pop_front();
        }
    }

    /// The first word of the open span, or of one that starts at `frontier` or behind it.
    #[must_use]
    pub fn open_from(&self, frontier: u64, intake: &Intake) -> u64 {
        self.open.map_or_else(|| self.sentence_start(frontier, intake), |open| open.start)
    }

    /// The first word that is looked at for spans that start at `frontier` or behind it.
    #[must_use]
    pub fn needed_from(&self, frontier: u64) -> u64 {
        let open = self.open.map_or(u64::MAX, |open| open.start);
        open.min(frontier.saturating_sub(self.side_max))
    }

    fn close(&mut self, end: u64, sink: &mut impl FnMut(Wide)) {
        if let Some(open) = self.open.take() {
            self.told = end;
            sink(Wide { end, ..open });
        }
    }

    fn sentence_start(&self, word: u64, intake: &Intake) -> u64 {
        let first = word.saturating_sub(self.side_max).max(self.told);
        let is_start = |at: &u64| {
            *at == 0
                || self.stops.binary_search(at).is_ok()
                || *at < intake.settled() && intake.shape(*at).border_before
        };
        (first..=word).rev().find(is_start).unwrap_or(first.min(word))
    }
}

/// Where the sentence ends that a span ends in before `word`; `None` as long as the text does not say.
fn sentence_end(stops: &VecDeque<u64>, side_max: u64, word: u64, intake: &Intake) -> Option<u64> {
    for at in word..word + side_max {
        if stops.binary_search(&at).is_ok() {
            return Some(at);
        }
        if at >= intake.settled() {
            return None;
        }
        if intake.shape(at).border_before {
            return Some(at);
        }
    }
    Some(word + side_max)
}
