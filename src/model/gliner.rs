//! A whole GLiNER network: pieces of one window to probabilities.
//!
//! One window is one forward pass, on every device. On a CPU that makes batch neutrality exact: a window's bits depend on
//! the weights and its own pieces, never on what else waits. On a GPU it wastes width for now, and needs no tolerance.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::backbone::Backbone;
use super::config::{Config, Pooling, RnnLayers};
use super::encode::PieceEncoder;
use super::error::{ForwardError, LoadError};
use super::float;
use super::head::token::TokenHead;
use super::layers::{Linear, pool_words};
use super::rnn::BiLstm;
use super::weights::{Scope, Weights};
use crate::pipeline::ports::{ScoreError, Scorer};
use crate::pipeline::scores::{Scores, WindowInput};

/// The network. Its weights are shared by all scorers.
pub(super) struct Gliner {
    device: Device,
    backbone: Backbone,
    projection: Option<Linear>,
    pooling: Pooling,
    rnn: Option<BiLstm>,
    head: TokenHead,
    pieces_max: Option<usize>,
}

/// What a window looks like between the stages, for comparison with the reference.
#[derive(Clone, Debug)]
pub struct Stages {
    /// States of all pieces after the projection, `(pieces, hidden)`.
    pub hidden: Tensor,
    /// Label vectors, `(labels, hidden)`.
    pub label_vectors: Tensor,
    /// Words as pooled from their pieces, `(words, hidden)`.
    pub pooled_words: Tensor,
    /// Words as the head sees them, `(words, hidden)`.
    pub word_states: Tensor,
    /// Logits of start, end and inside, `(words, labels, 3)`.
    pub logits: Tensor,
}

impl Gliner {
    /// Builds the network of `config` from `weights` and checks that both fit the tokenizer.
    pub(super) fn load(
        weights: Weights<'_>,
        config: &Config,
        encoder: &PieceEncoder,
        pieces_max: Option<usize>,
    ) -> Result<Self, LoadError> {
        let network = Self::from_scope(&weights.root(), config, pieces_max)?;
        weights.finish()?;
        let (piece, rows) = (encoder.piece_max(), network.backbone.vocabulary()?);
        match (piece as usize) < rows {
            true => Ok(network),
            false => Err(LoadError::Vocabulary { piece, rows }),
        }
    }

    fn from_scope(
        root: &Scope<'_>,
        config: &Config,
        pieces_max: Option<usize>,
    ) -> Result<Self, LoadError> {
        let hidden = config.hidden;
        let encoder = root.at("token_rep_layer");
        let projection = match config.encoder.width() == hidden {
            true => None,
            false => Some(Linear::load(&encoder.at("projection"), config.encoder.width(), hidden)?),
        };
        let rnn = root.at("rnn.lstm");
        let layers = match config.rnn_layers {
            RnnLayers::Exactly(layers) => layers,
            RnnLayers::AsStored => {
                (0..).take_while(|layer| rnn.has(&format!("weight_ih_l{layer}"))).count()
            }
        };
        Ok(Self {
            device: root.device().clone(),
            backbone: Backbone::load(&encoder.at("bert_layer.model"), &config.encoder)?,
            projection,
            pooling: config.pooling,
            rnn: match layers {
                0 => None,
                _ => Some(BiLstm::load(&rnn, layers, hidden)?),
            },
            head: TokenHead::load(&root.at("scorer"), hidden)?,
            pieces_max,
        })
    }

    /// Runs one window of at least one word and one label.
    pub(super) fn stages(&self, window: &WindowInput) -> Result<Stages, ForwardError> {
        self.check(window)?;
        let prompt = &window.prompt;
        let pieces = [prompt.head.as_slice(), &window.pieces, &prompt.tail].concat();
        let pieces = Tensor::new(pieces, &self.device)?;
        let states = self.backbone.forward(&pieces)?;
        let hidden = match &self.projection {
            Some(projection) => projection.forward(&states)?,
            None => states,
        };
        let positions = Tensor::new(prompt.label_positions.as_slice(), &self.device)?;
        let label_vectors = hidden.index_select(&positions, 0)?;
        let text = hidden.narrow(0, prompt.head.len(), window.pieces.len())?;
        let pooled_words = pool_words(&text, &window.word_ends, self.pooling)?;
        let word_states = match &self.rnn {
            Some(rnn) => rnn.forward(pooled_words.clone())?,
            None => pooled_words.clone(),
        };
        let logits = self.head.forward(&word_states, &label_vectors)?;
        Ok(Stages { hidden, label_vectors, pooled_words, word_states, logits })
    }

    /// What would otherwise be a panic or a silent misreading further down.
    fn check(&self, window: &WindowInput) -> Result<(), ForwardError> {
        let pieces = window.cost();
        if let Some(pieces_max) = self.pieces_max.filter(|max| pieces > *max) {
            return Err(ForwardError::TooLong { pieces, pieces_max });
        }
        let mut last = 0;
        let in_order = window.word_ends.iter().all(|end| {
            let rises = last <= *end;
            last = *end;
            rises
        });
        if !in_order || last as usize != window.pieces.len() {
            return Err(ForwardError::OutOfRange { what: "word ends" });
        }
        Ok(())
    }

    fn score(
        &self,
        window: &WindowInput,
    ) -> Result<Scores, Box<dyn std::error::Error + Send + Sync>> {
        let (words, labels) = (window.words(), window.prompt.labels());
        if words == 0 || labels == 0 {
            return Ok(Scores::new(words, labels, Vec::new())?);
        }
        let logits = self.stages(window)?.logits.flatten_all()?.to_vec1::<f32>()?;
        let probabilities = logits.into_iter().map(float::sigmoid).collect();
        Ok(Scores::new(words, labels, probabilities)?)
    }
}

/// The scorer of one worker.
pub(super) struct GlinerScorer(pub(super) Arc<Gliner>);

impl Scorer for GlinerScorer {
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        batch
            .iter()
            .map(|window| self.0.score(window))
            .collect::<Result<_, _>>()
            .map_err(|source| ScoreError { windows: batch.len(), source })
    }
}
