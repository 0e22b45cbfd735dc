//! Builds a daemon out of a configuration: everything that can go wrong at the start goes wrong here.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;

use super::{Wrap, limits};
use crate::cli::Misconfigured;
use crate::config::{Config, Device};
use crate::engine::budget::{self, Share, Split};
use crate::engine::{Engine, EngineThreads, Patience, ScorerFactory, Settings, Watchers};
use crate::model::{DeviceSpec, Model, Source, compute_path};
use crate::pipeline::plan::WindowPolicy;
use crate::pipeline::schedule::BatchBudget;
use crate::pipeline::scores::WindowInput;
use crate::service::admission::Admission;
use crate::service::catalog::Catalog;
use crate::service::drain::Drain;
use crate::service::gate::REFUSED_AT_THE_DOOR;
use crate::service::keys;
use crate::service::port::PortTls;
use crate::service::reload::Watcher;
use crate::service::server::Parts;
use crate::service::tls::handshake::HANDSHAKE_REASONS;
use crate::service::tls::san::SanList;
use crate::service::tls::{self, TlsFiles, TlsLoaded};
use crate::telemetry::{Metrics, Telemetry};

/// A second: see [`Patience`].
const TICK: Duration = Duration::from_secs(1);

/// A daemon with open listeners and workers that warm up.
pub(super) struct Built {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) parts: Parts,
    pub(super) engine: Engine,
    pub(super) threads: EngineThreads,
    pub(super) watcher: Watcher,
    pub(super) drain: Drain,
    pub(super) admission: Admission,
}

/// Makes everything that `config` asks for.
pub(super) async fn build(
    config: &Config,
    telemetry: &Telemetry,
    instance: String,
    wrap: Wrap,
) -> anyhow::Result<Built> {
    let metrics = &telemetry.metrics;
    let mut watcher = Watcher::new({
        let metrics = Arc::clone(metrics);
        move |what, ok| metrics.reloaded(what, ok)
    });
    let tls = port_tls(config, &mut watcher, metrics)?;
    let keys = match &config.auth.keys_file {
        Some(path) => {
            metrics.watched("keys");
            Some(keys::watch(&mut watcher, path).map_err(|error| wrong("auth.keys_file", &error))?)
        }
        None => None,
    };
    let listen = config.server.listen;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() && tls.is_none() && keys.is_none() {
        tracing::warn!(%address, "the data port is open to whoever reaches it: no TLS, no keys");
    }
    let models = load_models(config)?;
    let model = models.first().ok_or_else(|| anyhow!("no device"))?;
    let catalog = Arc::new(catalog(model, config, instance));
    // From zero, so that the first of each is seen as one more.
    metrics.show_reasons(&REFUSED_AT_THE_DOOR, &HANDSHAKE_REASONS);
    metrics.build_info(Catalog::VERSION, &catalog.model, &catalog.model_digest);
    let settings = Settings {
        share: share(config),
        batch: BatchBudget::Packed(batch_pieces(config, model)),
        windows_max: config.compute.queue_windows_max,
        patience: Patience { tick: TICK, ticks: config.compute.forward_stuck_s.get() },
        devices: devices(config),
    };
    let warm_up = warm_up(model);
    let factory: ScorerFactory =
        Arc::new(move |worker| Ok(wrap(models[worker % models.len()].scorer())));
    let watchers = Watchers { metrics: Arc::clone(metrics), tracer: telemetry.tracer.clone() };
    let (engine, threads) = Engine::start(&settings, &factory, warm_up, watchers)?;
    let drain = Drain::new();
    let admission = Admission::new(limits::admission(config), engine.clone());
    let parts = Parts {
        catalog,
        devices: settings.devices,
        engine: engine.clone(),
        admission: admission.clone(),
        drain: drain.clone(),
        keys,
        tls,
        limits: limits::port(config),
        message_bytes_max: config.server.message_bytes_max.get(),
        reflection: config.server.reflection.is_on(),
        model_service: config.server.model_service.is_on(),
        metrics: Arc::clone(metrics),
        tracer: telemetry.tracer.clone(),
    };
    Ok(Built { listener, address, parts, engine, threads, watcher, drain, admission })
}

