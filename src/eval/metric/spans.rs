//! Entities: a prediction is right where its first byte, its last byte and its label are.
//!
//! As seqeval 1.2.2 (`precision_score`, `recall_score`, `f1_score`): the entities of a text are a set, and 0/0 is 0.

use std::collections::BTreeSet;

use super::counts::Tally;
use crate::eval::text::Span;

/// Compares the spans of each text, gold first.
pub fn score<'a, Gold, Predicted>(texts: impl IntoIterator<Item = (Gold, Predicted)>) -> Tally
where
    Gold: IntoIterator<Item = &'a Span>,
    Predicted: IntoIterator<Item = &'a Span>,
{
    let mut tally = Tally::default();
    for (gold, predicted) in texts {
        let gold: BTreeSet<_> = gold.into_iter().collect();
        let predicted: BTreeSet<_> = predicted.into_iter().collect();
        tally.add(&gold, &predicted, |span| &span.label);
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::metric::counts::Counts;
    use crate::eval::text::ByteRange;

    fn span(start: usize, end: usize, label: &str) -> Span {
        Span::new(ByteRange { start, end }, label.to_owned())
    }

    #[test]
    fn start_end_and_label_must_be_right() {
        let gold = [span(0, 3, "a"), span(5, 8, "b"), span(9, 12, "a")];
        let predicted = [span(0, 3, "a"), span(5, 8, "a"), span(9, 11, "a")];
        let tally = score([(&gold, &predicted)]);
        assert_eq!(tally.all, Counts { hits: 1, false_alarms: 2, misses: 2 });
    }

    #[test]
    fn a_span_that_is_predicted_twice_counts_once() {
        let gold = [span(0, 3, "a")];
        let predicted = [span(0, 3, "a"), span(0, 3, "a")];
        assert_eq!(score([(&gold, &predicted)]).all, Counts { hits: 1, ..Counts::default() });
    }

    #[test]
    fn the_same_place_in_another_text_is_another_span() {
        let here = [span(0, 3, "a")];
        let tally = score([(&here[..], &[][..]), (&[][..], &here[..])]);
        assert_eq!(tally.all, Counts { hits: 0, false_alarms: 1, misses: 1 });
    }
}
