//! The goldens of one fixture, and the windows that they were made from.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use gleand::model::Model;
use gleand::pipeline::ports::ScoreMode;
use gleand::pipeline::scores::WindowInput;
use safetensors::SafeTensors;
use serde::Deserialize;

/// The fixtures, one directory each.
pub(crate) const NAMES: [&str; 5] =
    ["token_bert", "token_bert_nornn", "token_last", "token_max", "token_deberta"];

/// The directory of a fixture.
pub(crate) fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures").join(name)
}

/// The goldens of the default model, as `make_golden.py` wrote them.
pub(crate) const DEFAULT: &str = "default";

/// A fixture: its checkpoint and what the reference says about it.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) pooling: Pooling,
    pub(crate) settings: Vec<Setting>,
    pub(crate) cases: Vec<Case>,
    tensors: BTreeMap<String, Tensor>,
}

/// Which pieces the reference marks as a word's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pooling {
    First,
    Last,
    Mean,
    Max,
}

/// One call of the reference.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) label_sets: Vec<Vec<String>>,
    pub(crate) texts: Vec<String>,
    pub(crate) words: Vec<Vec<String>>,
    /// Where the words stand, in code points.
    pub(crate) word_start: Vec<Vec<u64>>,
    pub(crate) word_end: Vec<Vec<u64>>,
    pub(crate) words_used: Vec<usize>,
    pub(crate) input_ids: Vec<Vec<u32>>,
    pub(crate) attention_mask: Vec<Vec<u32>>,
    pub(crate) words_mask: Vec<Vec<u32>>,
    /// Masks of the rows where the reference shifts words, as they should be.
    #[serde(default)]
    pub(crate) words_mask_exact: BTreeMap<usize, Vec<u32>>,
    pub(crate) rows: Vec<Kept>,
    /// Spans of the rows where the reference shifts words, as they should be.
    #[serde(default)]
    pub(crate) expected_word_exact: BTreeMap<usize, Kept>,
    pub(crate) per_row_settings: Option<PerRow>,
}

/// Threshold and rules of one call.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Setting {
    pub(crate) threshold: f32,
    pub(crate) flat_ner: bool,
    pub(crate) multi_label: bool,
}

/// A call with settings for every row, and its spans: first word, last word, label, score.
#[derive(Deserialize)]
pub(crate) struct PerRow {
    pub(crate) threshold: Vec<f32>,
    pub(crate) flat_ner: Vec<bool>,
    pub(crate) multi_label: Vec<bool>,
    pub(crate) spans: Vec<Vec<(u64, u64, u32, f32)>>,
}

/// First word, last word (inclusive), label.
pub(crate) type Place = (u64, u64, u32);

/// The spans of one row at every setting.
#[derive(Deserialize)]
pub(crate) struct Kept {
    spans: Vec<Span>,
    /// Positions in `spans`, in output order, one list a setting.
    kept: Vec<Vec<usize>>,
    /// Likewise with the `mean` score, where the goldens have it.
    #[serde(default)]
    kept_mean: Vec<Vec<usize>>,
}

/// First word, last word, label, `min` score and perhaps `mean` score.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Span {
    BothScores(u64, u64, u32, f32, f32),
    MinScore(u64, u64, u32, f32),
}

impl Kept {
    /// Range, label and score of the spans at setting `setting`, in output order.
    pub(crate) fn spans(&self, setting: usize, mode: ScoreMode) -> Option<Vec<(Place, f32)>> {
        let kept = match mode {
            ScoreMode::Min => self.kept.get(setting)?,
            ScoreMode::Mean => self.kept_mean.get(setting)?,
        };
        let span = |at: &usize| match (self.spans[*at], mode) {
            (
                Span::BothScores(start, end, label, score, _)
                | Span::MinScore(start, end, label, score),
                ScoreMode::Min,
            )
            | (Span::BothScores(start, end, label, _, score), ScoreMode::Mean) => {
                Some(((start, end, label), score))
            }
            (Span::MinScore(..), ScoreMode::Mean) => None,
        };
        kept.iter().map(span).collect()
    }
}

/// Values with a shape.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

