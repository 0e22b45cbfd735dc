//! What each refusal is to a client: status code, reason, the field that is to blame, the numbers of its message.

use tonic::Code;

use super::keys::KeyRefusal;
use super::refusal::{Mistake, Refusal};
use crate::pipeline::ports::LabelError;
use crate::pipeline::schema::{Problem, SchemaError};

/// Status code, reason, and the field that is to blame (empty: none). The reasons are those of `ErrorReason` in
/// `proto/gleand/v1/errors.proto` (tested).
pub(super) type Verdict = (Code, &'static str, &'static str);

/// What a refusal is to a client.
pub(super) fn verdict(refusal: &Refusal) -> Verdict {
    match refusal {
        Refusal::ConfigMissing => (Code::InvalidArgument, "CONFIG_MISSING", "config"),
        Refusal::ConfigRepeated => (Code::InvalidArgument, "CONFIG_REPEATED", "config"),
        Refusal::UnexpectedMessage(_) => (Code::InvalidArgument, "UNEXPECTED_MESSAGE", "kind"),
        Refusal::Config(mistakes) => {
            let (code, reason) = mistake_verdict(&mistakes.first().mistake);
            (code, reason, "config")
        }
        Refusal::MethodNotBuilt { .. } => (Code::Unimplemented, "METHOD_NOT_BUILT", ""),
        Refusal::ResumeNotBuilt => (Code::Unimplemented, "RESUME_NOT_BUILT", "config.resume_token"),
        Refusal::ModelNotFound => (Code::NotFound, "MODEL_NOT_FOUND", "config.model"),
        Refusal::InvalidUtf8 { .. } => {
            (Code::InvalidArgument, "INVALID_UTF8", "config.invalid_utf8")
        }
        Refusal::FlushInsideCodePoint { .. } => {
            (Code::InvalidArgument, "FLUSH_INSIDE_CODE_POINT", "flush")
        }
        Refusal::ChunkGap { .. } => (Code::OutOfRange, "CHUNK_GAP", "chunk.offset_bytes"),
        Refusal::OffsetNegative { .. } => {
            (Code::InvalidArgument, "OFFSET_NEGATIVE", "chunk.offset_bytes")
        }
        Refusal::ChunkTooLarge { .. } => (Code::InvalidArgument, "CHUNK_TOO_LARGE", "chunk.data"),
        Refusal::TotalMismatch { .. } => {
            (Code::InvalidArgument, "TOTAL_MISMATCH", "finish.total_bytes")
        }
        Refusal::InputIncomplete { .. } => (Code::Aborted, "INPUT_INCOMPLETE", ""),
        Refusal::DocumentTooLarge { .. } => (Code::OutOfRange, "DOCUMENT_TOO_LARGE", ""),
        Refusal::ResultTooLarge { .. } => (Code::ResourceExhausted, "RESULT_TOO_LARGE", ""),
        Refusal::IdleTimeout { .. } => (Code::Aborted, "IDLE_TIMEOUT", ""),
        Refusal::InputTooSlow { .. } => (Code::Aborted, "INPUT_TOO_SLOW", ""),
        Refusal::WriteStalled { .. } => (Code::Aborted, "WRITE_STALLED", ""),
        Refusal::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", ""),
        Refusal::QueueFull { .. } => (Code::ResourceExhausted, "QUEUE_FULL", ""),
        Refusal::WarmingUp => (Code::Unavailable, "WARMING_UP", ""),
        Refusal::Draining => (Code::Unavailable, "DRAINING", ""),
        Refusal::WorkerFailed => (Code::Internal, "WORKER_FAILED", ""),
        Refusal::Key(KeyRefusal::Missing) => (Code::Unauthenticated, "KEY_MISSING", ""),
        Refusal::Key(KeyRefusal::Invalid) => (Code::Unauthenticated, "KEY_INVALID", ""),
        Refusal::Key(KeyRefusal::Expired) => (Code::Unauthenticated, "KEY_EXPIRED", ""),
        Refusal::Key(KeyRefusal::NotYetValid) => (Code::Unauthenticated, "KEY_NOT_YET_VALID", ""),
        Refusal::SanNotAllowed => (Code::PermissionDenied, "SAN_NOT_ALLOWED", ""),
        Refusal::Transport(status) => (status.code(), "UNCLASSIFIED", ""),
    }
}

