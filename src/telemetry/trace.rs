//! Trace spans: call → window, and batches that are linked to their windows.
//!
//! Must hold: names are constants and attributes are numbers or names of ours; nothing that a client sent is in them but the
//! identifiers of the W3C trace context.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use super::metrics::{Metrics, SCOPE};
use super::rpc;
use super::seen::Outcome;

/// Links of a batch's trace span: more windows than that are counted in its attribute only.
const LINKS_MAX: usize = 128;

/// Makes trace spans, or nothing where traces are off. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Source>>);

#[derive(Debug)]
struct Source {
    tracer: SdkTracer,
    windows_max: usize,
    metrics: Arc<Metrics>,
}

impl Tracer {
    /// Makes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn new(
        provider: &SdkTracerProvider,
        windows_max: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let tracer = provider.tracer(SCOPE);
        Self(Some(Arc::new(Source { tracer, windows_max, metrics })))
    }

    /// The trace span of a call that begins now, below the one that the client names in its headers.
    #[must_use]
    pub fn rpc(&self, headers: &HeaderMap, method: &'static str) -> RpcSpan {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let asked = parent.span().span_context().clone();
        let span = self.0.as_ref().map(|source| {
            let builder = source
                .tracer
                .span_builder(method)
                .with_kind(SpanKind::Server)
                .with_attributes(rpc::call(method));
            builder.start_with_context(&source.tracer, &parent)
        });
        let own = span.as_ref().map(|span| span.span_context().clone());
        let sampled = own.as_ref().is_some_and(SpanContext::is_sampled);
        // An identifier that is in nobody's storage would only mislead.
        let trace_id = own.filter(|_| sampled).unwrap_or(asked).trace_id();
        let trace_id = Some(trace_id).filter(|&id| id != TraceId::INVALID);
        RpcSpan {
            source: self.0.clone().filter(|_| sampled),
            span: span.map(Box::new),
            trace_id,
            windows: AtomicUsize::new(0),
            omitted: AtomicU64::new(0),
        }
    }

    /// The trace span of a batch that begins now: below the first sampled window, linked to every one.
    pub fn batch<'a>(&self, windows: impl Iterator<Item = &'a WindowSpan>) -> BatchSpan {
        let Some(source) = &self.0 else { return BatchSpan(None) };
        let sampled: Vec<SpanContext> =
            windows.filter_map(WindowSpan::context).take(LINKS_MAX).collect();
        let Some(first) = sampled.first().cloned() else { return BatchSpan(None) };
        let parent = Context::new().with_remote_span_context(first);
        let links = sampled.into_iter().map(|context| Link::new(context, Vec::new(), 0));
        let builder = source
            .tracer
            .span_builder("batch")
            .with_kind(SpanKind::Internal)
            .with_links(links.collect());
        BatchSpan(Some(Box::new(builder.start_with_context(&source.tracer, &parent))))
    }
}

/// The trace span of a call. Ends when it is dropped.
#[derive(Debug)]
pub struct RpcSpan {
    /// There only if the call is sampled.
    source: Option<Arc<Source>>,
    span: Option<Box<Span>>,
    trace_id: Option<TraceId>,
    windows: AtomicUsize,
    omitted: AtomicU64,
}

impl RpcSpan {
    /// The trace this call is in, if it is recorded here or the client named one.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.trace_id.map(|id| id.to_string())
    }

    /// The trace span of a window that was cut just now. Nothing, but counted, where the stream has its share already.
    pub fn window(&self) -> WindowSpan {
        let (Some(source), Some(span)) = (&self.source, &self.span) else {
            return WindowSpan(None);
        };
        if self.windows.fetch_add(1, Ordering::Relaxed) >= source.windows_max {
            self.omitted.fetch_add(1, Ordering::Relaxed);
            return WindowSpan(None);
        }
        let parent = Context::new().with_remote_span_context(span.span_context().clone());
        let builder = source.tracer.span_builder("window").with_kind(SpanKind::Internal);
        WindowSpan(Some(Box::new(builder.start_with_context(&source.tracer, &parent))))
    }

    /// Ends it with the name of the status. `error_type` says more about a failure of the server than the status does.
    pub fn end(mut self, code: &'static str, error_type: Option<&'static str>) {
        let Some(span) = &mut self.span else { return };
        span.set_attribute(KeyValue::new(rpc::STATUS, code));
        if rpc::is_server_error(code) {
            span.set_attribute(KeyValue::new(rpc::ERROR_TYPE, error_type.unwrap_or(code)));
            span.set_status(Status::Error { description: Cow::Borrowed("") });
        }
    }
}

