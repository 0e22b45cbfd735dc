//! The log: on stderr for people or machines, and by OTLP if asked for.
//!
//! Invariant: no document text, label or key reaches it. Types that hold some print lengths only, and the
//! panic hook leaves the payload out.

use std::fmt;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Registry};

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log filter is not understood")]
    Filter(#[from] ParseError),
    /// Somebody else logs for this process.
    #[error("the log was set up twice")]
    Twice(#[from] TryInitError),
}

/// How often a complaint about exports is repeated. A receiver that is away would else fill the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Logs to stderr from now on, and to `export`; panics too.
pub(super) fn set(
    format: LogFormat,
    filter: &str,
    export: Option<&SdkLoggerProvider>,
) -> Result<(), LogError> {
    subscriber(format, filter, io::stderr, export)?.try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
    export: Option<&SdkLoggerProvider>,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    let layer = layer.with_filter(EnvFilter::try_new(filter)?.and(Seldom::default()));
    let export = match export {
        Some(provider) => {
            // Nothing but lines of ours: what the exporter and its transport say would be exported, and so on for ever.
            let ours = filter_fn(|line| line.target().split("::").next() == Some("gleand"));
            let bridge = OpenTelemetryTracingBridge::new(provider);
            Some(bridge.with_filter(EnvFilter::try_new(filter)?.and(ours)))
        }
        None => None,
    };
    Ok(Box::new(Registry::default().with(layer).with(export)))
}

/// Lets a warning or error about exports through once in a while, and everything else always.
#[derive(Debug, Default)]
struct Seldom(Mutex<Vec<(Identifier, SystemTime)>>);

impl Seldom {
    fn is_due(&self, line: &Metadata<'_>, now: SystemTime) -> bool {
        // As long as the list of places in the source that complain.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = line.callsite();
        match seen.iter_mut().find(|(other, _)| *other == id) {
            Some((_, last)) => {
                // A clock that went back is no reason for silence.
                let due = now.duration_since(*last).map_or(true, |past| past >= COMPLAINT_INTERVAL);
                if due {
                    *last = now;
                }
                due
            }
            None => {
                seen.push((id, now));
                true
            }
        }
    }
}

impl<S> Filter<S> for Seldom {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let line = event.metadata();
        *line.level() > Level::WARN || !complains(event) || self.is_due(line, SystemTime::now())
    }
}

/// Whether a line comes from what exports, or from the check of its receiver's certificate.
fn complains(event: &Event<'_>) -> bool {
    /// Whether a line that came through the `log` crate is from there.
    struct Origin(bool);
    impl Visit for Origin {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0 |= field.name() == "log.target" && value.starts_with("rustls_platform_verifier");
        }
        fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
    }
    match event.metadata().target() {
        "log" => {
            let mut origin = Origin(false);
            event.record(&mut origin);
            origin.0
        }
        target => target.starts_with("opentelemetry"),
    }
}

/// Logs where a panic happened. The payload may be made of a document's text, so it is left out.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
    tracing::error!(thread = thread.name().unwrap_or(""), file, line, "panic");
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::io::Write;
    use std::sync::Arc;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::logs::{LogBatch, LogExporter};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Keeps whatever an exporter is given, as `Debug` shows it.
    impl LogExporter for Lines {
        fn export(&self, batch: LogBatch<'_>) -> impl Future<Output = OTelSdkResult> + Send {
            for (record, _) in batch.iter() {
                self.0.lock().unwrap().extend(format!("{record:?}\n").into_bytes());
            }
            ready(Ok(()))
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// What is written, and what is exported.
    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> (String, String) {
        let (lines, exported) = (Lines::default(), Lines::default());
        let provider = SdkLoggerProvider::builder().with_simple_exporter(exported.clone()).build();
        let writer = lines.clone();
        let subscriber =
            subscriber(format, filter, move || writer.clone(), Some(&provider)).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        (lines.text(), exported.text())
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_payload() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let (line, exported) = logged(format, "trace", || {
                // The hook belongs to the process: no other test of this binary may set it.
                panic::set_hook(Box::new(log_panic));
                let panicked = panic::catch_unwind(|| panic!("the secret text of a document"));
                drop(panic::take_hook());
                assert!(panicked.is_err());
            });
            for text in [line, exported] {
                assert!(text.contains("telemetry/log.rs"), "{text}");
                assert!(text.contains("a_panic_is_logged_with_its_place"), "{text}");
                assert!(!text.contains("secret"), "{text}");
            }
        }
    }

    #[test]
    fn json_lines_are_json() {
        let (line, exported) =
            logged(LogFormat::Json, "info", || tracing::info!(windows = 3, "scored"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["fields"]["windows"], 3);
        assert!(exported.contains("scored") && exported.contains("windows"), "{exported}");
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let (text, exported) = logged(LogFormat::Text, "warn", || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        for text in [&text, &exported] {
            assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        let wrong = subscriber(LogFormat::Text, "=,=", io::sink, None);
        assert!(matches!(wrong, Err(LogError::Filter(_))));
    }

    #[test]
    fn only_lines_of_ours_are_exported() {
        let (text, exported) = logged(LogFormat::Text, "trace", || {
            tracing::info!(target: "gleand::stream", "stream ended");
            tracing::info!(target: "gleandish", "of somebody else");
            tracing::trace!(target: "h2::codec", "of the exporter's transport");
            tracing::error!(target: "opentelemetry_sdk", "of the exporter");
        });
        assert_eq!(text.lines().count(), 4, "{text}");
        assert_eq!(exported.lines().count(), 1, "{exported}");
        assert!(exported.contains("stream ended"), "{exported}");
    }

    #[test]
    fn complaints_of_the_exporter_do_not_fill_the_log() {
        let (text, _) = logged(LogFormat::Text, "debug", || {
            for _export in 0..100 {
                tracing::error!(target: "opentelemetry_sdk", "export failed");
                tracing::warn!(target: "opentelemetry-otlp", "dropped");
                tracing::error!(target: "log", { "log.target" = "rustls_platform_verifier::other" }, "not verified");
                tracing::error!(target: "log", { "log.target" = "rustls::conn" }, "theirs");
                tracing::warn!(target: "gleand::service", "ours");
            }
        });
        let lines = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        let seen = ["export failed", "dropped", "not verified", "theirs", "ours"].map(lines);
        assert_eq!(seen, [1, 1, 1, 100, 100]);
    }

    #[test]
    fn a_complaint_comes_again_after_its_interval() {
        let seldom = Seldom::default();
        let kept: Arc<Mutex<Option<&'static Metadata<'static>>>> = Arc::default();
        struct Keep(Arc<Mutex<Option<&'static Metadata<'static>>>>);
        impl<S: Subscriber> tracing_subscriber::Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                *self.0.lock().unwrap() = Some(event.metadata());
            }
        }
        let subscriber = Registry::default().with(Keep(Arc::clone(&kept)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "opentelemetry_sdk", "export failed");
        });
        let line = kept.lock().unwrap().unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let due =
            [0, 59, 60, 61, 119, 120].map(|s| seldom.is_due(line, start + Duration::from_secs(s)));
        assert_eq!(due, [true, false, true, false, false, true]);
        assert!(seldom.is_due(line, start), "the clock went back");
    }
}
