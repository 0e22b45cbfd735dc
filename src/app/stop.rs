//! Why the daemon stops: it is told to, or its engine is beyond help.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::engine::{Engine, State};

/// Something that a daemon must act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A signal.
    Told,
    /// The engine should be replaced.
    Sick,
    /// The engine hangs.
    Stuck,
}

/// The signals that stop a daemon. Made before anything else, so that none is missed.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    is_sick: bool,
}

impl Stop {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            is_sick: false,
        })
    }

    /// Waits for the next signal, or for the engine to get worse; the error is why the engine did not start. Dropping
    /// the future loses nothing.
    pub(super) async fn next(&mut self, engine: &Engine) -> anyhow::Result<News> {
        let is_sick = self.is_sick;
        tokio::select! {
            biased;
            () = self.told() => Ok(News::Told),
            news = worse(engine, is_sick) => {
                self.is_sick = true;
                news
            }
        }
    }

    /// Waits for the next signal.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the engine is worse than known.
async fn worse(engine: &Engine, is_sick: bool) -> anyhow::Result<News> {
    let mut state = engine.state();
    if !is_sick {
        engine
            .ready()
            .await
            .or_else(|error| {
                // A stuck warm-up is stuck, not failed.
                if is_stuck(&state) { Ok(()) } else { Err(error) }
            })
            .context("the model could not be started")?;
    }
    let is_news = |state: &State| match state {
        State::Stuck => true,
        State::Sick => !is_sick,
        // Final where no worker is left to try again.
        State::Failed(_) => !is_sick && !engine.is_open(),
        State::Starting | State::Ready | State::Stopping => false,
    };
    let is_over = state.wait_for(is_news).await.is_err();
    if is_over {
        // The engine is gone, and with it whoever could tell.
        std::future::pending::<()>().await;
    }
    Ok(if is_stuck(&state) { News::Stuck } else { News::Sick })
}

fn is_stuck(state: &watch::Receiver<State>) -> bool {
    matches!(*state.borrow(), State::Stuck)
}
