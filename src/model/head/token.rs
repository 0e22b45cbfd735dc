//! The token-level scorer: for every word and label a logit for start, end and inside.
//!
//! Paper: <https://arxiv.org/abs/2406.12925>, section 2.1. Reference: gliner 0.2.29, `modeling/scorers.py`.
//!
//! The reference joins `[t0 ; l0 ; t1 * l1]` for every pair and multiplies all of it. Two thirds of that product depend on
//! the word or the label alone, so they are made once a word and once a label here; only `t1 * l1` is left for the pairs,
//! in chunks of words that stay in cache.

use candle_core::{Result, Tensor};

use crate::model::error::Loaded;
use crate::model::layers::Linear;
use crate::model::ops;
use crate::model::weights::Scope;

/// Pairs that one chunk holds at least: enough rows for an efficient product, few enough for the cache.
const CHUNK_PAIRS_MIN: usize = 256;

/// The scorer.
pub(in crate::model) struct TokenHead {
    // (hidden, 2 * hidden)
    word: Linear,
    label: Linear,
    // (hidden, 4 * hidden), the parts of the first layer
    of_word: Tensor,
    of_label: Linear,
    of_pair: Tensor,
    // (4 * hidden, 3)
    out: Linear,
}

impl TokenHead {
    /// Loads the scorer for words and labels of width `hidden`.
    pub(in crate::model) fn load(scope: &Scope<'_>, hidden: usize) -> Loaded<Self> {
        let first = scope.at("out_mlp.0").tensor("weight", &[4 * hidden, 3 * hidden])?;
        let bias = scope.at("out_mlp.0").tensor("bias", &[4 * hidden])?;
        let part = |at: usize| first.narrow(1, at * hidden, hidden)?.contiguous();
        Ok(Self {
            word: Linear::load(&scope.at("proj_token"), hidden, 2 * hidden)?,
            label: Linear::load(&scope.at("proj_label"), hidden, 2 * hidden)?,
            of_word: part(0)?.t()?.contiguous()?,
            of_label: Linear::new(&part(1)?, bias)?,
            of_pair: part(2)?.t()?.contiguous()?,
            out: Linear::load(&scope.at("out_mlp.3"), 4 * hidden, 3)?,
        })
    }

    /// `(words, hidden)` and `(labels, hidden)` to `(words, labels, 3)`.
    pub(in crate::model) fn forward(&self, words: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let (n_words, hidden) = words.dims2()?;
        let n_labels = labels.dim(0)?;
        let words = self.word.forward(words)?;
        let labels = self.label.forward(labels)?;
        // A product reads the halves in place; the pairs need them in one piece.
        let of_words = words.narrow(1, 0, hidden)?.contiguous()?.matmul(&self.of_word)?;
        let of_labels = self.of_label.forward(&labels.narrow(1, 0, hidden)?.contiguous()?)?;
        let words = words.narrow(1, hidden, hidden)?.unsqueeze(1)?;
        let labels = labels.narrow(1, hidden, hidden)?.unsqueeze(0)?;
        let chunk = CHUNK_PAIRS_MIN.div_ceil(n_labels);
        let logits = (0..n_words)
            .step_by(chunk)
            .map(|first| {
                let n = chunk.min(n_words - first);
                let pairs = words.narrow(0, first, n)?.broadcast_mul(&labels)?;
                let pairs = pairs.reshape((n * n_labels, hidden))?.matmul(&self.of_pair)?;
                let pairs = pairs.reshape((n, n_labels, 4 * hidden))?;
                let pairs = ops::add_pairs_relu(pairs, &of_words.narrow(0, first, n)?, &of_labels)?;
                self.out.forward(&pairs.reshape((n * n_labels, 4 * hidden))?)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&logits, 0)?.reshape((n_words, n_labels, 3))
    }
}
