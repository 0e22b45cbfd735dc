//! What operators see: the log on stderr.
//!
//! Invariant: no document text, label or key reaches it. Types that hold some print lengths only, and the
//! panic hook leaves the payload out.

use std::io;
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::TryInitError;

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
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("the log was set up twice")]
    Twice(#[from] TryInitError),
}

/// Starts the log on stderr and logs panics from now on. `filter` is a level, or directives as in
/// `info,gleand::engine=debug`.
///
/// # Errors
/// [`LogError`]
pub fn start(format: LogFormat, filter: &str) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    subscriber(format, filter, io::stderr)?.try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().finish()),
    })
}

/// Logs where a panic happened. The payload may be made of a document's text, so it is left out.
fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
    tracing::error!(thread = thread.name().unwrap_or(""), file, line, "panic");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_payload() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format, "info", || {
                // The hook belongs to the process: no other test of this binary may set it.
                panic::set_hook(Box::new(log_panic));
                let panicked = panic::catch_unwind(|| panic!("the secret text of a document"));
                drop(panic::take_hook());
                assert!(panicked.is_err());
            });
            assert!(line.contains("telemetry/mod.rs"), "{line}");
            assert!(line.contains("a_panic_is_logged_with_its_place"), "{line}");
            assert!(!line.contains("secret"), "{line}");
        }
    }

    #[test]
    fn json_lines_are_json() {
        let line = logged(LogFormat::Json, "info", || tracing::info!(windows = 3, "scored"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["fields"]["windows"], 3);
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let log = || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        };
        let text = logged(LogFormat::Text, "warn", log);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(matches!(subscriber(LogFormat::Text, "=,=", io::sink), Err(LogError::Filter(_))));
    }
}
