//! Text encoders: pieces to states, one file an architecture.
//!
//! Ours and not those of candle-transformers. Both of its models go wrong for us in the same places: they load only what
//! they ask for and ignore the rest, mask every score although one window has nothing to mask, make a fresh buffer for
//! every step, and call scalar `erff` and `expf`; its DeBERTa moreover projects the position table again in every layer
//! of every call. See the head of each file.

mod bert;
mod deberta;
mod layer;

use candle_core::{Result, Tensor};

use super::config::EncoderConfig;
use super::error::Loaded;
use super::weights::Scope;
use bert::Bert;
use deberta::Deberta;

/// A text encoder.
pub(super) enum Backbone {
    /// BERT.
    Bert(Bert),
    /// DeBERTa-v2 and v3.
    Deberta(Deberta),
}

impl Backbone {
    /// Loads the encoder that the config names: the one match over architectures.
    pub(super) fn load(scope: &Scope<'_>, config: &EncoderConfig) -> Loaded<Self> {
        match config {
            EncoderConfig::Bert(config) => Bert::load(scope, config).map(Self::Bert),
            EncoderConfig::Deberta(config) => Deberta::load(scope, config).map(Self::Deberta),
        }
    }

    /// Rows of the embedding table.
    pub(super) fn vocabulary(&self) -> Result<usize> {
        match self {
            Self::Bert(bert) => bert.vocabulary(),
            Self::Deberta(deberta) => deberta.vocabulary(),
        }
    }

    /// `(pieces)` of one window to `(pieces, width)`.
    pub(super) fn forward(&self, pieces: &Tensor) -> Result<Tensor> {
        match self {
            Self::Bert(bert) => bert.forward(pieces),
            Self::Deberta(deberta) => deberta.forward(pieces),
        }
    }
}
