//! The elementwise steps as loops over values in this process, in place.
//!
//! Invariant: the tensor that a function takes is the only user of its storage. Callers pass fresh results of a product.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::{NormWeights, Vector};
use crate::model::float::{exp, gelu, largest, sum, sum_of_squares};

pub(super) fn add_bias(xs: Tensor, bias: &Vector) -> Result<Tensor> {
    xs.inplace_op1(&AddBias(&bias.host))?;
    Ok(xs)
}

pub(super) fn add_bias_gelu(xs: Tensor, bias: &Vector) -> Result<Tensor> {
    xs.inplace_op1(&AddBiasGelu(&bias.host))?;
    Ok(xs)
}

pub(super) fn add_bias_norm(
    xs: Tensor,
    bias: &Vector,
    residual: &Tensor,
    weights: &NormWeights,
) -> Result<Tensor> {
    xs.inplace_op2(residual, &AddBiasNorm(&bias.host, weights))?;
    Ok(xs)
}

pub(super) fn norm(xs: Tensor, weights: &NormWeights) -> Result<Tensor> {
    xs.inplace_op1(&Norm(weights))?;
    Ok(xs)
}

pub(super) fn softmax(scores: Tensor) -> Result<Tensor> {
    scores.inplace_op1(&Softmax)?;
    Ok(scores)
}

pub(super) fn add_pairs_relu(pairs: Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    pairs.inplace_op3(rows, columns, &AddPairsRelu)?;
    Ok(pairs)
}

pub(super) fn softmax_with_positions(
    scores: Tensor,
    by_query: &Tensor,
    by_key: &Tensor,
    bucket_of: &[u32],
) -> Result<Tensor> {
    scores.inplace_op3(by_query, by_key, &PositionSoftmax(bucket_of))?;
    Ok(scores)
}

struct AddBias<'a>(&'a [f32]);

impl InplaceOp1 for AddBias<'_> {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for_rows(values_mut(storage, layout)?, self.0.len(), |_, row| {
            for (x, bias) in row.iter_mut().zip(self.0) {
                *x += bias;
            }
        })
    }
}

struct AddBiasGelu<'a>(&'a [f32]);

impl InplaceOp1 for AddBiasGelu<'_> {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for_rows(values_mut(storage, layout)?, self.0.len(), |_, row| {
            for (x, bias) in row.iter_mut().zip(self.0) {
                *x = gelu(*x + bias);
            }
        })
    }
}

struct Norm<'a>(&'a NormWeights);

impl InplaceOp1 for Norm<'_> {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for_rows(values_mut(storage, layout)?, self.0.scale.host.len(), |_, row| {
            normalise(row, self.0);
        })
    }
}

struct AddBiasNorm<'a>(&'a [f32], &'a NormWeights);

impl InplaceOp2 for AddBiasNorm<'_> {
    fn name(&self) -> &'static str {
        "add-bias-norm"
    }

    fn cpu_fwd(
        &self,
        xs: &mut CpuStorage,
        xs_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<()> {
        let Self(bias, weights) = self;
        let width = bias.len();
        let residual = values(residual, residual_layout)?;
        for_rows(values_mut(xs, xs_layout)?, width, |at, row| {
            let residual = &residual[at * width..(at + 1) * width];
            for ((x, residual), bias) in row.iter_mut().zip(residual).zip(*bias) {
                *x = (*x + bias) + residual;
            }
            normalise(row, weights);
        })
    }
}

struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        for_rows(values_mut(storage, layout)?, width, |_, row| soften(row))
    }
}

struct PositionSoftmax<'a>(&'a [u32]);

impl InplaceOp3 for PositionSoftmax<'_> {
    fn name(&self) -> &'static str {
        "position-softmax"
    }

    fn cpu_fwd(
        &self,
        scores: &mut CpuStorage,
        scores_layout: &Layout,
        by_query: &CpuStorage,
        by_query_layout: &Layout,
        by_key: &CpuStorage,
        by_key_layout: &Layout,
    ) -> Result<()> {
        let (_, n, buckets) = by_key_layout.shape().dims3()?;
        let by_query = values(by_query, by_query_layout)?;
        let by_key = values(by_key, by_key_layout)?;
        for_rows(values_mut(scores, scores_layout)?, n, |at, row| {
            let (head, i) = (at / n, at % n);
            let of_query = &by_query[at * buckets..(at + 1) * buckets];
            let of_head = &by_key[head * n * buckets..(head + 1) * n * buckets];
            // Key j has bucket_of[n - 1 + i - j]: the table is read backwards from i + n - 1.
            let bucket_of = self.0[i..i + n].iter().rev();
            for ((score, of_key), bucket) in
                row.iter_mut().zip(of_head.chunks_exact(buckets)).zip(bucket_of)
            {
                let bucket = *bucket as usize;
                *score += of_query[bucket] + of_key[bucket];
            }
            soften(row);
        })
    }
}

struct AddPairsRelu;

impl InplaceOp3 for AddPairsRelu {
    fn name(&self) -> &'static str {
        "add-pairs-relu"
    }

    fn cpu_fwd(
        &self,
        pairs: &mut CpuStorage,
        pairs_layout: &Layout,
        rows: &CpuStorage,
        rows_layout: &Layout,
        columns: &CpuStorage,
        columns_layout: &Layout,
    ) -> Result<()> {
        let (n_columns, width) = columns_layout.shape().dims2()?;
        let rows = values(rows, rows_layout)?;
        let columns = values(columns, columns_layout)?;
        for_rows(values_mut(pairs, pairs_layout)?, width, |at, pair| {
            let (row, column) = (at / n_columns, at % n_columns);
            let row = &rows[row * width..(row + 1) * width];
            let column = &columns[column * width..(column + 1) * width];
            for ((x, row), column) in pair.iter_mut().zip(row).zip(column) {
                let sum = *x + (row + column);
                *x = if sum > 0.0 { sum } else { 0.0 };
            }
        })
    }
}

fn soften(row: &mut [f32]) {
    let top = largest(row);
    for x in row.iter_mut() {
        *x = exp(*x - top);
    }
    let factor = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= factor;
    }
}

fn normalise(row: &mut [f32], weights: &NormWeights) {
    let width = row.len() as f32;
    let mean = sum(row) / width;
    for x in row.iter_mut() {
        *x -= mean;
    }
    let variance = sum_of_squares(row) / width;
    let factor = 1.0 / (variance + weights.eps).sqrt();
    for ((x, scale), shift) in row.iter_mut().zip(&weights.scale.host).zip(&weights.shift.host) {
        *x = *x * factor * scale + shift;
    }
}

/// Calls `row` with the number and the values of every row of `xs`, spread over the threads at hand.
fn for_rows(xs: &mut [f32], width: usize, row: impl Fn(usize, &mut [f32]) + Sync) -> Result<()> {
    /// Values that one task works on at least: below that, handing out work costs more than it saves.
    const TASK_VALUES_MIN: usize = 16 * 1024;
    let Some(rows) = TASK_VALUES_MIN.div_ceil(width.max(1)).checked_mul(width).filter(|n| *n > 0)
    else {
        return Ok(());
    };
    xs.par_chunks_mut(rows).enumerate().for_each(|(task, chunk)| {
        let first = task * (rows / width);
        for (at, values) in chunk.chunks_exact_mut(width).enumerate() {
            row(first + at, values);
        }
    });
    Ok(())
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected contiguous fp32 values"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("expected contiguous fp32 values"),
    }
}
