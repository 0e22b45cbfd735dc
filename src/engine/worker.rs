//! One worker: takes a batch, scores it, answers it; whatever the scorer does, the thread goes on.
//!
//! A scorer may return an error or panic. Then the batch is cut in two and each half is tried again, so that
//! only the windows that cannot be scored by themselves fail. After a panic the scorer's state is unknown:
//! the factory makes another one, and tries again for as long as it fails.

use std::error::Error;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rayon::ThreadPool;

use super::clock::now;
use super::pool::{Job, Pool};
use super::watchdog::Forward;
use super::{EngineError, Scored, ScorerFactory, Watchers, WorkerError, threads};
use crate::pipeline::ports::{ScoreError, Scorer};
use crate::pipeline::schedule::Job as _;
use crate::pipeline::scores::{Scores, WindowInput};
use crate::telemetry::{BatchSeen, Outcome as Seen, Stage};

/// Between two tries to make a scorer: long enough not to fill the log, short beside loading a model.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// Everything that a worker's thread starts with.
pub(super) struct Seat {
    pub(super) worker: usize,
    pub(super) device: String,
    pub(super) threads: NonZeroUsize,
    pub(super) pool: Arc<Pool>,
    pub(super) factory: ScorerFactory,
    pub(super) warm_up: Arc<WindowInput>,
}

impl Seat {
    /// Serves until the pool is closed.
    pub(super) fn run(self) {
        let pool = Arc::clone(&self.pool);
        let _last_words = LastWords { pool: &pool, worker: self.worker };
        match self.start() {
            Ok(mut worker) => {
                pool.joined();
                while worker.has_scorer()
                    && let Some(batch) = pool.next_batch()
                {
                    worker.serve(batch);
                }
            }
            Err(error) => pool.fail(error),
        }
    }

    fn start(self) -> Result<Worker, WorkerError> {
        let worker = self.worker;
        let compute = threads::share_work(self.threads)
            .map_err(|source| WorkerError::Threads { worker, source: source.into() })?;
        let mut scorer = self.make_scorer()?;
        let running = self.forward().map(Forward::begin);
        let scored = score(&compute, scorer.as_mut(), &[&self.warm_up]);
        drop(running);
        match scored {
            Outcome::Scored(_) => Ok(Worker { seat: self, compute, scorer: Some(scorer) }),
            Outcome::Refused(source) => Err(WorkerError::WarmUp { worker, source: source.into() }),
            Outcome::Panicked => Err(WorkerError::Panicked { worker }),
        }
    }

    fn forward(&self) -> Option<&Forward> {
        self.pool.forwards.get(self.worker)
    }

    fn make_scorer(&self) -> Result<Box<dyn Scorer>, WorkerError> {
        let worker = self.worker;
        // A device that hangs may hang here as well.
        let _running = self.forward().map(Forward::begin);
        match catch_unwind(AssertUnwindSafe(|| (self.factory)(worker))) {
            Ok(made) => made.map_err(|source| WorkerError::Build { worker, source }),
            Err(_payload) => Err(WorkerError::Panicked { worker }),
        }
    }
}

struct Worker {
    seat: Seat,
    /// This thread and its helpers. Whatever the scorer hands to rayon stays inside.
    compute: ThreadPool,
    /// Absent from a panic until the factory has made another.
    scorer: Option<Box<dyn Scorer>>,
}

