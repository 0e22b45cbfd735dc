//! Words from text, and spans from scores: the two ends of the line against the reference.

use gleand::pipeline::decode::{Candidate, DecodeWindow, decode};
use gleand::pipeline::merge::{Selection, SelectionRules};
use gleand::pipeline::ports::ScoreMode;
use gleand::pipeline::schema::{LabelsPerSpan, Overlap, Threshold};
use gleand::pipeline::scores::Scores;
use gleand::pipeline::words::WordSplitter;

use crate::golden::{Case, Golden, Kept, NAMES, Setting};

const SCORE_TOLERANCE: f32 = 1e-4;
const MODES: [ScoreMode; 2] = [ScoreMode::Min, ScoreMode::Mean];

/// Our mentions of one window under one setting, in output order.
fn select(scores: &Scores, setting: &Setting, mode: ScoreMode) -> Vec<Candidate> {
    let window = DecodeWindow { first_word: 0, core: (0, scores.words()), first_label: 0 };
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
fn place(mention: &Candidate) -> (u64, u64, u32) {
    (mention.start, mention.end - 1, mention.label)
}

fn expected(case: &Case, row: usize) -> &Kept {
    case.expected_word_exact.get(&row).unwrap_or(&case.rows[row])
}

#[test]
fn words_are_those_of_the_reference() {
    for golden in NAMES.map(Golden::load) {
        for case in &golden.cases {
            for (row, text) in case.texts.iter().enumerate() {
                let mut ours = Vec::new();
                let mut splitter = WordSplitter::new(4096);
                let mut sink = |word: gleand::pipeline::words::SplitWord| {
                    let bytes = word.text_start as usize..word.text_end as usize;
                    let chars = (word.range.start.chars, word.range.end.chars);
                    ours.push((text.get(bytes).unwrap().to_owned(), chars.0, chars.1));
                };
                splitter.push(text, &mut sink);
                splitter.close(&mut sink);
                let ends = case.word_start[row].iter().zip(&case.word_end[row]);
                let theirs: Vec<_> = case.words[row]
                    .iter()
                    .zip(ends)
                    .map(|(word, (start, end))| (word.clone(), *start, *end))
                    .collect();
                assert_eq!(ours, theirs, "{} {} row {row}", golden.name, case.name);
            }
        }
    }
}

#[test]
fn spans_scores_and_order_are_those_of_the_reference_at_every_setting() {
    for golden in NAMES.map(Golden::load) {
        assert_eq!(golden.settings.len(), 16);
        let mut found = 0;
        for case in &golden.cases {
            for row in 0..case.texts.len() {
                let window = golden.window(case, row);
                let scores = golden.model.scorer().score(&[&window]).unwrap().remove(0);
                for mode in MODES {
                    for (at, setting) in golden.settings.iter().enumerate() {
                        let ours = select(&scores, setting, mode);
                        let theirs = expected(case, row).spans(at, mode);
                        let what = format!("{} {} row {row}", golden.name, case.name);
                        let what = format!("{what} {setting:?} {mode:?}");
                        let places: Vec<_> = ours.iter().map(place).collect();
                        let expected: Vec<_> = theirs.iter().map(|span| span.0).collect();
                        assert_eq!(places, expected, "{what}");
                        for (ours, (_, score)) in ours.iter().zip(&theirs) {
                            assert!((ours.score - score).abs() <= SCORE_TOLERANCE, "{what}");
                        }
                        found += ours.len();
                    }
                }
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
        for row in (0..case.texts.len()).filter(|row| !case.shifts_words(*row)) {
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
