//! Why a call is refused or ends early, as values. [`super::status`] says what the client gets.
//!
//! Messages are lower-case and say what to change. None holds text of a document or a name that a client chose.

use std::fmt;
use std::time::Duration;

use super::keys::KeyRefusal;
use crate::pipeline::schema::SchemaError;

/// Why a call ends without having done its work.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The call has no config, or a stream does not start with it.
    #[error("send a config first")]
    ConfigMissing,
    /// A second config came.
    #[error("send the config once, as the first message")]
    ConfigRepeated,
    /// A message makes no sense where it stands.
    #[error("{0}")]
    UnexpectedMessage(Unexpected),
    /// The config cannot be used.
    #[error("{0}")]
    Config(Mistakes),
    /// The method comes later.
    #[error("this server does not answer {method} yet: use Extract or ExtractStream")]
    MethodNotBuilt {
        /// Name of the method.
        method: &'static str,
    },
    /// Resuming comes later.
    #[error(
        "this server does not resume documents yet: leave resume_token empty and start at byte 0"
    )]
    ResumeNotBuilt,
    /// No model has that name.
    #[error("no such model: leave the name empty or take one that ListModels tells")]
    ModelNotFound,

    /// The document is not UTF-8.
    #[error(
        "byte {at} is not UTF-8: convert the document, or set config.invalid_utf8 to INVALID_UTF8_REPLACE"
    )]
    InvalidUtf8 {
        /// First byte of the invalid part.
        at: u64,
    },
    /// A flush stands inside a code point.
    #[error("the flush after byte {at} stands inside a code point: send the rest of it first")]
    FlushInsideCodePoint {
        /// Bytes before the flush.
        at: u64,
    },
    /// A chunk starts after the end of what was received.
    #[error("bytes {received_bytes} to {offset_bytes} are missing: send them first")]
    ChunkGap {
        /// Bytes received.
        received_bytes: u64,
        /// Where the chunk starts.
        offset_bytes: u64,
    },
    /// A position is negative.
    #[error("a position is never negative, here {value}")]
    OffsetNegative {
        /// What was sent.
        value: i64,
    },
    /// A chunk is too large.
    #[error("a chunk of {bytes} bytes is larger than the {max} allowed: cut it")]
    ChunkTooLarge {
        /// Bytes of the chunk.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The client counted otherwise.
    #[error("finish.total_bytes says {total_bytes}, but {received_bytes} bytes were received")]
    TotalMismatch {
        /// Bytes received.
        received_bytes: u64,
        /// Bytes that the client announced.
        total_bytes: i64,
    },
    /// The stream ended without `finish`.
    #[error(
        "the input ended after {received_bytes} bytes without finish: send finish to end a document"
    )]
    InputIncomplete {
        /// Bytes received.
        received_bytes: u64,
    },
    /// The document is too large.
    #[error(
        "the document is larger than the {max} bytes allowed here: split it, or use ExtractStream"
    )]
    DocumentTooLarge {
        /// Bytes allowed.
        max: u64,
    },

    /// The answer is too large for one message.
    #[error("the answer is larger than the {max} bytes allowed in one message: use ExtractStream")]
    ResultTooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// No input came.
    #[error("no input came for {} s: send chunks as they come, then finish", after.as_secs())]
    IdleTimeout {
        /// How long the server waited.
        after: Duration,
    },
    /// The input only drips.
    #[error(
        "{} s were waited in all for the last {bytes} bytes: send larger parts, or finish", after.as_secs()
    )]
    InputTooSlow {
        /// How long the server waited.
        after: Duration,
        /// Bytes that would have been enough.
        bytes: u64,
    },
    /// The client does not read.
    #[error("results waited {} s to be read: read while you write", after.as_secs())]
    WriteStalled {
        /// How long the server waited.
        after: Duration,
    },
    /// The client's deadline is over.
    #[error("the deadline of the call is over")]
    DeadlineExceeded,
    /// The server takes no more work.
    #[error("the server takes no more work for now: try again later")]
    QueueFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// The model is not loaded yet.
    #[error("the server is still loading its model: try again later")]
    WarmingUp,
    /// The server is about to stop.
    #[error("the server is about to stop: try again, another replica will answer")]
    Draining,
    /// The model failed. Why is for the log.
    #[error(
        "the model could not read a part of the document: try again, and tell the operator if it stays so"
    )]
    WorkerFailed,
    /// The API key does not open.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
    /// The certificate is of somebody who may not call.
    #[error(
        "the client's certificate has no name that may call here: ask the operator to allow it"
    )]
    SanNotAllowed,
    /// The gRPC library refused a message. Passed on as it is; [`super::complete`] adds the reason.
    #[error("the gRPC library refused a message")]
    Transport(#[source] Box<tonic::Status>),
}

