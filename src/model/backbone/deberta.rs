//! DeBERTa-v2 and v3: attention over content and relative positions.
//!
//! Papers: <https://arxiv.org/abs/2006.03654>, <https://arxiv.org/abs/2111.09543>. Reference: transformers 5,
//! `models/deberta_v2/modeling_deberta_v2.py`. Our own file because the projections of the position table
//! depend on the weights alone: here they are made once, when the checkpoint loads.
//!
//! A score of query `i` and key `j` is `q_i k_j + q_i P_k[b] + k_j P_q[b]`, over a common scale, where `b` is the bucket of
//! the distance `i - j`, and `P_k` and `P_q` are the projected position table.

use candle_core::{Result, Tensor};

use super::layer::{Heads, Projections, Rest, by_head};
use crate::model::config::DebertaConfig;
use crate::model::error::Loaded;
use crate::model::layers::{Linear, Norm};
use crate::model::ops;
use crate::model::weights::Scope;

/// The encoder.
pub(in crate::model) struct Deberta {
    // (vocabulary, width), with segment 0 added where there is one
    words: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    buckets: Buckets,
}

struct Layer {
    // (width, 3 * width)
    merged: Linear,
    // (heads, buckets, width / heads), made from the position table
    position_keys: Tensor,
    position_queries: Tensor,
    heads: usize,
    rest: Rest,
}

impl Deberta {
    /// Loads the encoder.
    pub(super) fn load(scope: &Scope<'_>, config: &DebertaConfig) -> Loaded<Self> {
        let size = &config.size;
        let tables = scope.at("embeddings");
        let mut words = tables.table("word_embeddings.weight", size.width)?;
        if config.segments > 0 {
            let shape = [config.segments, size.width];
            let segments = tables.tensor("token_type_embeddings.weight", &shape)?;
            words = words.broadcast_add(&segments.narrow(0, 0, 1)?)?;
        }
        tables.unused(&["position_ids"]);
        let encoder = scope.at("encoder");
        let buckets = Buckets::new(config);
        let mut positions =
            encoder.tensor("rel_embeddings.weight", &[2 * buckets.span, size.width])?;
        if config.normed_positions {
            let norm = Norm::load(&encoder.at("LayerNorm"), size.width, size.norm_eps)?;
            positions = norm.forward(positions)?;
        }
        let layers = (0..size.layers)
            .map(|at| Layer::load(&encoder.at(&format!("layer.{at}")), config, &positions))
            .collect::<Loaded<_>>()?;
        let norm = Norm::load(&tables.at("LayerNorm"), size.width, size.norm_eps)?;
        Ok(Self { words, norm, layers, buckets })
    }

    /// Rows of the embedding table.
    pub(super) fn vocabulary(&self) -> Result<usize> {
        self.words.dim(0)
    }

    /// `(pieces)` to `(pieces, width)`.
    pub(super) fn forward(&self, pieces: &Tensor) -> Result<Tensor> {
        let bucket_of = self.buckets.of_distances(pieces.dim(0)?);
        let xs = self.norm.forward(self.words.index_select(pieces, 0)?)?;
        self.layers.iter().try_fold(xs, |xs, layer| layer.forward(&xs, &bucket_of))
    }
}

impl Layer {
    fn load(scope: &Scope<'_>, config: &DebertaConfig, positions: &Tensor) -> Loaded<Self> {
        let size = &config.size;
        let content = Projections::load(scope, ["query_proj", "key_proj", "value_proj"], size)?;
        let (keys, queries) = if config.shared_projections {
            (content.key.clone(), content.query.clone())
        } else {
            let scope = scope.at("attention.self");
            let load = |name| Linear::load(&scope.at(name), size.width, size.width);
            (load("pos_key_proj")?, load("pos_query_proj")?)
        };
        // The scale counts the three terms of a score. Two of them hold a query, the third a position's query.
        let scale = ((size.width / size.heads * 3) as f64).sqrt();
        let by_heads = |table: Tensor| -> Result<Tensor> {
            let (rows, width) = table.dims2()?;
            table.reshape((rows, size.heads, width / size.heads))?.transpose(0, 1)?.contiguous()
        };
        Ok(Self {
            position_keys: by_heads(keys.forward(positions)?)?,
            position_queries: by_heads(queries.scaled(1.0 / scale)?.forward(positions)?)?,
            merged: content.merge(scale)?,
            heads: size.heads,
            rest: Rest::load(scope, size)?,
        })
    }

    fn forward(&self, xs: &Tensor, bucket_of: &[u32]) -> Result<Tensor> {
        let heads = Heads::split(&self.merged.forward(xs)?, self.heads)?;
        let by_query = heads.query.matmul(&by_head(&self.position_keys.t()?)?)?;
        let by_key = heads.key.matmul(&by_head(&self.position_queries.t()?)?)?;
        let weights = ops::softmax_with_positions(heads.scores()?, &by_query, &by_key, bucket_of)?;
        self.rest.forward(xs, &heads.mix(&weights)?)
    }
}

/// How distances share rows of the position table: near ones have their own, far ones share, by logarithm.
struct Buckets {
    /// Rows of the table for one direction.
    span: usize,
    /// Distance up to which the logarithm reaches; absent: one row a distance.
    distance_max: Option<usize>,
}

impl Buckets {
    fn new(config: &DebertaConfig) -> Self {
        match config.buckets {
            Some(span) => Self { span, distance_max: Some(config.distance_max) },
            None => Self { span: config.distance_max, distance_max: None },
        }
    }

    /// Rows of the table for the distances `1 - n ..= n - 1`, in this order.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "distances and rows are far below 2^31, and rows are clamped to the table"
    )]
    fn of_distances(&self, n: usize) -> Vec<u32> {
        let (n, span) = (n as i64, self.span as i64);
        (1 - n..n)
            .map(|distance| (self.bucket(distance) + span).clamp(0, 2 * span - 1) as u32)
            .collect()
    }

    /// `make_log_bucket_position` of the reference, in fp32 as there.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "distances are far below 2^24"
    )]
    fn bucket(&self, distance: i64) -> i64 {
        let middle = (self.span / 2) as i64;
        let Some(distance_max) = self.distance_max else { return distance };
        if distance.abs() <= middle {
            return distance;
        }
        let near = middle as f32;
        let position = (distance.abs() as f32 / near).ln()
            / ((distance_max as f32 - 1.0) / near).ln()
            * (near - 1.0);
        distance.signum() * (position.ceil() as i64 + middle)
    }
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    #[test]
    fn near_distances_have_their_own_bucket_and_far_ones_share() {
        // transformers 5.16, make_log_bucket_position(torch.arange(-600, 601), 256, 512)
        let buckets = Buckets { span: 256, distance_max: Some(512) };
        let expected = [
            (0, 0),
            (1, 1),
            (-5, -5),
            (128, 128),
            (129, 129),
            (-130, -130),
            (200, 169),
            (511, 255),
        ];
        for (distance, bucket) in expected {
            assert_eq!(buckets.bucket(distance), bucket, "distance {distance}");
        }
    }

    #[test]
    fn distances_beyond_the_table_take_its_last_row() {
        let buckets = Buckets { span: 4, distance_max: None };
        assert_eq!(buckets.of_distances(6), [0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
    }
}
