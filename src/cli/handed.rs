//! What the caller has got already: results that come again are dropped, those of a later part are moved to their place.
//!
//! A document that is sent anew gives equal results with equal ordinals as long as the fingerprint is the same. With
//! another one, what was handed out is void.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{
    Answer, Argument, Class, Event, Mention, Relation, Results, Span, SummarySpan, Warning,
};
use super::place::Place;

/// What was handed out of one input.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// Of the server that read what was handed out of this part.
    fingerprint: Option<String>,
    /// The next ordinal of each task in this part.
    next: BTreeMap<String, u64>,
    warnings: BTreeSet<(String, String)>,
    /// Where this part starts, and how many results each task had before it.
    start: Place,
    before: BTreeMap<String, u64>,
}

impl Handed {
    /// Whether the server that answers now has another fingerprint than the one before it.
    pub(super) fn is_void(&self, fingerprint: &str) -> bool {
        self.fingerprint.as_deref().is_some_and(|known| known != fingerprint)
    }

    /// Whether a server with this fingerprint gave what was handed out of this part, if anything was.
    pub(super) fn knows(&self, fingerprint: &str) -> bool {
        self.fingerprint.as_deref() == Some(fingerprint)
    }

    /// Whether results of this part were handed out.
    pub(super) fn has_results(&self) -> bool {
        !self.next.is_empty()
    }

    /// Goes on with a server; what another one gave is forgotten.
    pub(super) fn go_on(&mut self, fingerprint: &str) {
        if self.is_void(fingerprint) {
            self.next.clear();
            self.warnings.clear();
        }
        self.fingerprint = Some(fingerprint.to_owned());
    }

    /// What follows is a document of its own that starts there.
    pub(super) fn start_part(&mut self, start: Place) {
        for (task, count) in std::mem::take(&mut self.next) {
            *self.before.entry(task).or_default() += count;
        }
        self.fingerprint = None;
        self.start = start;
    }

    /// Where the part starts.
    pub(super) fn start(&self) -> Place {
        self.start
    }

    /// The event as the caller wants it; `None` where there is nothing new in it.
    pub(super) fn news(&mut self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Results(results) => {
                let new = Results {
                    mentions: self.new_ones(results.mentions),
                    relations: self.new_ones(results.relations),
                    answers: self.new_ones(results.answers),
                    summary: self.new_ones(results.summary),
                    classes: self.new_ones(results.classes),
                };
                if new == Results::default() {
                    return None;
                }
                Event::Results(new)
            }
            Event::Interim { task, results } => {
                Event::Interim { task, results: self.moved(results) }
            }
            Event::Progress { watermark } => {
                Event::Progress { watermark: watermark + self.start.bytes }
            }
            Event::Warning(warning) => {
                let Warning { reason, message } = &warning;
                if !self.warnings.insert((reason.clone(), message.clone())) {
                    return None;
                }
                Event::Warning(warning)
            }
            other => other,
        })
    }

    fn new_ones<R: Numbered>(&mut self, results: Vec<R>) -> Vec<R> {
        let mut new = Vec::with_capacity(results.len());
        for mut result in results {
            let (task, ordinal) = result.number();
            let next = self.next.entry(task.to_owned()).or_default();
            if *ordinal < *next {
                continue;
            }
            *next = *ordinal + 1;
            *ordinal += self.before.get(task).copied().unwrap_or_default();
            self.shift(&mut result);
            new.push(result);
        }
        new
    }

    fn moved(&self, mut results: Results) -> Results {
        results.mentions.iter_mut().for_each(|result| self.shift(result));
        results.relations.iter_mut().for_each(|result| self.shift(result));
        results.answers.iter_mut().for_each(|result| self.shift(result));
        results.summary.iter_mut().for_each(|result| self.shift(result));
        results.classes.iter_mut().for_each(|result| self.shift(result));
        results
    }

    fn shift(&self, result: &mut impl Numbered) {
        let by = |range: &mut [u64; 2], start| range.iter_mut().for_each(|at| *at += start);
        for span in result.spans().into_iter().flatten() {
            by(&mut span.bytes, self.start.bytes);
            by(&mut span.chars, self.start.chars);
            if let Some(utf16) = &mut span.utf16 {
                by(utf16, self.start.utf16);
            }
        }
    }
}

/// A result of any kind.
trait Numbered {
    /// Its task, and its number within the task.
    fn number(&mut self) -> (&str, &mut u64);
    /// Where it lies.
    fn spans(&mut self) -> [Option<&mut Span>; 2];
}

impl Numbered for Mention {
    fn number(&mut self) -> (&str, &mut u64) {
        (&self.task, &mut self.ordinal)
    }

    fn spans(&mut self) -> [Option<&mut Span>; 2] {
        [Some(&mut self.span), None]
    }
}

impl Numbered for Relation {
    fn number(&mut self) -> (&str, &mut u64) {
        (&self.task, &mut self.ordinal)
    }