fn port_tls(
    config: &Config,
    watcher: &mut Watcher,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<PortTls>> {
    let keys = &config.tls;
    let (Some(cert), Some(key)) = (&keys.cert_file, &keys.key_file) else { return Ok(None) };
    let files =
        TlsFiles { cert: cert.clone(), key: key.clone(), client_ca: keys.client_ca_file.clone() };
    metrics.watched("tls");
    let publish = {
        let metrics = Arc::clone(metrics);
        move |loaded: &TlsLoaded| {
            metrics.certificate_expiry("server", loaded.server_expiry_unix);
            if let Some(expiry) = loaded.client_ca_expiry_unix {
                metrics.certificate_expiry("client_ca", expiry);
            }
            if let Some(complaint) = loaded.complaint(SystemTime::now()) {
                tracing::warn!("{complaint}");
            }
        }
    };
    let loaded = tls::watch(watcher, &files, publish)
        .map_err(|error| wrong("tls.cert_file, tls.key_file, tls.client_ca_file", &error))?;
    let allowed = SanList::parse(&keys.client_sans.as_slice().join(","))
        .map_err(|error| wrong("tls.client_sans", &error))?;
    Ok(Some(PortTls { loaded, allowed }))
}

/// What a key names cannot be used.
fn wrong(key: &str, error: &dyn std::error::Error) -> anyhow::Error {
    Misconfigured(format!("{key}: {error}")).into()
}

/// Devices as the configuration spells them.
fn devices(config: &Config) -> Vec<String> {
    let name = |device: &Device| match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(ordinal) => format!("cuda:{ordinal}"),
    };
    config.compute.device.as_slice().iter().map(name).collect()
}

/// Where the model is.
pub(super) fn source(path: Option<&Path>) -> Source {
    path.map_or(Source::Embedded, |directory| Source::Directory(directory.to_owned()))
}

/// The model once for every device.
fn load_models(config: &Config) -> anyhow::Result<Vec<Model>> {
    let source = source(config.model.path.as_deref());
    let load = |device: &Device| {
        let spec = match *device {
            Device::Cpu => DeviceSpec::Cpu,
            Device::Cuda(ordinal) => DeviceSpec::Cuda(ordinal),
        };
        Ok(Model::load(&source, &spec.open()?)?)
    };
    config.compute.device.as_slice().iter().map(load).collect()
}

/// On the processor, workers as configured; otherwise one for each device.
pub(super) fn share(config: &Config) -> Share {
    let cores = config.compute.cores.unwrap_or_else(budget::cores);
    let workers = match config.compute.device.as_slice() {
        [Device::Cpu] => {
            return budget::share(
                cores,
                Split::from_setting(config.compute.workers.map_or(0, NonZeroUsize::get)),
            );
        }
        devices => NonZeroUsize::new(devices.len()).unwrap_or(NonZeroUsize::MIN),
    };
    let threads_per_worker = NonZeroUsize::new(cores.get() / workers).unwrap_or(NonZeroUsize::MIN);
    Share { workers, threads_per_worker }
}

/// On the processor a batch is at most one full window of work, so that nobody waits for more than that.
fn batch_pieces(config: &Config, model: &Model) -> NonZeroUsize {
    let configured = config.compute.batch_pieces_max;
    match config.compute.device.as_slice() {
        [Device::Cpu] => {
            let window = model.facts().pieces_max.unwrap_or(2 * model.facts().words_max);
            NonZeroUsize::new(window).map_or(configured, |window| window.min(configured))
        }
        _ => configured,
    }
}

fn catalog(model: &Model, config: &Config, instance: String) -> Catalog {
    let window = &config.window;
    let optional = |value: Option<NonZeroUsize>| value.map(NonZeroUsize::get);
    let policy = WindowPolicy {
        words_max: optional(window.words_max),
        pieces_max: optional(window.pieces_max),
        margin_words: optional(window.margin_left_words),
        mention_words_max: optional(window.mention_words_max),
        text_words_min: optional(window.words_min),
        word_pieces_max: window.word_pieces_max.get(),
        word_bytes_max: window.word_bytes_max.get(),
        candidates_max: window.candidates_held_max.get(),
        windows_in_flight_max: config.stream.windows_in_flight_max.get(),
    };
    Catalog {
        model: model.name().to_owned(),
        model_digest: format!("sha256:{}", model.digest()),
        facts: model.facts().clone(),
        encoder: model.encoder(),
        compute: compute_path(),
        policy,
        limits: limits::call(config),
        instance,
    }
}

/// A full window, so that what the first document pays for is paid before it comes.
fn warm_up(model: &Model) -> WindowInput {
    let encoder = model.encoder();
    let prompt = Arc::new(encoder.prompt(&["person"]));
    let word = encoder.pieces("the");
    let facts = model.facts();
    let room =
        facts.pieces_max.unwrap_or(usize::MAX).saturating_sub(prompt.pieces()) / word.len().max(1);
    let words = facts.words_max.min(room).max(1);
    let ends = (1..=words).map(|count| u32::try_from(count * word.len()).unwrap_or(u32::MAX));
    WindowInput { prompt, pieces: word.repeat(words), word_ends: ends.collect() }
}

/// A name that another process does not have.
pub(super) fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{host}-{}-{:x}", std::process::id(), since.as_millis())
}
