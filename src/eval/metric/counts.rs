//! Precision, recall and F1 of sets, and their sums over texts and labels.
//!
//! Sets, as in seqeval: what is predicted twice counts once. Micro sums over all texts, macro is the mean over the
//! labels that are in the gold or in the predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How two sets agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Predicted, and in the gold.
    pub hits: u64,
    /// Predicted, but not in the gold.
    pub false_alarms: u64,
    /// In the gold, but not predicted.
    pub misses: u64,
}

/// Precision, recall and their harmonic mean, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Precision: how much of what is predicted is right.
    pub p: f64,
    /// Recall: how much of the gold is predicted.
    pub r: f64,
    /// F1.
    pub f1: f64,
}

impl Counts {
    /// Compares two sets.
    #[must_use]
    pub fn of<T: Ord>(gold: &BTreeSet<T>, predicted: &BTreeSet<T>) -> Self {
        let mut counts = Self::default();
        for item in predicted {
            if gold.contains(item) { counts.hits += 1 } else { counts.false_alarms += 1 }
        }
        counts.misses = gold.difference(predicted).count() as u64;
        counts
    }

    /// How many there are in the gold.
    #[must_use]
    pub fn support(self) -> u64 {
        self.hits + self.misses
    }

    /// The scores; a fraction of nothing is 0.
    #[must_use]
    pub fn scores(self) -> Scores {
        let p = fraction(self.hits, self.hits + self.false_alarms);
        let r = fraction(self.hits, self.support());
        Scores { p, r, f1: self.f1() }
    }

    /// F1 alone.
    #[must_use]
    pub fn f1(self) -> f64 {
        fraction(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.false_alarms += other.false_alarms;
        self.misses += other.misses;
    }
}

/// `part / whole`, or 0 where there is nothing.
#[must_use]
pub fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The mean, or 0 of nothing.
#[must_use]
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0u64);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Counts of many texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub all: Counts,
    /// Of each text, in the order in which they were added: what the bootstrap draws from.
    pub texts: Vec<Counts>,
    /// Of each label that is in the gold or in a prediction.
    pub labels: BTreeMap<String, Counts>,
}

impl Tally {
    /// Adds what is in one text.
    pub fn add<T: Ord>(
        &mut self,
        gold: &BTreeSet<T>,
        predicted: &BTreeSet<T>,
        label: impl Fn(&T) -> &str,
    ) {
        let counts = Counts::of(gold, predicted);
        self.all += counts;
        self.texts.push(counts);
        for item in predicted {
            let counts = self.labels.entry(label(item).to_owned()).or_default();
            if gold.contains(item) { counts.hits += 1 } else { counts.false_alarms += 1 }
        }
        for item in gold.difference(predicted) {
            self.labels.entry(label(item).to_owned()).or_default().misses += 1;
        }
    }

    /// The mean F1 of the labels.
    #[must_use]
    pub fn macro_f1(&self) -> f64 {
        mean(self.labels.values().map(|counts| counts.f1()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_nothing_is_zero() {
        assert_eq!(Counts::default().scores(), Scores::default());
        let only_false = Counts { hits: 0, false_alarms: 2, misses: 0 };
        assert_eq!(only_false.scores(), Scores::default());
    }

    #[test]
    fn f1_is_the_harmonic_mean() {
        let Scores { p, r, f1 } = Counts { hits: 2, false_alarms: 1, misses: 2 }.scores();
        assert!((p - 2.0 / 3.0).abs() < 1e-12);
        assert!((r - 0.5).abs() < 1e-12);
        assert!((f1 - 4.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn a_tally_sums_texts_and_labels() {
        let mut tally = Tally::default();
        let gold = BTreeSet::from([(1, "a"), (2, "b")]);
        tally.add(&gold, &BTreeSet::from([(1, "a"), (2, "c")]), |item| item.1);
        tally.add(&BTreeSet::new(), &BTreeSet::from([(5, "a")]), |item| item.1);
        assert_eq!(tally.all, Counts { hits: 1, false_alarms: 2, misses: 1 });
        assert_eq!(tally.texts.len(), 2);
        assert_eq!(tally.labels["a"], Counts { hits: 1, false_alarms: 1, misses: 0 });
        assert_eq!(tally.labels["b"].support(), 1);
        // a: 2/3, b and c: 0.
        assert!((tally.macro_f1() - 2.0 / 9.0).abs() < 1e-12);
    }
}
