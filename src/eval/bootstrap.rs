//! How sure a score is: the bootstrap over texts.
//!
//! Texts, not spans, are drawn with replacement, since the spans of a text are not independent. F1 is computed anew
//! over each draw; an interval holds the middle 95 % of the [`RESAMPLES`]. Two systems are compared on the same draws
//! (paired), which is much sharper than two intervals side by side. The generator and its seed are fixed, so the same
//! counts give the same interval anywhere.

use std::iter;

use serde::{Deserialize, Serialize};

use super::metric::counts::{Counts, fraction};

/// How often texts are drawn. With another seed an end of the interval moves by about 6 % of the standard deviation
/// of F1 (that of a quantile of so many draws), which is less than the first decimal of a percentage on some hundred
/// texts.
pub const RESAMPLES: usize = 2_000;

const SEED: u64 = 20_240_626;

/// The middle 95 % of a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 2.5 % are below.
    pub low: f64,
    /// 2.5 % are above.
    pub high: f64,
}

/// How much better one system is than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// F1 of the second minus F1 of the first, over all texts.
    pub f1: f64,
    /// Where that difference lies. If 0 is outside, it is no chance of these texts.
    pub interval: Interval,
    /// The part of the draws in which the second is not better.
    pub not_better: f64,
}

/// The counts are not of the same texts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one system has {first} texts, the other {second}; run both on the same file, in its order"
)]
pub struct NotPaired {
    /// Texts of the one.
    pub first: usize,
    /// Texts of the other.
    pub second: usize,
}

/// The interval of micro F1; `texts` are the counts of each text.
#[must_use]
pub fn interval(texts: &[Counts]) -> Interval {
    let draws = draws(texts.len());
    middle(draws.map(|draw| sum(texts, &draw).f1()).collect())
}

/// Compares two systems on the same texts, in the same order.
///
/// # Errors
/// Where there are more texts of one.
pub fn difference(first: &[Counts], second: &[Counts]) -> Result<Difference, NotPaired> {
    if first.len() != second.len() {
        return Err(NotPaired { first: first.len(), second: second.len() });
    }
    let whole: Vec<_> = (0..first.len()).collect();
    let between = |draw: &[usize]| sum(second, draw).f1() - sum(first, draw).f1();
    let differences: Vec<_> = draws(first.len()).map(|draw| between(&draw)).collect();
    let not_better = differences.iter().filter(|difference| **difference <= 0.0).count();
    Ok(Difference {
        f1: between(&whole),
        not_better: fraction(not_better as u64, RESAMPLES as u64),
        interval: middle(differences),
    })
}

fn sum(texts: &[Counts], draw: &[usize]) -> Counts {
    let mut sum = Counts::default();
    for counts in draw.iter().filter_map(|&text| texts.get(text)) {
        sum += *counts;
    }
    sum
}

/// Numbers of the texts of each draw.
fn draws(texts: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut generator = SplitMix64(SEED);
    let draw = move || (0..texts).map(|_| generator.below(texts)).collect();
    iter::repeat_with(draw).take(RESAMPLES)
}

/// The smallest value that is left when 2.5 % are cut off at the bottom, and the largest likewise.
fn middle(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 40;
    let low = values.get(cut).copied().unwrap_or_default();
    let high = values.iter().rev().nth(cut).copied().unwrap_or_default();
    Interval { low, high }
}

/// Vigna's SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1, each as likely but for 2^-64 * `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let scaled = (u128::from(self.next()) * bound as u128) >> 64;
        // Less than `bound`, so it always fits.
        usize::try_from(scaled).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(hits: u64, false_alarms: u64, misses: u64) -> Counts {
        Counts { hits, false_alarms, misses }
    }

    #[test]
    fn the_generator_is_that_of_vigna() {
        let mut generator = SplitMix64(1_234_567);
        let first =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([generator.next(), generator.next(), generator.next()], first);
    }

    #[test]
    fn an_interval_holds_the_score_and_shrinks_with_texts() {
        let few: Vec<_> =
            [counts(3, 1, 1), counts(0, 2, 2), counts(5, 0, 1), counts(1, 1, 0)].to_vec();
        let many = few.repeat(50);
        let mut f1 = Counts::default();
        few.iter().for_each(|text| f1 += *text);
        let (wide, narrow) = (interval(&few), interval(&many));
        assert!(wide.low < narrow.low && narrow.high < wide.high);
        assert!(narrow.low < f1.f1() && f1.f1() < narrow.high);
        assert_eq!(interval(&many), narrow);
    }

    #[test]
    fn texts_that_are_all_alike_leave_no_doubt() {
        let Interval { low, high } = interval(&[counts(1, 1, 1); 7]);
        assert!((low - 0.5).abs() < 1e-12 && (high - 0.5).abs() < 1e-12);
        assert_eq!(interval(&[]), Interval::default());
    }

    #[test]
    fn a_system_that_is_better_on_each_text_is_better_in_each_draw() {
        let first = [counts(1, 1, 1), counts(2, 2, 0), counts(0, 1, 3)];
        let second = [counts(2, 0, 0), counts(2, 1, 0), counts(1, 1, 2)];
        let found = difference(&first, &second).unwrap();
        assert!(found.interval.low > 0.0 && found.f1 > found.interval.low);
        assert!(found.not_better.abs() < 1e-12);
        let same = difference(&first, &first).unwrap();
        assert_eq!(same.interval, Interval::default());
        assert!((same.not_better - 1.0).abs() < 1e-12);
    }

    #[test]
    fn other_texts_are_not_compared() {
        let error = difference(&[counts(1, 0, 0)], &[]).unwrap_err();
        assert_eq!(error, NotPaired { first: 1, second: 0 });
    }
}
