//! Findings of the pipeline as results of the wire: with names, task ids and positions in the units that were asked for.

use prost::Message as _;

use super::models::narrow;
use super::order::Order;
use crate::pipeline::finding::{Finding, Found, Mention, Span};
use crate::pipeline::offset::{Position, TextRange};
use crate::pipeline::schema::{Label, Part};
use crate::pipeline::task::TaskKind;
use crate::pipeline::task::relations::Arguments;
use crate::wire;
use crate::wire::event::Kind;

/// One result.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of entities and open.
    Mention(wire::Mention),
    /// Of relations.
    Relation(wire::Relation),
    /// Of questions.
    Answer(wire::Answer),
    /// Of summary.
    Summary(wire::SummarySpan),
    /// Of classify.
    Class(wire::ClassScore),
}

impl Outcome {
    /// What metrics call its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mention(_) => "mentions",
            Self::Relation(_) => "relations",
            Self::Answer(_) => "answers",
            Self::Summary(_) => "summary",
            Self::Class(_) => "classes",
        }
    }

    /// Bytes of the message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Mention(message) => message.encoded_len(),
            Self::Relation(message) => message.encoded_len(),
            Self::Answer(message) => message.encoded_len(),
            Self::Summary(message) => message.encoded_len(),
            Self::Class(message) => message.encoded_len(),
        }
    }

    /// Adds this result to an event of its kind; gives it back where the event is of another.
    #[must_use]
    pub fn join(self, event: &mut Kind) -> Option<Self> {
        match (self, event) {
            (Self::Mention(message), Kind::Mentions(list)) => list.mentions.push(message),
            (Self::Relation(message), Kind::Relations(list)) => list.relations.push(message),
            (Self::Answer(message), Kind::Answers(list)) => list.answers.push(message),
            (Self::Summary(message), Kind::Summary(list)) => list.spans.push(message),
            (Self::Class(message), Kind::Classes(list)) => list.classes.push(message),
            (outcome, _) => return Some(outcome),
        }
        None
    }
}

impl From<Outcome> for Kind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Mention(message) => Self::Mentions(wire::Mentions { mentions: vec![message] }),
            Outcome::Relation(message) => {
                Self::Relations(wire::Relations { relations: vec![message] })
            }
            Outcome::Answer(message) => Self::Answers(wire::Answers { answers: vec![message] }),
            Outcome::Summary(message) => Self::Summary(wire::Summary { spans: vec![message] }),
            Outcome::Class(message) => Self::Classes(wire::Classes { classes: vec![message] }),
        }
    }
}

impl Order {
    /// A final result.
    #[must_use]
    pub fn outcome(&self, found: Found) -> Outcome {
        let task_id = self.task_ids[found.task].clone();
        let ordinal = signed(found.ordinal);
        let kind = &self.plan.tasks[found.task].kind;
        match (found.finding, kind) {
            (Finding::Mention(mention), TaskKind::Spans(plan)) => {
                let label = &plan.labels[mention.label as usize];
                self.mention((task_id, ordinal), label, mention)
            }
            (Finding::Relation(relation), TaskKind::Relations(plan)) => {
                let asked = &plan.relations[relation.relation];
                Outcome::Relation(wire::Relation {
                    task_id,
                    ordinal,
                    relation_index: narrow(relation.relation),
                    relation: asked.label.name.to_string(),
                    score: relation.score,
                    head: Some(self.argument(&plan.labels, &asked.heads, relation.head)),
                    tail: Some(self.argument(&plan.labels, &asked.tails, relation.tail)),
                })
            }
            (Finding::Answer(answer), _) => {
                let mut message = wire::Answer {
                    task_id,
                    ordinal,
                    question_index: narrow(answer.question),
                    rank: narrow(answer.rank),
                    no_answer: answer.best.is_none(),
                    ..wire::Answer::default()
                };
                if let Some((score, span)) = answer.best {
                    message.score = score;
                    let ranges = self.ranges(span.range);
                    (message.byte_range, message.codepoint_range, message.utf16_range) = ranges;
                    message.text = span.text.unwrap_or_default();
                }
                Outcome::Answer(message)
            }
            (Finding::Summary(summary), _) => {
                let Span { range, text } = summary.span;
                let (byte_range, codepoint_range, utf16_range) = self.ranges(range);
                Outcome::Summary(wire::SummarySpan {
                    task_id,
                    ordinal,
                    score: summary.score,
                    byte_range,
                    codepoint_range,
                    utf16_range,
                    text: text.unwrap_or_default(),
                })
            }
            (Finding::Class(class), TaskKind::Classify(plan)) => {
                let label = &plan.classes[class.class];
                let (byte_range, codepoint_range, utf16_range) = self.ranges(class.range);
                Outcome::Class(wire::ClassScore {
                    task_id,
                    ordinal,
                    label_index: request_index(label),
                    label: label.name.to_string(),
                    score: class.score,
                    byte_range,
                    codepoint_range,
                    utf16_range,
                })
            }
            (finding, _) => unreachable!("a task finds its own kind, not {finding:?}"),
        }
    }