#[derive(Deserialize)]
struct GoldenFile {
    settings: Vec<Setting>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct ConfigFile {
    subtoken_pooling: Pooling,
}

impl Golden {
    pub(crate) fn load(name: &'static str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let (checkpoint, goldens) = match name {
            DEFAULT => (root.join("models/default"), root.join("tests/parity/goldens/default")),
            _ => (directory(name), directory(name).join("golden")),
        };
        let read = |path: PathBuf| fs::read(path).unwrap();
        let golden: GoldenFile =
            serde_json::from_slice(&read(goldens.with_extension("json"))).unwrap();
        let config: ConfigFile =
            serde_json::from_slice(&read(checkpoint.join("gliner_config.json"))).unwrap();
        let tensors = read(goldens.with_extension("safetensors"));
        let tensors = SafeTensors::deserialize(&tensors).unwrap();
        let tensors = tensors.iter().map(|(key, view)| {
            let values = view.data().chunks_exact(4);
            let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
            (key.to_owned(), Tensor { shape: view.shape().to_vec(), values: values.collect() })
        });
        Self {
            name,
            model: Model::load_dir(&checkpoint).unwrap(),
            pooling: config.subtoken_pooling,
            settings: golden.settings,
            cases: golden.cases,
            tensors: tensors.collect(),
        }
    }

    /// `caseN.stage`, if the fixture holds it.
    pub(crate) fn tensor(&self, case: usize, stage: &str) -> Option<&Tensor> {
        self.tensors.get(&format!("case{case}.{stage}"))
    }

    /// Logits of one text by itself: word-exact where the reference shifts words.
    pub(crate) fn logits_alone(&self, case: usize, row: usize, shape: &[usize]) -> Tensor {
        let exact = self.tensor(case, &format!("exact{row}.logits"));
        let alone = exact.or_else(|| self.tensor(case, &format!("alone{row}.logits")));
        match alone {
            Some(logits) => logits.cut(shape),
            None => self.tensor(case, "logits").unwrap().row(row).cut(shape),
        }
    }

    /// Row `row` of `case` as our window, from the words that the reference used.
    pub(crate) fn window(&self, case: &Case, row: usize) -> WindowInput {
        let encoder = self.model.encoder();
        let labels: Vec<&str> = case.label_sets[row].iter().map(String::as_str).collect();
        let mut pieces = Vec::new();
        let mut word_ends = Vec::new();
        for word in &case.words[row][..case.words_used[row]] {
            pieces.extend(encoder.pieces(word));
            word_ends.push(u32::try_from(pieces.len()).unwrap());
        }
        WindowInput { prompt: Arc::new(encoder.prompt(&labels)), pieces, word_ends }
    }
}

impl Case {
    pub(crate) fn rows(&self) -> usize {
        self.words.len()
    }

    /// Whether the reference gives words of this row their neighbour's state.
    pub(crate) fn shifts_words(&self, row: usize) -> bool {
        self.words_mask_exact.contains_key(&row)
    }
}

impl Tensor {
    /// Entry `at` of the first dimension.
    pub(crate) fn row(&self, at: usize) -> Self {
        let size: usize = self.shape[1..].iter().product();
        Self {
            shape: self.shape[1..].to_vec(),
            values: self.values[at * size..(at + 1) * size].to_vec(),
        }
    }

    /// The first entries of the first two dimensions, `shape` says how many; the rest is padding.
    pub(crate) fn cut(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.len(), self.shape.len());
        assert_eq!(shape[2..], self.shape[2..]);
        let inner: usize = shape[2..].iter().product();
        let stride = self.shape[1] * inner;
        let values = (0..shape[0])
            .flat_map(|at| self.values[at * stride..at * stride + shape[1] * inner].to_vec());
        Self { shape: shape.to_vec(), values: values.collect() }
    }

    /// The largest distance of two tensors of one shape.
    pub(crate) fn distance(&self, other: &Self) -> f32 {
        assert_eq!(self.shape, other.shape);
        self.values.iter().zip(&other.values).map(|(a, b)| (a - b).abs()).fold(0.0, |top, x| {
            // A NaN must not pass as a small distance.
            if x > top || x.is_nan() { x } else { top }
        })
    }
}

impl From<&candle_core::Tensor> for Tensor {
    fn from(tensor: &candle_core::Tensor) -> Self {
        let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
        Self { shape: tensor.dims().to_vec(), values }
    }
}
