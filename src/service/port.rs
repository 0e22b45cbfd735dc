//! The data port: accepts connections, greets them with TLS where it is set, and ends them in good order. Ours and not
//! tonic's, whose age and shutdown hooks neither send GOAWAY in time nor know a lame duck (`serving.md` 0 and 3).
//!
//! Invariants: connections and handshakes are bounded; a mute peer holds its place for `greeting` at most; a connection
//! that is told to go takes no new calls and loses none that are open.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Layer as _, Service as _};

use super::complete::{Complete, CompleteLayer};
use super::drain::{Drain, Phase};
use super::gate::{Gate, GateLayer, Peer};
use super::greeting::{Greeted, Watched};
use super::observe::{Observe, ObserveLayer, Open};
use super::reload::Reloaded;
use super::tls::TlsLoaded;
use super::tls::handshake::{self, handshake_reason};
use super::tls::san::{San, SanList, subject_alt_names};
use crate::telemetry::Metrics;

/// How often and how long a silent connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a response stream that wait for the client's window; hyper's own default is six times as much.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long a connection that was told to go may stay without a call: the answers of its last ones are under way.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_IDLE: Duration = Duration::from_millis(500);
/// How often a connection that was told to go is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// After the listener failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest window that HTTP/2 knows is just below twice this.
const CONNECTION_WINDOW_MAX: u32 = 1 << 30;

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct PortLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Calls of one connection.
    pub streams_per_connection_max: u32,
    /// Bytes of a stream that the client may send ahead.
    pub stream_window_bytes: u32,
    /// Bytes of one call's metadata.
    pub header_bytes_max: u32,
    /// Time to greet, TLS included.
    pub greeting: Duration,
    /// Age at which a connection is told to go, give or take a tenth.
    pub age: Option<Duration>,
}

/// TLS of the port.
#[derive(Clone, Debug)]
pub struct PortTls {
    /// Certificates, as they are now.
    pub loaded: Reloaded<TlsLoaded>,
    /// Names of clients that may call.
    pub allowed: SanList,
}

/// The layers around the services, outermost first.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Counts, traces and logs.
    pub observe: ObserveLayer,
    /// Completes statuses.
    pub complete: CompleteLayer,
    /// Lets in.
    pub gate: GateLayer,
}

type Stack = Observe<Complete<Gate<Routes>>>;

/// Everything that a connection needs.
#[derive(Clone)]
pub struct Port {
    limits: PortLimits,
    tls: Option<PortTls>,
    service: Stack,
    drain: Drain,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    /// Connections that were there before draining began.
    early: TaskTracker,
    late: TaskTracker,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Port {
    /// A port for `routes` behind `layers`.
    #[must_use]
    pub fn new(
        (limits, tls): (PortLimits, Option<PortTls>),
        routes: Routes,
        layers: &Layers,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Self {
        let service =
            layers.observe.layer(layers.complete.layer(layers.gate.layer(routes.prepare())));
        let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            limits,
            tls,
            service,
            drain,
            metrics,
            places: Arc::new(Semaphore::new(places)),
            early: TaskTracker::new(),
            late: TaskTracker::new(),
        }
    }

    /// Accepts until the drain has ended; returns once every connection is closed.
    pub async fn serve(&self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.ended() => break,
            };
            match accepted {
                Ok((stream, from)) => self.accepted(stream, from),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        for tracker in [&self.early, &self.late] {
            tracker.close();
            tracker.wait().await;
        }
    }

    /// Waits until every connection that was there when draining began is gone.
    pub async fn emptied(&self) {
        self.drain.draining().await;
        self.early.close();
        self.early.wait().await;
    }

    fn accepted(&self, stream: TcpStream, from: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.rejected("CONNECTIONS_FULL");
            tracing::debug!("a connection is one too many and is closed");
            return;
        };
        let port = self.clone();
        let is_late = matches!(self.drain.phase(), Phase::Draining { .. } | Phase::Ended);
        let tracker = if is_late { &self.late } else { &self.early };
        drop(tracker.spawn(async move {
            port.metrics.connection_opened();
            if let Err(reason) = port.greet(stream, place, is_late).await {
                port.metrics.handshake_failed(reason);
                tracing::info!(target: "gleand::connection", %from, reason, "handshake failed");
            }
            port.metrics.connection_closed();
        }));
    }

