//! What is counted. One method for each thing that happens, with typed arguments, so that no text of a client can
//! become an attribute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::instruments as table;
use super::instruments::PROMETHEUS_NAMES;
use super::observed::{Gauges, Observed};
use super::rpc;
use super::seen::{BatchSeen, Outcome, Stage, StreamSeen};

/// Name of the meter and of the tracer.
pub(super) const SCOPE: &str = "gleand";

/// Every instrument of one daemon, and the registry that Prometheus reads.
pub struct Metrics {
    call_duration: Histogram<f64>,
    streams_active: UpDownCounter<i64>,
    connections_active: UpDownCounter<i64>,
    stream_duration: Histogram<f64>,
    document_size: Histogram<u64>,
    words: Counter<u64>,
    results: Counter<u64>,
    first_result: Histogram<f64>,
    watermark_lag: Histogram<u64>,
    windows: Counter<u64>,
    window_pieces: Histogram<u64>,
    queue_duration: Histogram<f64>,
    batch_windows: Histogram<u64>,
    batch_pieces: Histogram<u64>,
    batch_padding: Histogram<f64>,
    batch_duration: Histogram<f64>,
    rejected: Counter<u64>,
    cancelled: Counter<u64>,
    worker_panics: Counter<u64>,
    build_info: Gauge<i64>,
    certificate_expiry: Gauge<i64>,
    reload: Counter<u64>,
    reload_failing: Gauge<i64>,
    handshake_failures: Counter<u64>,
    windows_omitted: Counter<u64>,
    observed: Arc<Observed>,
    registry: Registry,
    provider: SdkMeterProvider,
    pushed: bool,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        // Else the provider does it and says so. Fails only where it was closed already.
        drop(self.provider.shutdown());
    }
}

