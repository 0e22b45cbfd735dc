//! Words from text, and spans from scores: the two ends of the line against the reference.

use gleand::pipeline::decode::{Candidate, DecodeWindow, decode};
use gleand::pipeline::merge::{Selection, SelectionRules};
use gleand::pipeline::ports::ScoreMode;
use gleand::pipeline::schema::{LabelsPerSpan, Overlap, Threshold};
use gleand::pipeline::scores::Scores;
use gleand::pipeline::words::{SplitWord, WordSplitter};

use crate::golden::{Case, Golden, Kept, NAMES, Place, Setting};

const SCORE_TOLERANCE: f32 = 1e-4;
const MODES: [ScoreMode; 2] = [ScoreMode::Min, ScoreMode::Mean];

/// Our mentions of one window under one setting, in output order.
fn select(scores: &Scores, setting: &Setting, mode: ScoreMode) -> Vec<Candidate> {
    let window =
        DecodeWindow { first_word: 0, prefix_words: 0, core: (0, scores.words()), first_label: 0 };
    let thresholds = vec![Threshold::new(setting.threshold).unwrap(); scores.labels()];
    let mut candidates = Vec::new();
    decode(scores, window, &thresholds, mode, &mut |candidate| candidates.push(candidate));
    candidates.sort_by_key(Candidate::enumeration_key);
    let mut selection = Selection::new(SelectionRules {
        overlap: if setting.flat_ner { Overlap::Flat } else { Overlap::Nested },
        labels_per_span: if setting.multi_label { LabelsPerSpan::Many } else { LabelsPerSpan::One },
        candidates_max: usize::MAX,
        words_max: u64::MAX,
    });
    let mut mentions = Vec::new();
    for candidate in candidates {
        selection.push(candidate, &mut |mention| mentions.push(mention));
    }
    selection.advance(u64::MAX, &mut |mention| mentions.push(mention));
    mentions
}

/// Range and label as the reference writes them: the last word is inclusive.
fn place(mention: &Candidate) -> Place {
    (mention.start, mention.end - 1, mention.label)
}

fn expected(case: &Case, row: usize) -> &Kept {
    case.expected_word_exact.get(&row).unwrap_or(&case.rows[row])
}

/// Our words of a row's text, with their code points.
pub(crate) fn check_words(golden: &Golden, case: &Case, row: usize) {
    let text = &case.texts[row];
    let mut ours = Vec::new();
    let mut splitter = WordSplitter::new(4096);
    let mut sink = |word: SplitWord| {
        let bytes = word.range.start.bytes as usize..word.range.end.bytes as usize;
        let range = word.range;
        ours.push((text.get(bytes).unwrap().to_owned(), range.start.chars, range.end.chars));
    };
    splitter.push(text, &mut String::new(), &mut sink);
    splitter.close(&mut sink);
    let starts = case.words[row].iter().zip(&case.word_start[row]);
    let theirs: Vec<_> = starts
        .zip(&case.word_end[row])
        .map(|((word, start), end)| (word.clone(), *start, *end))
        .collect();
    assert_eq!(ours, theirs, "{} {} row {row}", golden.name, case.name);
}

/// Our mentions of a row at every setting and in both modes; returns how many there were.
pub(crate) fn check_spans(golden: &Golden, case: &Case, row: usize, scores: &Scores) -> usize {
    assert_eq!(golden.settings.len(), 16);
    let mut found = 0;
    for mode in MODES {
        for (at, setting) in golden.settings.iter().enumerate() {
            let Some(theirs) = expected(case, row).spans(at, mode) else {
                assert_eq!(mode, ScoreMode::Mean, "every golden has the min score");
                continue;
            };
            let ours = select(scores, setting, mode);
            let what = format!("{} {} row {row} {setting:?} {mode:?}", golden.name, case.name);
            let places: Vec<_> = ours.iter().map(place).collect();
            let expected: Vec<_> = theirs.iter().map(|span| span.0).collect();
            assert_eq!(places, expected, "{what}");
            for (ours, (_, score)) in ours.iter().zip(&theirs) {
                assert!((ours.score - score).abs() <= SCORE_TOLERANCE, "{what}");
            }
            found += ours.len();
        }
    }
    found
}

#[test]
fn words_are_those_of_the_reference() {
    for golden in NAMES.map(Golden::load) {
        for case in &golden.cases {
            (0..case.rows()).for_each(|row| check_words(&golden, case, row));
        }
    }
}

#[test]
fn spans_scores_and_order_are_those_of_the_reference_at_every_setting() {
    for golden in NAMES.map(Golden::load) {
        let mut found = 0;
        for case in &golden.cases {
            for row in 0..case.rows() {
                let window = golden.window(case, row);
                let scores = golden.model.scorer().score(&[&window]).unwrap().remove(0);
                assert!(expected(case, row).spans(0, ScoreMode::Mean).is_some());
                found += check_spans(&golden, case, row, &scores);
            }
        }
        assert!(found > 500, "{}: only {found} spans", golden.name);
    }
}

#[test]
fn settings_may_differ_from_row_to_row() {
    for golden in NAMES.map(Golden::load) {
        let case = &golden.cases[0];
        let settings = case.per_row_settings.as_ref().unwrap();
        for row in (0..case.rows()).filter(|row| !case.shifts_words(*row)) {
            let setting = Setting {
                threshold: settings.threshold[row],
                flat_ner: settings.flat_ner[row],
                multi_label: settings.multi_label[row],
            };
            let window = golden.window(case, row);
            let scores = golden.model.scorer().score(&[&window]).unwrap().remove(0);
            let ours: Vec<_> =
                select(&scores, &setting, ScoreMode::Min).iter().map(place).collect();
            let theirs: Vec<_> = settings.spans[row]
                .iter()
                .map(|(start, end, label, _)| (*start, *end, *label))
                .collect();
            assert_eq!(ours, theirs, "{} row {row}", golden.name);
        }
    }
}
