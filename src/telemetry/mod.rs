//! What operators see: logs, metrics and trace spans.
//!
//! Invariant: no document text, label or key reaches any of them. Attributes are numbers and names of ours.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

mod log;
pub mod metrics;
mod instruments;
mod observed;
mod seen;
mod process;
pub mod rpc;
pub mod trace;
mod target;
mod headers;
mod otlp;

pub use log::{LogError, LogFormat};
pub use metrics::Metrics;
pub use observed::Gauges;
pub use otlp::OtlpError;
pub use seen::{BatchSeen, Outcome, Stage, StreamSeen};
pub use target::{Export, OtlpSettings, Protocol};
pub use trace::{BatchSpan, RpcSpan, Tracer, WindowSpan};

use otlp::Exporters;
use target::{Signal, Target, variable};

/// What to show, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the log on stderr is written.
    pub format: LogFormat,
    /// What is logged: a level, or directives as in `info,gleand::engine=debug`.
    pub filter: String,
    /// Version of the daemon.
    pub version: String,
    /// Name of this process among its like.
    pub instance: String,
    /// Whether trace spans are exported.
    pub traces: Export,
    /// Whether metrics are pushed.
    pub metrics: Export,
    /// Whether the log is exported.
    pub logs: Export,
    /// Share of the traces that begin here; `None` lets the environment decide.
    pub trace_ratio: Option<f64>,
    /// Trace spans of windows in one stream.
    pub trace_windows_max: usize,
    /// How exports are sent.
    pub otlp: OtlpSettings,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log could not be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Exports could not be set up.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
}

/// The telemetry of one daemon. The log belongs to the process: the first daemon in it sets it up.
#[derive(Debug)]
pub struct Telemetry {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What makes trace spans.
    pub tracer: Tracer,
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
}

/// Starts telemetry. Must be called inside a tokio runtime of two threads or more, which must outlive
/// [`Telemetry::shutdown`]: exports over gRPC are sent on it, while the SDK's threads wait for them.
///
/// # Errors
/// [`StartError`]
pub fn start(settings: &Settings) -> Result<Telemetry, StartError> {
    let resource = resource(settings);
    let exporters = Exporters::new(&settings.otlp)?;
    let target = |signal, export| Target::resolve(signal, export, &settings.otlp, variable);
    // The log first, so that it has what the others say.
    let logs = start_log(settings, &resource, || {
        let target = target(Signal::Logs, settings.logs)?;
        target.map(|target| exporters.logs(&target)).transpose()
    })?;
    let push = target(Signal::Metrics, settings.metrics)?;
    let push = push.map(|target| exporters.metrics(&target)).transpose()?;
    let metrics = Arc::new(Metrics::new(resource.clone(), push));
    let traces = target(Signal::Traces, settings.traces)?;
    let traces = traces.map(|target| exporters.traces(&target)).transpose()?;
    let traces = traces.map(|exporter| {
        let builder = SdkTracerProvider::builder().with_resource(resource);
        let builder = match settings.trace_ratio.or_else(|| target::ratio_from(variable)) {
            Some(ratio) => builder.with_sampler(sampler(ratio)),
            // The SDK reads the variable that names a sampler.
            None => builder,
        };
        builder.with_batch_exporter(exporter).build()
    });
    let tracer = traces.as_ref().map_or_else(Tracer::off, |provider| {
        Tracer::new(provider, settings.trace_windows_max, Arc::clone(&metrics))
    });
    Ok(Telemetry { metrics, tracer, traces, logs })
}

/// Sets up the log of the process if nobody did, and gives what exports it.
fn start_log(
    settings: &Settings,
    resource: &Resource,
    exporter: impl FnOnce() -> Result<Option<opentelemetry_otlp::LogExporter>, OtlpError>,
) -> Result<Option<SdkLoggerProvider>, StartError> {
    static LOG: Mutex<Option<Option<SdkLoggerProvider>>> = Mutex::new(None);
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(provider) = &*log {
        return Ok(provider.clone());
    }
    let provider = exporter()?.map(|exporter| {
        let builder = SdkLoggerProvider::builder().with_resource(resource.clone());
        builder.with_batch_exporter(exporter).build()
    });
    log::set(settings.format, &settings.filter, provider.as_ref())?;
    Ok(log.insert(provider).clone())
}

fn sampler(ratio: f64) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)))
}

/// Who sends: what the environment says, and ours where it says nothing.
fn resource(settings: &Settings) -> Resource {
    const NAME: Key = Key::from_static_str("service.name");
    const INSTANCE: Key = Key::from_static_str("service.instance.id");
    let found = Resource::builder().build();
    let unnamed = |value: opentelemetry::Value| value.as_str().starts_with("unknown_service");
    let mut ours = vec![KeyValue::new("service.version", settings.version.clone())];
    if found.get(&NAME).is_none_or(unnamed) {
        ours.push(KeyValue::new(NAME, "gleand"));
    }
    if found.get(&INSTANCE).is_none() {
        ours.push(KeyValue::new(INSTANCE, settings.instance.clone()));
    }
    Resource::builder().with_attributes(ours).build()
}

impl Telemetry {
    /// Counts, and sends nothing anywhere. For tests, and for commands that start no daemon.
    #[must_use]
    pub fn quiet() -> Self {
        let metrics = Arc::new(Metrics::new(Resource::builder_empty().build(), None));
        Self { metrics, tracer: Tracer::off(), traces: None, logs: None }
    }

    /// Sends what there is: trace spans, then metrics, then the log. Returns when all is sent or the time is over, whether it
    /// all went out. It blocks, so call it where that is allowed, while the runtime still runs.
    pub fn shutdown(self, timeout: Duration) -> bool {
        let (sender, receiver) = sync_channel(1);
        let flush = move || {
            // None of these may take the time of the next.
            let traces = self.traces.map_or(Ok(()), |all| all.shutdown_with_timeout(timeout / 3));
            let metrics = self.metrics.close();
            // The log belongs to the process, and another daemon may still write it.
            let logs = self.logs.map_or(Ok(()), |all| all.force_flush());
            let all = traces.is_ok() && metrics.is_ok() && logs.is_ok();
            // Nobody listens any more if the time is over.
            sender.send(all).unwrap_or_default();
        };
        let thread = thread::Builder::new().name("gleand-flush".to_owned()).spawn(flush);
        thread.is_ok() && receiver.recv_timeout(timeout).unwrap_or(false)
    }
}
