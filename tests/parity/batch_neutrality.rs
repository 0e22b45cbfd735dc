//! P3: a window's bits depend on nothing but the window. Also the smallest windows there are.

use std::sync::Arc;

use gleand::model::Model;
use gleand::pipeline::scores::{Prompt, Scores, WindowInput};

use crate::golden::directory;

/// Fixtures, one a backbone.
const BACKBONES: [&str; 2] = ["token_bert", "token_deberta"];
const WINDOWS: usize = 24;
const WORDS_MAX: u64 = 60;

/// Numbers that look random and are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A window of `words` words with zero to three pieces each.
fn window(prompt: &Arc<Prompt>, words: u64, numbers: &mut Numbers) -> WindowInput {
    let mut window =
        WindowInput { prompt: Arc::clone(prompt), pieces: Vec::new(), word_ends: Vec::new() };
    for _ in 0..words {
        for _ in 0..numbers.below(4) {
            window.pieces.push(u32::try_from(5 + numbers.below(900)).unwrap());
        }
        window.word_ends.push(u32::try_from(window.pieces.len()).unwrap());
    }
    window
}

fn score(model: &Model, batch: &[&WindowInput]) -> Vec<Vec<u32>> {
    let bits = |scores: Scores| scores.as_slice().iter().map(|p| p.to_bits()).collect();
    model.scorer().score(batch).unwrap().into_iter().map(bits).collect()
}

fn prompts(model: &Model) -> Vec<Arc<Prompt>> {
    let sets: [&[&str]; 3] = [
        &["person"],
        &["person", "date"],
        &["city", "country", "scientific discipline or field of study", "award", "event"],
    ];
    sets.iter().map(|labels| Arc::new(model.encoder().prompt(labels))).collect()
}

#[test]
fn a_window_has_the_same_bits_alone_and_in_company() {
    for name in BACKBONES {
        let model = Model::load_dir(&directory(name)).unwrap();
        let prompts = prompts(&model);
        let mut numbers = Numbers(7);
        let windows: Vec<WindowInput> = (0..WINDOWS)
            .map(|at| {
                let words = 1 + numbers.below(WORDS_MAX);
                window(&prompts[at % prompts.len()], words, &mut numbers)
            })
            .collect();
        let alone: Vec<Vec<u32>> =
            windows.iter().map(|window| score(&model, &[window]).remove(0)).collect();
        for (at, window) in windows.iter().enumerate() {
            for company in 1..8 {
                let mut batch: Vec<usize> =
                    (0..company).map(|_| numbers.below(24) as usize).collect();
                let place = numbers.below(company + 1) as usize;
                batch.insert(place, at);
                let batch: Vec<&WindowInput> = batch.iter().map(|at| &windows[*at]).collect();
                let scores = score(&model, &batch);
                assert_eq!(scores[place].len(), window.words() * window.prompt.labels() * 3);
                assert_eq!(scores[place], alone[at], "{name}: window {at} beside {company} others");
            }
        }
    }
}

#[test]
fn a_window_has_the_same_bits_on_any_number_of_threads() {
    for name in BACKBONES {
        let model = Model::load_dir(&directory(name)).unwrap();
        let prompts = prompts(&model);
        let window = window(&prompts[2], 150, &mut Numbers(3));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| score(&model, &[&window]))
        };
        let one = on(1);
        for threads in [2, 3, 8] {
            assert_eq!(on(threads), one, "{name}: {threads} threads");
        }
    }
}

#[test]
fn one_word_one_label_and_one_row_are_enough() {
    for name in BACKBONES {
        let model = Model::load_dir(&directory(name)).unwrap();
        let encoder = model.encoder();
        for text in ["a", "\u{200b}"] {
            let pieces = encoder.pieces(text);
            let word_ends = vec![u32::try_from(pieces.len()).unwrap()];
            let prompt = Arc::new(encoder.prompt(&["person"]));
            let window = WindowInput { prompt, pieces, word_ends };
            let scores = model.scorer().score(&[&window]).unwrap().remove(0);
            assert_eq!((scores.words(), scores.labels()), (1, 1));
            assert!(scores.as_slice().iter().all(|p| *p > 0.0 && *p < 1.0), "{name} {text:?}");
        }
    }
}

#[test]
fn an_empty_batch_and_an_empty_window_have_empty_scores() {
    let model = Model::load_dir(&directory("token_bert")).unwrap();
    assert!(model.scorer().score(&[]).unwrap().is_empty());
    let prompt = Arc::new(model.encoder().prompt(&["person"]));
    let window = WindowInput { prompt, pieces: Vec::new(), word_ends: Vec::new() };
    assert!(model.scorer().score(&[&window]).unwrap()[0].as_slice().is_empty());
}
