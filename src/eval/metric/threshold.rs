//! When to say "no answer": the threshold under which an answer is dropped.
//!
//! Chosen as `find_best_thresh` of the official script of SQuAD 2.0 does, with two differences: answers of equal
//! score are kept or dropped together (the script may part them, and then reports a score that no threshold has), and
//! the threshold lies half-way between the last score that is kept and the first that is dropped, so that rounding
//! does not move an answer over it.
//!
//! A threshold that was chosen on the questions it is reported on flatters. [`split_half`] chooses it on one half and
//! reports on the other.

use serde::{Deserialize, Serialize};

use super::squad::{Points, Question, Scores, scores};

/// A threshold and what it gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Answers are kept where their score is more.
    pub threshold: f64,
    /// Scores with it.
    #[serde(flatten)]
    pub scores: Scores,
}

/// A threshold of one half of the questions on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitHalf {
    /// Answers are kept where their score is more.
    pub threshold: f64,
    /// The questions with even numbers, on which it was chosen.
    pub chosen_on: Scores,
    /// The questions with odd numbers: the score to report.
    pub reported_on: Scores,
}

/// Scores where answers of at most `threshold` are dropped.
#[must_use]
pub fn apply(questions: &[Question<'_>], threshold: f64) -> Scores {
    let points = |question: &Question<'_>| {
        if question.score > threshold { question.points() } else { question.points_for_none() }
    };
    let points: Vec<Points> = questions.iter().map(points).collect();
    scores(&points)
}

/// The threshold with the best F1 over all questions, the highest of several. Where it is best to drop every answer
/// it lies between the highest score and 1.
#[must_use]
pub fn best(questions: &[Question<'_>]) -> Chosen {
    let answered = questions.iter().filter(|question| !question.predicted.is_empty());
    // What keeping the answer adds to the sum of F1.
    let gain = |question: &Question<'_>| question.points().f1 - question.points_for_none().f1;
    let mut gains: Vec<_> = answered.map(|question| (question.score, gain(question))).collect();
    gains.sort_by(|one, other| other.0.total_cmp(&one.0));
    let groups: Vec<(f64, f64)> = gains
        .chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq())
        .filter_map(|group| Some((group.first()?.0, group.iter().map(|(_, gain)| gain).sum())))
        .collect();
    let mut threshold =
        groups.first().map_or(0.0, |&(score, _)| f64::midpoint(score, score.max(1.0)));
    let (mut sum, mut best) = (0.0, 0.0);
    for (number, &(score, gain)) in groups.iter().enumerate() {
        sum += gain;
        if sum > best {
            best = sum;
            threshold = between(groups.get(number + 1).map(|next| next.0), score);
        }
    }
    Chosen { threshold, scores: apply(questions, threshold) }
}

/// A number under `kept`, half-way to the next score or to 0.
fn between(next: Option<f64>, kept: f64) -> f64 {
    let under = next.unwrap_or(if kept > 0.0 { 0.0 } else { kept - 1.0 });
    let middle = f64::midpoint(under, kept);
    // Neighbours have nothing between them.
    if middle < kept { middle } else { under }
}

/// Chooses on the questions with even numbers, from 0, and reports on those with odd ones.
#[must_use]
pub fn split_half(questions: &[Question<'_>]) -> SplitHalf {
    let half = |odd: usize| -> Vec<Question<'_>> {
        questions.iter().skip(odd).step_by(2).copied().collect()
    };
    let Chosen { threshold, scores } = best(&half(0));
    SplitHalf { threshold, chosen_on: scores, reported_on: apply(&half(1), threshold) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<'a>(gold: &'a [String], predicted: &'a str, score: f64) -> Question<'a> {
        Question { gold, predicted, score }
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-12
    }

    #[test]
    fn an_answer_at_the_threshold_is_dropped() {
        let x = ["x".to_owned()];
        let question = [ask(&x, "x", 0.5)];
        assert!(close(apply(&question, 0.5).all.f1, 0.0));
        assert!(close(apply(&question, 0.49).all.f1, 1.0));
    }

    #[test]
    fn the_best_threshold_keeps_what_helps() {
        let x = ["x".to_owned()];
        let questions =
            [ask(&[], "y", 0.4), ask(&x, "x", 0.8), ask(&[], "y", 0.3), ask(&x, "x", 0.35)];
        // Kept from the top: +1, then -1, +1, -1.
        let chosen = best(&questions);
        assert!(close(chosen.threshold, 0.6));
        assert!(close(chosen.scores.all.f1, 0.75));
    }

    #[test]
    fn dropping_everything_can_be_best() {
        let questions = [ask(&[], "y", 0.4), ask(&[], "z", 0.9)];
        let chosen = best(&questions);
        assert!(close(chosen.threshold, 0.95));
        assert!(close(chosen.scores.all.f1, 1.0));
        assert!(close(best(&[]).threshold, 0.0));
    }

    #[test]
    fn answers_of_one_score_go_together() {
        let x = ["x".to_owned()];
        let questions = [ask(&x, "x", 0.5), ask(&[], "y", 0.5), ask(&[], "y", 0.5)];
        assert!(close(best(&questions).scores.all.f1, 2.0 / 3.0));
    }

    #[test]
    fn all_can_be_kept() {
        let x = ["x".to_owned()];
        assert!(close(best(&[ask(&x, "x", 0.5)]).scores.all.f1, 1.0));
        assert!(close(best(&[ask(&x, "x", 0.0)]).scores.all.f1, 1.0));
    }

    #[test]
    fn one_half_chooses_and_the_other_reports() {
        let x = ["x".to_owned()];
        let questions =
            [ask(&x, "x", 0.8), ask(&[], "y", 0.5), ask(&[], "y", 0.4), ask(&x, "x", 0.5)];
        let halves = split_half(&questions);
        assert!(close(halves.threshold, 0.6));
        assert!(close(halves.chosen_on.all.f1, 1.0));
        assert!(close(halves.reported_on.all.f1, 0.5));
    }
}
