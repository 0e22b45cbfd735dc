//! Elementwise parts of the forward pass: candle's own ops on a device, loops of our own on a CPU.
//!
//! The loops exist because candle calls scalar `expf` and `erff`, and takes a fresh buffer for every step. They work in
//! place, and are written so that the compiler vectorises them for the baseline of the target: no
//! runtime dispatch, so their bits are the same on every processor of an architecture. A row is computed by one thread
//! in one order, so the number of threads changes no bit either. Both ways are tested against each other below.

mod host;
mod plain;

use candle_core::{Result, Tensor};

/// A parameter of one dimension, on the device for candle's ops and on the host for the loops.
#[derive(Clone)]
pub(super) struct Vector {
    device: Tensor,
    host: Vec<f32>,
}

impl Vector {
    /// Takes a tensor of one dimension.
    pub(super) fn new(tensor: Tensor) -> Result<Self> {
        Ok(Self { host: tensor.to_vec1()?, device: tensor })
    }

    /// The tensor on its device.
    pub(super) fn tensor(&self) -> &Tensor {
        &self.device
    }
}

/// Parameters of a layer normalisation.
#[derive(Clone)]
pub(super) struct NormWeights {
    /// Factor of every component.
    pub(super) scale: Vector,
    /// Summand of every component.
    pub(super) shift: Vector,
    /// Added to the variance.
    pub(super) eps: f32,
}

/// `xs + bias` over the last dimension; `xs` is used up.
pub(super) fn add_bias(xs: Tensor, bias: &Vector) -> Result<Tensor> {
    match xs.device().is_cpu() {
        true => host::add_bias(xs, bias),
        false => plain::add_bias(&xs, bias),
    }
}

/// `gelu(xs + bias)` over the last dimension, with the exact error function; `xs` is used up.
pub(super) fn add_bias_gelu(xs: Tensor, bias: &Vector) -> Result<Tensor> {
    match xs.device().is_cpu() {
        true => host::add_bias_gelu(xs, bias),
        false => plain::add_bias_gelu(&xs, bias),
    }
}

/// Layer normalisation of `xs + bias + residual` over the last dimension; `xs` is used up.
pub(super) fn add_bias_norm(
    xs: Tensor,
    bias: &Vector,
    residual: &Tensor,
    weights: &NormWeights,
) -> Result<Tensor> {
    match xs.device().is_cpu() {
        true => host::add_bias_norm(xs, bias, residual, weights),
        false => plain::add_bias_norm(&xs, bias, residual, weights),
    }
}

/// Layer normalisation over the last dimension; `xs` is used up.
pub(super) fn norm(xs: Tensor, weights: &NormWeights) -> Result<Tensor> {
    match xs.device().is_cpu() {
        true => host::norm(xs, weights),
        false => plain::norm(&xs, weights),
    }
}

/// Softmax over the last dimension; `scores` is used up.
pub(super) fn softmax(scores: Tensor) -> Result<Tensor> {
    match scores.device().is_cpu() {
        true => host::softmax(scores),
        false => plain::softmax(&scores),
    }
}

/// `relu(pairs + rows + columns)` for pairs `(rows, columns, width)`, rows `(rows, width)` and
/// columns `(columns, width)`; `pairs` is used up.
pub(super) fn add_pairs_relu(pairs: Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    match pairs.device().is_cpu() {
        true => host::add_pairs_relu(pairs, rows, columns),
        false => plain::add_pairs_relu(&pairs, rows, columns),
    }
}

/// Attention scores with the terms of relative positions, then softmax (DeBERTa).
///
/// `scores` is `(heads, n, n)`, content on content; `by_query` and `by_key` are the terms' tables, each
/// `(heads, n, buckets)` (c2p and p2c); `bucket_of[n - 1 + i - j]` is the bucket of query `i` and key `j`.
/// `scores` is used up.
pub(super) fn softmax_with_positions(
    scores: Tensor,
    by_query: &Tensor,
    by_key: &Tensor,
    bucket_of: &[u32],
) -> Result<Tensor> {
    match scores.device().is_cpu() {
        true => host::softmax_with_positions(scores, by_query, by_key, bucket_of),
        false => plain::softmax_with_positions(&scores, by_query, by_key, bucket_of),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{NormWeights, Vector, host, plain};

    /// Values from -3 to 3 that look random, the same in every run.
    fn values(shape: &[usize], seed: u32) -> Tensor {
        let mut state = seed;
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from((state >> 16) as u16) / 10_922.5 - 3.0
            })
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn vector(width: usize, seed: u32) -> Vector {
        Vector::new(values(&[width], seed)).unwrap()
    }

    fn check(host: &Tensor, plain: &Tensor) {
        assert_eq!(host.dims(), plain.dims());
        let distance = (host - plain).unwrap().abs().unwrap().max_all().unwrap();
        let distance = distance.to_scalar::<f32>().unwrap();
        assert!(distance < 5e-6, "{distance} apart");
    }

    /// Widths around the number of lanes, and heights that make one task and several.
    const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 15), (5, 16), (7, 33), (900, 48)];

    #[test]
    fn loops_over_rows_compute_what_candle_computes() {
        for (rows, width) in SHAPES {
            let xs = || values(&[rows, width], 1);
            let bias = vector(width, 2);
            let residual = values(&[rows, width], 3);
            let weights =
                NormWeights { scale: vector(width, 4), shift: vector(width, 5), eps: 1e-2 };
            check(&host::add_bias(xs(), &bias).unwrap(), &plain::add_bias(&xs(), &bias).unwrap());
            check(
                &host::add_bias_gelu(xs(), &bias).unwrap(),
                &plain::add_bias_gelu(&xs(), &bias).unwrap(),
            );
            check(&host::norm(xs(), &weights).unwrap(), &plain::norm(&xs(), &weights).unwrap());
            check(
                &host::add_bias_norm(xs(), &bias, &residual, &weights).unwrap(),
                &plain::add_bias_norm(&xs(), &bias, &residual, &weights).unwrap(),
            );
            check(&host::softmax(xs()).unwrap(), &plain::softmax(&xs()).unwrap());
        }
    }

    #[test]
    fn loops_over_pairs_compute_what_candle_computes() {
        for (n_rows, n_columns, width) in [(1, 1, 1), (2, 3, 5), (40, 20, 64)] {
            let pairs = || values(&[n_rows, n_columns, width], 1);
            let rows = values(&[n_rows, width], 2);
            let columns = values(&[n_columns, width], 3);
            check(
                &host::add_pairs_relu(pairs(), &rows, &columns).unwrap(),
                &plain::add_pairs_relu(&pairs(), &rows, &columns).unwrap(),
            );
        }
    }

    #[test]
    fn positions_are_gathered_as_candle_gathers_them() {
        let (heads, buckets) = (3, 10);
        for n in [1, 2, 7, 90_u32] {
            let bucket_of: Vec<u32> = (0..2 * n - 1).map(|at| (at * 7) % 10).collect();
            let n = n as usize;
            let scores = || values(&[heads, n, n], 1);
            let by_query = values(&[heads, n, buckets], 2);
            let by_key = values(&[heads, n, buckets], 3);
            check(
                &host::softmax_with_positions(scores(), &by_query, &by_key, &bucket_of).unwrap(),
                &plain::softmax_with_positions(&scores(), &by_query, &by_key, &bucket_of).unwrap(),
            );
        }
    }
}
