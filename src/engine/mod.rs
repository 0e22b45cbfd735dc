//! Where and when windows are scored: one pool of worker threads behind a cheap handle.
//!
//! Invariants:
//! - a worker owns its scorer; nobody else touches it;
//! - an idle worker takes what waits at once, so batches form by themselves while workers are busy and
//!   no timer is needed;
//! - waiting for a place is the only back-pressure, and dropping a future is the only way to cancel;
//! - every window that got a place is answered, skipped because nobody waits for it, or failed;
//! - a window that cannot be scored fails alone, and never ends a thread.
//!
//! Which model is behind a [`Scorer`] is none of this module's business.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::pipeline::ports::Scorer;
use crate::pipeline::schedule::{BatchBudget, StreamId};
use crate::pipeline::scores::{Scores, WindowInput};
use crate::telemetry::{Metrics, Tracer, WindowSpan};

pub mod budget;
mod cgroup;
mod clock;
mod counts;
mod pool;
mod threads;
mod watchdog;
mod worker;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use watchdog::Patience;

use pool::{Asked, Job, Pool};

/// What a factory or a scorer may say. Opaque, so that no model type reaches the engine.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Makes the scorer of the worker with the given number, on that worker's thread.
pub type ScorerFactory = Arc<dyn Fn(usize) -> Result<Box<dyn Scorer>, Cause> + Send + Sync>;

/// How an engine is laid out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Workers and their compute threads.
    pub share: budget::Share,
    /// Work that a batch may hold.
    pub batch: BatchBudget,
    /// Windows inside the engine, waiting or being scored. Costs their inputs' memory: 4 bytes a piece
    /// and 4 a word, so 1 024 windows of 512 pieces take about 4 MiB.
    pub windows_max: NonZeroUsize,
    /// When a forward counts as stuck.
    pub patience: Patience,
    /// What metrics call the devices, one a worker in turn.
    pub devices: Vec<String>,
}

/// Who is told what the engine does.
#[derive(Clone, Debug)]
pub struct Watchers {
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Traces.
    pub tracer: Tracer,
}

/// A window's scores, and where its time went.
#[derive(Debug)]
pub struct Scored {
    /// The scores.
    pub scores: Scores,
    /// From the call of [`Engine::score`] to the start of its batch.
    pub queue: Duration,
    /// Its share of the batch's compute time, by pieces.
    pub compute: Duration,
}

/// Why a window has no scores. Carries no text of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine does not run, or stopped before the window's turn.
    #[error("the engine is stopping")]
    Stopping,
    /// The model could not score the window, alone neither.
    #[error("the model could not score a window")]
    Failed,
}

/// Why a worker has no scorer that works.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The operating system gave no thread.
    #[error("worker {worker} got no compute threads")]
    Threads {
        /// Number of the worker.
        worker: usize,
        /// What the system said.
        source: Cause,
    },
    /// The factory made no scorer.
    #[error("worker {worker} could not make its scorer")]
    Build {
        /// Number of the worker.
        worker: usize,
        /// What the factory said.
        source: Cause,
    },
    /// The scorer did not score the warm-up window.
    #[error("worker {worker} could not score the warm-up window")]
    WarmUp {
        /// Number of the worker.
        worker: usize,
        /// What the scorer said.
        source: Cause,
    },
    /// The factory or the scorer panicked; the log names the place.
    #[error("worker {worker} panicked before it could serve")]
    Panicked {
        /// Number of the worker.
        worker: usize,
    },
    /// The engine was closed before it was ready.
    #[error("the engine was closed before it was ready")]
    Closed,
}

/// What the engine can do now.
#[derive(Clone, Debug)]
pub enum State {
    /// Workers load and warm up. Windows wait.
    Starting,
    /// Every worker has scored the warm-up window.
    Ready,
    /// Closed: no window is taken any more.
    Stopping,
    /// No worker has a scorer. Final when it happens at the start; later the workers keep trying.
    Failed(Arc<WorkerError>),
    /// Scorers panicked so often that something is wrong: windows are scored still, but the process should be
    /// replaced. Final.
    Sick,
    /// A forward never ends. Final.
    Stuck,
}

