//! Stage 6: scores of one window to candidates over the threshold.
//!
//! Token level (gliner 0.2.29): a span starts where `start > t`, ends where `end > t`, and
//! every word in it has `inside >= t`.

use std::ops::Range;

use super::ports::ScoreMode;
use super::schema::Threshold;
use super::scores::Scores;

/// A span of one window that a label's scores allow. Words are counted from the document's first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// First word.
    pub start: u64,
    /// The word after the last one.
    pub end: u64,
    /// Index of the label in the task's schema.
    pub label: u32,
    /// Score as [`ScoreMode`] says.
    pub score: f32,
}

impl Candidate {
    /// The order in which the reference enumerates token-level candidates.
    #[must_use]
    pub fn enumeration_key(&self) -> (u64, u32, u64) {
        (self.start, self.label, self.end)
    }
}

/// Which part of a document a window's scores are about.
#[derive(Clone, Copy, Debug)]
pub struct DecodeWindow {
    /// The document's number of the window's first word.
    pub first_word: u64,
    /// Rows of the scores before the window's first word: the words of the prompt, which no span may touch.
    pub prefix_words: usize,
    /// Words in the window whose spans it owns, counted from the window's first word: half-open.
    pub core: (usize, usize),
    /// The schema's number of the first label that was asked for.
    pub first_label: u32,
}

/// Finds every span that starts in the core, by label, start and end, and hands it to `sink`.
///
/// `thresholds` holds one value for each label that was asked for. Takes one pass for each start, so
/// its cost is bounded by labels x core x window.
///
/// # Panics
/// When `thresholds` or the core do not fit the scores.
pub fn decode(
    scores: &Scores,
    window: DecodeWindow,
    thresholds: &[Threshold],
    mode: ScoreMode,
    sink: &mut impl FnMut(Candidate),
) {
    for (label, threshold) in (0u32..).zip(thresholds) {
        let limit = threshold.get();
        for first in window.prefix_words + window.core.0..window.prefix_words + window.core.1 {
            let start = scores.cell(first, label as usize).start;
            // What is no number is over no threshold.
            if start.is_nan() || start <= limit {
                continue;
            }
            let mut smallest = start;
            let mut sum = 0.0;
            for last in first..scores.words() {
                let cell = scores.cell(last, label as usize);
                if cell.inside.is_nan() || cell.inside < limit {
                    break;
                }
                smallest = smallest.min(cell.inside);
                sum += f64::from(cell.inside);
                if cell.end > limit {
                    let score = match mode {
                        ScoreMode::Min => smallest.min(cell.end),
                        ScoreMode::Mean => mean(sum, last + 1 - first),
                    };
                    sink(Candidate {
                        start: window.first_word + (first - window.prefix_words) as u64,
                        end: window.first_word + (last - window.prefix_words) as u64 + 1,
                        label: window.first_label + label,
                        score,
                    });
                }
            }
        }
    }
}

/// What the scores say about one span, whatever the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Score as [`ScoreMode`] says; 0 where the model returned no numbers.
    pub score: f32,
    /// The smaller one of start and end.
    edges: f32,
    /// The smallest inside.
    inside: f32,
}

impl Judgement {
    /// Whether [`decode`] would find the span.
    #[must_use]
    pub fn is_over(self, threshold: Threshold) -> bool {
        self.edges > threshold.get() && self.inside >= threshold.get()
    }
}

