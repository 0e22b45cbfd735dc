//! Relations: exact match, as sets.
//!
//! *Sentences.* Head and relation are given; each tail that is found is right or wrong, and each sentence has one to
//! find. So a model that says nothing loses recall, and one that says three things loses precision.
//!
//! *Documents.* A triple is head, relation and tail, in this direction; types of head and tail are not compared. It
//! is compared twice: by place, as people marked it, and by text (white space as one blank, without case), which also
//! accepts another mention of the same name in the document. The score by place is the stricter one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::counts::Tally;
use crate::eval::text::{ByteRange, is_white_space};

/// A relation between two places of a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Triple {
    /// Whose relation it is.
    pub head: ByteRange,
    /// Its name.
    pub relation: String,
    /// The other side.
    pub tail: ByteRange,
}

/// A sentence whose tail was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Sentence<'a> {
    /// Name of the relation.
    pub relation: &'a str,
    /// The tail.
    pub gold: ByteRange,
    /// What was found.
    pub predicted: &'a [ByteRange],
}

/// A document whose triples were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its text.
    pub text: &'a str,
    /// What people marked.
    pub gold: &'a [Triple],
    /// What was found.
    pub predicted: &'a [Triple],
}

/// Compares tails by place.
pub fn sentences<'a>(sentences: impl IntoIterator<Item = Sentence<'a>>) -> Tally {
    let mut tally = Tally::default();
    for Sentence { relation, gold, predicted } in sentences {
        let predicted = predicted.iter().map(|&tail| (tail, relation)).collect();
        tally.add(&BTreeSet::from([(gold, relation)]), &predicted, |tail| tail.1);
    }
    tally
}

/// Compares triples by place.
pub fn by_place<'a>(documents: impl IntoIterator<Item = Document<'a>>) -> Tally {
    let mut tally = Tally::default();
    for Document { gold, predicted, .. } in documents {
        tally.add(&gold.iter().collect(), &predicted.iter().collect(), |triple| &triple.relation);
    }
    tally
}

/// Compares triples by text.
pub fn by_text<'a>(documents: impl IntoIterator<Item = Document<'a>>) -> Tally {
    let mut tally = Tally::default();
    for Document { text, gold, predicted } in documents {
        let texts = |triples: &'a [Triple]| -> BTreeSet<(String, &str, String)> {
            let named = |triple: &'a Triple| {
                (name(text, triple.head), triple.relation.as_str(), name(text, triple.tail))
            };
            triples.iter().map(named).collect()
        };
        tally.add(&texts(gold), &texts(predicted), |triple| triple.1);
    }
    tally
}

/// The name at a place; a place that is not in the text has the empty one.
fn name(text: &str, place: ByteRange) -> String {
    let name = place.of(text).unwrap_or_default();
    let words: Vec<_> = name.split(is_white_space).filter(|word| !word.is_empty()).collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metric::counts::Counts;

    fn range(start: usize, end: usize) -> ByteRange {
        ByteRange { start, end }
    }

    fn triple(head: ByteRange, tail: ByteRange) -> Triple {
        Triple { head, relation: "met".to_owned(), tail }
    }

    #[test]
    fn each_sentence_has_one_tail_to_find() {
        let (right, wrong) = (range(0, 3), range(0, 4));
        let relation = "met";
        let found = [&[][..], &[right][..], &[wrong][..], &[right, wrong][..]];
        let tally = sentences(found.map(|predicted| Sentence { relation, gold: right, predicted }));
        assert_eq!(tally.all, Counts { hits: 2, false_alarms: 2, misses: 2 });
        assert_eq!(tally.labels["met"], tally.all);
    }

    #[test]
    fn another_mention_of_a_name_is_right_by_text_only() {
        let text = "Ann Li met Bo. ANN\nLI met Bo.";
        let gold = [triple(range(0, 6), range(11, 13))];
        let predicted = [triple(range(15, 21), range(26, 28))];
        let document = Document { text, gold: &gold, predicted: &predicted };
        assert_eq!(by_place([document]).all, Counts { hits: 0, false_alarms: 1, misses: 1 });
        assert_eq!(by_text([document]).all, Counts { hits: 1, false_alarms: 0, misses: 0 });
    }

    #[test]
    fn a_triple_the_other_way_round_is_another_one() {
        let gold = [triple(range(0, 3), range(8, 10))];
        let predicted = [triple(range(8, 10), range(0, 3))];
        let document = Document { text: "Ann met Bo", gold: &gold, predicted: &predicted };
        assert_eq!(by_place([document]).all.hits, 0);
        assert_eq!(by_text([document]).all.hits, 0);
    }
}
