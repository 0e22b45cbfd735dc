//! JSON lines for programs. Keys and their order are part of the interface: `gleand extract --help` tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::super::asked::Asked;
use super::super::event::{
    Answer, Argument, Class, Done, Mention, Relation, Results, Span, SummarySpan, Warning,
};
use super::super::place::Place;

/// One line for each result.
pub(super) fn results(document: &str, asked: &Asked, results: &Results) -> String {
    let line =
        |r#type, task, ordinal, body| json(&ResultLine { r#type, document, task, ordinal, body });
    let mentions = results.mentions.iter().map(|found| {
        line("mention", found.task.as_str(), found.ordinal, Body::Mention(found.into()))
    });
    let relations = results.relations.iter().map(|found| {
        line("relation", found.task.as_str(), found.ordinal, Body::Relation(found.into()))
    });
    let answers = results.answers.iter().map(|found| {
        let body = Body::Answer(AnswerBody::new(asked, found));
        line("answer", found.task.as_str(), found.ordinal, body)
    });
    let summary = results.summary.iter().map(|found| {
        line("summary", found.task.as_str(), found.ordinal, Body::Summary(found.into()))
    });
    let classes = results
        .classes
        .iter()
        .map(|found| line("class", found.task.as_str(), found.ordinal, Body::Class(found.into())));
    mentions.chain(relations).chain(answers).chain(summary).chain(classes).collect()
}

