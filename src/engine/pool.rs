//! What handles and workers share: the schedule, the state, the counts.
//!
//! The schedule stands behind a mutex and a condition variable instead of a thread of its own. It is held for
//! as long as a push or a batch takes, microseconds and never across an await, a scorer or a drop of inputs. A
//! dispatching thread would have to take jobs before a worker is idle, and what it has taken can no
//! longer grow into a better batch, be shared fairly, or be skipped.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::counts::Counters;
use super::{EngineError, Settings, State, WorkerError};
use crate::pipeline::schedule::{self, Batch, Schedule, StreamId};
use crate::pipeline::scores::{Scores, WindowInput};

/// A window that waits for its scores.
#[derive(Debug)]
pub(super) struct Job {
    stream: StreamId,
    pub(super) input: WindowInput,
    answer: oneshot::Sender<Result<Scores, EngineError>>,
    /// Given back when the job is answered or dropped.
    _place: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn new(
        stream: StreamId,
        input: WindowInput,
        answer: oneshot::Sender<Result<Scores, EngineError>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { stream, input, answer, _place: place }
    }

    pub(super) fn answer(self, scores: Result<Scores, EngineError>) {
        // Nobody waits any more: the work is lost, which is what cancelling means.
        drop(self.answer.send(scores));
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
    pub(super) counts: Counters,
    pub(super) streams: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    schedule: Schedule<Job>,
    is_open: bool,
    /// Workers that have a scorer.
    able: usize,
}

impl Pool {
    pub(super) fn new(settings: Settings) -> Self {
        let windows_max = settings.windows_max.get().min(Semaphore::MAX_PERMITS);
        Self {
            queue: Mutex::new(Queue {
                schedule: Schedule::new(settings.batch, settings.windows_max),
                is_open: true,
                able: 0,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
            places: Arc::new(Semaphore::new(windows_max)),
            state: watch::Sender::new(State::Starting),
            workers: settings.share.workers.get(),
            counts: Counters::default(),
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
        // There are as many places as the schedule takes jobs, so it is never full.
        let refused = queue.schedule.push(job);
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
            let is_more = !queue.schedule.is_empty();
            drop(queue);
            if is_more {
                // The worker that was told of those jobs may be the one that found these.
                self.work.notify_one();
            }
            self.counts.windows_skipped.add(skipped.len());
            drop(skipped);
            if !jobs.is_empty() {
                return Some(jobs);
            }
            queue = self.lock();
        }
        None
    }

    /// A worker has a scorer. The last one makes the engine ready.
    pub(super) fn joined(&self) {
        let mut queue = self.lock();
        queue.able += 1;
        let is_ready = match &*self.state.borrow() {
            State::Starting => queue.able == self.workers,
            State::Failed(_) => queue.is_open,
            State::Ready | State::Stopping => false,
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
        if queue.is_open && queue.able == 0 {
            self.state.send_replace(State::Failed(Arc::new(error)));
        }
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

    pub(super) fn waiting(&self) -> usize {
        self.lock().schedule.len()
    }

    fn end(&self, state: State) {
        let mut queue = self.lock();
        if !queue.is_open {
            return;
        }
        queue.is_open = false;
        let unserved = queue.schedule.take_all();
        self.state.send_replace(state);
        drop(queue);
        self.places.close();
        self.work.notify_all();
        self.ended.notify_all();
        for job in unserved {
            job.answer(Err(EngineError::Stopping));
        }
    }

    /// No code that holds the lock can panic half-way, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
