//! The outermost layer: makes a [`Call`] for every request and tells it how its response ended, whoever made the
//! response: a session, the gate, or the gRPC library. A response that is dropped before its end was cancelled.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::call::{Call, Method};
use super::status::reason_of;
use crate::telemetry::rpc::status_name;
use crate::telemetry::{Metrics, Tracer};

/// Header that ties a call to its line in the log.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What every call is told to.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    tracer: Tracer,
    serial: AtomicU64,
}

impl ObserveLayer {
    /// A layer that counts in `metrics` and traces with `tracer`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, tracer: Tracer) -> Self {
        Self { shared: Arc::new(Shared { metrics, tracer, serial: AtomicU64::new(1) }) }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A service whose calls are observed.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Shared { metrics, tracer, serial } = &*self.shared;
        let method = Method::of(request.uri().path());
        let serial = serial.fetch_add(1, Ordering::Relaxed);
        let call = Call::new(method, request.headers(), serial, metrics, tracer);
        call.opened(request.extensions_mut().remove());
        request.extensions_mut().insert(call.clone());
        let end = End { call: Some(call) };
        let response = self.inner.call(request);
        Box::pin(async move { Ok(end.watch(response.await?)) })
    }
}

/// Counts the calls of a connection that are open: as many clones as calls, besides those of the connection itself.
#[derive(Clone, Debug, Default)]
pub struct Open(Arc<()>);

impl Open {
    /// Whether only the connection and its service are left.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) <= 2
    }
}

/// Tells a call once how it ended.
#[derive(Debug)]
struct End {
    call: Option<Call>,
}

impl End {
    fn watch(mut self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let id = self.call.as_ref().and_then(|call| HeaderValue::from_str(&call.request_id()).ok());
        if let Some(id) = id {
            parts.headers.insert(REQUEST_ID_HEADER, id);
        }
        if parts.headers.contains_key(Status::GRPC_STATUS) {
            // An error without a body: its status stands in the headers.
            self.told(&parts.headers);
            return Response::from_parts(parts, body);
        }
        Response::from_parts(parts, Body::new(ObservedBody { inner: body, end: self }))
    }

    fn told(&mut self, headers: &HeaderMap) {
        let Some(call) = &self.call else { return };
        // What the drop says afterwards does not count.
        match Status::from_header_map(headers) {
            Some(status) => call.end(status_name(status.code()), reason_of(&status)),
            None => call.end(status_name(Code::Unknown), "UNCLASSIFIED"),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.end(status_name(Code::Cancelled), "CANCELLED");
            call.gone();
        }
    }
}

/// A body whose trailers are read as they pass.
#[derive(Debug)]
struct ObservedBody {
    inner: Body,
    end: End,
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.end.told(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
