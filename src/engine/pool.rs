//! What handles and workers share: the schedule, the state, the counts.
//!
//! The schedule stands behind a mutex and a condition variable instead of a thread of its own. It is held for
//! as long as a push or a batch takes, microseconds and never across an await, a scorer or a drop of inputs. A
//! dispatching thread would have to take jobs before a worker is idle, and what it has taken can no
//! longer grow into a better batch, be shared fairly, or be skipped.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::clock::now;
use super::counts::Counters;
use super::watchdog::Forward;
use super::{EngineError, Scored, Settings, State, Watchers, WorkerError};
use crate::pipeline::schedule::{self, Batch, Job as _, Schedule, StreamId};
use crate::pipeline::scores::WindowInput;
use crate::telemetry::{Outcome, Stage, WindowSpan};

/// Batches with a panic in [`PANICS_WITHIN`] that make an engine sick: one is bad luck or bad input, several are a bug
/// or a broken device.
const PANICS_MAX: usize = 3;
const PANICS_WITHIN: Duration = Duration::from_secs(600);

/// When a stream asked for a window, and how that is traced.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) span: WindowSpan,
}

/// A window that waits for its scores.
#[derive(Debug)]
pub(super) struct Job {
    stream: StreamId,
    pub(super) input: WindowInput,
    pub(super) asked: Asked,
    answer: oneshot::Sender<Result<Scored, EngineError>>,
    /// Given back when the job is answered or dropped.
    _place: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn new(
        stream: StreamId,
        input: WindowInput,
        asked: Asked,
        answer: oneshot::Sender<Result<Scored, EngineError>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { stream, input, asked, answer, _place: place }
    }

    /// How long it has waited when its batch starts.
    pub(super) fn waited(&self, started: Instant) -> Duration {
        started.saturating_duration_since(self.asked.at)
    }

    /// Tells the stream, and ends the trace span. `false` when nobody waits any more: then the work is lost, which is what cancelling means.
    pub(super) fn answer(self, scored: Result<Scored, EngineError>) -> bool {
        let outcome = match &scored {
            Ok(_) => Outcome::Scored,
            Err(EngineError::Failed) => Outcome::Failed,
            Err(EngineError::Stopping) => Outcome::Skipped,
        };
        self.asked.span.end(outcome);
        self.answer.send(scored).is_ok()
    }
}

impl schedule::Job for Job {
    fn stream(&self) -> StreamId {
        self.stream
    }

    fn cost(&self) -> usize {
        self.input.cost()
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    queue: Mutex<Queue>,
    /// Told of every job and of the end. Only workers with a scorer wait here, so no telling is lost.
    work: Condvar,
    /// Told of the end.
    ended: Condvar,
    places: Arc<Semaphore>,
    state: watch::Sender<State>,
    workers: usize,
    /// One a worker.
    pub(super) forwards: Vec<Forward>,
    pub(super) counts: Counters,
    pub(super) watchers: Watchers,
    pub(super) streams: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    schedule: Schedule<Job>,
    /// Of all jobs in the schedule.
    pieces: usize,
    /// When batches panicked lately.
    panics: VecDeque<Instant>,
    is_open: bool,
    /// Workers that have a scorer.
    able: usize,
}

impl Pool {
    pub(super) fn new(settings: &Settings, watchers: Watchers) -> Self {
        let windows_max = settings.windows_max.get().min(Semaphore::MAX_PERMITS);
        Self {
            queue: Mutex::new(Queue {
                schedule: Schedule::new(settings.batch, settings.windows_max),
                pieces: 0,
                panics: VecDeque::with_capacity(PANICS_MAX),
                is_open: true,
                able: 0,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
            places: Arc::new(Semaphore::new(windows_max)),
            state: watch::Sender::new(State::Starting),
            workers: settings.share.workers.get(),
            forwards: (0..settings.share.workers.get()).map(|_worker| Forward::default()).collect(),
            counts: Counters::default(),
            watchers,
            streams: AtomicU64::new(0),
        }
    }

    /// Waits for room for one window.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        Arc::clone(&self.places).acquire_owned().await.map_err(|_closed| EngineError::Stopping)
    }

    /// Hands a job to the workers.
    pub(super) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut queue = self.lock();
        if !queue.is_open {
            return Err(EngineError::Stopping);
        }
        let pieces = job.cost();
        // There are as many places as the schedule takes jobs, so it is never full.
        let refused = queue.schedule.push(job);
        queue.pieces += if refused.is_ok() { pieces } else { 0 };
        drop(queue);
        self.work.notify_one();
        refused.map_err(|_job| EngineError::Failed)
    }

