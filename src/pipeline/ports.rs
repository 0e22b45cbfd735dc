//! The two ports of the pipeline: what it needs from a model, and nothing else.

use std::error::Error;
use std::fmt;

use super::scores::{Prompt, Scores, WindowInput};

/// Text to pieces. Pure computation, shared by every stream.
pub trait Encoder: Send + Sync + fmt::Debug {
    /// Pieces of one word, possibly none. Special tokens in the text are text here.
    fn pieces(&self, word: &str) -> Vec<u32>;

    /// The piece that stands for text outside the vocabulary, if the tokenizer has one.
    fn unknown_piece(&self) -> Option<u32>;

    /// Pieces of one label as the model would read it.
    ///
    /// # Errors
    /// [`LabelError`] when the label would disturb the prompt.
    fn label_pieces(&self, label: &str) -> Result<Vec<u32>, LabelError>;

    /// The prompt that asks for `labels`, in order. Checks nothing: see [`Encoder::label_pieces`]. Its size
    /// is that of an empty one and what each label adds, whatever stands beside it.
    fn prompt(&self, labels: &[&str]) -> Prompt;
}

/// Why a label cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The label contains a special token of the tokenizer, which would shift all label vectors.
    #[error("contains the special token {token:?} of the model's tokenizer")]
    SpecialToken {
        /// The token as the tokenizer spells it.
        token: String,
    },
    /// The tokenizer finds nothing to read in the label.
    #[error("has nothing that the model's tokenizer can read")]
    NoPieces,
}

/// Windows to scores. Owned by one worker thread, hence `&mut self`.
pub trait Scorer: Send {
    /// Scores every window of `batch`, in order.
    ///
    /// # Errors
    /// [`ScoreError`] when no score of the batch can be used.
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError>;
}

/// A batch could not be scored. The source stays opaque, so that no model type reaches the pipeline.
#[derive(Debug, thiserror::Error)]
#[error("the model could not score a batch of {windows} windows")]
pub struct ScoreError {
    /// Windows in the batch.
    pub windows: usize,
    /// What the model said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What a checkpoint says about itself, as far as windows and decoding need it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFacts {
    /// Words that the checkpoint reads at once (`max_len`).
    pub words_max: usize,
    /// Pieces that its encoder can read at once, prompt included; absent for relative positions.
    pub pieces_max: Option<usize>,
    /// Labels that one pass asks for at most (`gleand.json`, else `max_types`).
    pub labels_per_pass: usize,
    /// How a span's score is made of its words' probabilities.
    pub score_mode: ScoreMode,
    /// Thresholds for tasks that do not set their own.
    pub thresholds: TaskThresholds,
    /// Words of a window in which each task is at its best.
    pub windows: TaskWindows,
}

/// Words of a window for each task, where it was measured that fewer than the checkpoint can read give better results
/// (`gleand.json`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskWindows {
    /// Entities.
    pub entities: Option<usize>,
    /// Open extraction.
    pub open: Option<usize>,
    /// Relations.
    pub relations: Option<usize>,
    /// Questions.
    pub questions: Option<usize>,
    /// Summary.
    pub summary: Option<usize>,
    /// Classification.
    pub classify: Option<usize>,
}

/// How a token-level span's score is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreMode {
    /// Smallest of start, end and every inside probability (gliner >= 0.2.17).
    Min,
    /// Mean of the inside probabilities (the paper; gliner <= 0.2.16).
    Mean,
}

/// Default threshold of each task (`gleand.json`; 0.5, summary 0.25 without it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskThresholds {
    /// Entities.
    pub entities: f32,
    /// Open extraction.
    pub open: f32,
    /// Relations.
    pub relations: f32,
    /// Questions.
    pub questions: f32,
    /// Summary.
    pub summary: f32,
    /// Classification.
    pub classify: f32,
}

impl Default for TaskThresholds {
    fn default() -> Self {
        Self {
            entities: 0.5,
            open: 0.5,
            relations: 0.5,
            questions: 0.5,
            summary: 0.25,
            classify: 0.5,
        }
    }
}
