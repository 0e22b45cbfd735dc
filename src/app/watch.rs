//! What operators see of the daemon as a whole: telemetry as configured, gauges, probes.

use std::sync::Arc;

use crate::config::{self, Config, LogLevel};
use crate::engine::{Engine, State};
use crate::service::admin::{Probe, ProbeSource};
use crate::service::admission::Admission;
use crate::service::catalog::Catalog;
use crate::service::drain::{Drain, Phase};
use crate::service::server::readiness;
use crate::telemetry::{
    self, Export, Gauges, LogFormat, OtlpSettings, Protocol, Settings, Telemetry,
};

/// Telemetry as configured.
pub(super) fn start(config: &Config, instance: &str) -> anyhow::Result<Telemetry> {
    Ok(telemetry::start(&settings(config, instance))?)
}

/// The log as configured, and nothing else.
pub(super) fn start_quiet(config: &Config, instance: &str) -> anyhow::Result<Telemetry> {
    let none = Export::None;
    let settings =
        Settings { traces: none, metrics: none, logs: none, ..settings(config, instance) };
    Ok(telemetry::start(&settings)?)
}

fn settings(config: &Config, instance: &str) -> Settings {
    let (telemetry, otlp) = (&config.telemetry, &config.otlp);
    Settings {
        format: match config.log.format {
            config::LogFormat::Text => LogFormat::Text,
            config::LogFormat::Json => LogFormat::Json,
        },
        filter: filter(config.log.level),
        version: Catalog::VERSION.to_owned(),
        instance: instance.to_owned(),
        traces: export(telemetry.traces),
        metrics: export(telemetry.metrics),
        logs: export(telemetry.logs),
        trace_ratio: telemetry.trace_ratio.map(config::TraceRatio::as_f64),
        trace_windows_max: telemetry.trace_windows_max.get(),
        otlp: OtlpSettings {
            endpoint: otlp.endpoint.clone(),
            protocol: otlp.protocol.map(|protocol| match protocol {
                config::OtlpProtocol::Grpc => Protocol::Grpc,
                config::OtlpProtocol::Http => Protocol::Http,
            }),
            ca_file: otlp.ca_file.clone(),
            headers_file: otlp.headers_file.clone(),
        },
    }
}

/// The level, and of the SDK only what needs somebody.
fn filter(level: LogLevel) -> String {
    let name = level.name();
    match level {
        LogLevel::Off | LogLevel::Error | LogLevel::Warn => name.to_owned(),
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => {
            format!("{name},opentelemetry=warn,opentelemetry_sdk=warn")
        }
    }
}

fn export(export: config::Export) -> Export {
    match export {
        config::Export::Auto => Export::Auto,
        config::Export::Otlp => Export::Otlp,
        config::Export::None => Export::None,
    }
}

/// What is measured only when somebody asks.
pub(super) fn gauges(
    engine: &Engine,
    drain: &Drain,
    admission: &Admission,
    devices: &[String],
) -> impl Fn() -> Gauges + Send + Sync + use<> {
    let (engine, drain, admission) = (engine.clone(), drain.clone(), admission.clone());
    let devices = devices.to_vec();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    move || {
        let is_able = matches!(*engine.state().borrow(), State::Ready | State::Sick);
        Gauges {
            queue_windows: count(engine.waiting()),
            queue_pieces: count(engine.waiting_pieces()),
            backlog_pieces: count(admission.backlog_pieces()),
            devices: devices.iter().map(|device| (device.clone(), is_able)).collect(),
            ready: readiness(&engine, &drain).is_ok(),
            live: is_live(&engine),
            drain_state: match drain.phase() {
                Phase::Serving => 0,
                Phase::LameDuck => 1,
                Phase::Draining { .. } => 2,
                Phase::Ended => 3,
            },
        }
    }
}

/// What /livez and /readyz say.
pub(super) fn probe(engine: &Engine, drain: &Drain) -> ProbeSource {
    let (engine, drain) = (engine.clone(), drain.clone());
    Arc::new(move || Probe {
        live: if is_live(&engine) { Ok(()) } else { Err("a forward is stuck") },
        ready: readiness(&engine, &drain),
    })
}

fn is_live(engine: &Engine) -> bool {
    !matches!(*engine.state().borrow(), State::Stuck)
}