    /// Waits for work and takes it; `None` once the pool is closed.
    pub(super) fn next_batch(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        while queue.is_open {
            let Batch { jobs, skipped } = queue.schedule.next_batch();
            if jobs.is_empty() && skipped.is_empty() {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let taken: usize = jobs.iter().chain(&skipped).map(schedule::Job::cost).sum();
            queue.pieces = queue.pieces.saturating_sub(taken);
            let is_more = !queue.schedule.is_empty();
            drop(queue);
            if is_more {
                // The worker that was told of those jobs may be the one that found these.
                self.work.notify_one();
            }
            self.skipped(&skipped, Stage::Queue);
            drop(skipped);
            if !jobs.is_empty() {
                return Some(jobs);
            }
            queue = self.lock();
        }
        None
    }

    /// Nobody waits for these any more.
    pub(super) fn skipped(&self, jobs: &[Job], stage: Stage) {
        if jobs.is_empty() {
            return;
        }
        self.counts.windows_skipped.add(jobs.len());
        self.watchers.metrics.cancelled(stage, jobs.len());
        self.watchers.metrics.window_outcome(Outcome::Skipped, jobs.len());
    }

    /// A worker has a scorer. The last one makes the engine ready.
    pub(super) fn joined(&self) {
        let mut queue = self.lock();
        queue.able += 1;
        let is_ready = match &*self.state.borrow() {
            State::Starting => queue.able == self.workers,
            State::Failed(_) => queue.is_open,
            State::Ready | State::Stopping | State::Sick | State::Stuck => false,
        };
        if is_ready {
            self.state.send_replace(State::Ready);
        }
    }

    /// A worker lost its scorer and cannot make another for now.
    pub(super) fn left(&self) {
        self.lock().able -= 1;
    }

    /// A worker without scorer could not make one. If no other has one, the engine cannot serve.
    pub(super) fn failed_to_rejoin(&self, error: WorkerError) {
        let queue = self.lock();
        let is_final = matches!(*self.state.borrow(), State::Sick | State::Stuck);
        if queue.is_open && queue.able == 0 && !is_final {
            self.state.send_replace(State::Failed(Arc::new(error)));
        }
    }

    /// A batch panicked. Too many of them make the engine sick.
    pub(super) fn panicked(&self) {
        self.watchers.metrics.worker_panicked();
        let now = now();
        let mut queue = self.lock();
        while queue.panics.front().is_some_and(|first| now.duration_since(*first) > PANICS_WITHIN) {
            queue.panics.pop_front();
        }
        queue.panics.push_back(now);
        if queue.panics.len() >= PANICS_MAX && queue.is_open {
            self.state.send_if_modified(|state| {
                let is_new = !matches!(state, State::Sick | State::Stuck);
                if is_new {
                    *state = State::Sick;
                }
                is_new
            });
        }
    }

    /// A forward never ends.
    pub(super) fn stuck(&self) {
        let _queue = self.lock();
        self.state.send_replace(State::Stuck);
    }

    /// A worker could not start, so the engine does not start.
    pub(super) fn fail(&self, error: WorkerError) {
        self.end(State::Failed(Arc::new(error)));
    }

    /// Ends the workers. What waits is answered with [`EngineError::Stopping`].
    pub(super) fn close(&self) {
        self.end(State::Stopping);
    }

    /// Waits for the end, at most for `time`; tells whether it has come.
    pub(super) fn is_closed_within(&self, time: Duration) -> bool {
        let (queue, _timeout) = self
            .ended
            .wait_timeout_while(self.lock(), time, |queue| queue.is_open)
            .unwrap_or_else(PoisonError::into_inner);
        !queue.is_open
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().schedule.len()
    }

    pub(super) fn waiting_pieces(&self) -> usize {
        self.lock().pieces
    }

    pub(super) fn pieces_per_second(&self) -> Option<f64> {
        let counts = self.counts.read();
        let workers = u32::try_from(self.workers).ok()?;
        // Exact up to 2^53, which no process reaches.
        let [high, low] = [counts.pieces >> 32, counts.pieces & u64::from(u32::MAX)]
            .map(|half| f64::from(u32::try_from(half).unwrap_or(u32::MAX)));
        let pieces = high * 4_294_967_296.0 + low;
        let rate = pieces / counts.busy.as_secs_f64() * f64::from(workers);
        rate.is_normal().then_some(rate)
    }

    fn end(&self, state: State) {
        let mut queue = self.lock();
        if !queue.is_open {
            return;
        }
        queue.is_open = false;
        queue.pieces = 0;
        let unserved = queue.schedule.take_all();
        if !matches!(*self.state.borrow(), State::Stuck) {
            self.state.send_replace(state);
        }
        drop(queue);
        self.places.close();
        self.work.notify_all();
        self.ended.notify_all();
        self.skipped(&unserved, Stage::Queue);
        for job in unserved {
            let _heard = job.answer(Err(EngineError::Stopping));
        }
    }

    /// No code that holds the lock can panic half-way, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
