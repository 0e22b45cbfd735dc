//! Why a server did not do what it was asked, told to whoever typed the command.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::connect::{chain, lasting};
use crate::cli::exit::{Failure, Kind};
use crate::cli::retry::Advice;

/// When to try again, in milliseconds; anything else than a number from 0 asks not to (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Fields that have a flag of their own: kind of the task (empty: any), field, flag.
const SETTINGS: [(&str, &str, &str); 6] = [
    ("questions", "answers_max", "--answers"),
    ("summary", "words_max", "--summary-words"),
    ("summary", "whole_sentences", "--whole-sentences"),
    ("relations", "distance_words_max", "--relation-distance"),
    ("", "threshold", "--threshold"),
    ("", "overlap", "--nested"),
];

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The server, or somebody between, with a status.
    Server,
    /// Nobody: there is no connection.
    Unreached,
    /// The server, by its handshake, and again next time.
    Handshake,
}

/// Why a server did not do what it was asked.
#[derive(Debug)]
pub(in crate::cli) struct Refusal {
    code: Code,
    /// Stable word of the server; empty when the answer is not the server's own.
    pub(in crate::cli) reason: String,
    message: String,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
    by: By,
    /// Whether the server, or what is known about it, says that another attempt is of no use.
    is_last: bool,
    /// The flag that asked for each task of the request.
    flags: Vec<String>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| {
            let told = bad.field_violations.iter();
            told.map(|violation| (violation.field.clone(), violation.description.clone())).collect()
        });
        let pushback = status.metadata().get(PUSHBACK).map(|value| {
            let millis = value.to_str().ok().and_then(|text| text.parse().ok());
            millis.map(Duration::from_millis)
        });
        let told = details.retry_info().and_then(|retry| retry.retry_delay);
        // A status that this client made of a broken connection has its causes.
        let source = std::error::Error::source(&status).map(chain);
        let trouble = source.as_deref().and_then(lasting);
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            fields: fields.unwrap_or_default(),
            retry_after: told.or(pushback.flatten()),
            by: if trouble.is_some() { By::Handshake } else { By::Server },
            is_last: trouble.is_some() || pushback == Some(None),
            message: trouble.or(source).unwrap_or_else(|| status.message().to_owned()),
            flags: Vec::new(),
        }
    }
}

impl Refusal {
    /// Of a server that ended its answer before the document was done.
    pub(in crate::cli) fn ended_early() -> Self {
        Status::unknown("the server ended the stream before the document was done").into()
    }

    /// Of a server that is about to stop and was sent nothing of the document yet.
    pub(in crate::cli) fn draining() -> Self {
        Self {
            reason: "DRAINING".to_owned(),
            ..Status::unavailable("the server is about to stop").into()
        }
    }

    /// There is no connection, because of `trouble`.
    pub(super) fn unreached(trouble: String, is_last: bool) -> Self {
        let lasts = lasting(&trouble);
        let is_last = is_last || lasts.is_some();
        let by = if lasts.is_some() { By::Handshake } else { By::Unreached };
        let message = lasts.unwrap_or(trouble);
        Self { by, is_last, ..Status::unavailable(message).into() }
    }

    /// The same, of a request whose tasks these flags asked for.
    pub(super) fn asked_by(self, flags: Vec<String>) -> Self {
        Self { flags, ..self }
    }

    /// Whether another attempt may do better, and when.
    pub(in crate::cli) fn advice(&self) -> Advice {
        let passes = match (self.code, self.reason.as_str()) {
            (Code::Unavailable, _) | (Code::ResourceExhausted, "QUEUE_FULL") => true,
            // Of the connection, as below.
            (Code::Unknown | Code::Internal | Code::Cancelled, reason) => reason.is_empty(),
            _ => false,
        };
        match self.retry_after {
            _ if !passes || self.is_last => Advice::Never,
            Some(delay) => Advice::After(delay),
            None => Advice::Later,
        }
    }

    /// Whether the deadline that the call was sent with is over.
    pub(in crate::cli) fn is_too_late(&self) -> bool {
        self.code == Code::DeadlineExceeded
    }

    /// The same without the time of another attempt, for a caller that keeps it.
    pub(in crate::cli) fn without_delay(self) -> Self {
        Self { retry_after: None, ..self }
    }