impl Metrics {
    /// Instruments that Prometheus can read, and that are pushed if there is an exporter.
    pub(super) fn new(resource: Resource, push: Option<MetricExporter>) -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        let mut builder = SdkMeterProvider::builder().with_resource(resource);
        match exporter {
            Ok(exporter) => builder = builder.with_reader(exporter),
            Err(error) => tracing::error!(%error, "metrics cannot be pulled"),
        }
        let pushed = push.is_some();
        if let Some(push) = push {
            builder = builder.with_periodic_exporter(push);
        }
        let provider = builder.build();
        let meter = provider.meter(SCOPE);
        let metrics = Self::with_meter(&meter, registry, provider, pushed);
        metrics.show_zeros();
        metrics
    }

    fn with_meter(
        meter: &Meter,
        registry: Registry,
        provider: SdkMeterProvider,
        pushed: bool,
    ) -> Self {
        Self {
            call_duration: table::CALL_DURATION.spread(meter),
            streams_active: table::STREAMS_ACTIVE.up_down(meter),
            connections_active: table::CONNECTIONS_ACTIVE.up_down(meter),
            stream_duration: table::STREAM_DURATION.spread(meter),
            document_size: table::DOCUMENT_SIZE.spread_of_counts(meter),
            words: table::WORDS.counter(meter),
            results: table::RESULTS.counter(meter),
            first_result: table::FIRST_RESULT.spread(meter),
            watermark_lag: table::WATERMARK_LAG.spread_of_counts(meter),
            windows: table::WINDOWS.counter(meter),
            window_pieces: table::WINDOW_PIECES_SPREAD.spread_of_counts(meter),
            queue_duration: table::QUEUE_DURATION.spread(meter),
            batch_windows: table::BATCH_WINDOWS_SPREAD.spread_of_counts(meter),
            batch_pieces: table::BATCH_PIECES_SPREAD.spread_of_counts(meter),
            batch_padding: table::BATCH_PADDING.spread(meter),
            batch_duration: table::BATCH_DURATION.spread(meter),
            rejected: table::REJECTED.counter(meter),
            cancelled: table::CANCELLED.counter(meter),
            worker_panics: table::WORKER_PANICS.counter(meter),
            build_info: table::BUILD_INFO.gauge(meter),
            certificate_expiry: table::CERTIFICATE_EXPIRY.gauge(meter),
            reload: table::RELOAD.counter(meter),
            reload_failing: table::RELOAD_FAILING.gauge(meter),
            handshake_failures: table::HANDSHAKE_FAILURES.counter(meter),
            windows_omitted: table::WINDOWS_OMITTED.counter(meter),
            observed: Observed::register(meter),
            registry,
            provider,
            pushed,
        }
    }

    /// Without a first zero the first event of a kind would be no increase to Prometheus, and no alert would see it.
    fn show_zeros(&self) {
        self.streams_active.add(0, &[]);
        self.connections_active.add(0, &[]);
        for counter in [&self.words, &self.worker_panics, &self.windows_omitted] {
            counter.add(0, &[]);
        }
        for stage in Stage::ALL {
            self.cancelled(stage, 0);
        }
        for outcome in Outcome::ALL {
            self.window_outcome(outcome, 0);
        }
    }

    /// Lets counters begin at zero for values that only the caller knows.
    pub fn show_reasons(&self, rejected: &[&'static str], handshakes: &[&'static str]) {
        for &reason in rejected {
            self.rejected.add(0, &[KeyValue::new("reason", reason)]);
        }
        for &reason in handshakes {
            self.handshake_failures.add(0, &[KeyValue::new("reason", reason)]);
        }
    }

    /// A call was refused at the door.
    pub fn rejected(&self, reason: &'static str) {
        self.rejected.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A stream began; [`Self::stream_closed`] must follow.
    pub fn stream_opened(&self) {
        self.streams_active.add(1, &[]);
    }

    /// A stream that was opened has ended.
    pub fn stream_closed(&self, seen: StreamSeen) {
        self.streams_active.add(-1, &[]);
        let reason = KeyValue::new("reason", seen.reason);
        self.stream_duration.record(seen.duration.as_secs_f64(), &[reason]);
        self.call_ended(seen.method, seen.code, seen.duration);
        if seen.bytes > 0 {
            self.document_size.record(seen.bytes, &[]);
        }
        self.words.add(seen.words, &[]);
    }

    /// A call that is no stream of ours has ended.
    pub fn call_ended(&self, method: &'static str, code: &'static str, duration: Duration) {
        let [system, method] = rpc::call(method);
        let status = KeyValue::new(rpc::STATUS, code);
        let seconds = duration.as_secs_f64();
        if rpc::is_server_error(code) {
            let error = KeyValue::new(rpc::ERROR_TYPE, code);
            self.call_duration.record(seconds, &[system, method, status, error]);
        } else {
            self.call_duration.record(seconds, &[system, method, status]);
        }
    }

    /// A stream has its first result.
    pub fn first_result(&self, after: Duration) {
        self.first_result.record(after.as_secs_f64(), &[]);
    }

    /// Results were sent.
    pub fn results(&self, kind: &'static str, n: usize) {
        self.results.add(count(n), &[KeyValue::new("kind", kind)]);
    }

    /// The watermark moved; so many received bytes are not decided yet.
    pub fn watermark_lag(&self, bytes: u64) {
        self.watermark_lag.record(bytes, &[]);
    }

    /// A window was cut.
    pub fn window_pieces(&self, pieces: usize) {
        self.window_pieces.record(count(pieces), &[]);
    }

    /// A window waited so long for its batch.
    pub fn queue_wait(&self, wait: Duration) {
        self.queue_duration.record(wait.as_secs_f64(), &[]);
    }

    /// A batch was scored.
    pub fn batch(&self, seen: BatchSeen<'_>) {
        self.batch_windows.record(count(seen.windows), &[]);
        self.batch_pieces.record(count(seen.pieces), &[]);
        self.batch_padding.record(seen.padding_ratio, &[]);
        let device = KeyValue::new("device", seen.device.to_owned());
        self.batch_duration.record(seen.duration.as_secs_f64(), &[device]);
    }

    /// Nobody waits for windows any more.
    pub fn cancelled(&self, stage: Stage, windows: usize) {
        self.cancelled.add(count(windows), &[KeyValue::new("stage", stage.name())]);
    }

    /// Windows are done with.
    pub fn window_outcome(&self, outcome: Outcome, windows: usize) {
        self.windows.add(count(windows), &[KeyValue::new("outcome", outcome.name())]);
    }

    /// A panic was caught while scoring.
    pub fn worker_panicked(&self) {
        self.worker_panics.add(1, &[]);
    }

    /// A connection to the data port was taken; [`Self::connection_closed`] must follow.
    pub fn connection_opened(&self) {
        self.connections_active.add(1, &[]);
    }

    /// A connection to the data port has ended.
    pub fn connection_closed(&self) {
        self.connections_active.add(-1, &[]);
    }

    /// A connection never became one.
    pub fn handshake_failed(&self, reason: &'static str) {
        self.handshake_failures.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A changed file was read again.
    pub fn reloaded(&self, what: &'static str, ok: bool) {
        let what = KeyValue::new("what", what);
        let result = KeyValue::new("result", if ok { "ok" } else { "failed" });
        self.reload.add(1, &[what.clone(), result]);
        self.reload_failing.record(i64::from(!ok), &[what]);
    }

    /// Shows a file that is watched, before it ever changes.
    pub fn watched(&self, what: &'static str) {
        let what = KeyValue::new("what", what);
        for result in ["ok", "failed"] {
            self.reload.add(0, &[what.clone(), KeyValue::new("result", result)]);
        }
        self.reload_failing.record(0, &[what]);
    }

    /// When a certificate expires.
    pub fn certificate_expiry(&self, which: &'static str, unix_seconds: i64) {
        self.certificate_expiry.record(unix_seconds, &[KeyValue::new("which", which)]);
    }

    /// Windows of a sampled stream got no trace span of their own. [`super::RpcSpan`] calls it.
    pub fn windows_omitted(&self, n: u64) {
        self.windows_omitted.add(n, &[]);
    }

    /// What runs.
    pub fn build_info(&self, version: &str, model: &str, digest: &str) {
        let attributes = [
            KeyValue::new("version", version.to_owned()),
            KeyValue::new("model", model.to_owned()),
            KeyValue::new("model_digest", digest.to_owned()),
        ];
        self.build_info.record(1, &attributes);
    }

    /// Where the values come from that are read when somebody asks. The closure is called several times for each
    /// reading, on threads of its readers: it must be quick, and it should not keep an engine alive.
    pub fn observe(&self, gauges: impl Fn() -> Gauges + Send + Sync + 'static) {
        self.observed.set(Some(Arc::new(gauges)));
    }

    /// Everything, as Prometheus reads it; empty if it cannot be written.
    #[must_use]
    pub fn prometheus_text(&self) -> String {
        let mut families = self.registry.gather();
        for family in &mut families {
            let other = PROMETHEUS_NAMES.iter().find(|(name, _)| *name == family.name());
            if let Some((_, name)) = other {
                family.set_name((*name).to_owned());
            }
        }
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be written");
            String::new()
        })
    }

    /// Pushes what there is for the last time and lets go of what is observed. Blocks. Without a receiver there is nothing to
    /// push, and Prometheus can go on reading.
    pub(super) fn close(&self) -> OTelSdkResult {
        let result = if self.pushed { self.provider.shutdown() } else { Ok(()) };
        self.observed.set(None);
        result
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn quiet() -> Metrics {
        Metrics::new(Resource::builder_empty().build(), None)
    }

    /// One use of every method.
    fn used() -> Metrics {
        let metrics = quiet();
        metrics.build_info("1.2.3", "multitask", "sha256:00");
        metrics.show_reasons(&["DRAINING"], &["EXPIRED"]);
        metrics.rejected("QUEUE_FULL");
        metrics.connection_opened();
        metrics.stream_opened();
        metrics.first_result(Duration::from_millis(20));
        metrics.results("mentions", 3);
        metrics.watermark_lag(2_000);
        metrics.window_pieces(300);
        metrics.queue_wait(Duration::from_millis(3));
        metrics.batch(BatchSeen {
            device: "cpu",
            windows: 2,
            pieces: 600,
            padding_ratio: 0.25,
            duration: Duration::from_millis(70),
        });
        metrics.cancelled(Stage::Emit, 1);
        metrics.window_outcome(Outcome::Scored, 2);
        metrics.worker_panicked();
        metrics.stream_closed(StreamSeen {
            method: "gleand.v1.ExtractionService/ExtractStream",
            code: "UNAVAILABLE",
            reason: "DRAINING",
            duration: Duration::from_secs(4_000),
            bytes: 5_000,
            words: 900,
        });
        metrics.call_ended(rpc::OTHER_METHOD, "UNIMPLEMENTED", Duration::from_millis(1));
        metrics.connection_closed();
        metrics.handshake_failed("UNKNOWN_ISSUER");
        metrics.watched("tls");
        metrics.reloaded("keys", false);
        metrics.certificate_expiry("server", 1_900_000_000);
        metrics.windows_omitted(7);
        metrics.observe(|| Gauges {
            queue_windows: 4,
            queue_pieces: 1_200,
            backlog_pieces: 2_400,
            devices: vec![("cpu".to_owned(), true)],
            ready: true,
            live: true,
            drain_state: 0,
        });
        metrics
    }

    #[test]
    fn the_text_has_every_metric_under_its_name() {
        let text = used().prometheus_text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let expected = "\
gleand_backlog_pieces gauge
gleand_batch_duration_seconds histogram
gleand_batch_padding_ratio histogram
gleand_batch_pieces histogram
gleand_batch_windows histogram
gleand_build_info gauge
gleand_cancelled_total counter
gleand_certificate_expiry_seconds gauge
gleand_connections_active gauge
gleand_device_healthy gauge
gleand_document_size_bytes histogram
gleand_drain_state gauge
gleand_first_result_duration_seconds histogram
gleand_handshake_failures_total counter
gleand_live gauge
gleand_queue_duration_seconds histogram
gleand_queue_pieces gauge
gleand_queue_windows gauge
gleand_ready gauge
gleand_rejected_total counter
gleand_reload_failing gauge
gleand_reload_total counter
gleand_results_total counter
gleand_stream_duration_seconds histogram
gleand_streams_active gauge
gleand_trace_windows_omitted_total counter
gleand_watermark_lag_bytes histogram
gleand_window_pieces histogram
gleand_windows_total counter
gleand_words_total counter
gleand_worker_panics_total counter
process_cpu_time_seconds_total counter
process_memory_usage_bytes gauge
process_open_fds gauge
rpc_server_call_duration_seconds histogram";
        assert_eq!(types.collect::<Vec<_>>().join("\n"), expected);
    }

    #[test]
    fn the_text_has_values_and_no_label_of_the_library() {
        let text = used().prometheus_text();
        for line in [
            "gleand_streams_active 0",
            "gleand_words_total 900",
            "gleand_rejected_total{reason=\"QUEUE_FULL\"} 1",
            "gleand_rejected_total{reason=\"DRAINING\"} 0",
            "gleand_stream_duration_seconds_bucket{reason=\"DRAINING\",le=\"3600\"} 0",
            "gleand_stream_duration_seconds_bucket{reason=\"DRAINING\",le=\"7200\"} 1",
            "gleand_document_size_bytes_bucket{le=\"4096\"} 0",
            "gleand_document_size_bytes_bucket{le=\"16384\"} 1",
            "gleand_batch_padding_ratio_sum 0.25",
            "gleand_batch_duration_seconds_count{device=\"cpu\"} 1",
            "gleand_cancelled_total{stage=\"emit\"} 1",
            "gleand_cancelled_total{stage=\"queue\"} 0",
            "gleand_device_healthy{device=\"cpu\"} 1",
            "gleand_reload_failing{what=\"keys\"} 1",
            "gleand_reload_failing{what=\"tls\"} 0",
            "gleand_reload_total{result=\"failed\",what=\"keys\"} 1",
            "gleand_certificate_expiry_seconds{which=\"server\"} 1900000000",
            "gleand_build_info{model=\"multitask\",model_digest=\"sha256:00\",version=\"1.2.3\"} 1",
            "rpc_server_call_duration_seconds_count{error_type=\"UNAVAILABLE\",rpc_method=\"gleand.v1.ExtractionService/ExtractStream\",rpc_response_status_code=\"UNAVAILABLE\",rpc_system_name=\"grpc\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(!text.contains("otel_scope") && !text.contains("target_info"));
    }

    #[test]
    fn names_are_said_once_and_meet_the_rules_of_prometheus() {
        let text = used().prometheus_text();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
        let names: Vec<_> = names.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        // promtool refuses these endings where there is no histogram.
        let reserved = ["_count", "_sum", "_bucket"];
        assert!(!names.iter().any(|name| reserved.iter().any(|end| name.ends_with(end))));
    }

    #[test]
    fn a_closure_that_panics_costs_its_values_only() {
        let metrics = quiet();
        metrics.observe(|| panic!("the secret text of a document"));
        metrics.rejected("QUEUE_FULL");
        let text = metrics.prometheus_text();
        assert!(text.contains("gleand_rejected_total") && !text.contains("gleand_ready"));
        metrics.observe(Gauges::default);
        assert!(metrics.prometheus_text().contains("gleand_ready 0"));
    }

    #[test]
    fn two_daemons_of_one_process_count_apart() {
        let (one, other) = (quiet(), quiet());
        one.stream_opened();
        assert!(one.prometheus_text().contains("gleand_streams_active 1"));
        assert!(other.prometheus_text().contains("gleand_streams_active 0"));
    }
}
