//! Classification: accuracy, and macro F1 as scikit-learn's `f1_score(average="macro")`, over the classes that are in
//! the gold or in the predictions.
//!
//! A text without a predicted class is wrong. "None" is not a class, so it has no F1 of its own in the mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::counts::{Tally, fraction};

/// A text that was classified.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Name of the set that it is from.
    pub set: &'a str,
    /// Its class.
    pub gold: &'a str,
    /// The class that was found.
    pub predicted: Option<&'a str>,
}

/// Scores of some of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How many.
    pub examples: usize,
    /// How many of them are right.
    pub accuracy: f64,
    /// The mean F1 of the classes.
    pub macro_f1: f64,
}

/// Scores of all texts.
#[must_use]
pub fn score(choices: &[Choice<'_>]) -> Scores {
    let mut tally = Tally::default();
    for choice in choices {
        let predicted: BTreeSet<_> = choice.predicted.into_iter().collect();
        tally.add(&BTreeSet::from([choice.gold]), &predicted, |class| class);
    }
    let accuracy = fraction(tally.all.hits, choices.len() as u64);
    Scores { examples: choices.len(), accuracy, macro_f1: tally.macro_f1() }
}

/// Scores of each set, by its name.
#[must_use]
pub fn by_set(choices: &[Choice<'_>]) -> BTreeMap<String, Scores> {
    let mut sets: BTreeMap<&str, Vec<Choice<'_>>> = BTreeMap::new();
    for &choice in choices {
        sets.entry(choice.set).or_default().push(choice);
    }
    sets.into_iter().map(|(set, choices)| (set.to_owned(), score(&choices))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice<'a>(set: &'a str, gold: &'a str, predicted: &'a str) -> Choice<'a> {
        Choice { set, gold, predicted: Some(predicted).filter(|class| !class.is_empty()) }
    }

    #[test]
    fn macro_f1_is_over_the_classes_of_gold_and_predictions() {
        let choices = [choice("s", "a", "a"), choice("s", "a", "b"), choice("s", "c", "c")];
        let scores = score(&choices);
        assert!((scores.accuracy - 2.0 / 3.0).abs() < 1e-12);
        // a: 2/3, b: 0, c: 1.
        assert!((scores.macro_f1 - 5.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn no_class_is_wrong_and_no_class_of_its_own() {
        let scores = score(&[choice("s", "a", "a"), choice("s", "a", "")]);
        assert!((scores.accuracy - 0.5).abs() < 1e-12);
        assert!((scores.macro_f1 - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn sets_have_scores_of_their_own() {
        let sets = by_set(&[choice("s", "a", "a"), choice("t", "a", "b")]);
        assert_eq!(sets["s"], Scores { examples: 1, accuracy: 1.0, macro_f1: 1.0 });
        assert_eq!(sets["t"], Scores { examples: 1, ..Scores::default() });
    }
}
