//! What the encoder layers of both architectures share: everything but the attention scores.

use candle_core::{Result, Tensor};

use crate::model::config::EncoderSize;
use crate::model::error::Loaded;
use crate::model::layers::{Linear, Norm};
use crate::model::weights::Scope;

/// The products that make queries, keys and values, by the names of the checkpoint.
pub(super) struct Projections {
    /// `(width, width)`, not yet divided by the scores' scale.
    pub(super) query: Linear,
    /// `(width, width)`.
    pub(super) key: Linear,
    /// `(width, width)`.
    pub(super) value: Linear,
}

impl Projections {
    /// Loads the three, called `names`, below `attention.self`.
    pub(super) fn load(scope: &Scope<'_>, names: [&str; 3], size: &EncoderSize) -> Loaded<Self> {
        let scope = scope.at("attention.self");
        let [query, key, value] = names;
        let load = |name| Linear::load(&scope.at(name), size.width, size.width);
        Ok(Self { query: load(query)?, key: load(key)?, value: load(value)? })
    }

    /// One product for all three, with the queries divided by `scale`.
    pub(super) fn merge(self, scale: f64) -> Result<Linear> {
        Linear::beside(&[self.query.scaled(1.0 / scale)?, self.key, self.value])
    }
}

/// Queries, keys and values of one window, each `(heads, pieces, width / heads)`.
pub(super) struct Heads {
    /// Queries.
    pub(super) query: Tensor,
    /// Keys.
    pub(super) key: Tensor,
    /// Values.
    pub(super) value: Tensor,
}

impl Heads {
    /// Cuts `(pieces, 3 * width)` into heads.
    pub(super) fn split(merged: &Tensor, heads: usize) -> Result<Self> {
        let (pieces, width) = merged.dims2()?;
        let heads = merged.reshape((pieces, 3, heads, width / 3 / heads))?.transpose(0, 2)?;
        let part = |at| by_head(&heads.narrow(1, at, 1)?.squeeze(1)?);
        Ok(Self { query: part(0)?, key: part(1)?, value: part(2)? })
    }

    /// Scores of all queries and keys, `(heads, pieces, pieces)`.
    pub(super) fn scores(&self) -> Result<Tensor> {
        self.query.matmul(&self.key.t()?)
    }

    /// Values summed under `weights`, `(pieces, width)`.
    pub(super) fn mix(&self, weights: &Tensor) -> Result<Tensor> {
        let mixed = weights.matmul(&self.value)?;
        let (heads, pieces, width) = mixed.dims3()?;
        mixed.transpose(0, 1)?.reshape((pieces, heads * width))
    }
}

/// A view `(heads, rows, width)` as products can read it.
///
/// On a CPU they read any strides, so nothing is copied there.
pub(super) fn by_head(xs: &Tensor) -> Result<Tensor> {
    match xs.device().is_cpu() {
        true => Ok(xs.clone()),
        false => xs.contiguous(),
    }
}

/// What follows the attention: output, feed-forward, and a normalised sum after each.
pub(super) struct Rest {
    output: Linear,
    output_norm: Norm,
    widen: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

impl Rest {
    /// Loads the parts of one layer; both architectures use the same names.
    pub(super) fn load(scope: &Scope<'_>, size: &EncoderSize) -> Loaded<Self> {
        let (width, inner) = (size.width, size.inner);
        let norm = |at: &str| Norm::load(&scope.at(at), width, size.norm_eps);
        Ok(Self {
            output: Linear::load(&scope.at("attention.output.dense"), width, width)?,
            output_norm: norm("attention.output.LayerNorm")?,
            widen: Linear::load(&scope.at("intermediate.dense"), width, inner)?,
            narrow: Linear::load(&scope.at("output.dense"), inner, width)?,
            narrow_norm: norm("output.LayerNorm")?,
        })
    }

    /// `xs` as it entered the layer and `mixed` as the attention left it, both `(pieces, width)`.
    pub(super) fn forward(&self, xs: &Tensor, mixed: &Tensor) -> Result<Tensor> {
        let xs = self.output.forward_norm(mixed, xs, &self.output_norm)?;
        let inner = self.widen.forward_gelu(&xs)?;
        self.narrow.forward_norm(&inner, &xs, &self.narrow_norm)
    }
}
