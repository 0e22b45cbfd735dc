//! One call as the operator sees it: who called, what came of it, where its time went. It is made before the call is
//! looked at and told when its response has ended, whoever made the response.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::admission::Place;
use super::observe::Open;
use crate::telemetry::{Metrics, RpcSpan, StreamSeen, Tracer, WindowSpan, rpc};

/// Longest request id that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// What stands for an identity that nobody asked for.
const NOBODY: &str = "-";

/// A method, as far as the daemon treats methods differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Full name for metrics and trace spans; `_OTHER` for those that are not ours.
    pub name: &'static str,
    /// What kind it is.
    pub kind: MethodKind,
}

/// What the gate asks of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// A document in chunks: needs a place.
    Stream,
    /// A text sent whole: needs a place.
    Whole,
    /// Health: without key, also while draining.
    Health,
    /// Everything else: small and short.
    Side,
}

impl Method {
    /// The method of a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        use MethodKind::{Health, Side, Stream, Whole};
        const KNOWN: [Method; 11] = [
            Method { name: "gleand.v1.ExtractionService/ExtractStream", kind: Stream },
            Method { name: "gleand.v1.ExtractionService/Extract", kind: Whole },
            Method { name: "gleand.v1.ExtractionService/ExtractDocument", kind: Side },
            Method { name: "gleand.v1.ExtractionService/ExtractMany", kind: Side },
            Method { name: "gleand.v1.ModelService/ListModels", kind: Side },
            Method { name: "gleand.v1.ModelService/GetModel", kind: Side },
            Method { name: "grpc.health.v1.Health/Check", kind: Health },
            Method { name: "grpc.health.v1.Health/Watch", kind: Health },
            Method { name: "grpc.health.v1.Health/List", kind: Health },
            Method { name: "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", kind: Side },
            Method {
                name: "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                kind: Side,
            },
        ];
        let name = path.strip_prefix('/').unwrap_or(path);
        let known = KNOWN.into_iter().find(|method| method.name == name);
        known.unwrap_or(Self { name: rpc::OTHER_METHOD, kind: Side })
    }

    /// Whether a document is read.
    #[must_use]
    pub fn is_extraction(self) -> bool {
        matches!(self.kind, MethodKind::Stream | MethodKind::Whole)
    }
}

/// What a call holds while it lasts.
#[derive(Debug)]
pub enum Seat {
    /// A place among the documents.
    Document(Place),
    /// A place among the small calls.
    Side(OwnedSemaphorePermit),
}

/// A handle to one call. Clones are the same call.
#[derive(Clone, Debug)]
pub struct Call {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    method: Method,
    started: Instant,
    metrics: Arc<Metrics>,
    names: Mutex<Names>,
    /// Absent once the call has ended.
    span: Mutex<Option<RpcSpan>>,
    seat: Mutex<Option<Seat>>,
    /// Tells the connection that the call is open.
    open: Mutex<Option<Open>>,
    /// One of those who may have an answer in memory; given back with the response's body.
    answer: Mutex<Option<OwnedSemaphorePermit>>,
    /// Whether the request has come and is worked on.
    begun: AtomicBool,
    ended: AtomicBool,
    bytes: AtomicU64,
    words: AtomicU64,
    windows: AtomicU64,
    queue_us: AtomicU64,
    compute_us: AtomicU64,
    /// Whether the gate gave it a place among the documents.
    admitted: AtomicBool,
    /// Whether there was a result.
    results: AtomicBool,
}

#[derive(Debug)]
struct Names {
    request_id: String,
    identity: String,
}

impl Call {
    /// A call that begins now. `serial` makes an id where the client gave none.
    #[must_use]
    pub fn new(
        method: Method,
        headers: &HeaderMap,
        serial: u64,
        metrics: &Arc<Metrics>,
        tracer: &Tracer,
    ) -> Self {
        let asked = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let request_id =
            asked.filter(|id| is_plain(id)).map_or_else(|| format!("g{serial:x}"), str::to_owned);
        Self {
            shared: Arc::new(Shared {
                method,
                started: Instant::now(),
                metrics: Arc::clone(metrics),
                names: Mutex::new(Names { request_id, identity: NOBODY.to_owned() }),
                span: Mutex::new(Some(tracer.rpc(headers, method.name))),
                seat: Mutex::new(None),
                open: Mutex::new(None),
                answer: Mutex::new(None),
                begun: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                bytes: AtomicU64::new(0),
                words: AtomicU64::new(0),
                windows: AtomicU64::new(0),
                queue_us: AtomicU64::new(0),
                compute_us: AtomicU64::new(0),
                admitted: AtomicBool::new(false),
                results: AtomicBool::new(false),
            }),
        }
    }

    /// The connection waits for it until it has ended.
    pub fn opened(&self, open: Option<Open>) {
        *self.lock(&self.shared.open) = open;
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.shared.method
    }

