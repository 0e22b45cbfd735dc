//! Composition root: the one file that names every layer. Build → serve → drain → join.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use crate::cli::{Composition, Daemon};
use crate::config::{Config, Device, Loaded, LogFormat};
use crate::engine::budget::{self, Share, Split};
use crate::engine::{Engine, EngineThreads, ScorerFactory, Settings};
use crate::model::{DeviceSpec, Model, Source, compute_path};
use crate::pipeline::plan::WindowPolicy;
use crate::pipeline::schedule::BatchBudget;
use crate::pipeline::scores::WindowInput;
use crate::service::catalog::Catalog;
use crate::service::models::Limits;
use crate::service::server::{PortLimits, serve as serve_port};
use crate::telemetry;

/// What the command line is given.
#[must_use]
pub fn composition() -> Composition {
    Composition { serve: |loaded| Box::pin(serve(loaded)), start: |loaded| Box::pin(start(loaded)) }
}

/// Serves until SIGTERM or SIGINT, then until the open streams are done.
///
/// # Errors
/// Whatever keeps the daemon from starting or serving.
pub async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    start_log(&loaded.config)?;
    let built = build(&loaded.config).await?;
    tracing::info!(address = %built.address, model = built.catalog.model, "serving, not ready yet");
    let engine = built.engine.clone();
    let warm = async {
        match engine.ready().await {
            Ok(()) => {
                tracing::info!("ready");
                std::future::pending().await
            }
            Err(error) => anyhow::Error::new(error).context("the model could not be started"),
        }
    };
    let port = serve_port(
        built.listener,
        built.catalog,
        built.engine.clone(),
        built.limits,
        told_to_stop()?,
    );
    tokio::select! {
        end = port => end?,
        error = warm => return Err(error),
    }
    built.engine.close();
    tokio::task::spawn_blocking(|| built.threads.join()).await??;
    tracing::info!("stopped");
    Ok(())
}

/// Starts a daemon beside the caller; it stops when what is returned is dropped.
///
/// # Errors
/// Whatever keeps the daemon from starting.
pub async fn start(loaded: Loaded) -> anyhow::Result<Daemon> {
    // A command may start several daemons, one after the other; the log of the process is that of the first.
    static LOG: OnceLock<()> = OnceLock::new();
    if LOG.get().is_none() {
        start_log(&loaded.config)?;
        LOG.get_or_init(|| ());
    }
    let built = build(&loaded.config).await?;
    built.engine.ready().await.context("the model could not be started")?;
    let address = built.address;
    let port = serve_port(
        built.listener,
        built.catalog,
        built.engine,
        built.limits,
        std::future::pending(),
    );
    #[expect(clippy::disallowed_methods, reason = "owned by the guard, which ends it")]
    let guard = Box::new(AbortOnDropHandle::new(tokio::spawn(port)));
    Ok(Daemon { address, guard })
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let format = match config.log.format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    Ok(telemetry::start(format, config.log.level.name())?)
}

/// A daemon with an open port and workers that warm up.
struct Built {
    listener: TcpListener,
    address: SocketAddr,
    catalog: Arc<Catalog>,
    engine: Engine,
    threads: EngineThreads,
    limits: PortLimits,
}

async fn build(config: &Config) -> anyhow::Result<Built> {
    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.server.listen))?;
    let address = listener.local_addr()?;
    let models = load_models(config)?;
    let model = models.first().ok_or_else(|| anyhow!("no device"))?;
    let catalog = Arc::new(catalog(model, config));
    let share = share(config);
    let settings = Settings {
        share,
        batch: BatchBudget::Packed(batch_pieces(config, model)),
        windows_max: config.compute.queue_windows_max,
    };
    let warm_up = warm_up(model);
    let factory: ScorerFactory = Arc::new(move |worker| Ok(models[worker % models.len()].scorer()));
    let (engine, threads) = Engine::start(settings, &factory, warm_up)?;
    let limits = PortLimits {
        streams_max: config.server.streams_max.get(),
        streams_per_connection_max: config.server.streams_per_connection_max.get(),
        stream_window_bytes: config.server.stream_window_bytes.get(),
        message_bytes_max: config.server.message_bytes_max.get(),
    };
    Ok(Built { listener, address, catalog, engine, threads, limits })
}

/// The model once for every device.
fn load_models(config: &Config) -> anyhow::Result<Vec<Model>> {
    let source = match &config.model.path {
        Some(directory) => Source::Directory(directory.clone()),
        None => Source::Embedded,
    };
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
fn share(config: &Config) -> Share {
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

fn catalog(model: &Model, config: &Config) -> Catalog {
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
        limits: limits(config),
        instance: instance(),
    }
}

fn limits(config: &Config) -> Limits {
    let server = &config.server;
    Limits {
        chunk_bytes_max: server.chunk_bytes_max.get(),
        text_bytes_max: server.text_bytes_max.get(),
        document_bytes_max: server.document_bytes_max.map(Into::into),
        tasks_max: config.limits.tasks_max.get(),
        labels_max: config.limits.labels_max.get(),
        label_bytes_max: config.limits.label_bytes_max.get(),
        questions_max: config.limits.questions_max.get(),
        relation_passes_max: config.limits.relation_passes_max.get(),
        word_bytes_max: config.window.word_bytes_max.get(),
        word_pieces_max: config.window.word_pieces_max.get(),
        response_bytes_max: server.response_bytes_max.get(),
        unary_response_bytes_max: server.extract_result_bytes_max.get(),
        results_held_bytes_max: server.results_held_bytes_max.get(),
        resume_token_bytes_max: None,
        heartbeat: server.heartbeat_ms,
        idle_timeout: server.input_idle_ms.unwrap_or(Duration::ZERO),
        write_stall_timeout: server.write_stall_ms.unwrap_or(Duration::ZERO),
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
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{host}-{}-{:x}", std::process::id(), since.as_millis())
}

fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    })
}
