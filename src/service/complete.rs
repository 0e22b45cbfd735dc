//! What every response carries, whoever made it: the name and version of the server, and a reason in every error.
//!
//! tonic answers by itself where no method of ours is reached: no such method, a message that is too large or cannot be
//! decoded. This layer gives those statuses the details that ours have.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::status::completed;

/// Header that names the server that answers, as `Ready.instance`.
pub const INSTANCE_HEADER: HeaderName = HeaderName::from_static("gleand-instance");

/// Header with the version of the server, as `Ready.version`.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("gleand-version");

/// Adds the headers to every response, and details to errors that have none.
#[derive(Clone, Debug)]
pub struct CompleteLayer {
    instance: HeaderValue,
    version: HeaderValue,
}

impl CompleteLayer {
    /// A layer for one server.
    #[must_use]
    pub fn new(instance: HeaderValue, version: HeaderValue) -> Self {
        Self { instance, version }
    }
}

impl<S> Layer<S> for CompleteLayer {
    type Service = Complete<S>;

    fn layer(&self, inner: S) -> Complete<S> {
        Complete { inner, layer: self.clone() }
    }
}

/// A service whose responses are completed.
#[derive(Clone, Debug)]
pub struct Complete<S> {
    inner: S,
    layer: CompleteLayer,
}

impl<S, B> Service<Request<B>> for Complete<S>
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.inner.call(request);
        let layer = self.layer.clone();
        Box::pin(async move { Ok(layer.complete(response.await?)) })
    }
}

impl CompleteLayer {
    fn complete(self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        parts.headers.insert(INSTANCE_HEADER, self.instance);
        parts.headers.insert(VERSION_HEADER, self.version);
        if parts.headers.contains_key(Status::GRPC_STATUS) {
            // An error without a body: its status stands in the headers.
            complete_status(&mut parts.headers);
            return Response::from_parts(parts, body);
        }
        Response::from_parts(parts, Body::new(CompleteBody { inner: body }))
    }
}

/// A body whose trailers are completed.
#[derive(Debug)]
struct CompleteBody {
    inner: Body,
}

impl HttpBody for CompleteBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                complete_status(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn complete_status(headers: &mut HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    if status.code() == Code::Ok || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return;
    }
    // Writing a status fails only where its text cannot be a header value, and percent-encoding sees to that.
    if completed(status.code(), status.message()).add_header(headers).is_err() {
        tracing::warn!(code = ?status.code(), "an error goes out without its reason");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use tonic_types::StatusExt;
    use tower::service_fn;

    use super::*;

    /// What the layer makes of a response.
    async fn check(response: Response<Body>) -> Response<Body> {
        let layer =
            CompleteLayer::new(HeaderValue::from_static("here"), HeaderValue::from_static("1.2.3"));
        let mut response = Some(response);
        let mut service = layer.layer(service_fn(move |_: Request<()>| {
            let response = response.take().expect("called once");
            async { Ok::<_, Infallible>(response) }
        }));
        let response = service.call(Request::new(())).await.expect("infallible");
        assert_eq!(response.headers()[INSTANCE_HEADER], "here");
        assert_eq!(response.headers()[VERSION_HEADER], "1.2.3");
        response
    }

    async fn trailers(mut body: Body) -> HeaderMap {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let frame = frame.expect("trailers come").expect("no error");
            if let Ok(trailers) = frame.into_trailers() {
                return trailers;
            }
        }
    }

    /// A body of nothing but trailers.
    #[derive(Debug)]
    struct Trailers(Option<HeaderMap>);

    impl HttpBody for Trailers {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
        }
    }

    fn reason(headers: &HeaderMap) -> String {
        let status = Status::from_header_map(headers).expect("a status");
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!(info.domain, super::super::status::ERROR_DOMAIN);
        info.reason.clone()
    }

    #[tokio::test]
    async fn an_unknown_method_gets_a_reason_in_its_headers() {
        let (parts, ()) = Status::unimplemented("").into_http::<()>().into_parts();
        let response = check(Response::from_parts(parts, Body::empty())).await;
        assert_eq!(reason(response.headers()), "METHOD_UNKNOWN");
        assert_eq!(response.headers()[Status::GRPC_STATUS], "12");
    }

    #[tokio::test]
    async fn a_large_message_gets_a_reason_in_its_trailers() {
        let mut map = HeaderMap::new();
        Status::out_of_range("too large").add_header(&mut map).expect("a header");
        let response = check(Response::new(Body::new(Trailers(Some(map))))).await;
        let trailers = trailers(response.into_body()).await;
        assert_eq!(reason(&trailers), "MESSAGE_TOO_LARGE");
        assert_eq!(Status::from_header_map(&trailers).map(|s| s.code()), Some(Code::OutOfRange));
    }

    #[tokio::test]
    async fn a_success_and_a_status_of_ours_stay_as_they_are() {
        let ours: Status = super::super::refusal::Refusal::Draining.into();
        for status in [Status::new(Code::Ok, ""), ours] {
            let mut map = HeaderMap::new();
            status.add_header(&mut map).expect("a header");
            let response = check(Response::new(Body::new(Trailers(Some(map.clone()))))).await;
            assert_eq!(trailers(response.into_body()).await, map);
        }
    }
}
