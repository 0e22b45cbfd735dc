//! What a document is asked for, worked out before its first byte: passes, prompts, window sizes.
//! If a plan was made, the stream cannot fail for a reason that its client could have known.

use std::sync::Arc;

use super::ports::{Encoder, ModelFacts, ScoreMode};
use super::prefix::Prefix;
use super::schema::{Part, Threshold};
use super::scores::Prompt;
use super::task::TaskKind;
use super::utf8::InvalidUtf8;
use super::window::Geometry;

/// Sizes that the operator may set; `None` is what the model's `max_len` gives (ARCHITECTURE.md, "Words and windows").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPolicy {
    /// Words of a window, at most the model's.
    pub words_max: Option<usize>,
    /// Pieces of a window, prompt included, at most the encoder's.
    pub pieces_max: Option<usize>,
    /// Words of context before a core.
    pub margin_words: Option<usize>,
    /// Words of the widest mention that is found wherever it stands: the margin behind a core.
    pub mention_words_max: Option<usize>,
    /// Words that must be left for text beside the labels of one pass.
    pub text_words_min: Option<usize>,
    /// Pieces that one word gives the encoder.
    pub word_pieces_max: usize,
    /// Bytes after which a word without end is closed.
    pub word_bytes_max: usize,
    /// Candidates that are held for one task.
    pub candidates_max: usize,
    /// Windows of one document that may be scored at the same time.
    pub windows_in_flight_max: usize,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self {
            words_max: None,
            pieces_max: None,
            margin_words: None,
            mention_words_max: None,
            text_words_min: None,
            word_pieces_max: 64,
            word_bytes_max: 4096,
            candidates_max: 1 << 18,
            windows_in_flight_max: 4,
        }
    }
}

impl WindowPolicy {
    /// Words of a window of a task; `measured` is what the model says about the task ([`ModelFacts::windows`]).
    #[must_use]
    pub fn window_words(&self, facts: &ModelFacts, measured: Option<usize>) -> usize {
        self.words_max.or(measured).unwrap_or(usize::MAX).min(facts.words_max).max(1)
    }

    /// Pieces of a window of this model, prompt included.
    #[must_use]
    pub fn window_pieces(&self, facts: &ModelFacts) -> usize {
        match (facts.pieces_max, self.pieces_max) {
            (Some(limit), Some(set)) => set.min(limit),
            (Some(limit), None) => limit,
            (None, Some(set)) => set,
            (None, None) => 2 * facts.words_max,
        }
    }

    /// Words, or as many pieces, that a prompt leaves to the text of a window of `window` words.
    #[must_use]
    pub fn text_words(&self, facts: &ModelFacts, window: usize) -> usize {
        let quarter = self.window_words(facts, None) / 4;
        self.text_words_min.unwrap_or(quarter).min(window).max(1)
    }
}

/// What is asked of one document.
#[derive(Debug)]
pub struct Plan {
    /// Tasks in the order of the request.
    pub tasks: Vec<TaskPlan>,
    /// Words to pieces.
    pub encoder: Arc<dyn Encoder>,
    /// What happens to bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// Whether results carry their text, so that text must be kept while a mention may form.
    pub keep_text: KeepText,
    /// Whether tasks whose results come last tell how these stand.
    pub interim: Interim,
    /// Sizes as set by the operator.
    pub policy: WindowPolicy,
}

impl Plan {
    /// Whether text must be kept while a mention may form.
    #[must_use]
    pub fn text_needed(&self) -> KeepText {
        let reads_mentions = |task: &TaskPlan| matches!(task.kind, TaskKind::Relations(_));
        if self.tasks.iter().any(reads_mentions) { KeepText::Yes } else { self.keep_text }
    }
}

/// Whether results that come after the last window are told as they stand before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interim {
    /// They are.
    Told,
    /// They are not.
    Silent,
}

/// Whether results carry their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepText {
    /// They do.
    Yes,
    /// They carry offsets only.
    No,
}

/// One task, ready to run.
#[derive(Debug)]
pub struct TaskPlan {
    /// What is asked for, and how scores become results.
    pub kind: TaskKind,
    /// How often each window is read; every pass sees the same windows.
    pub passes: Vec<Pass>,
    /// Window sizes.
    pub geometry: Geometry,
    /// Pieces of the longest prompt, the words before the text included.
    pub prompt_pieces: usize,
    /// Words before the text of the pass that has most of them.
    pub prefix_words: usize,
    /// How a span's score is made.
    pub score_mode: ScoreMode,
    /// Candidates of one window that are held.
    pub candidates_max: usize,
    /// What the client should know before it sends text.
    pub warnings: Vec<PlanWarning>,
}

/// One reading of a window.
#[derive(Debug)]
pub struct Pass {
    /// The task's number of the pass's first label.
    pub first_label: u32,
    /// A threshold for each label of the pass.
    pub thresholds: Vec<Threshold>,
    /// The labels.
    pub prompt: Arc<Prompt>,
    /// Words before the text.
    pub prefix: Arc<Prefix>,
}

/// What a plan says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanWarning {
    /// Every window is read once for each pass.
    ManyPasses {
        /// Passes for each window.
        passes: usize,
    },
    /// Two names are the same to the model.
    EqualLabels {
        /// One of them.
        first: Part,
        /// The other.
        second: Part,
    },
}