    /// Where its numbers are counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Its id, for the log and the response.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.lock(&self.shared.names).request_id.clone()
    }

    /// The id that a config gives, if it is one that can stand in a log: a client may put anything there.
    pub fn named(&self, request_id: &str) {
        if is_plain(request_id) {
            request_id.clone_into(&mut self.lock(&self.shared.names).request_id);
        }
    }

    /// Who called, as keys or certificates tell.
    pub fn identified(&self, identity: &str) {
        identity.clone_into(&mut self.lock(&self.shared.names).identity);
    }

    /// The gate gave it a seat.
    pub fn seated(&self, mut seat: Seat) {
        match &mut seat {
            Seat::Document(place) => {
                *self.lock(&self.shared.answer) = place.take_answer();
                self.shared.admitted.store(true, Ordering::Relaxed);
                self.shared.metrics.stream_opened();
            }
            // Nobody waits for a small call when the daemon stops: some never end by themselves.
            Seat::Side(_) => drop(self.lock(&self.shared.open).take()),
        }
        *self.lock(&self.shared.seat) = Some(seat);
    }

    /// Nothing is expected of it for now, as long as its session has not begun.
    pub fn rest(&self) {
        if let Some(Seat::Document(place)) = &mut *self.lock(&self.shared.seat) {
            place.rest();
        }
    }

    /// Whether its request has come.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Its request has come.
    pub fn begin(&self) {
        self.shared.begun.store(true, Ordering::Relaxed);
    }

    /// Nothing of its response is in memory any more.
    pub fn gone(&self) {
        drop(self.lock(&self.shared.answer).take());
    }

    /// Hands over the place of a document, to be counted by its session.
    #[must_use]
    pub fn take_place(&self) -> Option<Place> {
        match self.lock(&self.shared.seat).take() {
            Some(Seat::Document(place)) => Some(place),
            _ => None,
        }
    }

    /// A trace span for the next window.
    #[must_use]
    pub fn window_span(&self, words: usize, pieces: usize) -> WindowSpan {
        self.shared.windows.fetch_add(1, Ordering::Relaxed);
        self.shared.metrics.window_pieces(pieces);
        let span = self.lock(&self.shared.span);
        let mut window = span.as_ref().map(RpcSpan::window).unwrap_or_default();
        window.size(words, pieces);
        window
    }

    /// A result of a kind was found.
    pub fn found(&self, kind: &'static str) {
        self.shared.metrics.results(kind, 1);
        if !self.shared.results.swap(true, Ordering::Relaxed) {
            self.shared.metrics.first_result(self.age());
        }
    }

    /// The watermark is so many bytes behind what was received.
    pub fn progressed(&self, lag_bytes: u64) {
        self.shared.metrics.watermark_lag(lag_bytes);
    }

    /// Bytes were accepted.
    pub fn received(&self, bytes: u64) {
        self.shared.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The document is read.
    pub fn read(&self, words: u64) {
        self.shared.words.store(words, Ordering::Relaxed);
    }

    /// A window was scored.
    pub fn scored(&self, queue: Duration, compute: Duration) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.shared.queue_us.fetch_add(micros(queue), Ordering::Relaxed);
        self.shared.compute_us.fetch_add(micros(compute), Ordering::Relaxed);
    }

    /// Time that its windows waited, and time that they were computed for, each summed over the windows.
    #[must_use]
    pub fn times(&self) -> (Duration, Duration) {
        let read = |micros: &AtomicU64| Duration::from_micros(micros.load(Ordering::Relaxed));
        (read(&self.shared.queue_us), read(&self.shared.compute_us))
    }

    /// Time since the call began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// The call has ended: its session failed, or its response is out or was given up. Only the first time counts, so
    /// that a client which does not read what it was told cannot keep the call open.
    pub fn end(&self, code: &'static str, reason: &'static str) {
        let shared = &*self.shared;
        if shared.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        drop(self.lock(&shared.open).take());
        // Whatever it still holds is free now.
        drop(self.lock(&shared.seat).take());
        let total = shared.started.elapsed();
        let span = self.lock(&shared.span).take();
        let trace_id = span.as_ref().and_then(RpcSpan::trace_id).unwrap_or_default();
        if let Some(span) = span {
            span.end(code, Some(reason));
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (bytes, words) = (read(&shared.bytes), read(&shared.words));
        let method = shared.method.name;
        if !shared.admitted.load(Ordering::Relaxed) {
            shared.metrics.call_ended(method, code, total);
            if !shared.method.is_extraction() {
                tracing::debug!(target: "gleand::call", method, status = code, reason, "call ended");
                return;
            }
        } else {
            shared.metrics.stream_closed(StreamSeen {
                method,
                code,
                reason,
                duration: total,
                bytes,
                words,
            });
        }
        let (queue, compute) = self.times();
        let names = self.lock(&shared.names);
        tracing::info!(
            target: "gleand::stream",
            request_id = names.request_id,
            identity = names.identity,
            method,
            status = code,
            reason,
            bytes,
            words,
            windows = read(&shared.windows),
            queue_ms = millis(queue),
            compute_ms = millis(compute),
            total_ms = millis(total),
            trace_id,
            "stream ended"
        );
    }

    /// Nothing that holds one of the locks can panic half-way.
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether an id can stand in a log as it is.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_client_never_becomes_a_name() {
        let stream = Method::of("/gleand.v1.ExtractionService/ExtractStream");
        assert_eq!(stream.name, "gleand.v1.ExtractionService/ExtractStream");
        assert_eq!(stream.kind, MethodKind::Stream);
        for path in ["", "/", "/secret", "//gleand.v1.ExtractionService/Extract"] {
            let other = Method { name: rpc::OTHER_METHOD, kind: MethodKind::Side };
            assert_eq!(Method::of(path), other);
        }
    }

    #[test]
    fn an_id_that_could_break_a_line_of_the_log_is_not_taken_over() {
        assert!(is_plain("job-7.part_3"));
        for id in ["", "two words", "a\nb", "é", &"x".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            assert!(!is_plain(id), "{id:?}");
        }
    }
}
