//! The services of the data port and the layers around them, put together once; and what health says of them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use super::admission::Admission;
use super::catalog::Catalog;
use super::complete::CompleteLayer;
use super::drain::{Drain, Phase};
use super::extraction::Extraction;
use super::gate::GateLayer;
use super::keys::KeyRing;
use super::models::Models;
use super::observe::ObserveLayer;
use super::port::{Layers, Port, PortLimits, PortTls};
use super::reload::Reloaded;
use crate::engine::{Engine, State};
use crate::telemetry::{Metrics, Tracer};
use crate::wire;
use crate::wire::extraction_service_server::{ExtractionServiceServer, SERVICE_NAME as EXTRACTION};
use crate::wire::model_service_server::{ModelServiceServer, SERVICE_NAME as MODELS};

/// Names that health speaks about; the empty one is the whole server.
const HEALTH_NAMES: [&str; 3] = ["", EXTRACTION, MODELS];
/// Bytes of a request that is no document: names of models, services and symbols.
const SIDE_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// For requests of one message, where the idle clock is off.
const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// Everything that the data port is made of.
#[derive(Debug)]
pub struct Parts {
    /// The model and its limits.
    pub catalog: Arc<Catalog>,
    /// Names of the devices behind it.
    pub devices: Vec<String>,
    /// Scores windows.
    pub engine: Engine,
    /// Lets in.
    pub admission: Admission,
    /// Tells when the daemon stops.
    pub drain: Drain,
    /// API keys, if calls need one.
    pub keys: Option<Reloaded<KeyRing>>,
    /// Certificates, if the port speaks TLS.
    pub tls: Option<PortTls>,
    /// Bounds of connections.
    pub limits: PortLimits,
    /// Bytes of a request.
    pub message_bytes_max: usize,
    /// Whether the schema can be asked for.
    pub reflection: bool,
    /// Whether models can be asked for.
    pub model_service: bool,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Traces.
    pub tracer: Tracer,
}

/// The data port cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The schema inside this binary is broken.
    #[error("reflection cannot read the schema in this binary")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A name cannot be sent as a header.
    #[error("the instance name cannot be sent as a header")]
    Instance(#[from] http::header::InvalidHeaderValue),
}

/// A port with all services, `health` among them.
///
/// # Errors
/// [`ServeError`]
pub fn port<H: Health>(parts: Parts, health: HealthServer<H>) -> Result<Port, ServeError> {
    let mut routes = Routes::new(health.max_decoding_message_size(SIDE_MESSAGE_BYTES_MAX));
    if parts.reflection {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that tools can show the details of an error.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes
            .add_service(builder().build_v1()?.max_decoding_message_size(SIDE_MESSAGE_BYTES_MAX))
            .add_service(
                builder().build_v1alpha()?.max_decoding_message_size(SIDE_MESSAGE_BYTES_MAX),
            );
    }
    if parts.model_service {
        let models = ModelServiceServer::new(Models::new(&[parts.catalog.card()]));
        routes = routes.add_service(models.max_decoding_message_size(SIDE_MESSAGE_BYTES_MAX));
    }
    let idle = parts.catalog.limits.idle_timeout;
    let patience = if idle.is_zero() { PATIENCE_MAX } else { idle };
    let instance = HeaderValue::from_str(&parts.catalog.instance)?;
    let extraction = Extraction::new(parts.catalog, parts.engine, parts.drain.clone());
    routes = routes.add_service(
        ExtractionServiceServer::new(extraction).max_decoding_message_size(parts.message_bytes_max),
    );
    let layers = Layers {
        observe: ObserveLayer::new(Arc::clone(&parts.metrics), parts.tracer),
        complete: CompleteLayer::new(instance, HeaderValue::from_static(Catalog::VERSION)),
        gate: GateLayer::new(parts.admission, parts.drain.clone(), parts.keys, patience),
    };
    Ok(Port::new((parts.limits, parts.tls), routes, &layers, parts.drain, parts.metrics))
}

/// Lets health say what the engine can do and whether the daemon stops, for ever.
pub async fn report_health(engine: Engine, drain: Drain, reporter: HealthReporter) {
    // tonic's reporter starts as serving.
    report(&reporter, ServingStatus::NotServing).await;
    let (mut state, mut phase) = (engine.state(), drain.watch());
    loop {
        // What changes from here on wakes the loop once more.
        state.mark_unchanged();
        phase.mark_unchanged();
        let is_ready = readiness(&engine, &drain).is_ok();
        let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        report(&reporter, status).await;
        if drain.phase() == Phase::Ended {
            break;
        }
        let changed = tokio::select! {
            changed = state.changed() => changed,
            changed = phase.changed() => changed,
        };
        if changed.is_err() {
            break;
        }
    }
    for name in HEALTH_NAMES {
        // Ends the watchers, which would never end by themselves.
        reporter.clone().clear_service_status(name).await;
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
}

/// Whether new calls are served, else why not, in a word for probes.
///
/// # Errors
/// The word.
pub fn readiness(engine: &Engine, drain: &Drain) -> Result<(), &'static str> {
    if drain.phase() != Phase::Serving {
        return Err("draining");
    }
    match *engine.state().borrow() {
        State::Ready => Ok(()),
        State::Starting => Err("starting"),
        State::Stopping => Err("stopping"),
        State::Failed(_) => Err("failed: no worker has a scorer"),
        State::Sick => Err("failed: scorers panic again and again"),
        State::Stuck => Err("failed: a forward is stuck"),
    }
}
