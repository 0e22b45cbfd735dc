//! Random documents: many scripts, marks, controls, broken bytes, endless words, flushes.

use gleand::pipeline::plan::{Interim, KeepText, Plan, TaskPlan, WindowPolicy};
use gleand::pipeline::request::{EntitiesRequest, TaskRequest};
use gleand::pipeline::schema::{LabelRequest, LabelsPerSpan, Overlap, SchemaLimits};
use gleand::pipeline::utf8::InvalidUtf8;
use proptest::prelude::*;
use std::sync::Arc;

use crate::toy::{ToyEncoder, facts};

/// A document as its client sends it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) bytes: Vec<u8>,
    /// Bytes before each flush, rising.
    pub(crate) flushes: Vec<usize>,
}

/// What a document is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) words_max: usize,
    pub(crate) mention_words_max: usize,
    pub(crate) windows_in_flight_max: usize,
    pub(crate) overlap: Overlap,
    pub(crate) labels_per_span: LabelsPerSpan,
    pub(crate) labels: usize,
}

pub(crate) const WORD_BYTES_MAX: usize = 24;

pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    let overlap = prop_oneof![Just(Overlap::Flat), Just(Overlap::Nested)];
    let labels_per_span = prop_oneof![Just(LabelsPerSpan::One), Just(LabelsPerSpan::Many)];
    (8usize..40, 1usize..9, 1usize..6, overlap, labels_per_span, 1usize..5).prop_map(
        |(words_max, mention, windows_in_flight_max, overlap, labels_per_span, labels)| Ask {
            words_max,
            mention_words_max: mention.min(words_max / 4),
            windows_in_flight_max,
            overlap,
            labels_per_span,
            labels,
        },
    )
}

pub(crate) fn plan(ask: &Ask) -> Arc<Plan> {
    plan_with(ask, policy(ask))
}

pub(crate) fn policy(ask: &Ask) -> WindowPolicy {
    WindowPolicy {
        mention_words_max: Some(ask.mention_words_max),
        margin_words: Some(ask.words_max / 5),
        // So wide that only words count, but where a test says otherwise.
        pieces_max: Some(ask.words_max * 24 + 400),
        windows_in_flight_max: ask.windows_in_flight_max,
        word_bytes_max: WORD_BYTES_MAX,
        ..WindowPolicy::default()
    }
}

pub(crate) fn plan_with(ask: &Ask, policy: WindowPolicy) -> Arc<Plan> {
    plan_of(&[entities(ask)], ask, policy)
}

/// The entities task of `ask`.
pub(crate) fn entities(ask: &Ask) -> TaskRequest {
    let labels = ["person", "date", "ship", "river"][..ask.labels].iter();
    TaskRequest::Entities(EntitiesRequest {
        labels: labels.map(|name| label(name)).collect(),
        threshold: None,
        overlap: ask.overlap,
        labels_per_span: ask.labels_per_span,
    })
}

pub(crate) fn label(name: &str) -> LabelRequest {
    LabelRequest { name: name.to_owned(), description: None, threshold: None }
}

pub(crate) const LIMITS: SchemaLimits = SchemaLimits {
    labels_max: 100,
    label_bytes_max: 100,
    questions_max: 10,
    relation_passes_max: 3,
};

/// A plan of several tasks.
pub(crate) fn plan_of(requests: &[TaskRequest], ask: &Ask, policy: WindowPolicy) -> Arc<Plan> {
    let facts = facts(ask.words_max);
    let task = |request| TaskPlan::new(request, &ToyEncoder, &facts, policy, LIMITS).unwrap();
    Arc::new(Plan {
        tasks: requests.iter().map(task).collect(),
        encoder: Arc::new(ToyEncoder),
        invalid_utf8: InvalidUtf8::Replace,
        keep_text: KeepText::Yes,
        interim: Interim::Silent,
        policy,
    })
}

