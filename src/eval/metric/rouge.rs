//! Summaries: ROUGE-1, ROUGE-2 and ROUGE-L as rouge-score 0.1.2 computes them without stemming (`use_stemmer=False`).
//!
//! Of several targets the best counts, for each measure on its own (`score_multi`). A score over many texts is the
//! mean of their F1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{Counts, mean};
use crate::eval::text::is_white_space;

/// What is a word of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Runs of ASCII letters and digits, in lower case; all else parts them. That of rouge-score.
    Ascii,
    /// Words as GLiNER's splitter finds them, in lower case: letters, digits and `_`, joined by `-` or `_`, and every
    /// other character that is no blank, punctuation too. ROUGE-1 over these is what the card of the default model has.
    Splitter,
}

/// F1 over words, over pairs of words, and over the longest sequence of words that both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rouge {
    /// ROUGE-1.
    pub rouge1: f64,
    /// ROUGE-2.
    pub rouge2: f64,
    /// ROUGE-L.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
}

/// Compares a summary with the best of the targets.
#[must_use]
pub fn score(targets: &[String], predicted: &str, words: Words) -> Rouge {
    let predicted = split(predicted, words);
    let mut best = Rouge::default();
    for target in targets {
        let target = split(target, words);
        best.rouge1 = best.rouge1.max(ngrams(&target, &predicted, 1));
        best.rouge2 = best.rouge2.max(ngrams(&target, &predicted, 2));
        best.rouge_l = best.rouge_l.max(longest(&target, &predicted));
    }
    best
}

/// The mean of each measure.
#[must_use]
pub fn average(scores: &[Rouge]) -> Rouge {
    Rouge {
        rouge1: mean(scores.iter().map(|score| score.rouge1)),
        rouge2: mean(scores.iter().map(|score| score.rouge2)),
        rouge_l: mean(scores.iter().map(|score| score.rouge_l)),
    }
}

fn split(text: &str, words: Words) -> Vec<String> {
    let text = text.to_lowercase();
    match words {
        Words::Ascii => {
            let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
            parts.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }
        Words::Splitter => split_words(&text),
    }
}

/// `\w+(?:[-_]\w+)*|\S`, the words of the reference. `_` is in `\w`, so only `-` joins.
fn split_words(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words: Vec<String> = Vec::new();
    // Whether the last word can go on.
    let mut open = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let joins = c == '-' && characters.peek().is_some_and(|&next| is_word(next));
        match words.last_mut().filter(|_| open && (is_word(c) || joins)) {
            Some(word) => word.push(c),
            None if is_white_space(c) => open = false,
            None => {
                words.push(c.to_string());
                open = is_word(c);
            }
        }
    }
    words
}

fn ngrams(target: &[String], predicted: &[String], length: usize) -> f64 {
    let mut left: BTreeMap<&[String], u64> = BTreeMap::new();
    for ngram in target.windows(length) {
        *left.entry(ngram).or_default() += 1;
    }
    let mut counts = Counts::default();
    for ngram in predicted.windows(length) {
        match left.get_mut(ngram).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                counts.hits += 1;
            }
            None => counts.false_alarms += 1,
        }
    }
    counts.misses = left.into_values().sum();
    counts.f1()
}

fn longest(target: &[String], predicted: &[String]) -> f64 {
    // Lengths for what came of the target so far, by how much of the prediction.
    let mut row = vec![0u64; predicted.len() + 1];
    for word in target {
        let mut diagonal = 0;
        let mut left = 0;
        for (cell, other) in row.iter_mut().skip(1).zip(predicted) {
            let above = *cell;
            *cell = if word == other { diagonal + 1 } else { above.max(left) };
            (diagonal, left) = (above, *cell);
        }
    }
    let hits = row.last().copied().unwrap_or_default();
    let (target, predicted) = (target.len() as u64, predicted.len() as u64);
    Counts { hits, false_alarms: predicted - hits, misses: target - hits }.f1()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rouge(targets: &[&str], predicted: &str) -> [f64; 3] {
        let targets: Vec<_> = targets.iter().map(|&target| target.to_owned()).collect();
        let Rouge { rouge1, rouge2, rouge_l } = score(&targets, predicted, Words::Ascii);
        [rouge1, rouge2, rouge_l]
    }

    fn close(one: [f64; 3], other: [f64; 3]) -> bool {
        one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-12)
    }

    #[test]
    fn words_pairs_and_the_longest_sequence_are_compared() {
        // The example of Lin 2004: 3 of 4 words, no or one pair, 3 or 2 in sequence.
        let target = ["police killed the gunman"];
        assert!(close(rouge(&target, "Police kill the gunman!"), [0.75, 1.0 / 3.0, 0.75]));
        assert!(close(rouge(&target, "the gunman kill police"), [0.75, 1.0 / 3.0, 0.5]));
    }

    #[test]
    fn each_measure_takes_its_best_target() {
        assert!(close(rouge(&["a b c d", "d c b"], "b c d"), [1.0, 0.8, 6.0 / 7.0]));
    }

    #[test]
    fn repeated_words_count_as_often_as_in_both() {
        let [rouge1, ..] = rouge(&["a a b"], "a a a");
        assert!((rouge1 - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_scores_nothing() {
        assert!(close(rouge(&["a"], ""), [0.0; 3]));
        assert!(close(rouge(&["…"], "é"), [0.0; 3]));
    }

    #[test]
    fn words_of_the_splitter_keep_hyphens_and_punctuation() {
        assert_eq!(
            split("A state-of-the-art é_b -x y- (z).", Words::Splitter),
            ["a", "state-of-the-art", "é_b", "-", "x", "y", "-", "(", "z", ")", "."]
        );
        assert_eq!(split("It's state-of é", Words::Ascii), ["it", "s", "state", "of"]);
    }
}
