//! Memory that a checkpoint needs, from its files' headers: nothing is loaded.
//!
//! An upper estimate, made to bound a process and checked against what it really takes (`tests/daemon/memory.rs`).

use safetensors::SafeTensors;

use super::config::{Config, EncoderConfig, EncoderSize};
use super::error::LoadError;
use super::load::{Source, with_files};

/// Bytes of a weight in memory: everything computes in f32.
const WEIGHT_BYTES: u64 = 4;
/// Attention matrices of one layer that live at once: scores, positions to both sides, their sum, softmax.
const ATTENTION_BUFFERS: u64 = 6;
/// Rows of a layer's width, and of its inner width, that live at once.
const WIDTH_BUFFERS: u64 = 16;
const INNER_BUFFERS: u64 = 4;

/// Memory of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Weights, once a device.
    pub weights: u64,
    /// The checkpoint's files while and after they are read, and the tokenizer made of them.
    pub files: u64,
    /// One forward pass of the longest window.
    pub forward: u64,
}

/// Reads the sizes of `source`; `pieces_max` and `words_max` bound its windows where the operator set them.
///
/// # Errors
/// [`LoadError`] names what cannot be read.
pub fn footprint(source: &Source, pieces_max: Option<usize>) -> Result<Footprint, LoadError> {
    with_files(source, |files| {
        let config = Config::parse(files.config)?;
        let facts = super::facts::parse(files.facts, &config)?;
        let pieces = pieces_max.or(facts.pieces_max).unwrap_or(2 * facts.words_max);
        let (_, header) = SafeTensors::read_metadata(files.weights)
            .map_err(|source| LoadError::Weights { source })?;
        let elements: usize =
            header.tensors().values().map(|info| info.shape.iter().product::<usize>()).sum();
        let tokenizer = count(files.tokenizer.len());
        Ok(Footprint {
            weights: WEIGHT_BYTES * count(elements),
            // A tokenizer takes several times the room of its file: maps in both directions.
            files: count(files.weights.len()) + 16 * tokenizer,
            forward: forward(&config, count(pieces)),
        })
    })
}

fn forward(config: &Config, pieces: u64) -> u64 {
    let EncoderSize { width, heads, inner, .. } = match &config.encoder {
        EncoderConfig::Bert(bert) => &bert.size,
        EncoderConfig::Deberta(deberta) => &deberta.size,
    };
    let rows = WIDTH_BUFFERS * count(*width.max(&config.hidden)) + INNER_BUFFERS * count(*inner);
    WEIGHT_BYTES * (ATTENTION_BUFFERS * count(*heads) * pieces * pieces + pieces * rows)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