fn mistake_verdict(mistake: &Mistake) -> (Code, &'static str) {
    match mistake {
        Mistake::NoTask | Mistake::UnknownTask => (Code::InvalidArgument, "UNKNOWN_TASK"),
        Mistake::TooManyTasks { .. } => (Code::InvalidArgument, "TOO_MANY_TASKS"),
        Mistake::DuplicateTask { .. } => (Code::InvalidArgument, "DUPLICATE_TASK"),
        Mistake::UnknownValue { .. } | Mistake::TooLong { .. } => {
            (Code::InvalidArgument, "CONFIG_INVALID")
        }
        Mistake::Schema(error) => (Code::InvalidArgument, schema_reason(error)),
    }
}

fn schema_reason(error: &SchemaError) -> &'static str {
    match &error.problem {
        Problem::Nothing | Problem::NoArgumentLabels => "LABELS_EMPTY",
        Problem::TooMany { .. } => "TOO_MANY_LABELS",
        Problem::EmptyName => "LABEL_EMPTY",
        Problem::TooLong { .. } => "LABEL_TOO_LONG",
        Problem::Threshold { .. } => "THRESHOLD_OUT_OF_RANGE",
        Problem::Duplicate { .. } => "DUPLICATE_LABEL",
        Problem::OutOfRange { .. } => "CONFIG_INVALID",
        Problem::Unreadable(LabelError::SpecialToken { .. }) => "LABEL_SPECIAL_TOKEN",
        Problem::Unreadable(LabelError::NoPieces) => "LABEL_UNREADABLE",
        Problem::PromptTooLong { .. } => "PROMPT_TOO_LONG",
    }
}

/// The numbers of a message, for programs.
pub(super) fn metadata(refusal: &Refusal) -> Vec<(&'static str, String)> {
    match refusal {
        Refusal::InvalidUtf8 { at } | Refusal::FlushInsideCodePoint { at } => {
            vec![("offset_bytes", at.to_string())]
        }
        Refusal::ChunkGap { received_bytes, offset_bytes } => vec![
            ("received_bytes", received_bytes.to_string()),
            ("offset_bytes", offset_bytes.to_string()),
        ],
        Refusal::OffsetNegative { value } => vec![("offset_bytes", value.to_string())],
        Refusal::ChunkTooLarge { bytes, max } => {
            vec![("bytes", bytes.to_string()), ("max_bytes", max.to_string())]
        }
        Refusal::TotalMismatch { received_bytes, total_bytes } => vec![
            ("received_bytes", received_bytes.to_string()),
            ("total_bytes", total_bytes.to_string()),
        ],
        Refusal::InputIncomplete { received_bytes } => {
            vec![("received_bytes", received_bytes.to_string())]
        }
        Refusal::DocumentTooLarge { max } => vec![("max_bytes", max.to_string())],
        Refusal::ResultTooLarge { max } => vec![("max_bytes", max.to_string())],
        Refusal::IdleTimeout { after } | Refusal::WriteStalled { after } => {
            vec![("after_seconds", after.as_secs().to_string())]
        }
        Refusal::InputTooSlow { after, bytes } => {
            vec![("after_seconds", after.as_secs().to_string()), ("bytes", bytes.to_string())]
        }
        Refusal::Config(mistakes) => vec![("mistakes", mistakes.iter().count().to_string())],
        Refusal::ConfigMissing
        | Refusal::ConfigRepeated
        | Refusal::UnexpectedMessage(_)
        | Refusal::MethodNotBuilt { .. }
        | Refusal::ResumeNotBuilt
        | Refusal::ModelNotFound
        | Refusal::DeadlineExceeded
        | Refusal::QueueFull { .. }
        | Refusal::WarmingUp
        | Refusal::Draining
        | Refusal::WorkerFailed
        | Refusal::Key(_)
        | Refusal::SanNotAllowed
        | Refusal::Transport(_) => Vec::new(),
    }
}