impl Drop for RpcSpan {
    fn drop(&mut self) {
        let (Some(source), Some(span)) = (&self.source, &mut self.span) else { return };
        let omitted = *self.omitted.get_mut();
        if omitted > 0 {
            source.metrics.windows_omitted(omitted);
            span.set_attribute(number("gleand.windows.omitted", omitted));
        }
        span.end();
    }
}

/// The trace span of a window, from its cut to its scores. Ends when it is dropped.
#[derive(Debug, Default)]
pub struct WindowSpan(Option<Box<Span>>);

impl WindowSpan {
    /// Says how large the window is.
    pub fn size(&mut self, words: usize, pieces: usize) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(number("gleand.window.words", words));
            span.set_attribute(number("gleand.window.pieces", pieces));
        }
    }

    /// Ends it.
    pub fn end(mut self, outcome: Outcome) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("gleand.window.outcome", outcome.name()));
            if outcome == Outcome::Failed {
                span.set_status(Status::Error { description: Cow::Borrowed("") });
            }
        }
    }

    fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|span| span.span_context().clone()).filter(SpanContext::is_sampled)
    }
}

/// The trace span of a batch. Ends when it is dropped.
#[derive(Debug)]
pub struct BatchSpan(Option<Box<Span>>);

impl BatchSpan {
    /// Says what the batch is.
    pub fn describe(&mut self, windows: usize, pieces: usize, device: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(number("gleand.batch.windows", windows));
            span.set_attribute(number("gleand.batch.pieces", pieces));
            span.set_attribute(KeyValue::new("gleand.device", device.to_owned()));
        }
    }

    /// The batch could not be scored.
    pub fn failed(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::Error { description: Cow::Borrowed("") });
        }
    }
}

fn number(key: &'static str, value: impl TryInto<i64>) -> KeyValue {
    KeyValue::new(key, value.try_into().unwrap_or(i64::MAX))
}