    /// Serves one connection; the error is why its handshake failed.
    async fn greet(
        &self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        is_late: bool,
    ) -> Result<(), &'static str> {
        let until = Instant::now() + self.limits.greeting;
        // Refused by systems that do not have it; then small messages are slower.
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else {
            let served = self.serve_one(stream, Peer::Anyone, until, is_late).await;
            drop(place);
            return served;
        };
        // Bounded by the places: a turn of its own would let mute peers keep others waiting. Its own time limit, so that the
        // true reason is told.
        let config = Arc::clone(&tls.loaded.current().config);
        let handshake = handshake::accept(config, stream, self.limits.greeting);
        let stream = tokio::select! {
            stream = handshake => stream.map_err(|error: io::Error| handshake_reason(&error))?,
            // A peer that says nothing must not hold up the end.
            () = self.going(is_late) => return Ok(()),
        };
        let (_, session) = stream.get_ref();
        let names = session.peer_certificates().and_then(|chain| chain.first());
        let peer = peer(&tls.allowed, names.map(subject_alt_names));
        self.serve_one(stream, peer, until, is_late).await
    }

    async fn serve_one<I>(
        &self,
        stream: I,
        peer: Peer,
        greeted_until: Instant,
        is_late: bool,
    ) -> Result<(), &'static str>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = Greeted::default();
        let open = Open::default();
        let service = hyper::service::service_fn({
            let (stack, open) = (self.service.clone(), open.clone());
            move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer.clone());
                request.extensions_mut().insert(open.clone());
                stack.clone().call(request.map(Body::new))
            }
        });
        let io = TokioIo::new(Watched::new(stream, greeted.clone()));
        let mut connection = std::pin::pin!(self.http2().serve_connection(io, service));
        let mut told_to_go = std::pin::pin!(self.told_to_go(is_late));
        let mut look = interval(LOOK);
        // It is asked for the first time when the connection is told to go, maybe hours later.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut going: Option<Duration> = None;
        let mut alone_since = None;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return Ok(());
                }
                () = sleep_until(greeted_until), if !greeted.is_complete() => {
                    if !greeted.is_complete() {
                        return Err("TIMEOUT");
                    }
                }
                () = told_to_go.as_mut(), if going.is_none() => {
                    going = Some(if open.is_alone() { LINGER_IDLE } else { LINGER });
                    connection.as_mut().graceful_shutdown();
                }
                () = self.drain.ended() => return Ok(()),
                _ = look.tick(), if going.is_some() => {
                    // A peer that does not answer must not hold up the end.
                    if !open.is_alone() {
                        alone_since = None;
                    } else if Some(alone_since.get_or_insert_with(Instant::now).elapsed()) > going {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Until a connection that has no call yet is not worth waiting for.
    async fn going(&self, is_late: bool) {
        if is_late {
            self.drain.ended().await;
        } else {
            self.drain.draining().await;
            sleep(LINGER_IDLE).await;
        }
    }

    /// Until the connection is old, or the daemon drains: what came while it drains is told so call by call.
    async fn told_to_go(&self, is_late: bool) {
        let old = async {
            match self.limits.age {
                Some(age) => sleep(jittered(age)).await,
                None => std::future::pending().await,
            }
        };
        let draining = async {
            if is_late {
                std::future::pending::<()>().await;
            }
            self.drain.draining().await;
        };
        tokio::select! {
            () = old => {}
            () = draining => {}
        }
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let limits = &self.limits;
        let streams = limits.streams_per_connection_max;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .initial_stream_window_size(limits.stream_window_bytes)
            // So that stalled streams, however many, never block the others of their connection.
            .initial_connection_window_size(
                limits.stream_window_bytes.saturating_mul(streams).min(CONNECTION_WINDOW_MAX),
            )
            // h2 refuses what reaches the size.
            .max_header_list_size(limits.header_bytes_max + 1)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        builder
    }
}

/// Who is at the other end.
fn peer(allowed: &SanList, names: Option<Vec<San>>) -> Peer {
    let Some(names) = names else { return Peer::Anyone };
    allowed.allows(&names).map_or(Peer::NotAllowed, |name| Peer::Named(name.into()))
}

/// `time`, up to a tenth shorter or longer, so that connections that were made together do not end together
/// (gRFC A9).
fn jittered(time: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    let share = u32::try_from(random % 2001).unwrap_or_default();
    time * 9 / 10 + time * share / 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(1000);
        let ages: Vec<Duration> = (0..200).map(|_| jittered(age)).collect();
        assert!(ages.iter().all(|age| (900..=1100).contains(&age.as_secs())), "{ages:?}");
        assert!(ages.iter().any(|age| age.as_secs() < 980), "{ages:?}");
        assert!(ages.iter().any(|age| age.as_secs() > 1020), "{ages:?}");
    }
}
