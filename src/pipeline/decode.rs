//! Stage 6: scores of one window to candidates over the threshold.
//!
//! Token level (gliner 0.2.29): a span starts where `start > t`, ends where `end > t`, and
//! every word in it has `inside >= t`.

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
        for first in window.core.0..window.core.1 {
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
                        start: window.first_word + first as u64,
                        end: window.first_word + last as u64 + 1,
                        label: window.first_label + label,
                        score,
                    });
                }
            }
        }
    }
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
        let window = DecodeWindow { first_word: 10, core, first_label: 0 };
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
    fn owns_only_spans_that_start_in_the_core_and_lets_them_end_behind_it() {
        let cells = [[0.9, 0.9, 0.9]; 3];
        let found = spans(&cells, (1, 2), ScoreMode::Min);
        assert_eq!(found, [(11, 12, 0.9), (11, 13, 0.9)]);
    }
}