/// Headers of a request, where a propagator looks for a context.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use http::HeaderValue;
    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};

    use super::super::{Telemetry, sampler};
    use super::*;

    const METHOD: &str = "gleand.v1.ExtractionService/ExtractStream";
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[derive(Clone, Debug, Default)]
    struct Spans(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Spans {
        fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
            self.0.lock().unwrap().extend(batch);
            ready(Ok(()))
        }
    }

    impl Spans {
        fn named(&self, name: &str) -> Vec<SpanData> {
            let all = self.0.lock().unwrap();
            all.iter().filter(|span| span.name == name).cloned().collect()
        }
    }

    struct Setting {
        spans: Spans,
        tracer: Tracer,
        metrics: Arc<Metrics>,
        _provider: SdkTracerProvider,
    }

    fn setting(ratio: f64, windows_max: usize) -> Setting {
        let spans = Spans::default();
        let builder = SdkTracerProvider::builder().with_sampler(sampler(ratio));
        let provider = builder.with_simple_exporter(spans.clone()).build();
        let metrics = Telemetry::quiet().metrics;
        let tracer = Tracer::new(&provider, windows_max, Arc::clone(&metrics));
        Setting { spans, tracer, metrics, _provider: provider }
    }

    fn from_client(sampled: bool) -> HeaderMap {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-0{}", u8::from(sampled));
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::try_from(parent).unwrap());
        headers.insert("tracestate", HeaderValue::from_static("vendor=value"));
        headers
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    }

    #[test]
    fn a_call_is_below_what_the_client_names() {
        let Setting { spans, tracer, .. } = setting(0.0, 64);
        let call = tracer.rpc(&from_client(true), METHOD);
        assert_eq!(call.trace_id().as_deref(), Some(TRACE));
        call.end("OK", None);
        let [span] = &spans.named(METHOD)[..] else { panic!("one call") };
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.parent_span_id, SpanId::from_hex("b7ad6b7169203331").unwrap());
        assert_eq!(span.span_context.trace_state().header(), "vendor=value");
        assert_eq!(span.span_kind, SpanKind::Server);
        assert_eq!(attribute(span, "rpc.system.name").as_deref(), Some("grpc"));
        assert_eq!(attribute(span, "rpc.method").as_deref(), Some(METHOD));
        assert_eq!(attribute(span, "rpc.response.status_code").as_deref(), Some("OK"));
        assert_eq!((attribute(span, "error.type"), &span.status), (None, &Status::Unset));
    }

    #[test]
    fn only_failures_of_the_server_are_errors() {
        let Setting { spans, tracer, .. } = setting(1.0, 64);
        tracer.rpc(&HeaderMap::new(), METHOD).end("RESOURCE_EXHAUSTED", Some("QUEUE_FULL"));
        tracer.rpc(&HeaderMap::new(), METHOD).end("INTERNAL", Some("WORKER_FAILED"));
        drop(tracer.rpc(&HeaderMap::new(), METHOD));
        let spans = spans.named(METHOD);
        let seen = spans.iter().map(|span| (&span.status, attribute(span, "error.type")));
        let error = Status::error("");
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [
                (&Status::Unset, None),
                (&error, Some("WORKER_FAILED".to_owned())),
                (&Status::Unset, None)
            ]
        );
    }

    #[test]
    fn the_ratio_is_for_traces_that_begin_here() {
        for (ratio, sampled, expected) in
            [(0.0, None, 0), (1.0, None, 1), (0.0, Some(true), 1), (1.0, Some(false), 0)]
        {
            let Setting { spans, tracer, .. } = setting(ratio, 64);
            let call = tracer.rpc(&sampled.map(from_client).unwrap_or_default(), METHOD);
            // Of a trace that nobody stores only the client knows the name.
            assert_eq!(call.trace_id().is_some(), expected == 1 || sampled.is_some());
            drop(call.window());
            drop(call);
            assert_eq!(spans.named(METHOD).len(), expected, "{ratio} {sampled:?}");
            assert_eq!(spans.named("window").len(), expected, "{ratio} {sampled:?}");
        }
    }

    #[test]
    fn windows_past_the_share_of_a_stream_are_only_counted() {
        let Setting { spans, tracer, metrics, .. } = setting(1.0, 2);
        for _stream in 0..2 {
            let call = tracer.rpc(&HeaderMap::new(), METHOD);
            for outcome in [Outcome::Scored, Outcome::Failed, Outcome::Scored, Outcome::Skipped] {
                let mut window = call.window();
                window.size(300, 410);
                window.end(outcome);
            }
            call.end("OK", None);
        }
        let windows = spans.named("window");
        assert_eq!(windows.len(), 4);
        assert_eq!(attribute(&windows[0], "gleand.window.words").as_deref(), Some("300"));
        assert_eq!(attribute(&windows[1], "gleand.window.outcome").as_deref(), Some("failed"));
        let calls = spans.named(METHOD);
        assert_eq!(windows[3].parent_span_id, calls[1].span_context.span_id());
        assert_eq!(attribute(&calls[0], "gleand.windows.omitted").as_deref(), Some("2"));
        assert!(metrics.prometheus_text().contains("gleand_trace_windows_omitted_total 4"));
    }

    #[test]
    fn a_batch_is_below_its_first_window_and_linked_to_all() {
        let Setting { spans, tracer, .. } = setting(0.0, 2);
        let calls = [from_client(false), from_client(true), from_client(true)]
            .map(|headers| tracer.rpc(&headers, METHOD));
        let windows = calls.iter().map(RpcSpan::window).collect::<Vec<_>>();
        let mut batch = tracer.batch(windows.iter());
        batch.describe(3, 900, "cuda:0");
        drop(batch);
        drop(windows);
        let windows = spans.named("window");
        let ids = windows.iter().map(|span| span.span_context.span_id()).collect::<Vec<_>>();
        let [batch] = &spans.named("batch")[..] else { panic!("one batch") };
        assert_eq!(batch.parent_span_id, ids[0]);
        let links = batch.links.iter().map(|link| link.span_context.span_id());
        assert_eq!(links.collect::<Vec<_>>(), ids);
        assert_eq!(attribute(batch, "gleand.device").as_deref(), Some("cuda:0"));
        assert_eq!(attribute(batch, "gleand.batch.windows").as_deref(), Some("3"));
        drop(tracer.batch([WindowSpan::default()].iter()));
        assert_eq!(spans.named("batch").len(), 1);
    }

    #[test]
    fn without_traces_nothing_is_made_but_the_clients_trace_is_known() {
        let tracer = Tracer::off();
        let call = tracer.rpc(&from_client(true), METHOD);
        assert_eq!(call.trace_id().as_deref(), Some(TRACE));
        assert!(call.window().0.is_none() && tracer.batch([call.window()].iter()).0.is_none());
        let mut broken = HeaderMap::new();
        broken.insert("traceparent", HeaderValue::from_static("00-secret-00-01"));
        assert_eq!(tracer.rpc(&broken, METHOD).trace_id(), None);
    }

    #[test]
    fn windows_may_cross_threads() {
        fn crosses<T: Send + Sync>() {}
        crosses::<WindowSpan>();
        crosses::<RpcSpan>();
        crosses::<Tracer>();
    }
}
