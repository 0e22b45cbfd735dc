//! What comes back, from the wire to plain types.

use crate::cli::event::{
    Answer, Argument, Class, Done, Event, Extracted, Mention, Relation, Results, Span, SummarySpan,
    Warning,
};
use crate::wire;
use crate::wire::event::Kind;

/// The plain form of an event; `None` for a kind that this client does not know.
pub(super) fn event(event: wire::Event) -> Option<Event> {
    Some(match event.kind? {
        Kind::Ready(ready) => Event::Ready { fingerprint: ready.fingerprint },
        Kind::Mentions(list) => {
            Event::Results(Results { mentions: each(list.mentions, mention), ..Results::default() })
        }
        Kind::Relations(list) => Event::Results(Results {
            relations: each(list.relations, relation),
            ..Results::default()
        }),
        Kind::Answers(list) => {
            Event::Results(Results { answers: each(list.answers, answer), ..Results::default() })
        }
        Kind::Summary(list) => Event::Results(Results {
            summary: each(list.spans, summary_span),
            ..Results::default()
        }),
        Kind::Classes(list) => {
            Event::Results(Results { classes: each(list.classes, class), ..Results::default() })
        }
        Kind::Interim(interim) => Event::Interim {
            task: interim.task_id,
            results: results(interim.results.unwrap_or_default()),
        },
        Kind::Progress(progress) => Event::Progress { watermark: count(progress.watermark_bytes) },
        Kind::Warning(told) => Event::Warning(warning(told)),
        Kind::Draining(_) => Event::Draining,
        Kind::Done(told) => Event::Done(done(told)),
    })
}

/// The plain form of an answer to one text; `None` where it has no end.
pub(super) fn extracted(response: wire::ExtractResponse) -> Option<Extracted> {
    Some(Extracted {
        results: results(response.results.unwrap_or_default()),
        warnings: each(response.warnings, warning),
        done: done(response.done?),
    })
}

fn each<T, U>(list: Vec<T>, convert: fn(T) -> U) -> Vec<U> {
    list.into_iter().map(convert).collect()
}

fn results(results: wire::Results) -> Results {
    Results {
        mentions: each(results.mentions, mention),
        relations: each(results.relations, relation),
        answers: each(results.answers, answer),
        summary: each(results.summary_spans, summary_span),
        classes: each(results.classes, class),
    }
}

fn mention(mention: wire::Mention) -> Mention {
    Mention {
        task: mention.task_id,
        ordinal: count(mention.ordinal),
        label: mention.label,
        label_index: index(mention.label_index),
        score: mention.score,
        span: Span {
            bytes: range(mention.byte_range),
            chars: range(mention.codepoint_range),
            utf16: utf16(mention.utf16_range),
            text: mention.text,
        },
    }
}

fn relation(relation: wire::Relation) -> Relation {
    Relation {
        task: relation.task_id,
        ordinal: count(relation.ordinal),
        relation: relation.relation,
        relation_index: index(relation.relation_index),
        score: relation.score,
        head: argument(relation.head.unwrap_or_default()),
        tail: argument(relation.tail.unwrap_or_default()),
    }
}

fn argument(argument: wire::Argument) -> Argument {
    Argument {
        label: argument.label,
        label_index: index(argument.label_index),
        score: argument.score,
        span: Span {
            bytes: range(argument.byte_range),
            chars: range(argument.codepoint_range),
            utf16: utf16(argument.utf16_range),
            text: argument.text,
        },
    }
}

fn answer(answer: wire::Answer) -> Answer {
    let span = (!answer.no_answer).then(|| Span {
        bytes: range(answer.byte_range),
        chars: range(answer.codepoint_range),
        utf16: utf16(answer.utf16_range),
        text: answer.text,
    });
    Answer {
        task: answer.task_id,
        ordinal: count(answer.ordinal),
        question_index: index(answer.question_index),
        rank: count(answer.rank.into()),
        score: answer.score,
        span,
    }
}

fn summary_span(summary: wire::SummarySpan) -> SummarySpan {
    SummarySpan {
        task: summary.task_id,
        ordinal: count(summary.ordinal),
        score: summary.score,
        span: Span {
            bytes: range(summary.byte_range),
            chars: range(summary.codepoint_range),
            utf16: utf16(summary.utf16_range),
            text: summary.text,
        },
    }
}

