//! Stage 7: candidates of all windows to final mentions, cluster by cluster.
//!
//! The reference selects greedily over a whole text: by falling score, equal scores in enumeration
//! order, a candidate is taken if it conflicts with none taken before. Every conflict needs an
//! overlap, so the same selection over each cluster of overlapping candidates gives the same result,
//! and a cluster is final as soon as nothing later can touch it.
//!
//! Candidates come in enumeration order of the document, whatever order windows finished in (P2).

use std::collections::{BTreeMap, BTreeSet};

use super::decode::Candidate;
use super::schema::{LabelsPerSpan, Overlap};

/// How candidates exclude each other, and how many are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectionRules {
    /// Whether mentions may lie in one another.
    pub overlap: Overlap,
    /// Whether equal ranges may carry several labels.
    pub labels_per_span: LabelsPerSpan,
    /// Candidates of a cluster; at the bound it is decided as if nothing followed.
    pub candidates_max: usize,
    /// Words from a cluster's start to the start of its last candidate, likewise.
    pub words_max: u64,
}

/// Selects mentions from candidates that come in enumeration order.
#[derive(Debug)]
pub struct Selection {
    rules: SelectionRules,
    cluster: Vec<Candidate>,
    cluster_end: u64,
    /// Mentions of a cluster that was decided early and may still be touched by what follows.
    decided: Vec<Candidate>,
    forced: u64,
}

impl Selection {
    /// An empty selection.
    #[must_use]
    pub fn new(rules: SelectionRules) -> Self {
        Self { rules, cluster: Vec::new(), cluster_end: 0, decided: Vec::new(), forced: 0 }
    }

    /// Clusters that were decided early because they reached a bound.
    #[must_use]
    pub fn forced(&self) -> u64 {
        self.forced
    }

    /// First word of the open cluster: nothing before it changes any more.
    #[must_use]
    pub fn open_from(&self) -> Option<u64> {
        self.cluster.first().map(|first| first.start)
    }

    /// Takes the next candidate in enumeration order and hands out what it makes final.
    pub fn push(&mut self, candidate: Candidate, sink: &mut impl FnMut(Candidate)) {
        if let Some(first) = self.cluster.first() {
            if candidate.start >= self.cluster_end {
                self.close(sink);
            } else if self.cluster.len() >= self.rules.candidates_max
                || candidate.start - first.start >= self.rules.words_max
            {
                self.forced += 1;
                self.close(sink);
            }
        }
        if self.cluster.is_empty() {
            self.decided.retain(|mention| mention.end > candidate.start);
        }
        self.cluster_end = self.cluster_end.max(candidate.end);
        self.cluster.push(candidate);
    }

    /// Takes the candidates of the next window, in any order, whose core ends before `core_end`.
    pub fn take(
        &mut self,
        mut candidates: Vec<Candidate>,
        core_end: u64,
        sink: &mut impl FnMut(Candidate),
    ) {
        candidates.sort_by_key(Candidate::enumeration_key);
        for candidate in candidates {
            self.push(candidate, sink);
        }
        self.advance(core_end, sink);
    }

    /// States that every later candidate starts at `frontier` or behind it.
    pub fn advance(&mut self, frontier: u64, sink: &mut impl FnMut(Candidate)) {
        if !self.cluster.is_empty() && self.cluster_end <= frontier {
            self.close(sink);
        }
    }

    fn close(&mut self, sink: &mut impl FnMut(Candidate)) {
        let mut by_score = std::mem::take(&mut self.cluster);
        // Stable, so that equal scores keep their enumeration order.
        by_score.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut taken = Taken::new(self.rules, &self.decided);
        let mut mentions: Vec<_> = by_score.into_iter().filter(|c| taken.takes(c)).collect();
        // Stable again: equal starts stay in the order of selection.
        mentions.sort_by_key(|mention| mention.start);
        for &mention in &mentions {
            sink(mention);
        }
        self.decided.append(&mut mentions);
    }
}

/// What was taken so far, in the shape that makes the question "does this conflict?" cheap.
enum Taken {
    /// Flat mentions are disjoint, so only the last one that starts before a candidate's end matters.
    Flat { ends_by_start: BTreeMap<u64, u64>, labels_per_span: LabelsPerSpan },
    /// Of the mentions with one start only the longest can cross a candidate if any does, likewise of
    /// those with one end, so a candidate costs a look at its own words and not at all mentions.
    Nested {
        last_end_by_start: BTreeMap<u64, u64>,
        first_start_by_end: BTreeMap<u64, u64>,
        ranges: BTreeSet<(u64, u64)>,
        labels_per_span: LabelsPerSpan,
    },
}

impl Taken {
    fn new(rules: SelectionRules, decided: &[Candidate]) -> Self {
        let labels_per_span = rules.labels_per_span;
        let mut taken = match rules.overlap {
            Overlap::Flat => Self::Flat { ends_by_start: BTreeMap::new(), labels_per_span },
            Overlap::Nested => Self::Nested {
                last_end_by_start: BTreeMap::new(),
                first_start_by_end: BTreeMap::new(),
                ranges: BTreeSet::new(),
                labels_per_span,
            },
        };
        for mention in decided {
            taken.add(mention);
        }
        taken
    }

    fn add(&mut self, mention: &Candidate) {
        let (start, end) = (mention.start, mention.end);
        match self {
            Self::Flat { ends_by_start, .. } => {
                ends_by_start.insert(start, end);
            }
            Self::Nested { last_end_by_start, first_start_by_end, ranges, .. } => {
                let last_end = last_end_by_start.entry(start).or_insert(end);
                *last_end = end.max(*last_end);
                let first_start = first_start_by_end.entry(end).or_insert(start);
                *first_start = start.min(*first_start);
                ranges.insert((start, end));
            }
        }
    }