/// Judges the span of these words for one label.
///
/// # Panics
/// When the span is empty or not in the window.
#[must_use]
pub fn judge(scores: &Scores, label: usize, words: Range<usize>, mode: ScoreMode) -> Judgement {
    let (first, last) = (words.start, words.end - 1);
    let mut inside = f32::INFINITY;
    let mut sum = 0.0;
    let mut is_number = true;
    for word in words.clone() {
        let cell = scores.cell(word, label);
        is_number &= !cell.inside.is_nan();
        inside = inside.min(cell.inside);
        sum += f64::from(cell.inside);
    }
    let (start, end) = (scores.cell(first, label).start, scores.cell(last, label).end);
    if !is_number || start.is_nan() || end.is_nan() {
        return Judgement { score: 0.0, edges: 0.0, inside: 0.0 };
    }
    let edges = start.min(end);
    let score = match mode {
        ScoreMode::Min => edges.min(inside),
        ScoreMode::Mean => mean(sum, words.len()),
    };
    Judgement { score, edges, inside }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "scores are f32, and a window has far fewer than 2^52 words"
)]
fn mean(sum: f64, words: usize) -> f32 {
    (sum / words as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(cells: &[[f32; 3]], core: (usize, usize), mode: ScoreMode) -> Vec<(u64, u64, f32)> {
        let scores = Scores::new(cells.len(), 1, cells.concat()).unwrap();
        let window = DecodeWindow { first_word: 10, prefix_words: 0, core, first_label: 0 };
        let mut found = Vec::new();
        let half = [Threshold::new(0.5).unwrap()];
        decode(&scores, window, &half, mode, &mut |c| found.push((c.start, c.end, c.score)));
        found
    }

    #[test]
    fn compares_start_and_end_with_more_and_inside_with_at_least() {
        let cells = [[0.5, 0.9, 0.9], [0.6, 0.5, 0.5], [0.0, 0.7, 0.5], [0.9, 0.9, 0.49]];
        assert_eq!(spans(&cells, (0, 4), ScoreMode::Min), [(11, 13, 0.5)]);
    }

    #[test]
    fn takes_the_smallest_of_start_end_and_inside_or_the_mean_of_inside() {
        let cells = [[0.75, 0.0, 1.0], [0.0, 0.875, 0.5]];
        assert_eq!(spans(&cells, (0, 2), ScoreMode::Min), [(10, 12, 0.5)]);
        assert_eq!(spans(&cells, (0, 2), ScoreMode::Mean), [(10, 12, 0.75)]);
    }

    #[test]
    fn finds_nothing_where_a_model_returns_no_numbers() {
        let nan = f32::NAN;
        let cells = [[nan, 0.9, 0.9], [0.9, 0.9, nan], [0.9, nan, 0.9]];
        assert_eq!(spans(&cells, (0, 3), ScoreMode::Min), []);
    }

    #[test]
    fn judges_a_span_as_it_would_be_found() {
        let cells = [[0.75, 0.0, 1.0], [0.0, 0.875, 0.5]];
        let scores = Scores::new(2, 1, cells.concat()).unwrap();
        let judged = |mode| judge(&scores, 0, 0..2, mode);
        assert_eq!(judged(ScoreMode::Min).score.to_bits(), 0.5_f32.to_bits());
        assert_eq!(judged(ScoreMode::Mean).score.to_bits(), 0.75_f32.to_bits());
        let over = |t| judged(ScoreMode::Min).is_over(Threshold::new(t).unwrap());
        assert!(over(0.5) && !over(0.51), "an inside of the threshold is enough");
        let nan = Scores::new(1, 1, vec![0.9, f32::NAN, 0.9]).unwrap();
        assert_eq!(judge(&nan, 0, 0..1, ScoreMode::Min).score.to_bits(), 0);
    }

    #[test]
    fn passes_over_the_words_of_the_prompt() {
        let scores = Scores::new(4, 1, [[0.9, 0.9, 0.9]; 4].concat()).unwrap();
        let window = DecodeWindow { first_word: 10, prefix_words: 2, core: (0, 1), first_label: 0 };
        let half = [Threshold::new(0.5).unwrap()];
        let mut found = Vec::new();
        decode(&scores, window, &half, ScoreMode::Min, &mut |c| found.push((c.start, c.end)));
        assert_eq!(found, [(10, 11), (10, 12)]);
    }

    #[test]
    fn owns_only_spans_that_start_in_the_core_and_lets_them_end_behind_it() {
        let cells = [[0.9, 0.9, 0.9]; 3];
        let found = spans(&cells, (1, 2), ScoreMode::Min);
        assert_eq!(found, [(11, 12, 0.9), (11, 13, 0.9)]);
    }
}
