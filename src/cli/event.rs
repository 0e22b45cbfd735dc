//! What a stream of results says, in plain types: the only form in which the rest of the command line sees the wire.

use std::fmt;
use std::time::Duration;

/// A part of the document.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Half-open range in bytes.
    pub(super) bytes: [u64; 2],
    /// Half-open range in code points.
    pub(super) chars: [u64; 2],
    /// Half-open range in UTF-16 code units; the server fills it when asked.
    pub(super) utf16: Option<[u64; 2]>,
    /// The text between.
    pub(super) text: String,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("bytes", &self.bytes)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// One final mention.
#[derive(Clone, PartialEq)]
pub(super) struct Mention {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0.
    pub(super) ordinal: u64,
    /// Label as asked for; `match` for an instruction.
    pub(super) label: String,
    /// First index of the label in the request.
    pub(super) label_index: usize,
    /// Probability.
    pub(super) score: f32,
    /// Where.
    pub(super) span: Span,
}

impl fmt::Debug for Mention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mention")
            .field("ordinal", &self.ordinal)
            .field("label_index", &self.label_index)
            .field("score", &self.score)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// Head or tail of a relation.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Argument {
    /// Label as asked for.
    pub(super) label: String,
    /// Its index in the relation's own list, or else among all labels of the task.
    pub(super) label_index: usize,
    /// Probability of the mention.
    pub(super) score: f32,
    /// Where.
    pub(super) span: Span,
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argument")
            .field("label_index", &self.label_index)
            .field("score", &self.score)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// One final relation.
#[derive(Clone, PartialEq)]
pub(super) struct Relation {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0.
    pub(super) ordinal: u64,
    /// Name as asked for.
    pub(super) relation: String,
    /// Its index in the request.
    pub(super) relation_index: usize,
    /// Probability.
    pub(super) score: f32,
    /// What it starts from.
    pub(super) head: Argument,
    /// What it leads to.
    pub(super) tail: Argument,
}

impl fmt::Debug for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relation")
            .field("ordinal", &self.ordinal)
            .field("relation_index", &self.relation_index)
            .field("score", &self.score)
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

/// An answer to a question, or that there is none. Without text of its own to hide, but for the span's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0.
    pub(super) ordinal: u64,
    /// Which question, from 0 as in the request.
    pub(super) question_index: usize,
    /// Place among the answers to this question, from 0, which is the best.
    pub(super) rank: u64,
    /// Probability; 0 where there is no answer.
    pub(super) score: f32,
    /// Where; `None` when nothing in the document answers the question.
    pub(super) span: Option<Span>,
}

/// A span of the summary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SummarySpan {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0.
    pub(super) ordinal: u64,
    /// Probability.
    pub(super) score: f32,
    /// Where.
    pub(super) span: Span,
}

/// A class of the document.
#[derive(Clone, PartialEq)]
pub(super) struct Class {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0, which is the best.
    pub(super) ordinal: u64,
    /// Name as asked for.
    pub(super) label: String,
    /// First index of the name in the request.
    pub(super) label_index: usize,
    /// Score over the whole document.
    pub(super) score: f32,
    /// What was read, without its text.
    pub(super) span: Span,
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class")
            .field("ordinal", &self.ordinal)
            .field("label_index", &self.label_index)
            .field("score", &self.score)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// Results, each list in order within a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Results {
    /// Of entities and instructions.
    pub(super) mentions: Vec<Mention>,
    /// Of relations.
    pub(super) relations: Vec<Relation>,
    /// Of questions.
    pub(super) answers: Vec<Answer>,
    /// Of the summary.
    pub(super) summary: Vec<SummarySpan>,
    /// Of the classification.
    pub(super) classes: Vec<Class>,
}

impl Results {
    /// Puts later results behind.
    pub(super) fn extend(&mut self, later: Self) {
        self.mentions.extend(later.mentions);
        self.relations.extend(later.relations);
        self.answers.extend(later.answers);
        self.summary.extend(later.summary);
        self.classes.extend(later.classes);
    }
}

/// Something the caller should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// Stable word.
    pub(super) reason: String,
    /// For people.
    pub(super) message: String,
}

