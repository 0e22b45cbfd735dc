//! What goes into a document and what comes out of it.

use bytes::Bytes;

use super::finding::{Finding, Found};
use super::intake::IntakeCounts;
use super::line::{LineCounts, PassId};
use super::offset::Position;
use super::scores::{Scores, ShapeError, WindowInput};

/// What can happen to a document.
#[derive(Debug)]
pub enum Input {
    /// The next bytes. Hand them in only while [`Document::wants_input`](super::document::Document::wants_input).
    Bytes(Bytes),
    /// Everything before this place is to be decided as if the text ended here.
    Flush,
    /// The text is complete.
    Finish,
    /// A window was scored.
    Scored(WindowId, Scores),
    /// Time passed: progress is to be told even if there is none.
    Tick,
}

/// What a document says.
#[derive(Debug)]
pub enum Event {
    /// A window wants to be scored.
    Window(WindowId, WindowInput),
    /// A result, final.
    Found(Found),
    /// How the results of a task stand that come after the last window.
    Interim {
        /// Index of the task in the plan.
        task: usize,
        /// All of them; what was told before does not count any more.
        findings: Vec<Finding>,
    },
    /// Everything before the watermark is out.
    Progress(Progress),
    /// Something the client should know.
    Warning(Warning),
    /// The document cannot go on. Nothing follows.
    Failed(DocumentError),
    /// The document is complete. Nothing follows.
    Done(Summary),
}

/// Names a window that is being scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowId {
    /// Index of the task in the plan.
    pub(super) task: usize,
    /// Which of its passes.
    pub(super) pass: PassId,
}

/// How far a document has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything that starts before this place is final, in all tasks whose results come with the text.
    pub watermark: Position,
    /// Bytes handed in.
    pub received_bytes: u64,
}

/// Something a client should know, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The plan says so.
    Plan {
        /// Index of the task.
        task: usize,
        /// Index in the task's list of warnings.
        index: usize,
    },
    /// The model's tokenizer knows little of this text.
    OutsideVocabulary {
        /// Unknown words among those looked at.
        unknown: u64,
        /// Words looked at.
        words: u64,
    },
    /// Bytes that are not UTF-8 were replaced.
    InvalidReplaced,
    /// A flush came less than a window after the one before, and waits until a window is full.
    FlushHeld,
    /// A word without end was closed.
    WordCut,
    /// A word gave the encoder fewer pieces than it has.
    WordPiecesCut,
    /// A window had more candidates than are held.
    CandidatesDropped,
    /// A cluster of overlapping candidates was decided early.
    ClusterForced,
    /// Not all heads of relations in a window could ask for their tails.
    RelationsLimited {
        /// Index of the task.
        task: usize,
    },
}

/// Why a document cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are not UTF-8.
    #[error("the bytes are not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Offset of the first byte of the invalid part.
        at: u64,
    },
    /// A flush stands inside a code point.
    #[error("a flush stands inside a code point at byte {at}")]
    FlushInsideCodePoint {
        /// Bytes before the flush.
        at: u64,
    },
    /// The model returned something else than was asked for.
    #[error(transparent)]
    Scores(#[from] ShapeError),
}

/// What a complete document amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All of it.
    pub received: Position,
    /// Words read, every one of them scored.
    pub words: u64,
    /// What was met on the way.
    pub intake: IntakeCounts,
    /// What happened in each task.
    pub tasks: Vec<LineCounts>,
}
