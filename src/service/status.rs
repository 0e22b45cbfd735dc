//! Every error to what the client gets: the only place where a `tonic::Status` is made.
//!
//! A status carries an `ErrorInfo` and, where they apply, a `BadRequest`, `RetryInfo` or `QuotaFailure`. Its encoded
//! form stays under [`STATUS_BYTES_MAX`]: more overflows the header list of common clients, which then hang.

use std::collections::HashMap;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::refusal::{Mistakes, Refusal};
use super::verdict::{metadata, verdict};
use crate::telemetry::rpc::status_name;
use crate::wire;

/// Domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "gleand.v1";

/// Bytes of the headers that carry a status, at most. HTTP/2 stacks allow 8 or 16 KiB for all headers together.
pub const STATUS_BYTES_MAX: usize = 8 * 1024;

/// Bytes of all field violations together: what base64 and the rest of a status leave.
const VIOLATIONS_BYTES_MAX: usize = 3 * 1024;

/// Bytes of a message or of one description.
const MESSAGE_BYTES_MAX: usize = 512;

/// Metadata that tells gRPC libraries when to try again, in milliseconds.
pub const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// When to try again where the server cannot know.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Refusal {
    /// The reason in `ErrorInfo`; also what metrics and logs call it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        verdict(self).1
    }

    /// Names of the status code and the reason, for the log. What the gRPC library said keeps its own.
    #[must_use]
    pub fn code_and_reason(&self) -> (&'static str, &'static str) {
        match self {
            Self::Transport(status) => {
                let complete = completed(status.code(), status.message());
                (status_name(status.code()), reason_of(&complete))
            }
            refusal => (status_name(verdict(refusal).0), refusal.reason()),
        }
    }

    /// What the client gets.
    #[must_use]
    pub fn into_status(self) -> Status {
        if let Self::Transport(status) = self {
            return *status;
        }
        let (code, reason, field) = verdict(&self);
        let mut message = self.to_string();
        cut(&mut message, MESSAGE_BYTES_MAX);
        let mut details = error_info(reason, metadata(&self));
        if let Self::Config(mistakes) = &self {
            details.set_bad_request(violations(mistakes));
        } else if !field.is_empty() {
            details.add_bad_request_violation(field, message.as_str());
        }
        if let Some(delay) = retry_after(&self) {
            details.set_retry_info(Some(delay));
        }
        if matches!(self, Self::ResultTooLarge { .. }) {
            details.add_quota_failure_violation("unary_response_bytes_max", message.as_str());
        }
        let mut status = Status::with_error_details(code, message, details);
        if let Some(delay) = retry_after(&self) {
            // The one that gRPC libraries obey by themselves (gRFC A6).
            let millis = MetadataValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            status.metadata_mut().insert(PUSHBACK, millis);
        }
        status
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refusal.into_status()
    }
}

/// A status that the gRPC library made, with what all of ours carry.
pub(super) fn completed(code: Code, message: &str) -> Status {
    let (reason, message) = match (code, message) {
        (Code::OutOfRange, message) => ("MESSAGE_TOO_LARGE", message),
        (Code::Unimplemented, "") => {
            ("METHOD_UNKNOWN", "no such method: reflection lists those that there are")
        }
        (Code::Internal, message) => ("MESSAGE_UNREADABLE", message),
        (Code::Cancelled, message) => ("CANCELLED", message),
        (_, message) => ("UNCLASSIFIED", message),
    };
    let mut message = message.to_owned();
    cut(&mut message, MESSAGE_BYTES_MAX);
    Status::with_error_details(code, message, error_info(reason, Vec::new()))
}

fn error_info(reason: &'static str, metadata: Vec<(&'static str, String)>) -> ErrorDetails {
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value));
    ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata.collect::<HashMap<_, _>>())
}

/// The reason that a status carries, if it is one of ours.
#[must_use]
pub fn reason_of(status: &Status) -> &'static str {
    if status.code() == Code::Ok {
        return "OK";
    }
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
    let name = info.map(|info| format!("{REASON_PREFIX}{}", info.reason)).unwrap_or_default();
    let known = wire::ErrorReason::from_str_name(&name).unwrap_or(wire::ErrorReason::Unclassified);
    known.as_str_name().trim_start_matches(REASON_PREFIX)
}

/// What the schema puts before every reason.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// As many violations as fit, and how many did not.
fn violations(mistakes: &Mistakes) -> Vec<FieldViolation> {
    let mut violations = Vec::new();
    let mut bytes = 0;
    let all = mistakes.iter().count();
    for mistake in mistakes.iter() {
        let mut field = mistake.field.clone();
        let mut description = mistake.mistake.to_string();
        cut(&mut field, MESSAGE_BYTES_MAX);
        cut(&mut description, MESSAGE_BYTES_MAX);
        // Two strings and the message around them: a tag and a length of at most three bytes each.
        bytes += field.len() + description.len() + 12;
        if bytes > VIOLATIONS_BYTES_MAX {
            let more = all - violations.len();
            violations.push(FieldViolation::new(
                "config",
                format!("{more} more mistakes are not listed"),
            ));
            break;
        }
        violations.push(FieldViolation::new(field, description));
    }
    violations
}