    /// Takes the candidate unless it conflicts with one taken before.
    fn takes(&mut self, candidate: &Candidate) -> bool {
        let takes = self.admits(candidate.start, candidate.end);
        if takes {
            self.add(candidate);
        }
        takes
    }

    fn admits(&self, start: u64, end: u64) -> bool {
        match self {
            Self::Flat { ends_by_start, labels_per_span } => {
                let before_end = ends_by_start.range(..end).next_back();
                let Some(taken) = before_end.filter(|&(_, &taken_end)| taken_end > start) else {
                    return true;
                };
                taken == (&start, &end) && *labels_per_span == LabelsPerSpan::Many
            }
            Self::Nested { last_end_by_start, first_start_by_end, ranges, labels_per_span } => {
                if ranges.contains(&(start, end)) {
                    return *labels_per_span == LabelsPerSpan::Many;
                }
                let inside = start + 1..end;
                let crosses_end =
                    last_end_by_start.range(inside.clone()).any(|(_, &last)| last > end);
                let crosses_start =
                    first_start_by_end.range(inside).any(|(_, &first)| first < start);
                !crosses_end && !crosses_start
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(start: u64, end: u64, label: u32, score: f32) -> Candidate {
        Candidate { start, end, label, score }
    }

    fn rules(overlap: Overlap, labels_per_span: LabelsPerSpan) -> SelectionRules {
        SelectionRules { overlap, labels_per_span, candidates_max: 1000, words_max: 1000 }
    }

    fn select(rules: SelectionRules, candidates: &[Candidate]) -> Vec<(u64, u64, u32)> {
        let mut selection = Selection::new(rules);
        let mut found = Vec::new();
        for &c in candidates {
            selection.push(c, &mut |m| found.push((m.start, m.end, m.label)));
        }
        selection.advance(u64::MAX, &mut |m| found.push((m.start, m.end, m.label)));
        found
    }

    #[test]
    fn keeps_the_best_of_each_conflict_over_the_whole_cluster() {
        // A left-to-right pass would keep only the last.
        let chain = [candidate(0, 3, 0, 0.7), candidate(1, 5, 0, 0.8), candidate(3, 6, 0, 0.9)];
        assert_eq!(
            select(rules(Overlap::Flat, LabelsPerSpan::One), &chain),
            [(0, 3, 0), (3, 6, 0)]
        );
    }

    #[test]
    fn keeps_a_mention_that_touches_the_next() {
        let touching = [candidate(0, 2, 0, 0.6), candidate(2, 3, 0, 0.9)];
        assert_eq!(select(rules(Overlap::Flat, LabelsPerSpan::One), &touching).len(), 2);
    }

    #[test]
    fn follows_the_table_of_the_reference_for_equal_inner_and_crossing_spans() {
        let equal = [candidate(0, 2, 0, 0.9), candidate(0, 2, 1, 0.8)];
        let inner = [candidate(0, 4, 0, 0.9), candidate(1, 2, 0, 0.8)];
        let crossing = [candidate(0, 2, 0, 0.9), candidate(1, 3, 0, 0.8)];
        for (overlap, labels, kept) in [
            (Overlap::Flat, LabelsPerSpan::One, [1, 1, 1]),
            (Overlap::Flat, LabelsPerSpan::Many, [2, 1, 1]),
            (Overlap::Nested, LabelsPerSpan::One, [1, 2, 1]),
            (Overlap::Nested, LabelsPerSpan::Many, [2, 2, 1]),
        ] {
            let counts =
                [&equal, &inner, &crossing].map(|c| select(rules(overlap, labels), c).len());
            assert_eq!(counts, kept, "{overlap:?} {labels:?}");
        }
    }

    #[test]
    fn breaks_ties_by_start_then_label_then_end() {
        let tied = [candidate(0, 3, 0, 0.5), candidate(0, 1, 1, 0.5), candidate(2, 4, 0, 0.5)];
        assert_eq!(select(rules(Overlap::Flat, LabelsPerSpan::One), &tied), [(0, 3, 0)]);
    }

    #[test]
    fn selects_from_many_nested_candidates_without_a_look_at_all_pairs() {
        // All pairs would take minutes.
        let words = 200_000;
        let whole = candidate(0, words, 0, 0.9);
        let candidates: Vec<_> =
            [whole].into_iter().chain((0..words).map(|at| candidate(at, at + 1, 0, 0.5))).collect();
        let rules = SelectionRules {
            candidates_max: usize::MAX,
            words_max: u64::MAX,
            ..rules(Overlap::Nested, LabelsPerSpan::One)
        };
        assert_eq!(select(rules, &candidates).len(), candidates.len());
    }

    #[test]
    fn decides_early_at_the_bound_and_never_contradicts_itself() {
        let chain: Vec<_> =
            (0..100).map(|i| candidate(i, i + 2, 0, 0.5 + i as f32 / 1000.0)).collect();
        for (candidates_max, words_max) in [(7, 1000), (1000, 7)] {
            let rules = SelectionRules {
                candidates_max,
                words_max,
                ..rules(Overlap::Flat, LabelsPerSpan::One)
            };
            let found = select(rules, &chain);
            assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{found:?}");
            assert!(found.len() > 30);
        }
    }
}