/// What may become a result of one task.
pub(super) fn interim(document: &str, asked: &Asked, task: &str, results: &Results) -> String {
    let item = |r#type, body| Item { r#type, body };
    let mentions =
        results.mentions.iter().map(|found| item("mention", Body::Mention(found.into())));
    let relations =
        results.relations.iter().map(|found| item("relation", Body::Relation(found.into())));
    let answers = results
        .answers
        .iter()
        .map(|found| item("answer", Body::Answer(AnswerBody::new(asked, found))));
    let summary = results.summary.iter().map(|found| item("summary", Body::Summary(found.into())));
    let classes = results.classes.iter().map(|found| item("class", Body::Class(found.into())));
    let results = mentions.chain(relations).chain(answers).chain(summary).chain(classes).collect();
    json(&InterimLine { r#type: "interim", document, task, results })
}

/// Something the caller should know.
pub(super) fn warning(document: &str, Warning { reason, message }: &Warning) -> String {
    json(&WarningLine { r#type: "warning", document, reason, message })
}

/// Everything before this line is void, and comes again.
pub(super) fn discard(document: &str) -> String {
    json(&DiscardLine { r#type: "discard", document, discard: true })
}

/// What follows is a document of its own, which starts there.
pub(super) fn part(document: &str, part: u32, start: Place, fingerprint: &str) -> String {
    let Place { bytes, chars, utf16 } = start;
    json(&PartLine { r#type: "part", document, part, bytes, chars, utf16, fingerprint })
}

/// The last line.
pub(super) fn done(document: &str, done: &Done) -> String {
    json(&DoneLine {
        r#type: "done",
        document,
        received_bytes: done.received_bytes,
        words: done.words,
        windows: done.windows,
        results: done.results,
        replaced_invalid: done.replaced_invalid,
        limits: done.limits.iter().map(|(name, count)| (name.as_str(), *count)).collect(),
        total_ms: millis(done.total),
        fingerprint: &done.fingerprint,
    })
}

fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).expect("plain fields and string keys serialise");
    text.push('\n');
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct ResultLine<'a> {
    r#type: &'static str,
    document: &'a str,
    task: &'a str,
    ordinal: u64,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
struct InterimLine<'a> {
    r#type: &'static str,
    document: &'a str,
    task: &'a str,
    results: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Mention(LabelledBody<'a>),
    Relation(RelationBody<'a>),
    Answer(AnswerBody<'a>),
    Summary(SummaryBody<'a>),
    Class(ClassBody<'a>),
}

/// Of a mention, and of either end of a relation.
#[derive(Serialize)]
struct LabelledBody<'a> {
    label: &'a str,
    score: f32,
    bytes: [u64; 2],
    chars: [u64; 2],
    utf16: Option<[u64; 2]>,
    text: &'a str,
}

#[derive(Serialize)]
struct RelationBody<'a> {
    relation: &'a str,
    score: f32,
    head: LabelledBody<'a>,
    tail: LabelledBody<'a>,
}

/// Without an answer all that tells where is null.
#[derive(Serialize)]
struct AnswerBody<'a> {
    question_index: usize,
    question: &'a str,
    rank: u64,
    no_answer: bool,
    score: f32,
    bytes: Option<[u64; 2]>,
    chars: Option<[u64; 2]>,
    utf16: Option<[u64; 2]>,
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct SummaryBody<'a> {
    score: f32,
    bytes: [u64; 2],
    chars: [u64; 2],
    utf16: Option<[u64; 2]>,
    text: &'a str,
}

#[derive(Serialize)]
struct ClassBody<'a> {
    label: &'a str,
    score: f32,
    bytes: [u64; 2],
    chars: [u64; 2],
    utf16: Option<[u64; 2]>,
}

#[derive(Serialize)]
struct WarningLine<'a> {
    r#type: &'static str,
    document: &'a str,
    reason: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct DiscardLine<'a> {
    r#type: &'static str,
    document: &'a str,
    discard: bool,
}

#[derive(Serialize)]
struct PartLine<'a> {
    r#type: &'static str,
    document: &'a str,
    part: u32,
    bytes: u64,
    chars: u64,
    utf16: u64,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct DoneLine<'a> {
    r#type: &'static str,
    document: &'a str,
    received_bytes: u64,
    words: u64,
    windows: u64,
    results: u64,
    replaced_invalid: u64,
    limits: BTreeMap<&'a str, u64>,
    total_ms: u64,
    fingerprint: &'a str,
}

impl<'a> LabelledBody<'a> {
    fn new(label: &'a str, score: f32, span: &'a Span) -> Self {
        let Span { bytes, chars, utf16, text } = span;
        Self { label, score, bytes: *bytes, chars: *chars, utf16: *utf16, text }
    }
}

impl<'a> From<&'a Mention> for LabelledBody<'a> {
    fn from(mention: &'a Mention) -> Self {
        Self::new(&mention.label, mention.score, &mention.span)
    }
}

impl<'a> From<&'a Argument> for LabelledBody<'a> {
    fn from(argument: &'a Argument) -> Self {
        Self::new(&argument.label, argument.score, &argument.span)
    }
}

impl<'a> From<&'a Relation> for RelationBody<'a> {
    fn from(found: &'a Relation) -> Self {
        let Relation { relation, score, head, tail, .. } = found;
        Self { relation, score: *score, head: head.into(), tail: tail.into() }
    }
}

impl<'a> AnswerBody<'a> {
    fn new(asked: &'a Asked, answer: &'a Answer) -> Self {
        let span = answer.span.as_ref();
        Self {
            question_index: answer.question_index,
            question: asked.question(answer.question_index),
            rank: answer.rank,
            no_answer: span.is_none(),
            score: answer.score,
            bytes: span.map(|span| span.bytes),
            chars: span.map(|span| span.chars),
            utf16: span.and_then(|span| span.utf16),
            text: span.map(|span| span.text.as_str()),
        }
    }
}

impl<'a> From<&'a SummarySpan> for SummaryBody<'a> {
    fn from(summary: &'a SummarySpan) -> Self {
        let Span { bytes, chars, utf16, text } = &summary.span;
        Self { score: summary.score, bytes: *bytes, chars: *chars, utf16: *utf16, text }
    }
}

impl<'a> From<&'a Class> for ClassBody<'a> {
    fn from(class: &'a Class) -> Self {
        let Span { bytes, chars, utf16, .. } = class.span;
        Self { label: &class.label, score: class.score, bytes, chars, utf16 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::asked::tests::asked;
    use super::super::tests::{answer, class, mention, no_answer, relation, summary};
    use super::*;

    fn check(results: &Results, expected: &[&str]) {
        let shown = super::results("a", &asked(&["questions"]), results);
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_mention_keeps_its_keys_and_their_order() {
        let shown = results(
            "a \"b\".txt",
            &asked(&["entities"]),
            &Results { mentions: vec![mention("entities", "An\nn\x1b")], ..Results::default() },
        );
        assert_eq!(
            shown,
            concat!(
                r#"{"type":"mention","document":"a \"b\".txt","task":"entities","ordinal":3,"label":"person","#,
                r#""score":0.98765,"bytes":[5,9],"chars":[4,8],"utf16":[4,8],"text":"An\nn\u001b"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn every_kind_has_stable_keys_in_a_stable_order() {
        check(
            &Results {
                mentions: Vec::new(),
                relations: vec![relation()],
                answers: vec![answer(0), no_answer(1)],
                summary: vec![summary([0, 9], "It\nwas")],
                classes: vec![class("fact")],
            },
            &[
                concat!(
                    r#"{"type":"relation","document":"a","task":"relations","ordinal":7,"relation":"knows","score":0.5,"#,
                    r#""head":{"label":"per\u001bson","score":0.75,"bytes":[5,9],"chars":[4,8],"utf16":[4,8],"text":"An\nn"},"#,
                    r#""tail":{"label":"person","score":0.75,"bytes":[20,23],"chars":[19,22],"utf16":[19,22],"text":"Bo\tb"}}"#
                ),
                concat!(
                    r#"{"type":"answer","document":"a","task":"questions","ordinal":0,"question_index":0,"question":"Who?","rank":0,"#,
                    r#""no_answer":false,"score":0.75,"bytes":[30,37],"chars":[29,36],"utf16":[29,36],"text":"Ge\nneva"}"#
                ),
                concat!(
                    r#"{"type":"answer","document":"a","task":"questions","ordinal":1,"question_index":1,"question":"Wh\u001bere?","rank":0,"#,
                    r#""no_answer":true,"score":0.0,"bytes":null,"chars":null,"utf16":null,"text":null}"#
                ),
                r#"{"type":"summary","document":"a","task":"summary","ordinal":0,"score":0.5,"bytes":[0,9],"chars":[0,9],"utf16":null,"text":"It\nwas"}"#,
                r#"{"type":"class","document":"a","task":"classify","ordinal":0,"label":"fact","score":0.25,"bytes":[0,99],"chars":[0,98],"utf16":null}"#,
            ],
        );
    }

    #[test]
    fn an_interim_is_one_line_of_all_candidates() {
        let results = Results {
            mentions: vec![mention("entities", "Ann")],
            classes: vec![class("fact")],
            ..Results::default()
        };
        let shown = interim("a", &asked(&["entities"]), "entities", &results);
        assert_eq!(
            shown,
            concat!(
                r#"{"type":"interim","document":"a","task":"entities","results":["#,
                r#"{"type":"mention","label":"person","score":0.98765,"bytes":[5,9],"chars":[4,8],"utf16":[4,8],"text":"Ann"},"#,
                r#"{"type":"class","label":"fact","score":0.25,"bytes":[0,99],"chars":[0,98],"utf16":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn void_lines_and_parts_are_told() {
        assert_eq!(discard("a"), "{\"type\":\"discard\",\"document\":\"a\",\"discard\":true}\n");
        assert_eq!(
            part("a", 2, Place { bytes: 9, chars: 8, utf16: 7 }, "f"),
            concat!(
                r#"{"type":"part","document":"a","part":2,"bytes":9,"chars":8,"utf16":7,"fingerprint":"f"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn warnings_and_the_end_name_the_document() {
        let told = Warning { reason: "TEXT".to_owned(), message: "m".to_owned() };
        assert_eq!(
            warning("a \"b\".txt", &told),
            "{\"type\":\"warning\",\"document\":\"a \\\"b\\\".txt\",\"reason\":\"TEXT\",\"message\":\"m\"}\n"
        );
        let end =
            Done { received_bytes: 1, limits: vec![("words".to_owned(), 2)], ..Done::default() };
        assert_eq!(
            done("a", &end),
            concat!(
                r#"{"type":"done","document":"a","received_bytes":1,"words":0,"windows":0,"results":0,"replaced_invalid":0,"#,
                r#""limits":{"words":2},"total_ms":0,"fingerprint":""}"#,
                "\n"
            )
        );
    }
}