/// Stretches of input that are interesting alone and side by side.
fn atom() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        8 => "[a-e]{1,5}",
        2 => "[a-c]{1,3}-[a-c]{1,3}",
        1 => Just("a-".to_owned()),
        1 => Just("-_-b".to_owned()),
        1 => Just("हिन्दी".to_owned()),
        1 => Just("عَرَبِيّ".to_owned()),
        1 => Just("日本語".to_owned()),
        1 => Just("👩‍👩‍👧🏽".to_owned()),
        1 => Just("e\u{301}cole".to_owned()),
        1 => Just("x²½①".to_owned()),
        1 => Just("\u{1}\u{7f}\u{200b}".to_owned()),
        1 => Just("\u{feff}".to_owned()),
        1 => "[x-z]{30,90}",
        1 => "(né){9,20}",
        1 => Just("“hi.”".to_owned()),
        1 => Just("了。」".to_owned()),
    ]
    .prop_map(String::into_bytes);
    let broken = prop_oneof![
        Just(b"\xff".to_vec()),
        Just(b"\xe2\x82".to_vec()),
        Just(b"\xf0\x9f\x98".to_vec()),
        Just(b"\xed\xa0\x80".to_vec()),
        Just(b"b\xc3(c".to_vec()),
    ];
    prop_oneof![12 => text, 1 => broken]
}

/// More blanks than are kept.
pub(crate) const FAR: &str = match std::str::from_utf8(&[b' '; 1100]) {
    Ok(blanks) => blanks,
    Err(_) => panic!("blanks are text"),
};

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        10 => Just(" "),
        2 => Just("\n"),
        1 => Just("\r\n"),
        1 => Just("\r\n\r\n"),
        1 => Just("\n \n"),
        1 => Just("\x0c"),
        1 => Just("\u{2028}\u{1c}"),
        1 => Just("\u{a0}"),
        1 => Just(FAR),
    ]
}

/// Documents in which no span can be wider than `mention_words_max`: a full stop stands in time.
pub(crate) fn tame(ask: &Ask) -> impl Strategy<Value = Script> + use<> {
    let limit = ask.mention_words_max;
    let window = ask.words_max;
    (prop::collection::vec((atom(), blank(), any::<bool>()), 0..160), any::<u64>()).prop_map(
        move |(atoms, seed)| {
            let mut script = Script { bytes: Vec::new(), flushes: Vec::new() };
            let (mut run, mut since_flush) = (0, 0);
            for (i, (atom, blank, stop)) in atoms.iter().enumerate() {
                let words = crate::oracle::split(atom).len();
                if run > 0 && (run + words > limit || *stop && run * 3 > limit) {
                    script.bytes.extend(b". ");
                    since_flush += 1;
                    run = 0;
                }
                if words > limit {
                    continue;
                }
                script.bytes.extend(atom);
                script.bytes.extend(blank.as_bytes());
                run += words;
                since_flush += words;
                // Far enough apart that each takes effect at once.
                if since_flush > window && (seed >> (i % 64)) & 7 == 0 {
                    script.flushes.push(script.bytes.len());
                    since_flush = 0;
                    run = 0;
                }
            }
            script
        },
    )
}

/// Documents without any care: blanks may be missing, spans may be wide, flushes stand anywhere but
/// inside a code point.
pub(crate) fn wild() -> impl Strategy<Value = Script> {
    let part = (atom(), prop::option::weighted(0.7, blank()), prop::bool::weighted(0.05));
    prop::collection::vec(part, 0..220).prop_map(|parts| {
        let mut script = Script { bytes: Vec::new(), flushes: Vec::new() };
        for (atom, blank, flush) in parts {
            script.bytes.extend(&atom);
            script.bytes.extend(blank.unwrap_or_default().as_bytes());
            let broken = std::str::from_utf8(&atom).is_err();
            if flush && !(broken && blank.is_none()) {
                script.flushes.push(script.bytes.len());
            }
        }
        script
    })
}