    /// What the refusal means to whoever typed the command.
    pub(in crate::cli) fn into_failure(self, url: &str) -> Failure {
        let Self { code, message, .. } = &self;
        match (code, self.reason.as_str()) {
            _ if self.by != By::Server => {
                Failure::new(Kind::Refused, format!("cannot reach {url}: {message}"))
            }
            // Every answer of the daemon has a reason: this one is of the connection.
            (Code::Unknown | Code::Internal | Code::Unavailable | Code::Cancelled, "") => {
                // A server that refuses a certificate may be gone before the reason can be read.
                let maybe = if url.starts_with("https://") {
                    "; if it always does, the server may want another certificate of the client: --cert and --key"
                } else {
                    ""
                };
                Failure::new(
                    Kind::Refused,
                    format!("the connection to {url} broke: {message}{maybe}"),
                )
            }
            (_, "INVALID_UTF8" | "DOCUMENT_TOO_LARGE") => {
                Failure::new(Kind::Input, message.clone())
            }
            (Code::InvalidArgument, _) => {
                Failure::new(Kind::Usage, self.in_flags(&self.with_fields()))
            }
            (
                Code::Internal | Code::Unknown | Code::DataLoss | Code::Aborted | Code::OutOfRange,
                reason,
            ) => Failure::new(Kind::Failed, format!("{message} ({reason})")),
            (_, reason) => Failure::new(
                Kind::Refused,
                format!(
                    "{url} refuses: {} ({reason}){}{}",
                    self.in_flags(message),
                    self.help(),
                    self.later()
                ),
            ),
        }
    }

    fn with_fields(&self) -> String {
        let fields = self
            .fields
            .iter()
            .filter(|(_, description)| !self.message.contains(description.as_str()));
        fields.fold(self.message.clone(), |told, (field, description)| {
            format!("{told}\n  {field}: {description}")
        })
    }

    /// `text` with the flags of the command in place of fields of the config.
    fn in_flags(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, path)) = rest.split_once("config.tasks[") {
            out.push_str(before);
            rest = match self.flag(path) {
                Some((flag, after)) => {
                    out.push_str(&flag);
                    after
                }
                None => {
                    out.push_str("config.tasks[");
                    path
                }
            };
        }
        out.push_str(rest);
        out
    }

    /// What `INDEX].kind.field` came from, and what is left of it.
    fn flag<'t>(&self, path: &'t str) -> Option<(String, &'t str)> {
        let (index, path) = path.split_once(']')?;
        let flag = self.flags.get(index.parse::<usize>().ok()?)?;
        let (kind, after_kind) = name(path.strip_prefix('.').unwrap_or(path));
        let Some(path) = after_kind.strip_prefix('.') else {
            return Some((flag.clone(), after_kind));
        };
        let (field, after_field) = name(path);
        let own = SETTINGS
            .iter()
            .find(|(of, setting, _)| (of.is_empty() || *of == kind) && *setting == field);
        match own {
            Some((_, _, own)) if !after_field.starts_with(['.', '[']) => {
                Some(((*own).to_owned(), after_field))
            }
            _ => Some((format!("{flag}: "), path)),
        }
    }

    fn help(&self) -> &'static str {
        match (self.code, self.reason.as_str()) {
            (Code::Unauthenticated, "KEY_INVALID" | "KEY_EXPIRED" | "KEY_NOT_YET_VALID") => {
                "; give another key with --api-key-file"
            }
            (Code::Unauthenticated, _) => "; give a key with --api-key-file",
            (Code::PermissionDenied, "SAN_NOT_ALLOWED") => {
                "; give a certificate that it allows with --cert and --key"
            }
            _ => "",
        }
    }

    fn later(&self) -> String {
        self.retry_after
            .map(|delay| format!("; try again in {:.1} s", delay.as_secs_f64()))
            .unwrap_or_default()
    }
}

