//! Composition root: the one place that names every layer. Build → serve → drain → join.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::cli::{Composition, Daemon, Misconfigured, Stopped};
use crate::config::Loaded;
use crate::engine::Engine;
use crate::pipeline::ports::Scorer;
use crate::service::admin::Admin;
use crate::service::drain::{Drain, DrainTimes};
use crate::service::port::Port;
use crate::service::reload::PERIOD;
use crate::service::server::{self, report_health};
use crate::telemetry::Telemetry;

mod build;
mod limits;
mod memory;
mod stop;
mod watch;

use build::{Built, build};
use stop::{News, Stop};

/// What stands between the engine and a model's scorer: nothing, but in tests of faults.
pub type Wrap = fn(Box<dyn Scorer>) -> Box<dyn Scorer>;

/// Time for telemetry to send what it has when the daemon ends.
const FLUSH: Duration = Duration::from_secs(2);
/// Time for workers to end the batches that run.
const JOIN: Duration = Duration::from_secs(10);
/// For so long a stuck process says on /livez what is wrong, before it ends.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// What the command line is given.
#[must_use]
pub fn composition() -> Composition {
    Composition {
        serve: |loaded| Box::pin(serve(loaded, |scorer| scorer)),
        start: |loaded| Box::pin(start(loaded)),
        memory: memory::at_worst,
    }
}

/// Serves until SIGTERM or SIGINT, then until the open streams are done or the drain is over.
///
/// # Errors
/// Whatever keeps the daemon from starting or serving.
pub async fn serve(loaded: Loaded, wrap: Wrap) -> anyhow::Result<Stopped> {
    let stop = Stop::new()?;
    let instance = build::instance();
    let telemetry = watch::start(&loaded.config, &instance)?;
    let end = serve_with(&loaded, &telemetry, instance, wrap, stop).await;
    match &end {
        Ok(stopped) => tracing::info!(?stopped, "stopped"),
        // The command line tells those, as it does without a daemon.
        Err(error) if error.is::<Misconfigured>() => {}
        Err(error) => tracing::error!("{error:#}"),
    }
    // It blocks, and needs the runtime to send.
    tokio::task::spawn_blocking(move || telemetry.shutdown(FLUSH)).await?;
    end
}

async fn serve_with(
    loaded: &Loaded,
    telemetry: &Telemetry,
    instance: String,
    wrap: Wrap,
    mut stop: Stop,
) -> anyhow::Result<Stopped> {
    let config = &loaded.config;
    memory::check(loaded)?;
    let built = build(config, telemetry, instance, wrap).await?;
    let Built { listener, address, parts, engine, threads, watcher, drain, admission } = built;
    telemetry.metrics.observe(watch::gauges(&engine, &drain, &admission, &parts.devices));
    let (reporter, health) = tonic_health::server::health_reporter();
    let admin = match config.admin.listen {
        Some(listen) => {
            let listener = StdListener::bind(listen)
                .with_context(|| format!("cannot listen on {listen} (admin.listen)"))?;
            let probe = watch::probe(&engine, &drain);
            Some(Admin::start(listener, probe, Arc::clone(&telemetry.metrics), health.clone())?)
        }
        None => None,
    };
    let admin_address = admin.as_ref().map(|admin| admin.address().to_string());
    tracing::info!(
        %address,
        admin = admin_address.as_deref().unwrap_or("none"),
        model = parts.catalog.model,
        instance = parts.catalog.instance,
        "serving, not ready yet"
    );
    let port = server::port(parts, health)?;
    let beside = async {
        tokio::join!(
            report_health(engine.clone(), drain.clone(), reporter),
            watcher.run(PERIOD, drain.ended()),
        );
        std::future::pending().await
    };
    let told = async {
        drain.draining().await;
        tracing::info!(streams = admission.streams(), "draining");
        std::future::pending().await
    };
    let ready = async {
        if engine.ready().await.is_ok() {
            tracing::info!("ready");
        }
        std::future::pending().await
    };
    let times = limits::drain(config);
    let stopped = tokio::select! {
        stopped = live(&port, listener, &mut stop, &engine, (&drain, times)) => stopped?,
        never = told => never,
        never = beside => never,
        never = ready => never,
    };
    if !stopped.is_orderly() {
        return Ok(stopped);
    }
    engine.close();
    let joined = tokio::task::spawn_blocking(|| threads.join());
    tokio::select! {
        joined = timeout(JOIN, joined) => if let Ok(joined) = joined { joined?? },
        () = stop.told() => return Ok(Stopped::Interrupted),
    }
    Ok(stopped)
}

/// From the first connection to the last.
async fn live(
    port: &Port,
    listener: TcpListener,
    stop: &mut Stop,
    engine: &Engine,
    (drain, times): (&Drain, DrainTimes),
) -> anyhow::Result<Stopped> {
    let mut serving = std::pin::pin!(port.serve(listener));
    let first = tokio::select! {
        news = stop.next(engine) => news?,
        // Only a drain ends it.
        () = serving.as_mut() => return Ok(Stopped::Drained),
    };
    let (mut is_told, mut is_sick) = (first == News::Told, first == News::Sick);
    match first {
        News::Told => {
            tracing::info!(lame_duck = ?times.lame_duck, drain = ?times.drain, "told to stop");
        }
        News::Sick => tracing::error!("scorers fail again and again: draining, to be replaced"),
        News::Stuck => return stuck().await,
    }
    let mut drained = std::pin::pin!(async {
        tokio::join!(drain.run(times, port.emptied()), serving);
    });
    loop {
        tokio::select! {
            () = drained.as_mut() => {
                return Ok(if is_sick { Stopped::Sick } else { Stopped::Drained });
            }
            news = stop.next(engine) => match news? {
                News::Told if is_told => return Ok(Stopped::Interrupted),
                News::Told => is_told = true,
                News::Sick => is_sick = true,
                News::Stuck => return stuck().await,
            },
        }
    }
}

/// The process ends soon; until then /livez tells why.
async fn stuck() -> anyhow::Result<Stopped> {
    sleep(LAST_WORDS).await;
    Ok(Stopped::Stuck)
}

/// Starts a daemon beside the caller; it stops when what is returned is dropped.
///
/// # Errors
/// Whatever keeps the daemon from starting.
pub async fn start(loaded: Loaded) -> anyhow::Result<Daemon> {
    let instance = build::instance();
    // What a command does is its own business: nothing is exported.
    let telemetry = watch::start_quiet(&loaded.config, &instance)?;
    let built = build(&loaded.config, &telemetry, instance, |scorer| scorer).await?;
    built.engine.ready().await.context("the model could not be started")?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let (engine, drain) = (built.engine.clone(), built.drain.clone());
    let port = server::port(built.parts, health)?;
    let (address, listener) = (built.address, built.listener);
    let run = async move {
        tokio::join!(report_health(engine, drain, reporter), port.serve(listener));
    };
    #[expect(clippy::disallowed_methods, reason = "owned by the guard, which ends it")]
    let guard = Box::new(AbortOnDropHandle::new(tokio::spawn(run)));
    Ok(Daemon { address, guard })
}