    /// How the results of a task stand. Text that does not fit into a message of `bytes_max` is left out.
    #[must_use]
    pub fn interim(&self, task: usize, findings: Vec<Finding>, bytes_max: usize) -> wire::Interim {
        let mut results = wire::Results::default();
        let mut bytes = 0;
        for finding in findings {
            let with_text = self.outcome(Found { task, ordinal: 0, finding: finding.clone() });
            let outcome = if bytes + with_text.encoded_len() > bytes_max {
                let finding = finding.map(|span| Span { text: None, ..span });
                self.outcome(Found { task, ordinal: 0, finding })
            } else {
                with_text
            };
            bytes += outcome.encoded_len();
            match outcome {
                Outcome::Mention(message) => results.mentions.push(message),
                Outcome::Relation(message) => results.relations.push(message),
                Outcome::Answer(message) => results.answers.push(message),
                Outcome::Summary(message) => results.summary_spans.push(message),
                Outcome::Class(message) => results.classes.push(message),
            }
        }
        wire::Interim { task_id: self.task_ids[task].clone(), results: Some(results) }
    }

    fn mention(
        &self,
        (task_id, ordinal): (String, i64),
        label: &Label,
        mention: Mention,
    ) -> Outcome {
        let (byte_range, codepoint_range, utf16_range) = self.ranges(mention.span.range);
        Outcome::Mention(wire::Mention {
            task_id,
            ordinal,
            label_index: request_index(label),
            label: label.name.to_string(),
            score: mention.score,
            byte_range,
            codepoint_range,
            utf16_range,
            text: mention.span.text.unwrap_or_default(),
        })
    }

    fn argument(&self, labels: &[Label], listed: &Arguments, argument: Mention) -> wire::Argument {
        let (byte_range, codepoint_range, utf16_range) = self.ranges(argument.span.range);
        wire::Argument {
            label_index: narrow(listed.index(argument.label).unwrap_or_default()),
            label: labels[argument.label as usize].name.to_string(),
            score: argument.score,
            byte_range,
            codepoint_range,
            utf16_range,
            text: argument.span.text.unwrap_or_default(),
        }
    }

    /// A range in bytes, code points and, if asked for, UTF-16 units.
    fn ranges(&self, TextRange { start, end }: TextRange) -> Ranges {
        let range = |unit: fn(Position) -> u64| {
            Some(wire::Range { start: signed(unit(start)), end: signed(unit(end)) })
        };
        let utf16 = if self.utf16 { range(|place| place.utf16) } else { None };
        (range(|place| place.bytes), range(|place| place.chars), utf16)
    }
}

type Ranges = (Option<wire::Range>, Option<wire::Range>, Option<wire::Range>);

fn request_index(label: &Label) -> i32 {
    match label.part {
        Part::Label(index) => narrow(index),
        _ => 0,
    }
}

/// Counts and positions are signed on the wire; none is near 2^63.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
