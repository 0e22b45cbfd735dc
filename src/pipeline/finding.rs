//! What tasks find. A finding is final; its numbers of labels, relations and questions count as the task's plan does.
//!
//! A task hands out where its findings stand in words ([`Place`]); positions and text ([`Span`]) are made when a finding
//! leaves, so that results that wait are small.

use std::fmt;

use super::offset::TextRange;

/// A final result of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Index of the task in the plan.
    pub task: usize,
    /// Number among the task's results, from 0.
    pub ordinal: u64,
    /// What it is.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding<S = Span> {
    /// A span of a label.
    Mention(Mention<S>),
    /// A head and a tail.
    Relation(Relation<S>),
    /// An answer to a question, or that there is none.
    Answer(Answer<S>),
    /// A span that belongs to the summary.
    Summary(SummarySpan<S>),
    /// A class of the document.
    Class(ClassScore),
}

/// A part of the document.
#[derive(Clone, PartialEq)]
pub struct Span {
    /// Where it stands.
    pub range: TextRange,
    /// Its text, if results carry text and no blank stretch without end stands in it.
    pub text: Option<String>,
}

/// Where a finding stands, before it leaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// From one word up to another, both still held.
    Words(u64, u64),
    /// Of a result that waited for the last window.
    Held(Span),
}

/// A span of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention<S = Span> {
    /// Index of the label in the task's plan.
    pub label: u32,
    /// Probability-like score.
    pub score: f32,
    /// Where it stands.
    pub span: S,
}

/// A head and a tail in a relation.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation<S = Span> {
    /// Index of the relation in the task's plan.
    pub relation: usize,
    /// Score of the tail, asked for with head and relation.
    pub score: f32,
    /// Where the relation starts from.
    pub head: Mention<S>,
    /// Where it leads to.
    pub tail: Mention<S>,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<S = Span> {
    /// Index of the question.
    pub question: usize,
    /// Place among the answers to it, from 0.
    pub rank: usize,
    /// Score and span; absent when nothing answers the question.
    pub best: Option<(f32, S)>,
}

/// A span that belongs to the summary.
#[derive(Clone, Debug, PartialEq)]
pub struct SummarySpan<S = Span> {
    /// Score; the best of several spans that were widened into one.
    pub score: f32,
    /// Where it stands.
    pub span: S,
}

/// A class of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScore {
    /// Index of the class in the task's plan.
    pub class: usize,
    /// Score over all windows.
    pub score: f32,
    /// What was read.
    pub range: TextRange,
}

impl<S> Mention<S> {
    fn map<T>(self, span: impl Fn(S) -> T) -> Mention<T> {
        Mention { label: self.label, score: self.score, span: span(self.span) }
    }
}

impl<S> Finding<S> {
    /// The same with other spans.
    pub fn map<T>(self, span: impl Fn(S) -> T) -> Finding<T> {
        match self {
            Self::Mention(found) => Finding::Mention(found.map(span)),
            Self::Relation(Relation { relation, score, head, tail }) => {
                let (head, tail) = (head.map(&span), tail.map(&span));
                Finding::Relation(Relation { relation, score, head, tail })
            }
            Self::Answer(Answer { question, rank, best }) => {
                let best = best.map(|(score, place)| (score, span(place)));
                Finding::Answer(Answer { question, rank, best })
            }
            Self::Summary(SummarySpan { score, span: place }) => {
                Finding::Summary(SummarySpan { score, span: span(place) })
            }
            Self::Class(class) => Finding::Class(class),
        }
    }
}

impl Finding {
    /// Where the finding starts: results with the text come by it.
    #[must_use]
    pub fn start(&self) -> u64 {
        match self {
            Self::Mention(Mention { span, .. }) | Self::Summary(SummarySpan { span, .. }) => {
                span.range.start.bytes
            }
            Self::Relation(relation) => {
                let [head, tail] =
                    [&relation.head, &relation.tail].map(|m| m.span.range.start.bytes);
                head.min(tail)
            }
            Self::Answer(answer) => {
                answer.best.as_ref().map_or(0, |(_, span)| span.range.start.bytes)
            }
            Self::Class(class) => class.range.start.bytes,
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("range", &self.range).finish_non_exhaustive()
    }
}
