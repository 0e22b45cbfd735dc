//! Names that OpenTelemetry's conventions for RPC give to attributes and metrics, and what they say about statuses.
//!
//! The conventions are a release candidate and names still move (`rpc.response.status_code` may become
//! `rpc.status_code`), so that none of them is written anywhere else.

use opentelemetry::{Key, KeyValue};
use tonic::Code;

/// Duration of a call as the server sees it.
pub const SERVER_CALL_DURATION: &str = "rpc.server.call.duration";
/// The RPC system.
pub const SYSTEM: Key = Key::from_static_str("rpc.system.name");
/// Method with its service, without the leading slash.
pub const METHOD: Key = Key::from_static_str("rpc.method");
/// Name of the status that ended the call.
pub const STATUS: Key = Key::from_static_str("rpc.response.status_code");
/// What kind of failure ended the call; only there when the server is to blame.
pub const ERROR_TYPE: Key = Key::from_static_str("error.type");
/// The only system here.
pub const GRPC: &str = "grpc";
/// Stands for every method that is not ours: paths come from clients and are never put anywhere.
pub const OTHER_METHOD: &str = "_OTHER";

/// The attributes that every measurement and trace span of a call has at its start.
#[must_use]
pub fn call(method: &'static str) -> [KeyValue; 2] {
    [KeyValue::new(SYSTEM, GRPC), KeyValue::new(METHOD, method)]
}

/// Name of a status code as gRPC writes it.
#[must_use]
pub fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether a status is the server's failure. The others are what a client asked for, also RESOURCE_EXHAUSTED.
#[must_use]
pub fn is_server_error(code: &str) -> bool {
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]
        .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_statuses_are_failures_of_the_server() {
        let failures =
            (0..17).map(Code::from_i32).filter(|&code| is_server_error(status_name(code)));
        assert_eq!(
            failures.collect::<Vec<_>>(),
            [
                Code::Unknown,
                Code::DeadlineExceeded,
                Code::Unimplemented,
                Code::Internal,
                Code::Unavailable,
                Code::DataLoss
            ]
        );
    }
}
