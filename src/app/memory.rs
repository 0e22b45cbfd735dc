//! What a daemon needs at worst, so that one that cannot fit is refused before it starts and not killed under load.
//!
//! Every queue has a bound (P7), so the sum of the bounds is a bound. `gleand config` prints the parts.

use std::num::NonZeroUsize;

use super::build;
use crate::cli::{MemoryPart, Misconfigured};
use crate::config::{Config, Device, Loaded};
use crate::engine::budget;
use crate::model::footprint;
use crate::service::gate::SIDE_CALLS_MAX;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Code, runtime, telemetry's buffers, and what the allocator keeps between the rest.
const BASE: u64 = 64 * MIB;
/// A connection: buffers of TCP, TLS and HTTP/2 frames, tasks.
const CONNECTION: u64 = 128 * KIB;
/// A stream besides what it reads and tells: plan, prompts, words of its windows, tasks, HTTP/2 send buffer.
const STREAM: u64 = 256 * KIB;
/// A window: its pieces, word ends and scores, by the piece.
const WINDOW_PIECE: u64 = 64;
/// A small call that is no document, and one that asks for health.
const SIDE_CALL: u64 = 128 * KIB;
/// A result in memory is so many times as large as its message: positions and names are allocated one by one.
const RESULT: u64 = 6;
/// A candidate that waits for others.
const CANDIDATE: u64 = 64;

/// The parts, largest bounds of each.
///
/// # Errors
/// When the model's files cannot be read.
pub(super) fn at_worst(loaded: &Loaded) -> anyhow::Result<Vec<MemoryPart>> {
    let config = &loaded.config;
    let window = config.window.pieces_max.map(NonZeroUsize::get);
    let model = footprint(&build::source(config.model.path.as_deref()), window)?;
    let (server, share) = (&config.server, build::share(config));
    let on_cpu = matches!(config.compute.device.as_slice(), [Device::Cpu]);
    let workers = if on_cpu { count(share.workers.get()) } else { 1 };
    let streams = count(server.streams_max.get());
    let whole = count(server.extract_max.min(server.streams_max).get());
    let message = count(server.message_bytes_max.get());
    let window_bytes = window_bytes(config);
    let part = |what, bytes| MemoryPart { what, bytes };
    Ok(vec![
        part("code, runtime and telemetry", BASE),
        part("weights", model.weights),
        part("the model's files and its tokenizer", model.files),
        part("forward passes: compute.workers", workers * model.forward),
        part(
            "windows: compute.queue_windows_max, stream.windows_in_flight_max of each stream",
            window_bytes
                * (count(config.compute.queue_windows_max.get())
                    + streams * count(config.stream.windows_in_flight_max.get())),
        ),
        part(
            "messages that are read, configs that are kept: server.streams_max × (2 × server.message_bytes_max + server.stream_window_bytes)",
            streams * (2 * message + u64::from(server.stream_window_bytes.get())),
        ),
        part(
            "results that wait, in memory 6 times as large: server.streams_max × (server.results_held_bytes_max + 4 × server.response_bytes_max)",
            streams
                * RESULT
                * (count(server.results_held_bytes_max.get())
                    + 4 * count(server.response_bytes_max.get())),
        ),
        part(
            "candidates: server.streams_max × window.candidates_held_max",
            streams * CANDIDATE * count(config.window.candidates_held_max.get()),
        ),
        part(
            "streams: server.streams_max",
            streams * (STREAM + count(config.window.word_bytes_max.get())),
        ),
        part(
            "texts sent whole: server.extract_max × (server.message_bytes_max + 7 × server.extract_result_bytes_max), and their unread answers",
            whole * (message + (RESULT + 1) * count(server.extract_result_bytes_max.get()))
                + streams * count(server.extract_result_bytes_max.get()),
        ),
        part(
            "connections: server.connections_max, and small calls",
            count(server.connections_max.get())
                * (CONNECTION + u64::from(server.header_bytes_max.get()))
                + 2 * count(SIDE_CALLS_MAX) * SIDE_CALL,
        ),
    ])
}

/// Refuses what does not fit into the cgroup.
///
/// # Errors
/// [`Misconfigured`] with both numbers.
pub(super) fn check(loaded: &Loaded) -> anyhow::Result<()> {
    let Some(limit) = budget::memory_limit() else { return Ok(()) };
    let need: u64 = at_worst(loaded)?.iter().map(|part| part.bytes).sum();
    if need <= limit {
        return Ok(());
    }
    Err(Misconfigured(format!(
        "this configuration needs {need} bytes of memory at worst, but the cgroup allows {limit}: raise the limit, or lower \
         server.streams_max, server.message_bytes_max or another part that `gleand config` lists"
    ))
    .into())
}

/// A window at its largest: the operator's bound, or one that no model's window passes.
fn window_bytes(config: &Config) -> u64 {
    WINDOW_PIECE * config.window.pieces_max.map_or(1024, |pieces| count(pieces.get()))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
