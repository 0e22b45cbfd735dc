//! The elementwise steps in candle's own ops: they run on every device, and say what the loops of `host` must compute.

use candle_core::{Result, Tensor};

use super::{NormWeights, Vector};

pub(super) fn add_bias(xs: &Tensor, bias: &Vector) -> Result<Tensor> {
    xs.broadcast_add(&bias.device)
}

pub(super) fn add_bias_gelu(xs: &Tensor, bias: &Vector) -> Result<Tensor> {
    add_bias(xs, bias)?.gelu_erf()
}

pub(super) fn add_bias_norm(
    xs: &Tensor,
    bias: &Vector,
    residual: &Tensor,
    weights: &NormWeights,
) -> Result<Tensor> {
    norm(&(add_bias(xs, bias)? + residual)?, weights)
}

pub(super) fn norm(xs: &Tensor, weights: &NormWeights) -> Result<Tensor> {
    candle_nn::ops::layer_norm(xs, &weights.scale.device, &weights.shift.device, weights.eps)
}

pub(super) fn softmax(scores: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax_last_dim(scores)
}

pub(super) fn add_pairs_relu(pairs: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    pairs.broadcast_add(&rows.unsqueeze(1)?)?.broadcast_add(columns)?.relu()
}

pub(super) fn softmax_with_positions(
    scores: &Tensor,
    by_query: &Tensor,
    by_key: &Tensor,
    bucket_of: &[u32],
) -> Result<Tensor> {
    let index = bucket_index(bucket_of, scores)?;
    let by_query = by_query.gather(&index, 2)?;
    // The table's rows are keys, so it is gathered as (key, query) and turned.
    let by_key = by_key.gather(&index.transpose(1, 2)?.contiguous()?, 2)?.transpose(1, 2)?;
    softmax(&((scores + by_query)? + by_key)?)
}

/// The buckets of all queries and keys as an index for gathering, the same for every head.
fn bucket_index(bucket_of: &[u32], scores: &Tensor) -> Result<Tensor> {
    let (heads, n, _) = scores.dims3()?;
    let index: Vec<u32> =
        (0..n).flat_map(|i| (0..n).map(move |j| bucket_of[n - 1 + i - j])).collect();
    Tensor::from_vec(index, (1, n, n), scores.device())?.expand((heads, n, n))?.contiguous()
}
