//! The layers that every architecture is made of. Rows of one window, no batch dimension: `(rows, width)`.

use candle_core::{Result, Tensor};

use super::config::Pooling;
use super::error::Loaded;
use super::ops::{self, NormWeights, Vector};
use super::weights::Scope;

/// `x W^T + b`.
#[derive(Clone)]
pub(super) struct Linear {
    // (in, out): a view of the stored (out, in)
    weight: Tensor,
    bias: Vector,
}

impl Linear {
    /// Loads `weight` and `bias`.
    pub(super) fn load(scope: &Scope<'_>, wide_in: usize, wide_out: usize) -> Loaded<Self> {
        let weight = scope.tensor("weight", &[wide_out, wide_in])?;
        let bias = scope.tensor("bias", &[wide_out])?;
        Ok(Self::new(&weight, bias)?)
    }

    /// From a weight `(out, in)` and a bias `(out)`.
    pub(super) fn new(weight: &Tensor, bias: Tensor) -> Result<Self> {
        Ok(Self { weight: weight.t()?.contiguous()?, bias: Vector::new(bias)? })
    }

    /// One layer that computes several of the same input, side by side.
    pub(super) fn beside(layers: &[Self]) -> Result<Self> {
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<&Tensor> = layers.iter().map(|layer| layer.bias.tensor()).collect();
        let weight = Tensor::cat(&weights, 1)?.t()?.contiguous()?;
        Self::new(&weight, Tensor::cat(&biases, 0)?)
    }

    /// The same layer with its result multiplied by `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Result<Self> {
        let weight = (&self.weight * factor)?.t()?.contiguous()?;
        Self::new(&weight, (self.bias.tensor() * factor)?)
    }

    /// `(rows, in)` to `(rows, out)`.
    pub(super) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        ops::add_bias(xs.matmul(&self.weight)?, &self.bias)
    }

    /// GELU of the layer.
    pub(super) fn forward_gelu(&self, xs: &Tensor) -> Result<Tensor> {
        ops::add_bias_gelu(xs.matmul(&self.weight)?, &self.bias)
    }

    /// Normalised sum of the layer and `residual`.
    pub(super) fn forward_norm(
        &self,
        xs: &Tensor,
        residual: &Tensor,
        norm: &Norm,
    ) -> Result<Tensor> {
        ops::add_bias_norm(xs.matmul(&self.weight)?, &self.bias, residual, &norm.0)
    }
}

/// Layer normalisation.
#[derive(Clone)]
pub(super) struct Norm(NormWeights);

impl Norm {
    /// Loads `weight` and `bias`.
    pub(super) fn load(scope: &Scope<'_>, width: usize, eps: f64) -> Loaded<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "the computation is in fp32")]
        let eps = eps as f32;
        let scale = Vector::new(scope.tensor("weight", &[width])?)?;
        let shift = Vector::new(scope.tensor("bias", &[width])?)?;
        Ok(Self(NormWeights { scale, shift, eps }))
    }

    /// Normalises every row; `xs` is used up.
    pub(super) fn forward(&self, xs: Tensor) -> Result<Tensor> {
        ops::norm(xs, &self.0)
    }
}

/// Word states from piece states. A word without pieces is a zero vector.
///
/// `pieces` is `(pieces, width)` of the text alone; `word_ends[i]` is the end of word `i`'s pieces. Runs on the host: it
/// is a copy of rows, and ragged groups are no work for a device.
pub(super) fn pool_words(pieces: &Tensor, word_ends: &[u32], pooling: Pooling) -> Result<Tensor> {
    let (_, width) = pieces.dims2()?;
    let values: Vec<f32> = pieces.flatten_all()?.to_vec1()?;
    let mut words = vec![0.0; word_ends.len() * width];
    let mut start = 0;
    for (word, end) in words.chunks_exact_mut(width).zip(word_ends) {
        let end = *end as usize;
        pool_word(&values[start * width..end * width], word, pooling);
        start = end;
    }
    Tensor::from_vec(words, (word_ends.len(), width), pieces.device())
}

fn pool_word(pieces: &[f32], word: &mut [f32], pooling: Pooling) {
    let width = word.len();
    let mut pieces = pieces.chunks_exact(width);
    let count = pieces.len() as f32;
    let picked = match pooling {
        Pooling::First | Pooling::Mean | Pooling::Max => pieces.next(),
        Pooling::Last => pieces.next_back(),
    };
    let Some(picked) = picked else { return };
    word.copy_from_slice(picked);
    match pooling {
        Pooling::First | Pooling::Last => {}
        Pooling::Mean => {
            for piece in pieces {
                word.iter_mut().zip(piece).for_each(|(sum, x)| *sum += x);
            }
            word.iter_mut().for_each(|sum| *sum /= count);
        }
        Pooling::Max => {
            for piece in pieces {
                word.iter_mut().zip(piece).for_each(|(top, x)| *top = top.max(*x));
            }
        }
    }
}