fn class(class: wire::ClassScore) -> Class {
    Class {
        task: class.task_id,
        ordinal: count(class.ordinal),
        label: class.label,
        label_index: index(class.label_index),
        score: class.score,
        span: Span {
            bytes: range(class.byte_range),
            chars: range(class.codepoint_range),
            utf16: utf16(class.utf16_range),
            text: String::new(),
        },
    }
}

fn warning(warning: wire::Warning) -> Warning {
    Warning {
        reason: warning.code().as_str_name().trim_start_matches("WARNING_CODE_").to_owned(),
        message: warning.message,
    }
}

fn done(done: wire::Done) -> Done {
    let limits = done.limits_reached.iter().map(|limit| {
        let name =
            limit.limit().as_str_name().trim_start_matches("LIMIT_KIND_").to_ascii_lowercase();
        (name, count(limit.count))
    });
    let total =
        done.timings.and_then(|timings| timings.total).and_then(|total| total.try_into().ok());
    Done {
        total: total.unwrap_or_default(),
        received_bytes: count(done.received_bytes),
        words: count(done.words),
        windows: count(done.windows),
        results: done.results.iter().map(|task| count(task.results)).sum(),
        replaced_invalid: count(done.replaced_invalid),
        limits: limits.collect(),
        fingerprint: done.fingerprint,
    }
}

/// Counts and positions are never negative on the wire; a server that says otherwise is read as 0.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn index(value: i32) -> usize {
    usize::try_from(value).unwrap_or_default()
}

fn range(range: Option<wire::Range>) -> [u64; 2] {
    let range = range.unwrap_or_default();
    let start = count(range.start);
    [start, count(range.end).max(start)]
}

fn utf16(told: Option<wire::Range>) -> Option<[u64; 2]> {
    told.map(|told| range(Some(told)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: i64) -> Option<wire::Range> {
        Some(wire::Range { start, end: start + 2 })
    }

    fn span(start: u64, text: &str) -> Span {
        let at = |start: u64| [start, start + 2];
        Span {
            bytes: at(start),
            chars: at(start + 1),
            utf16: Some(at(start + 2)),
            text: text.to_owned(),
        }
    }

    fn wire_argument(start: i64, label: &str) -> wire::Argument {
        wire::Argument {
            label_index: 1,
            label: label.to_owned(),
            score: 0.75,
            byte_range: at(start),
            codepoint_range: at(start + 1),
            utf16_range: at(start + 2),
            text: "ab".to_owned(),
        }
    }

    #[test]
    fn a_relation_keeps_both_arguments_in_full() {
        let told = wire::Relation {
            task_id: "r".to_owned(),
            ordinal: 4,
            relation_index: 2,
            relation: "knows".to_owned(),
            score: 0.5,
            head: Some(wire_argument(10, "person")),
            tail: Some(wire_argument(20, "place")),
        };
        let argument = |start, label: &str| Argument {
            label: label.to_owned(),
            label_index: 1,
            score: 0.75,
            span: span(start, "ab"),
        };
        let expected = Relation {
            task: "r".to_owned(),
            ordinal: 4,
            relation: "knows".to_owned(),
            relation_index: 2,
            score: 0.5,
            head: argument(10, "person"),
            tail: argument(20, "place"),
        };
        assert!(relation(told) == expected);
    }

    #[test]
    fn no_answer_has_no_span() {
        let found = wire::Answer {
            task_id: "q".to_owned(),
            question_index: 3,
            rank: 1,
            score: 0.5,
            byte_range: at(5),
            codepoint_range: at(6),
            utf16_range: at(7),
            text: "ab".to_owned(),
            ..wire::Answer::default()
        };
        let none = wire::Answer { no_answer: true, question_index: 4, ..wire::Answer::default() };
        let read = (answer(found), answer(none));
        assert!(read.0.span == Some(span(5, "ab")), "{read:?}");
        assert_eq!((read.0.question_index, read.0.rank), (3, 1));
        assert_eq!((read.1.span, read.1.question_index), (None, 4));
    }

    #[test]
    fn numbers_that_no_server_should_send_are_read_as_0() {
        assert_eq!((count(-1), index(-1), range(None)), (0, 0, [0, 0]));
        assert_eq!(range(Some(wire::Range { start: 5, end: 2 })), [5, 5]);
    }

    #[test]
    fn an_answer_without_an_end_is_none() {
        assert!(extracted(wire::ExtractResponse::default()).is_none());
        let done = Some(wire::Done::default());
        let response = wire::ExtractResponse { done, ..wire::ExtractResponse::default() };
        assert!(extracted(response) == Some(Extracted::default()));
    }
}