/// When to try again, where that helps.
fn retry_after(refusal: &Refusal) -> Option<Duration> {
    if let Refusal::QueueFull { retry_after } = refusal {
        return Some(*retry_after);
    }
    matches!(refusal, Refusal::WarmingUp | Refusal::Draining).then_some(RETRY_AFTER)
}

/// Shortens `text` to at most `bytes_max` bytes, at a code point.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = text.floor_char_boundary(bytes_max - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use http::HeaderMap;

    use super::super::keys::KeyRefusal;
    use super::super::refusal::{FieldMistake, Mistake, Unexpected};
    use super::*;
    use crate::pipeline::ports::LabelError;
    use crate::pipeline::schema::Part;
    use crate::pipeline::schema::{Problem, SchemaError};

    /// Code and reason as the schema documents them: `// CODE: …` above `ERROR_REASON_…`.
    fn documented() -> BTreeMap<String, String> {
        let schema = include_str!("../../proto/gleand/v1/errors.proto");
        let mut code = "";
        let mut reasons = BTreeMap::new();
        for line in schema.lines().map(str::trim) {
            if let Some((name, _)) = line.strip_prefix("// ").and_then(|text| text.split_once(": "))
            {
                code = name;
            }
            let reason = line.strip_prefix("ERROR_REASON_").and_then(|text| text.split_once(" = "));
            if let Some((reason, _)) = reason {
                reasons.insert(reason.to_owned(), code.to_owned());
            }
        }
        reasons
    }

    fn mistakes(mistake: Mistake) -> Refusal {
        let field = "config.tasks[0]".to_owned();
        Refusal::Config(FieldMistake { field, mistake }.into())
    }

    fn schema_errors() -> Vec<SchemaError> {
        let token = LabelError::SpecialToken { token: "<<ENT>>".to_owned() };
        let label = |problem| SchemaError::new(Part::Label(1), problem);
        vec![
            SchemaError::new(Part::Task, Problem::Nothing),
            SchemaError::new(Part::Task, Problem::NoArgumentLabels),
            SchemaError::new(Part::Task, Problem::TooMany { actual: 300, limit: 256 }),
            label(Problem::EmptyName),
            label(Problem::TooLong { actual: 300, limit: 256 }),
            label(Problem::Threshold { value: 1.5 }),
            label(Problem::Duplicate { first: Part::Label(0) }),
            label(Problem::OutOfRange { value: -1, max: 16 }),
            label(Problem::Unreadable(token)),
            label(Problem::Unreadable(LabelError::NoPieces)),
            label(Problem::PromptTooLong { unit: "pieces", taken: 500, left: 12, needed: 96 }),
        ]
    }

    /// One of each.
    fn refusals() -> Vec<Refusal> {
        let mut all = vec![
            Refusal::ConfigMissing,
            Refusal::ConfigRepeated,
            Refusal::UnexpectedMessage(Unexpected::WithoutKind),
            Refusal::UnexpectedMessage(Unexpected::AfterFinish),
            Refusal::MethodNotBuilt { method: "ExtractMany" },
            Refusal::ResumeNotBuilt,
            Refusal::ModelNotFound,
            Refusal::InvalidUtf8 { at: 7 },
            Refusal::FlushInsideCodePoint { at: 7 },
            Refusal::ChunkGap { received_bytes: 7, offset_bytes: 9 },
            Refusal::OffsetNegative { value: -1 },
            Refusal::ChunkTooLarge { bytes: 9, max: 8 },
            Refusal::TotalMismatch { received_bytes: 7, total_bytes: 8 },
            Refusal::InputIncomplete { received_bytes: 7 },
            Refusal::DocumentTooLarge { max: 8 },
            Refusal::ResultTooLarge { max: 8 },
            Refusal::IdleTimeout { after: Duration::from_secs(60) },
            Refusal::InputTooSlow { after: Duration::from_secs(60), bytes: 1024 },
            Refusal::WriteStalled { after: Duration::from_secs(60) },
            Refusal::Key(KeyRefusal::Missing),
            Refusal::Key(KeyRefusal::Invalid),
            Refusal::Key(KeyRefusal::Expired),
            Refusal::Key(KeyRefusal::NotYetValid),
            Refusal::SanNotAllowed,
            Refusal::DeadlineExceeded,
            Refusal::QueueFull { retry_after: Duration::from_millis(300) },
            Refusal::WarmingUp,
            Refusal::Draining,
            Refusal::WorkerFailed,
            mistakes(Mistake::NoTask),
            mistakes(Mistake::TooManyTasks { count: 99, max: 16 }),
            mistakes(Mistake::UnknownTask),
            mistakes(Mistake::DuplicateTask { first: 0 }),
            mistakes(Mistake::UnknownValue { value: 9 }),
            mistakes(Mistake::TooLong { bytes: 300, max: 256 }),
        ];
        all.extend(schema_errors().into_iter().map(|error| mistakes(error.into())));
        all
    }

    #[test]
    fn every_refusal_has_the_code_and_reason_that_the_schema_documents() {
        let documented = documented();
        let mut seen = BTreeSet::new();
        for refusal in refusals() {
            let reason = refusal.reason();
            let status = refusal.into_status();
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, ERROR_DOMAIN));
            assert_eq!(
                documented.get(reason),
                Some(&status_name(status.code()).to_owned()),
                "{reason}"
            );
            let first = status.message().chars().next().expect("a message");
            assert!(!first.is_uppercase() && !status.message().ends_with('.'), "{status:?}");
            seen.insert(reason);
        }
        // Made by the layer that completes tonic's own statuses, by parts that come later, or by servers of before.
        seen.extend(["METHOD_UNKNOWN", "MESSAGE_TOO_LARGE", "MESSAGE_UNREADABLE", "CANCELLED"]);
        seen.extend(["UNCLASSIFIED", "UNSPECIFIED", "RESUME_MISMATCH", "TASK_NOT_BUILT"]);
        let missing: Vec<_> =
            documented.keys().filter(|name| !seen.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "documented, but never sent: {missing:?}");
    }

    #[test]
    fn statuses_of_tonic_get_the_documented_reason() {
        let check = |code, message, reason: &str| {
            let details = completed(code, message).get_error_details();
            assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some(reason));
        };
        check(Code::OutOfRange, "decoded message length too large", "MESSAGE_TOO_LARGE");
        check(Code::Unimplemented, "", "METHOD_UNKNOWN");
        check(Code::Unimplemented, "compressed with `zstd`", "UNCLASSIFIED");
        check(Code::Internal, "failed to decode Protobuf message", "MESSAGE_UNREADABLE");
        check(Code::Cancelled, "client cancelled", "CANCELLED");
        check(Code::Unknown, "transport error", "UNCLASSIFIED");
    }

    #[test]
    fn a_refusal_names_the_field_that_is_to_blame() {
        let status = Refusal::InvalidUtf8 { at: 7 }.into_status();
        let details = status.get_error_details();
        let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
        assert_eq!(violation.field, "config.invalid_utf8");
        assert!(status.message().contains("byte 7"), "{status:?}");
        assert_eq!(details.error_info().expect("an ErrorInfo").metadata["offset_bytes"], "7");
    }

    #[test]
    fn those_worth_another_try_say_when() {
        for refusal in refusals() {
            let status = refusal.into_status();
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            let again = ["QUEUE_FULL", "WARMING_UP", "DRAINING"].contains(&info.reason.as_str());
            assert_eq!(details.retry_info().is_some(), again, "{}", info.reason);
            assert_eq!(status.metadata().contains_key(PUSHBACK), again, "{}", info.reason);
            assert_eq!(reason_of(&status), info.reason);
        }
    }

    #[test]
    fn a_status_stays_under_8_kib_whatever_it_says() {
        let long = "é".repeat(5_000);
        let many = (0..5_000).map(|index| FieldMistake {
            field: format!("config.tasks[{index}].{long}"),
            mistake: SchemaError::new(Part::Label(index), Problem::Threshold { value: 1.5 }).into(),
        });
        let short = (0..5_000).map(|index| FieldMistake {
            field: format!("config.tasks[{index}]"),
            mistake: Mistake::UnknownTask,
        });
        for mistakes in [many.collect::<Vec<_>>(), short.collect()] {
            let status = Refusal::Config(Mistakes::new(mistakes).expect("mistakes")).into_status();
            let mut headers = HeaderMap::new();
            status.add_header(&mut headers).expect("headers");
            let bytes: usize =
                headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            assert!(bytes < STATUS_BYTES_MAX, "{bytes}");
            let details = status.get_error_details();
            let violations = &details.bad_request().expect("a BadRequest").field_violations;
            let listed = violations.len() - 1;
            let last = &violations[listed].description;
            assert_eq!(last, &format!("{} more mistakes are not listed", 5_000 - listed));
        }
    }

    #[test]
    fn a_message_is_cut_at_a_code_point() {
        let mut text = "aé".repeat(400);
        cut(&mut text, 512);
        assert!(text.len() <= 512 && text.ends_with('…'), "{}", text.len());
    }
}
