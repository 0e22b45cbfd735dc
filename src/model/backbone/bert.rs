//! BERT: learned absolute positions, post-normalised layers, exact GELU.
//!
//! Paper: <https://arxiv.org/abs/1810.04805>. Reference: transformers 5, `models/bert/modeling_bert.py`.
//! Our own file for its speed (see [`super`]): queries, keys and values are one product, and heads are read in place.

use candle_core::{DType, Result, Tensor};

use super::layer::{Heads, Projections, Rest};
use crate::model::config::BertConfig;
use crate::model::error::Loaded;
use crate::model::layers::{Linear, Norm};
use crate::model::ops;
use crate::model::weights::Scope;

/// The encoder.
pub(in crate::model) struct Bert {
    // (vocabulary, width)
    words: Tensor,
    // (positions, width), with segment 0 added
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    // (width, 3 * width)
    merged: Linear,
    heads: usize,
    rest: Rest,
}

impl Bert {
    /// Loads the encoder.
    pub(super) fn load(scope: &Scope<'_>, config: &BertConfig) -> Loaded<Self> {
        let size = &config.size;
        // The pooler serves sentence pairs; position_ids are 0, 1, 2 … in files of old transformers.
        scope.unused(&["pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"]);
        let tables = scope.at("embeddings");
        let table = |name, rows| tables.tensor(name, &[rows, size.width]);
        let positions = table("position_embeddings.weight", config.positions)?;
        let segments = table("token_type_embeddings.weight", config.segments)?;
        let layers = (0..size.layers)
            .map(|at| {
                let scope = scope.at(&format!("encoder.layer.{at}"));
                let scale = ((size.width / size.heads) as f64).sqrt();
                Ok(Layer {
                    merged: Projections::load(&scope, ["query", "key", "value"], size)?
                        .merge(scale)?,
                    heads: size.heads,
                    rest: Rest::load(&scope, size)?,
                })
            })
            .collect::<Loaded<_>>()?;
        Ok(Self {
            words: tables.table("word_embeddings.weight", size.width)?,
            positions: positions.broadcast_add(&segments.narrow(0, 0, 1)?)?,
            norm: Norm::load(&tables.at("LayerNorm"), size.width, size.norm_eps)?,
            layers,
        })
    }

    /// Rows of the embedding table.
    pub(super) fn vocabulary(&self) -> Result<usize> {
        self.words.dim(0)
    }

    /// `(pieces)` to `(pieces, width)`; more pieces than positions are an error.
    pub(super) fn forward(&self, pieces: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(pieces.dtype(), DType::U32);
        let positions = self.positions.narrow(0, 0, pieces.dim(0)?)?;
        let xs = (self.words.index_select(pieces, 0)? + positions)?;
        let xs = self.norm.forward(xs)?;
        self.layers.iter().try_fold(xs, |xs, layer| layer.forward(&xs))
    }
}

impl Layer {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let heads = Heads::split(&self.merged.forward(xs)?, self.heads)?;
        let weights = ops::softmax(heads.scores()?)?;
        self.rest.forward(xs, &heads.mix(&weights)?)
    }
}