/// The name of a field at the start of `path`, and the rest.
fn name(path: &str) -> (&str, &str) {
    let end = path.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    path.split_at(end.unwrap_or(path.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> Refusal {
        let flags = ["--labels", "--open 1", "--ask", "--relations", "--summary"];
        Refusal::from(Status::invalid_argument(message)).asked_by(flags.map(str::to_owned).into())
    }

    #[test]
    fn a_field_is_told_as_the_flag_that_made_it() {
        let check = |message: &str, expected: &str| {
            let Failure::Told { kind: Kind::Usage, message } =
                refusal(message).into_failure("http://x")
            else {
                panic!("usage")
            };
            assert_eq!(message, expected);
        };
        check(
            "config.tasks[0].entities.labels[1].name: is empty",
            "--labels: labels[1].name: is empty",
        );
        check(
            "config.tasks[2].questions.questions[0].text: is empty (and 1 more mistake)",
            "--ask: questions[0].text: is empty (and 1 more mistake)",
        );
        check("config.tasks[1].open.instruction: is long", "--open 1: instruction: is long");
        check("config.tasks[3].relations: is not built", "--relations: is not built");
        check("config.tasks[2]: is unknown", "--ask: is unknown");
        check("config.tasks[2].questions.answers_max: is 17", "--answers: is 17");
        check("config.tasks[4].summary.words_max: is -1", "--summary-words: is -1");
        check("config.tasks[4].summary.threshold: is 2", "--threshold: is 2");
        check(
            "config.tasks[3].relations.relations[0].threshold: is 2",
            "--relations: relations[0].threshold: is 2",
        );
        for untouched in ["config.tasks: too many", "config.tasks[9].open: x", "config.tasks[x"] {
            check(untouched, untouched);
        }
    }

    #[test]
    fn what_passes_is_tried_again_when_the_server_says() {
        use std::collections::HashMap;
        use tonic_types::ErrorDetails;
        let check = |code: Code, reason: &str, retry: Option<u64>, pushback: Option<&str>| {
            let mut details = ErrorDetails::new();
            if !reason.is_empty() {
                details.set_error_info(reason, "gleand.v1", HashMap::new());
            }
            if let Some(millis) = retry {
                details.set_retry_info(Some(Duration::from_millis(millis)));
            }
            let mut status = Status::with_error_details(code, "m", details);
            if let Some(text) = pushback {
                status.metadata_mut().insert(PUSHBACK, text.parse().unwrap());
            }
            Refusal::from(status).advice()
        };
        let after = |millis| Advice::After(Duration::from_millis(millis));
        assert_eq!(check(Code::Unavailable, "DRAINING", Some(5), Some("9")), after(5));
        assert_eq!(check(Code::Unavailable, "", None, Some("9")), after(9));
        assert_eq!(check(Code::Unavailable, "WARMING_UP", None, None), Advice::Later);
        assert_eq!(check(Code::ResourceExhausted, "QUEUE_FULL", Some(7), None), after(7));
        assert_eq!(check(Code::Unknown, "", None, None), Advice::Later, "the connection broke");
        for asks_not_to in ["-1", "x", ""] {
            let advice = check(Code::Unavailable, "DRAINING", Some(5), Some(asks_not_to));
            assert_eq!(advice, Advice::Never, "{asks_not_to}");
        }
        for (code, reason) in [
            (Code::ResourceExhausted, "RESULT_TOO_LARGE"),
            (Code::ResourceExhausted, ""),
            (Code::InvalidArgument, "LABELS_EMPTY"),
            (Code::Internal, "WORKER_FAILED"),
            (Code::Aborted, "IDLE_TIMEOUT"),
            (Code::Unauthenticated, "KEY_MISSING"),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ] {
            assert_eq!(check(code, reason, Some(5), Some("9")), Advice::Never, "{reason}");
        }
        let unreached = |is_last| Refusal::unreached("refused".to_owned(), is_last).advice();
        assert_eq!((unreached(false), unreached(true)), (Advice::Later, Advice::Never));
        let untrusted = "invalid peer certificate: UnknownIssuer".to_owned();
        assert_eq!(Refusal::unreached(untrusted, false).advice(), Advice::Never);
    }

    #[test]
    fn every_field_of_a_bad_request_is_told() {
        let mut refusal = refusal("config.tasks[0].entities.labels: none");
        refusal.fields = vec![
            ("config.tasks[0].entities.labels".to_owned(), "none".to_owned()),
            ("config.tasks[1].open.instruction".to_owned(), "is empty".to_owned()),
        ];
        let Failure::Told { message, .. } = refusal.into_failure("http://x") else {
            panic!("told")
        };
        assert_eq!(message, "--labels: labels: none\n  --open 1: instruction: is empty");
    }
}
