//! Every stage of the network against the reference, on the words that the reference used.

use gleand::model::Stages;
use gleand::pipeline::scores::{Scores, WindowInput};

use crate::golden::{Case, Golden, NAMES, Pooling, Tensor};

const STATE_TOLERANCE: f32 = 1e-3;
const PROBABILITY_TOLERANCE: f32 = 1e-4;

/// Calls `check` for every row of every case of every fixture.
fn for_every_row(mut check: impl FnMut(&Golden, usize, &Case, usize)) {
    for golden in NAMES.map(Golden::load) {
        for (at, case) in golden.cases.iter().enumerate() {
            for row in 0..case.rows() {
                check(&golden, at, case, row);
            }
        }
    }
}

fn close(ours: &Tensor, theirs: &Tensor, tolerance: f32, what: &str) {
    let distance = ours.distance(theirs);
    assert!(distance <= tolerance, "{what}: {distance} apart");
}

/// The reference's mask: at every piece that stands for a word, the word's number from 1.
fn words_mask(window: &WindowInput, pooling: Pooling, length: usize) -> Vec<u32> {
    let mut mask = vec![0; length];
    let mut start = 0;
    for (number, end) in (1..).zip(&window.word_ends) {
        let end = *end as usize;
        let marked = match pooling {
            Pooling::First => start..end.min(start + 1),
            Pooling::Last => end.saturating_sub(1).max(start)..end,
            Pooling::Mean | Pooling::Max => start..end,
        };
        mask[window.prompt.head.len()..][marked].fill(number);
        start = end;
    }
    mask
}

/// Pieces, and which of them stand for words.
pub(crate) fn check_pieces(golden: &Golden, case: &Case, row: usize) {
    let what = format!("{} {} row {row}", golden.name, case.name);
    let window = golden.window(case, row);
    let ours = [&window.prompt.head[..], &window.pieces, &window.prompt.tail].concat();
    let length: u32 = case.attention_mask[row].iter().sum();
    assert_eq!(ours, case.input_ids[row][..length as usize], "{what}");
    let mask = case.words_mask_exact.get(&row).unwrap_or(&case.words_mask[row]);
    assert_eq!(&words_mask(&window, golden.pooling, mask.len()), mask, "{what}");
}

/// States and logits, stage by stage, as far as the fixture holds them.
pub(crate) fn check_stages(golden: &Golden, at: usize, case: &Case, row: usize) {
    let window = golden.window(case, row);
    let stages = golden.model.trace(&window).unwrap();
    let compare = |stage: &str, ours: &candle_core::Tensor| {
        let ours = Tensor::from(ours);
        let exact = golden.tensor(at, &format!("exact{row}.{stage}"));
        let theirs = match (exact, golden.tensor(at, stage)) {
            (Some(exact), _) => exact.cut(&ours.shape),
            (None, Some(theirs)) => theirs.row(row).cut(&ours.shape),
            (None, None) => return,
        };
        let what = format!("{} {} row {row} {stage}", golden.name, case.name);
        close(&ours, &theirs, STATE_TOLERANCE, &what);
    };
    let Stages { hidden, label_vectors, pooled_words, word_states, logits } = &stages;
    compare("encoder", hidden);
    compare("label_vectors", label_vectors);
    if !case.shifts_words(row) || golden.tensor(at, &format!("exact{row}.word_states")).is_some() {
        compare("words_before_rnn", pooled_words);
        compare("word_states", word_states);
    }
    compare("logits", logits);
    let theirs = golden.logits_alone(at, row, logits.dims());
    close(&Tensor::from(logits), &theirs, STATE_TOLERANCE, "logits alone");
}

/// What the scorer makes of a row.
pub(crate) fn check_probabilities(
    golden: &Golden,
    at: usize,
    case: &Case,
    row: usize,
    scores: &Scores,
) {
    let theirs = golden.logits_alone(at, row, &[scores.words(), scores.labels(), 3]);
    let ours = Tensor { shape: theirs.shape.clone(), values: scores.as_slice().to_vec() };
    let values = theirs.values.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let what = format!("{} {} row {row}", golden.name, case.name);
    close(&ours, &Tensor { values, ..theirs }, PROBABILITY_TOLERANCE, &what);
}

#[test]
fn pieces_and_their_words_are_those_of_the_reference() {
    let mut shifted = 0;
    for_every_row(|golden, _, case, row| {
        check_pieces(golden, case, row);
        shifted += usize::from(case.shifts_words(row));
    });
    assert!(shifted > 0, "no fixture has a word without pieces");
}

#[test]
fn states_and_logits_are_those_of_the_reference() {
    for_every_row(check_stages);
}

#[test]
fn probabilities_are_those_of_the_reference() {
    for_every_row(|golden, at, case, row| {
        let window = golden.window(case, row);
        let scores = golden.model.scorer().score(&[&window]).unwrap();
        check_probabilities(golden, at, case, row, &scores[0]);
    });
}

#[test]
fn a_word_without_pieces_is_a_zero_vector() {
    let golden = Golden::load("token_bert");
    let case = &golden.cases[0];
    let row = *case.words_mask_exact.keys().next().unwrap();
    let window = golden.window(case, row);
    let pooled = Tensor::from(&golden.model.trace(&window).unwrap().pooled_words);
    let mut start = 0;
    for (word, end) in window.word_ends.iter().enumerate() {
        let is_zero = pooled.row(word).values.iter().all(|x| *x == 0.0);
        assert_eq!(is_zero, start == *end, "word {word}");
        start = *end;
    }
}
