//! Everything that can be wrong with a checkpoint, each naming the file, key or token to look at.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A checkpoint could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of the checkpoint could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This build carries no model of its own.
    #[error("this build has no embedded model (cargo feature `default-model`): give a directory")]
    NotEmbedded,
    /// A JSON file of the checkpoint is not JSON, or not of the shape it must have.
    #[error("{file} is malformed")]
    Json {
        /// The file's name.
        file: &'static str,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A key is missing, or its value makes no sense.
    #[error("{file}: {key} is {value}, expected {expected}")]
    Invalid {
        /// The file's name.
        file: &'static str,
        /// The key, with the section before it.
        key: String,
        /// The value found.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The checkpoint is of a kind that `gleand` does not run.
    #[error("{file}: {key} = {value} is not supported yet")]
    NotSupported {
        /// The file's name.
        file: &'static str,
        /// The key, with the section before it.
        key: String,
        /// The value found.
        value: String,
    },
    /// The tokenizer could not be built.
    #[error("tokenizer.json cannot be used")]
    Tokenizer {
        /// What the tokenizers library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The tokenizer lacks a token that the prompt is made of.
    #[error("tokenizer.json has no token {token:?}, which gliner_config.json asks for")]
    MissingToken {
        /// The token.
        token: String,
    },
    /// The marker of the config and the marker of the tokenizer are not the same piece.
    #[error(
        "gliner_config.json: class_token_index is {config}, but {token:?} is piece {tokenizer} in tokenizer.json"
    )]
    ClassTokenIndex {
        /// The number in the config.
        config: i64,
        /// The marker.
        token: String,
        /// Its number in the tokenizer.
        tokenizer: u32,
    },
    /// The tokenizer can produce pieces that have no embedding.
    #[error(
        "tokenizer.json has pieces up to number {piece}, but the weights hold {rows} embeddings"
    )]
    Vocabulary {
        /// The largest piece.
        piece: u32,
        /// Rows of the embedding table.
        rows: usize,
    },
    /// The weights are not a whole safetensors file.
    #[error("model.safetensors is damaged or cut short")]
    Weights {
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A weight that the config asks for is not in the file.
    #[error("model.safetensors has no weight {key}")]
    MissingWeight {
        /// The weight.
        key: String,
    },
    /// The file holds a weight that the config has no place for.
    #[error("model.safetensors has a weight {key} that gliner_config.json has no place for")]
    UnexpectedWeight {
        /// The weight.
        key: String,
    },
    /// A weight has another shape than the config says.
    #[error("weight {key} has shape {actual:?}, expected {expected:?}")]
    WeightShape {
        /// The weight.
        key: String,
        /// The shape found.
        actual: Vec<usize>,
        /// The shape that the config asks for.
        expected: Vec<usize>,
    },
    /// A weight is stored in a number format that is not read.
    #[error("weight {key} is stored as {format}; fp32, fp16 and bf16 are read")]
    WeightFormat {
        /// The weight.
        key: String,
        /// Its number format.
        format: String,
    },
    /// The device refused the weights.
    #[error("cannot place the weights on the device")]
    Device {
        /// What candle said.
        source: candle_core::Error,
    },
}

impl From<candle_core::Error> for LoadError {
    fn from(source: candle_core::Error) -> Self {
        Self::Device { source }
    }
}

/// One window could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The window is longer than the encoder can read.
    #[error("a window of {pieces} pieces is longer than the {pieces_max} that the encoder reads")]
    TooLong {
        /// Pieces of the window, prompt included.
        pieces: usize,
        /// Pieces that the encoder reads.
        pieces_max: usize,
    },
    /// A piece or position of the input points outside what it indexes.
    #[error("the window's {what} is out of range")]
    OutOfRange {
        /// The part of the input.
        what: &'static str,
    },
    /// The computation failed on the device.
    #[error("the device failed")]
    Device {
        /// What candle said.
        source: candle_core::Error,
    },
}

impl From<candle_core::Error> for ForwardError {
    fn from(source: candle_core::Error) -> Self {
        Self::Device { source }
    }
}

/// What a layer's loading gives; `Result` alone is candle's in those files.
pub(super) type Loaded<T> = Result<T, LoadError>;
