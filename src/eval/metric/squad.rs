//! Questions: exact match and F1 as the official script of SQuAD 2.0 computes them (`evaluate-v2.0.py`).
//!
//! Both compare normalised answers: lower case, no ASCII punctuation, no articles, white space as one blank. The best
//! over all answers that people gave counts. A question without an answer has the empty one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::mean;
use crate::eval::text::is_white_space;

/// A question that was asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Answers that people gave; none where there is no answer.
    pub gold: &'a [String],
    /// The best answer; empty for "no answer".
    pub predicted: &'a str,
    /// Its score; means nothing without an answer.
    pub score: f64,
}

/// What one question adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Points {
    /// Whether there is an answer to find.
    pub answerable: bool,
    /// Exact match, 0 or 1.
    pub em: f64,
    /// F1 over words.
    pub f1: f64,
}

/// Means over some of the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How many.
    pub examples: usize,
    /// Exact match.
    pub em: f64,
    /// F1 over words.
    pub f1: f64,
}

/// Means over the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// All of them.
    #[serde(flatten)]
    pub all: Part,
    /// Those with an answer.
    pub has_answer: Part,
    /// Those without; both measures are how often none was given.
    pub no_answer: Part,
}

impl Question<'_> {
    /// The points for its answer.
    #[must_use]
    pub fn points(&self) -> Points {
        let predicted = words(self.predicted);
        let mut points = Points { em: 0.0, f1: 0.0, ..self.points_for_none() };
        let gold = self.gold.iter().map(|answer| words(answer)).filter(|words| !words.is_empty());
        let mut gold: Vec<_> = gold.collect();
        if gold.is_empty() {
            gold.push(Vec::new());
        }
        for gold in gold {
            if gold == predicted {
                points.em = 1.0;
            }
            points.f1 = points.f1.max(f1(&gold, &predicted));
        }
        points
    }

    /// The points where its answer is dropped.
    #[must_use]
    pub fn points_for_none(&self) -> Points {
        let answerable = !self.gold.is_empty();
        let right = if answerable { 0.0 } else { 1.0 };
        Points { answerable, em: right, f1: right }
    }
}

/// Means of the points.
#[must_use]
pub fn scores(points: &[Points]) -> Scores {
    let part = |of: &dyn Fn(&&Points) -> bool| {
        let points: Vec<_> = points.iter().filter(of).collect();
        let em = mean(points.iter().map(|points| points.em));
        let f1 = mean(points.iter().map(|points| points.f1));
        Part { examples: points.len(), em, f1 }
    };
    Scores {
        all: part(&|_| true),
        has_answer: part(&|points| points.answerable),
        no_answer: part(&|points| !points.answerable),
    }
}

/// The words of a normalised answer.
fn words(answer: &str) -> Vec<String> {
    let lower = answer.to_lowercase();
    let bare: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut text = String::with_capacity(bare.len());
    // An article is a whole run of letters and digits: "a–b" has one, "ab" none.
    let mut rest = bare.as_str();
    while let Some(c) = rest.chars().next() {
        let inside = c.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != inside).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        text.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = behind;
    }
    text.split(is_white_space).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn f1(gold: &[String], predicted: &[String]) -> f64 {
    if gold.is_empty() || predicted.is_empty() {
        return if gold == predicted { 1.0 } else { 0.0 };
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for word in gold {
        *left.entry(word).or_default() += 1;
    }
    let mut same = 0u64;
    for word in predicted {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    2.0 * same as f64 / (gold.len() + predicted.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(gold: &[&str], predicted: &str) -> (f64, f64) {
        let gold: Vec<_> = gold.iter().map(|&answer| answer.to_owned()).collect();
        let points = Question { gold: &gold, predicted, score: 1.0 }.points();
        (points.em, points.f1)
    }

    #[test]
    fn case_punctuation_articles_and_blanks_do_not_count() {
        assert_eq!(words("The  U.S.\tan\u{1f}army, theirs"), ["us", "army", "theirs"]);
        assert_eq!(words("a–b"), ["–b"]);
        assert_eq!(words("A"), Vec::<String>::new());
        assert_eq!(points(&["the Army."], "army"), (1.0, 1.0));
    }

    #[test]
    fn the_best_answer_counts_for_each_measure() {
        let (em, f1) = points(&["red", "big red dog dog"], "dog big cat");
        // Two of three words and two of four.
        assert!(em.abs() < 1e-12);
        assert!((f1 - 4.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn no_answer_is_right_only_where_there_is_none() {
        assert_eq!(points(&[], ""), (1.0, 1.0));
        assert_eq!(points(&[], "x"), (0.0, 0.0));
        assert_eq!(points(&["x"], ""), (0.0, 0.0));
        // An article alone is no answer either.
        assert_eq!(points(&[], "the"), (1.0, 1.0));
    }

    #[test]
    fn parts_are_means_of_their_own() {
        let gold = ["x".to_owned()];
        let right = Question { gold: &gold, predicted: "x", score: 0.9 };
        let wrong = Question { gold: &[], predicted: "y", score: 0.8 };
        let none = Question { predicted: "", ..wrong };
        let scores = scores(&[right.points(), wrong.points(), none.points()]);
        assert_eq!(scores.has_answer, Part { examples: 1, em: 1.0, f1: 1.0 });
        assert_eq!(scores.no_answer, Part { examples: 2, em: 0.5, f1: 0.5 });
        assert!((scores.all.em - 2.0 / 3.0).abs() < 1e-12);
    }
}
