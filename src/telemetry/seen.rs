//! What the rest of the daemon saw, in the types that metrics and trace spans take: numbers and names of ours.

use std::time::Duration;

/// A stream that has ended.
#[derive(Clone, Copy, Debug)]
pub struct StreamSeen {
    /// Service and method.
    pub method: &'static str,
    /// Name of its status.
    pub code: &'static str,
    /// `OK` or the reason of its error.
    pub reason: &'static str,
    /// How long it was open.
    pub duration: Duration,
    /// Bytes that were received.
    pub bytes: u64,
    /// Words that were read.
    pub words: u64,
}

/// A batch that was scored.
#[derive(Clone, Copy, Debug)]
pub struct BatchSeen<'a> {
    /// Device as configured, such as `cpu` or `cuda:0`.
    pub device: &'a str,
    /// Windows in it.
    pub windows: usize,
    /// Pieces in it, without padding.
    pub pieces: usize,
    /// Share of it that is padding, 0 to 1.
    pub padding_ratio: f64,
    /// How long it took.
    pub duration: Duration,
}

/// Where it was seen that nobody waits for a window any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before a worker took it.
    Queue,
    /// When its batch was put together or taken apart.
    Batch,
    /// When its results were to be sent.
    Emit,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Queue, Self::Batch, Self::Emit];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Batch => "batch",
            Self::Emit => "emit",
        }
    }
}

/// What became of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has scores.
    Scored,
    /// Nobody waited for it.
    Skipped,
    /// The model could not score it.
    Failed,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Scored, Self::Skipped, Self::Failed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scored => "scored",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}
