//! Keys of the configuration to the bounds of each layer, which know nothing of keys.

use std::time::Duration;

use crate::config::Config;
use crate::service::admission::AdmissionLimits;
use crate::service::drain::DrainTimes;
use crate::service::models::Limits;
use crate::service::port::PortLimits;

/// Bounds of a call.
pub(super) fn call(config: &Config) -> Limits {
    let server = &config.server;
    Limits {
        chunk_bytes_max: server.chunk_bytes_max.get(),
        text_bytes_max: server.text_bytes_max.get(),
        document_bytes_max: server.document_bytes_max.map(Into::into),
        tasks_max: config.limits.tasks_max.get(),
        labels_max: config.limits.labels_max.get(),
        label_bytes_max: config.limits.label_bytes_max.get(),
        questions_max: config.limits.questions_max.get(),
        relation_passes_max: config.limits.relation_passes_max.get(),
        word_bytes_max: config.window.word_bytes_max.get(),
        word_pieces_max: config.window.word_pieces_max.get(),
        response_bytes_max: server.response_bytes_max.get(),
        unary_response_bytes_max: server.extract_result_bytes_max.get(),
        results_held_bytes_max: server.results_held_bytes_max.get(),
        resume_token_bytes_max: None,
        heartbeat: server.heartbeat_ms,
        idle_timeout: server.input_idle_ms.unwrap_or(Duration::ZERO),
        slow_timeout: server.input_slow_ms.unwrap_or(Duration::ZERO),
        slow_bytes_min: server.input_slow_bytes.get(),
        write_stall_timeout: server.write_stall_ms.unwrap_or(Duration::ZERO),
    }
}

/// Bounds of the door.
pub(super) fn admission(config: &Config) -> AdmissionLimits {
    let server = &config.server;
    AdmissionLimits {
        streams_max: server.streams_max.get(),
        whole_max: server.extract_max.get(),
        backlog_pieces_max: server.backlog_pieces_max.get(),
        windows_in_flight_max: config.stream.windows_in_flight_max.get(),
    }
}

/// Bounds of connections.
pub(super) fn port(config: &Config) -> PortLimits {
    let server = &config.server;
    PortLimits {
        connections_max: server.connections_max.get(),
        streams_per_connection_max: server.streams_per_connection_max.get(),
        stream_window_bytes: server.stream_window_bytes.get(),
        header_bytes_max: server.header_bytes_max.get(),
        greeting: server.handshake_ms,
        age: server.connection_age_ms,
    }
}

/// How the daemon stops.
pub(super) fn drain(config: &Config) -> DrainTimes {
    DrainTimes {
        lame_duck: config.server.lame_duck_ms.unwrap_or_default(),
        drain: config.server.drain_ms,
    }
}
