//! The data port: the services on one listener, with the limits of HTTP/2 around them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::catalog::Catalog;
use super::complete::CompleteLayer;
use super::extraction::Extraction;
use super::models::Models;
use crate::engine::{Engine, State};
use crate::wire;
use crate::wire::extraction_service_server::{ExtractionServiceServer, SERVICE_NAME as EXTRACTION};
use crate::wire::model_service_server::{ModelServiceServer, SERVICE_NAME as MODELS};

/// Names that health speaks about; the empty one is the whole server.
const HEALTH_NAMES: [&str; 3] = ["", EXTRACTION, MODELS];
/// How long open streams may go on after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// How often and how long a silent connection is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Bounds of the data port.
#[derive(Clone, Copy, Debug)]
pub struct PortLimits {
    /// Calls served at once.
    pub streams_max: usize,
    /// Calls of one connection.
    pub streams_per_connection_max: u32,
    /// Bytes of a stream that the client may send ahead.
    pub stream_window_bytes: u32,
    /// Bytes of a message.
    pub message_bytes_max: usize,
}

/// The data port failed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("the data port failed")]
    Transport(#[from] tonic::transport::Error),
    /// The schema inside this binary is broken.
    #[error("reflection cannot read the schema in this binary")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A name cannot be sent as a header.
    #[error("the instance name cannot be sent as a header")]
    Instance(#[from] http::header::InvalidHeaderValue),
}

/// Serves `listener` until `stop` and then until the streams that are open have ended, at most half a minute.
///
/// # Errors
/// [`ServeError`]
pub async fn serve(
    listener: TcpListener,
    catalog: Arc<Catalog>,
    engine: Engine,
    limits: PortLimits,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    // tonic's reporter starts as serving.
    report(&reporter, ServingStatus::NotServing).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that tools can show the details of an error.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let models = Models::new(&[catalog.card()]);
    let header = HeaderValue::from_str(&catalog.instance)?;
    let extraction = Extraction::new(catalog, engine.clone(), limits.streams_max);
    let streams = limits.streams_per_connection_max;
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(streams)
        .initial_stream_window_size(limits.stream_window_bytes)
        // So that stalled streams, however many, never block the others of their connection.
        .initial_connection_window_size(
            limits.stream_window_bytes.saturating_mul(streams).min(1 << 30),
        )
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(CompleteLayer::new(header, HeaderValue::from_static(Catalog::VERSION)))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(ModelServiceServer::new(models))
        .add_service(
            ExtractionServiceServer::new(extraction)
                .max_decoding_message_size(limits.message_bytes_max),
        );
    let (stopping, stopped) = watch::channel(false);
    let told = async {
        stop.await;
        report(&reporter, ServingStatus::NotServing).await;
        for name in HEALTH_NAMES {
            // Ends the watchers, which would never end by themselves.
            reporter.clone().clear_service_status(name).await;
        }
        stopping.send_replace(true);
    };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::select! {
        end = router.serve_with_incoming_shutdown(incoming, told) => Ok(end?),
        () = grace_over(stopped) => Ok(()),
        () = follow(engine.state(), &reporter) => Ok(()),
    }
}

async fn grace_over(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the future beside this one.
    if stopped.wait_for(|stopped| *stopped).await.is_ok() {
        drop(timeout(STOP_GRACE, std::future::pending::<()>()).await);
    }
    tracing::warn!("streams were still open when the grace was over");
}

/// Reports what the engine can do, for ever.
async fn follow(mut state: watch::Receiver<State>, reporter: &HealthReporter) {
    loop {
        let status = match *state.borrow_and_update() {
            State::Ready => Some(ServingStatus::Serving),
            State::Failed(_) => Some(ServingStatus::NotServing),
            State::Starting | State::Stopping => None,
        };
        if let Some(status) = status {
            report(reporter, status).await;
        }
        if state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
}