/// The end of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// Bytes read.
    pub(super) received_bytes: u64,
    /// Words scored.
    pub(super) words: u64,
    /// Windows scored.
    pub(super) windows: u64,
    /// Results of all tasks.
    pub(super) results: u64,
    /// Invalid parts of the input that became U+FFFD.
    pub(super) replaced_invalid: u64,
    /// Limits that were reached, and how often.
    pub(super) limits: Vec<(String, u64)>,
    /// From the config to the end.
    pub(super) total: Duration,
    /// What makes results comparable.
    pub(super) fingerprint: String,
}

impl Done {
    /// Adds what is told at the end of a later part of the same input.
    pub(super) fn add(&mut self, later: Self) {
        self.received_bytes += later.received_bytes;
        self.words += later.words;
        self.windows += later.windows;
        self.results += later.results;
        self.replaced_invalid += later.replaced_invalid;
        for (name, count) in later.limits {
            match self.limits.iter_mut().find(|(known, _)| *known == name) {
                Some((_, total)) => *total += count,
                None => self.limits.push((name, count)),
            }
        }
        self.total += later.total;
        self.fingerprint = later.fingerprint;
    }
}

/// One thing that the server said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The stream is accepted.
    Ready {
        /// What makes results comparable.
        fingerprint: String,
    },
    /// Results, in order.
    Results(Results),
    /// What may become a result of one task; takes the place of the interim before it.
    Interim {
        /// Task that asked.
        task: String,
        /// Candidates; their ordinals are without meaning.
        results: Results,
    },
    /// Everything before this byte is final.
    Progress {
        /// Byte offset in the document.
        watermark: u64,
    },
    /// Something the caller should know.
    Warning(Warning),
    /// The server is about to stop, and goes on with this document for a while.
    Draining,
    /// The end.
    Done(Done),
}

/// Everything about one document that was read at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extracted {
    /// What was found.
    pub(super) results: Results,
    /// What the caller should know.
    pub(super) warnings: Vec<Warning>,
    /// Counts and times.
    pub(super) done: Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_two_parts_add_up() {
        let part = |words, limits: &[&str], fingerprint: &str| Done {
            words,
            limits: limits.iter().map(|name| ((*name).to_owned(), 2)).collect(),
            fingerprint: fingerprint.to_owned(),
            ..Done::default()
        };
        let mut total = part(1, &["a"], "x");
        total.add(part(4, &["a", "b"], "y"));
        let limits = vec![("a".to_owned(), 4), ("b".to_owned(), 2)];
        assert_eq!(total, Done { limits, ..part(5, &[], "y") });
    }

    #[test]
    fn debug_shows_no_text() {
        let hidden = || "hidden".to_owned();
        let span = Span { text: hidden(), ..Span::default() };
        let argument = Argument { label: hidden(), span: span.clone(), ..Argument::default() };
        let results = Results {
            mentions: vec![Mention {
                task: "t".to_owned(),
                ordinal: 0,
                label: hidden(),
                label_index: 0,
                score: 0.5,
                span: span.clone(),
            }],
            relations: vec![Relation {
                task: "t".to_owned(),
                ordinal: 0,
                relation: hidden(),
                relation_index: 0,
                score: 0.5,
                head: argument.clone(),
                tail: argument,
            }],
            answers: vec![Answer {
                task: "t".to_owned(),
                ordinal: 0,
                question_index: 0,
                rank: 0,
                score: 0.5,
                span: Some(span.clone()),
            }],
            summary: vec![SummarySpan {
                task: "t".to_owned(),
                ordinal: 0,
                score: 0.5,
                span: span.clone(),
            }],
            classes: vec![Class {
                task: "t".to_owned(),
                ordinal: 0,
                label: hidden(),
                label_index: 0,
                score: 0.5,
                span,
            }],
        };
        let mut twice = results.clone();
        twice.extend(results);
        let shown = format!("{twice:?}");
        assert!(
            !shown.contains("hidden") && shown.matches("text_bytes: 6").count() == 12,
            "{shown}"
        );
    }
}