impl Refusal {
    /// Whether the document ends early through no fault of its client, so that what is final is still handed over.
    #[must_use]
    pub fn hands_over(&self) -> bool {
        matches!(
            self,
            Self::Draining
                | Self::WorkerFailed
                | Self::IdleTimeout { .. }
                | Self::InputTooSlow { .. }
        )
    }
}

/// What makes no sense where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// A message without a kind, or of a kind from the future.
    #[error("a message has no kind that this server knows: send config, chunk, flush or finish")]
    WithoutKind,
    /// Something came after `finish`.
    #[error("nothing may follow finish")]
    AfterFinish,
}

/// Mistakes of a config, all that were found: at least one.
#[derive(Debug)]
pub struct Mistakes {
    first: FieldMistake,
    others: Vec<FieldMistake>,
}

impl Mistakes {
    /// Mistakes in the order of their fields; `None` if there are none.
    #[must_use]
    pub fn new(mistakes: Vec<FieldMistake>) -> Option<Self> {
        let mut mistakes = mistakes.into_iter();
        let first = mistakes.next()?;
        Some(Self { first, others: mistakes.collect() })
    }

    /// The mistake that gives the call its code and reason.
    #[must_use]
    pub fn first(&self) -> &FieldMistake {
        &self.first
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldMistake> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<FieldMistake> for Mistakes {
    fn from(first: FieldMistake) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.first.field, self.first.mistake)?;
        match self.others.len() {
            0 => Ok(()),
            1 => write!(f, " (and 1 more mistake)"),
            more => write!(f, " (and {more} more mistakes)"),
        }
    }
}

/// What is wrong with one field.
#[derive(Debug)]
pub struct FieldMistake {
    /// Path of the field, as `config.tasks[0].entities.labels[2]`.
    pub field: String,
    /// What is wrong.
    pub mistake: Mistake,
}

/// What can be wrong with a field of the config.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    /// Nothing to look for.
    #[error("name at least one task")]
    NoTask,
    /// More tasks than allowed.
    #[error("{count} tasks are more than the {max} allowed")]
    TooManyTasks {
        /// Tasks in the request.
        count: usize,
        /// Tasks allowed.
        max: usize,
    },
    /// A task without a kind, or of a kind from the future.
    #[error("the task has no kind that this server knows")]
    UnknownTask,
    /// Two tasks of one id.
    #[error("task {first} has the same id: give each its own")]
    DuplicateTask {
        /// The task that has the id.
        first: usize,
    },
    /// An enum value that the server does not know, or the unspecified one where a choice is needed.
    #[error("{value} is not a value that this server knows")]
    UnknownValue {
        /// What was sent.
        value: i32,
    },
    /// An id that is too long.
    #[error("{bytes} bytes are more than the {max} allowed")]
    TooLong {
        /// Bytes in the request.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// What the pipeline says about a task.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_the_first_mistake_and_how_many_follow() {
        let mistake =
            |field: &str| FieldMistake { field: field.to_owned(), mistake: Mistake::UnknownTask };
        let mistakes = Mistakes::new(vec![mistake("tasks[0]"), mistake("tasks[1]")]);
        let message = mistakes.map(|mistakes| mistakes.to_string());
        let expected = "tasks[0]: the task has no kind that this server knows (and 1 more mistake)";
        assert_eq!(message.as_deref(), Some(expected));
        assert!(Mistakes::new(Vec::new()).is_none());
    }
}