    fn spans(&mut self) -> [Option<&mut Span>; 2] {
        let (Argument { span: head, .. }, Argument { span: tail, .. }) =
            (&mut self.head, &mut self.tail);
        [Some(head), Some(tail)]
    }
}

impl Numbered for Answer {
    fn number(&mut self) -> (&str, &mut u64) {
        (&self.task, &mut self.ordinal)
    }

    fn spans(&mut self) -> [Option<&mut Span>; 2] {
        [self.span.as_mut(), None]
    }
}

impl Numbered for SummarySpan {
    fn number(&mut self) -> (&str, &mut u64) {
        (&self.task, &mut self.ordinal)
    }

    fn spans(&mut self) -> [Option<&mut Span>; 2] {
        [Some(&mut self.span), None]
    }
}

impl Numbered for Class {
    fn number(&mut self) -> (&str, &mut u64) {
        (&self.task, &mut self.ordinal)
    }

    fn spans(&mut self) -> [Option<&mut Span>; 2] {
        [Some(&mut self.span), None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(task: &str, ordinal: u64) -> Answer {
        let (bytes, chars, utf16) = ([ordinal, ordinal + 1], [ordinal, ordinal + 1], None);
        let span = Some(Span { bytes, chars, utf16, text: String::new() });
        Answer { task: task.to_owned(), ordinal, question_index: 0, rank: 0, score: 0.5, span }
    }

    fn tell(handed: &mut Handed, answers: &[(&str, u64)]) -> Vec<(String, u64, u64)> {
        let answers = answers.iter().map(|(task, ordinal)| answer(task, *ordinal)).collect();
        match handed.news(Event::Results(Results { answers, ..Results::default() })) {
            Some(Event::Results(results)) => {
                let told = |answer: &Answer| {
                    (answer.task.clone(), answer.ordinal, answer.span.as_ref().unwrap().bytes[0])
                };
                results.answers.iter().map(told).collect()
            }
            None => Vec::new(),
            Some(other) => panic!("{other:?}"),
        }
    }

    fn of(task: &str, ordinal: u64, at: u64) -> (String, u64, u64) {
        (task.to_owned(), ordinal, at)
    }

    #[test]
    fn a_result_that_comes_again_is_dropped_task_by_task() {
        let mut handed = Handed::default();
        handed.go_on("x");
        assert_eq!(tell(&mut handed, &[("a", 0), ("a", 1)]), [of("a", 0, 0), of("a", 1, 1)]);
        handed.go_on("x");
        assert_eq!(tell(&mut handed, &[("a", 0), ("b", 0)]), [of("b", 0, 0)]);
        assert_eq!(tell(&mut handed, &[("a", 1), ("a", 2)]), [of("a", 2, 2)]);
        assert_eq!(handed.news(Event::Results(Results::default())), None);
    }

    #[test]
    fn with_another_fingerprint_everything_is_new() {
        let mut handed = Handed::default();
        assert!(!handed.is_void("x"), "nothing was handed out");
        handed.go_on("x");
        assert!(!handed.has_results());
        tell(&mut handed, &[("a", 0)]);
        assert!(handed.has_results() && !handed.is_void("x") && handed.is_void("y"));
        handed.go_on("y");
        assert_eq!(tell(&mut handed, &[("a", 0)]), [of("a", 0, 0)]);
    }

    #[test]
    fn a_later_part_goes_on_counting_where_the_one_before_ended() {
        let mut handed = Handed::default();
        handed.go_on("x");
        tell(&mut handed, &[("a", 0), ("a", 1), ("b", 0)]);
        handed.start_part(Place { bytes: 100, chars: 90, utf16: 95 });
        handed.go_on("y");
        assert_eq!(tell(&mut handed, &[("a", 0), ("c", 0)]), [of("a", 2, 100), of("c", 0, 100)]);
        handed.start_part(Place { bytes: 200, chars: 180, utf16: 190 });
        assert_eq!(tell(&mut handed, &[("a", 0), ("b", 0)]), [of("a", 3, 200), of("b", 1, 200)]);
        let progress = handed.news(Event::Progress { watermark: 5 });
        assert_eq!(progress, Some(Event::Progress { watermark: 205 }));
        let both = |at| {
            Some(Span { bytes: [at; 2], chars: [at; 2], utf16: Some([at; 2]), text: String::new() })
        };
        let interim = |span| Event::Interim {
            task: "a".to_owned(),
            results: Results {
                answers: vec![Answer { span, ..answer("a", 0) }],
                ..Results::default()
            },
        };
        let moved =
            Span { bytes: [207; 2], chars: [187; 2], utf16: Some([197; 2]), text: String::new() };
        assert_eq!(handed.news(interim(both(7))), Some(interim(Some(moved))));
    }

    #[test]
    fn a_warning_is_told_once() {
        let told = |reason: &str| {
            Event::Warning(Warning { reason: reason.to_owned(), message: "m".to_owned() })
        };
        let mut handed = Handed::default();
        assert!(handed.news(told("A")).is_some());
        assert!(handed.news(told("A")).is_none());
        assert!(handed.news(told("B")).is_some());
    }
}