/// A handle to the workers. Clones are cheap; the workers end with the last one, or with [`Engine::close`].
#[derive(Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// Closes the pool with the last handle.
struct Owner {
    pool: Arc<Pool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// The worker threads, to be waited for once the engine is closed.
#[derive(Debug)]
#[must_use = "threads that nobody joins may outlive main"]
pub struct EngineThreads {
    handles: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the workers, which make their scorers by `factory` and score `warm_up` once.
    ///
    /// Returns at once; [`Engine::ready`] tells how the start went.
    ///
    /// # Errors
    /// [`WorkerError::Threads`] when the operating system gives no thread.
    pub fn start(
        settings: &Settings,
        factory: &ScorerFactory,
        warm_up: WindowInput,
        watchers: Watchers,
    ) -> Result<(Self, EngineThreads), WorkerError> {
        let pool = Arc::new(Pool::new(settings, watchers));
        let engine = Self { owner: Arc::new(Owner { pool: Arc::clone(&pool) }) };
        let warm_up = Arc::new(warm_up);
        let mut threads = EngineThreads { handles: Vec::new() };
        for worker in 0..settings.share.workers.get() {
            let seat = worker::Seat {
                worker,
                device: settings.devices.iter().cycle().nth(worker).cloned().unwrap_or_default(),
                threads: settings.share.threads_per_worker,
                pool: Arc::clone(&pool),
                factory: Arc::clone(factory),
                warm_up: Arc::clone(&warm_up),
            };
            let handle = threads::spawn(format!("score-{worker}"), move || seat.run())
                .map_err(|source| WorkerError::Threads { worker, source: source.into() })?;
            threads.handles.push(handle);
        }
        // Nobody joins the watchdog: it sleeps, and ends with the process at the latest.
        let patience = settings.patience;
        threads::spawn("watchdog".to_owned(), move || watchdog::watch(&pool, patience))
            .map_err(|source| WorkerError::Threads { worker: 0, source: source.into() })?;
        Ok((engine, threads))
    }

    /// Waits until every worker has scored the warm-up window.
    ///
    /// # Errors
    /// Why the first worker that failed did so; [`WorkerError::Closed`] if the engine is closed.
    pub async fn ready(&self) -> Result<(), Arc<WorkerError>> {
        let mut state = self.state();
        let settled = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match settled.as_deref() {
            Ok(State::Ready | State::Sick) => Ok(()),
            Ok(State::Failed(error)) => Err(Arc::clone(error)),
            Ok(State::Starting | State::Stopping | State::Stuck) | Err(_) => {
                Err(Arc::new(WorkerError::Closed))
            }
        }
    }

    /// What the engine can do, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.owner.pool.state()
    }

    /// Whether windows are still taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.owner.pool.is_open()
    }

    /// An id for a stream that shares this engine with others.
    #[must_use]
    pub fn new_stream(&self) -> StreamId {
        StreamId(self.owner.pool.streams.fetch_add(1, Ordering::Relaxed))
    }

    /// Scores one window, when its stream's turn comes; `span` ends with it.
    ///
    /// Waits for a place first; places are given in the order they were asked for, so a stream that
    /// keeps few windows in flight is not held up by one that has many. Dropping the future gives the
    /// place back and the window is not scored, unless a worker has it already.
    ///
    /// # Errors
    /// [`EngineError`]; `Failed` concerns this window alone.
    pub fn score(
        &self,
        stream: StreamId,
        input: WindowInput,
        span: WindowSpan,
    ) -> impl Future<Output = Result<Scored, EngineError>> + Send + use<> {
        let engine = self.clone();
        let asked = clock::now();
        async move {
            let pool = &engine.owner.pool;
            let place = pool.place().await?;
            let (answer, answered) = oneshot::channel();
            pool.push(Job::new(stream, input, Asked { at: asked, span }, answer, place))?;
            // A worker that drops the sender has been told to stop.
            answered.await.unwrap_or(Err(EngineError::Stopping))
        }
    }

    /// What the engine has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.owner.pool.counts.read()
    }

    /// Windows that wait for a worker.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.owner.pool.waiting()
    }

    /// Pieces of the windows that wait for a worker.
    #[must_use]
    pub fn waiting_pieces(&self) -> usize {
        self.owner.pool.waiting_pieces()
    }

    /// Pieces that all workers together score in a second, over the time since the start; `None` before the first batch.
    #[must_use]
    pub fn pieces_per_second(&self) -> Option<f64> {
        self.owner.pool.pieces_per_second()
    }

    /// Stops at once: batches that run are answered, windows that wait get [`EngineError::Stopping`].
    pub fn close(&self) {
        self.owner.pool.close();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl EngineThreads {
    /// Blocks until every worker has ended, which takes as long as the batches that run. The engine must be
    /// closed, or its last handle dropped, by then.
    ///
    /// # Errors
    /// [`WorkerDied`] when a thread ended by a panic, which is a bug of the engine.
    pub fn join(self) -> Result<(), WorkerDied> {
        // Every thread is joined, also behind one that died. A payload may hold text, so it is dropped.
        let died = self.handles.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        if died == 0 { Ok(()) } else { Err(WorkerDied { workers: died }) }
    }
}

/// Worker threads ended by a panic outside of a scorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{workers} worker threads died")]
pub struct WorkerDied {
    /// How many.
    pub workers: usize,
}