impl Worker {
    /// Answers every job of `batch`, unless the pool is closed while there is no scorer.
    fn serve(&mut self, batch: Vec<Job>) {
        let (started, metrics) = (now(), &self.seat.pool.watchers.metrics);
        batch.iter().for_each(|job| metrics.queue_wait(job.waited(started)));
        let mut parts = vec![batch];
        // The batch counts once, however often its parts panic while the bad window is looked for.
        let mut is_counted = false;
        while let Some(mut part) = parts.pop() {
            let skipped: Vec<Job> = part.extract_if(.., |job| !job.is_wanted()).collect();
            self.seat.pool.skipped(&skipped, Stage::Batch);
            drop(skipped);
            if part.is_empty() {
                continue;
            }
            if !self.has_scorer() {
                return;
            }
            match self.score(&part) {
                Ok(scored) => self.answer(part, scored),
                Err(failure) => {
                    if failure == Failure::Panicked && !is_counted {
                        is_counted = true;
                        self.seat.pool.panicked();
                    }
                    if part.len() == 1 {
                        self.give_up(part);
                        continue;
                    }
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
            }
        }
    }

    /// Scores for every job of `part`.
    fn score(&mut self, part: &[Job]) -> Result<Vec<Scored>, Failure> {
        let scorer = self.scorer.as_mut().ok_or(Failure::Refused)?;
        let inputs: Vec<&WindowInput> = part.iter().map(|job| &job.input).collect();
        let pieces: usize = inputs.iter().map(|input| input.cost()).sum();
        let Watchers { metrics, tracer } = &self.seat.pool.watchers;
        let mut span = tracer.batch(part.iter().map(|job| &job.asked.span));
        span.describe(part.len(), pieces, &self.seat.device);
        let started = now();
        let running = self.seat.forward().map(Forward::begin);
        let outcome = score(&self.compute, scorer.as_mut(), &inputs);
        drop(running);
        let took = started.elapsed();
        let counts = &self.seat.pool.counts;
        counts.batches.add(1);
        let (worker, windows) = (self.seat.worker, part.len());
        match outcome {
            Outcome::Scored(scores) => {
                let (device, duration) = (self.seat.device.as_str(), took);
                // One window a forward, or windows packed side by side: nothing is padded.
                metrics.batch(BatchSeen { device, windows, pieces, padding_ratio: 0.0, duration });
                metrics.window_outcome(Seen::Scored, windows);
                counts.windows.add(windows);
                counts.pieces.add(pieces);
                counts.busy_us.add_micros(took);
                Ok(part
                    .iter()
                    .zip(scores)
                    .map(|(job, scores)| Scored {
                        scores,
                        queue: job.waited(started),
                        compute: share(took, job.cost(), pieces),
                    })
                    .collect())
            }
            Outcome::Refused(error) => {
                tracing::warn!(worker, windows, error = %chain(&error), "a batch was not scored");
                span.failed();
                Err(Failure::Refused)
            }
            Outcome::Panicked => {
                counts.panics.add(1);
                tracing::error!(worker, windows, "a scorer panicked and is made anew");
                span.failed();
                self.discard_scorer();
                Err(Failure::Panicked)
            }
        }
    }

    fn give_up(&self, jobs: Vec<Job>) {
        let pool = &self.seat.pool;
        pool.counts.windows_failed.add(jobs.len());
        pool.watchers.metrics.window_outcome(Seen::Failed, jobs.len());
        for job in jobs {
            let _heard = job.answer(Err(EngineError::Failed));
        }
    }

    fn answer(&self, jobs: Vec<Job>, scored: Vec<Scored>) {
        let heard = jobs.into_iter().zip(scored).map(|(job, scored)| job.answer(Ok(scored)));
        let lost = heard.filter(|heard| !heard).count();
        if lost > 0 {
            self.seat.pool.counts.windows_unheard.add(lost);
            self.seat.pool.watchers.metrics.cancelled(Stage::Emit, lost);
        }
    }

    fn discard_scorer(&mut self) {
        let scorer = self.scorer.take();
        // What panicked once may panic again while it is dropped; the panic hook has logged both.
        drop(catch_unwind(AssertUnwindSafe(|| drop(scorer))));
        self.seat.pool.left();
    }

    /// Makes a scorer if there is none; `false` when the pool was closed before that succeeded.
    fn has_scorer(&mut self) -> bool {
        while self.scorer.is_none() {
            match self.seat.make_scorer() {
                Ok(scorer) => {
                    self.scorer = Some(scorer);
                    self.seat.pool.joined();
                }
                Err(error) => {
                    let worker = self.seat.worker;
                    tracing::error!(worker, error = %chain(&error), "a scorer could not be made anew");
                    self.seat.pool.failed_to_rejoin(error);
                    if self.seat.pool.is_closed_within(REBUILD_PAUSE) {
                        return false;
                    }
                }
            }
        }
        true
    }
}

/// Why a batch has no scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Refused,
    Panicked,
}

enum Outcome {
    Scored(Vec<Scores>),
    Refused(ScoreError),
    Panicked,
}

/// One call of a scorer, on the threads of its worker.
fn score(compute: &ThreadPool, scorer: &mut dyn Scorer, inputs: &[&WindowInput]) -> Outcome {
    let scored = catch_unwind(AssertUnwindSafe(|| compute.install(|| scorer.score(inputs))));
    match scored {
        Ok(Ok(scores)) if scores.len() == inputs.len() => Outcome::Scored(scores),
        Ok(Ok(scores)) => Outcome::Refused(ScoreError {
            windows: inputs.len(),
            source: format!("it returned scores for {} windows", scores.len()).into(),
        }),
        Ok(Err(error)) => Outcome::Refused(error),
        // The payload may hold text of a document.
        Err(_payload) => Outcome::Panicked,
    }
}

/// The part of `time` that falls to `cost` of `all`.
fn share(time: Duration, cost: usize, all: usize) -> Duration {
    let micros = u128::try_from(cost).unwrap_or_default() * time.as_micros();
    let share = micros.checked_div(u128::try_from(all).unwrap_or_default()).unwrap_or_default();
    Duration::from_micros(u64::try_from(share).unwrap_or(u64::MAX))
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A worker that ends by a panic of its own must not leave windows waiting for it.
struct LastWords<'a> {
    pool: &'a Pool,
    worker: usize,
}

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pool.fail(WorkerError::Panicked { worker: self.worker });
        }
    }
}
