//! The gate, before a byte of a call is read: who calls, whether the daemon takes calls now, whether there is room.
//!
//! Health passes without a key, so that probes need none. Everything else is refused here or has a seat from here on,
//! which ends with its response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::admission::Admission;
use super::call::{Call, MethodKind, Seat};
use super::deadline;
use super::drain::{Drain, Phase};
use super::keys::{KeyRefusal, KeyRing};
use super::refusal::Refusal;
use super::reload::Reloaded;

/// Calls that are no documents, at once: the schema, the models; and health, which has places of its own, since it needs
/// no key.
pub const SIDE_CALLS_MAX: usize = 256;

/// After so long without anything to do a call is not expected to need much at once.
pub const REST: Duration = Duration::from_secs(1);

/// Reasons of the gate and of the port, for counters that begin at zero.
pub const REFUSED_AT_THE_DOOR: [&str; 10] = [
    "CONNECTIONS_FULL",
    "DRAINING",
    "KEY_EXPIRED",
    "KEY_INVALID",
    "KEY_MISSING",
    "KEY_NOT_YET_VALID",
    "QUEUE_FULL",
    "SAN_NOT_ALLOWED",
    "WARMING_UP",
    "WORKER_FAILED",
];

/// Who is at the other end of a connection, as TLS tells.
#[derive(Clone, Debug, Default)]
pub enum Peer {
    /// TLS does not tell, or is not asked.
    #[default]
    Anyone,
    /// Its certificate has a name that may call.
    Named(Arc<str>),
    /// Its certificate has no name that may call.
    NotAllowed,
}

/// What the gate goes by.
#[derive(Clone, Debug)]
pub struct GateLayer {
    admission: Admission,
    drain: Drain,
    keys: Option<Reloaded<KeyRing>>,
    side: Arc<Semaphore>,
    health: Arc<Semaphore>,
    /// Time for a request that is one message to come.
    patience: Duration,
}

impl GateLayer {
    /// A gate; without `keys` everybody may call whom TLS lets in.
    #[must_use]
    pub fn new(
        admission: Admission,
        drain: Drain,
        keys: Option<Reloaded<KeyRing>>,
        patience: Duration,
    ) -> Self {
        let side = || Arc::new(Semaphore::new(SIDE_CALLS_MAX));
        Self { admission, drain, keys, side: side(), health: side(), patience }
    }

    fn pass<B>(&self, call: &Call, request: &Request<B>) -> Result<Seat, Refusal> {
        let kind = call.method().kind;
        if kind != MethodKind::Health {
            self.identify(call, request)?;
            if matches!(self.drain.phase(), Phase::Draining { .. } | Phase::Ended) {
                return Err(Refusal::Draining);
            }
        }
        if call.method().is_extraction() {
            return self.admission.admit(kind == MethodKind::Whole).map(Seat::Document);
        }
        let places = if kind == MethodKind::Health { &self.health } else { &self.side };
        let seat = Arc::clone(places).try_acquire_owned();
        seat.map(Seat::Side).map_err(|_full| self.admission.full())
    }

    /// Waits for the response of a call. A request that is one message is decoded before its method runs, so a client
    /// that never sends it is waited for here, and nowhere else. A session looks after its own clocks.
    async fn impatient<T>(
        &self,
        call: &Call,
        deadline: Option<Instant>,
        response: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let mut response = std::pin::pin!(response);
        if call.method().kind == MethodKind::Stream {
            return Ok(response.await);
        }
        let idle = async {
            sleep(REST).await;
            call.rest();
            sleep(self.patience.saturating_sub(REST)).await;
            // One that came is worked on; its own deadline and drain hold.
            if call.is_begun() {
                std::future::pending::<()>().await;
            }
        };
        let drained = async {
            sleep_until(self.drain.draining().await).await;
            if call.is_begun() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            response = response.as_mut() => Ok(response),
            () = idle => Err(Refusal::IdleTimeout { after: self.patience }),
            () = drained => Err(Refusal::Draining),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                Err(Refusal::DeadlineExceeded)
            }
        }
    }

    fn identify<B>(&self, call: &Call, request: &Request<B>) -> Result<(), Refusal> {
        match request.extensions().get::<Peer>() {
            Some(Peer::NotAllowed) => return Err(Refusal::SanNotAllowed),
            Some(Peer::Named(name)) => call.identified(name),
            Some(Peer::Anyone) | None => {}
        }
        if let Some(keys) = &self.keys {
            let mut sent = request.headers().get_all(AUTHORIZATION).iter();
            let (key, another) = (sent.next(), sent.next());
            if another.is_some() {
                // Which one counts would be anybody's guess.
                return Err(KeyRefusal::Invalid.into());
            }
            let name = keys.current().check(key, SystemTime::now())?;
            call.identified(&name);
        }
        Ok(())
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate { inner, layer: self.clone() }
    }
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Gate<S> {
    inner: S,
    layer: GateLayer,
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The observer has put it there; without one there is nothing to seat.
        let Some(call) = request.extensions().get::<Call>().cloned() else {
            return Box::pin(self.inner.call(request));
        };
        match self.layer.pass(&call, &request) {
            Ok(seat) => {
                call.seated(seat);
                // Nothing behind the gate needs the key.
                request.headers_mut().remove(AUTHORIZATION);
                let deadline = deadline::of_headers(request.headers(), Instant::now());
                let response = self.inner.call(request);
                let layer = self.layer.clone();
                Box::pin(async move {
                    match layer.impatient(&call, deadline, response).await {
                        Ok(response) => response,
                        Err(refusal) => Ok(Status::from(refusal).into_http()),
                    }
                })
            }
            Err(refusal) => {
                call.metrics().rejected(refusal.reason());
                let status: Status = refusal.into();
                let response = status.into_http();
                Box::pin(async move { Ok(response) })
            }
        }
    }
}
