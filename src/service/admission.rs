//! Who is let in (P10). A call is refused at the door, before a byte of it is read, or it is served to its end and
//! slowed by flow control only.
//!
//! Three bounds: streams, texts sent whole among them, and the backlog: pieces of admitted streams that wait to be
//! scored or are. A stream that was just let in counts as what a stream usually has under way, so that a crowd that
//! comes at once is counted before its windows are cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;
use crate::engine::{Engine, State};

/// Pieces of a window before any was seen.
const WINDOW_PIECES: usize = 128;
/// A new window counts for one part in so many of the mean.
const MEAN_OVER: usize = 16;
/// The shortest and the longest time after which a refused client is told to come again.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// As long as nothing was scored.
const RETRY_UNKNOWN: Duration = Duration::from_secs(1);

/// Bounds of admission.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Calls at once.
    pub streams_max: usize,
    /// Texts sent whole among them.
    pub whole_max: usize,
    /// Pieces that wait for their scores.
    pub backlog_pieces_max: usize,
    /// Windows of one stream that are queued or scored at once.
    pub windows_in_flight_max: usize,
}

/// The door. Clones share everything.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: AdmissionLimits,
    streams: Arc<Semaphore>,
    whole: Arc<Semaphore>,
    /// Answers in memory: those of the calls that are served, and as many that their clients have not read yet.
    answers: Arc<Semaphore>,
    backlog: AtomicUsize,
    window_pieces: AtomicUsize,
    engine: Engine,
}

impl Admission {
    /// A door to `engine`.
    #[must_use]
    pub fn new(limits: AdmissionLimits, engine: Engine) -> Self {
        let semaphore = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            shared: Arc::new(Shared {
                limits,
                streams: semaphore(limits.streams_max),
                whole: semaphore(limits.whole_max),
                answers: semaphore(limits.streams_max.saturating_mul(2)),
                backlog: AtomicUsize::new(0),
                window_pieces: AtomicUsize::new(WINDOW_PIECES),
                engine,
            }),
        }
    }

    /// Lets a call in; `is_whole` where its text comes in one message.
    ///
    /// # Errors
    /// `WARMING_UP`, `DRAINING`, `WORKER_FAILED`, or `QUEUE_FULL` with the time after which there may be room.
    pub fn admit(&self, is_whole: bool) -> Result<Place, Refusal> {
        let shared = &self.shared;
        match *shared.engine.state().borrow() {
            State::Ready | State::Sick => {}
            State::Starting => return Err(Refusal::WarmingUp),
            State::Stopping => return Err(Refusal::Draining),
            State::Failed(_) | State::Stuck => return Err(Refusal::WorkerFailed),
        }
        let take = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_owned();
        let stream = take(&shared.streams).map_err(|_full| self.full())?;
        let whole =
            if is_whole { Some(take(&shared.whole).map_err(|_full| self.full())?) } else { None };
        let answer = take(&shared.answers).map_err(|_full| self.full())?;
        let expected =
            shared.window_pieces.load(Ordering::Relaxed) * shared.limits.windows_in_flight_max;
        let max = shared.limits.backlog_pieces_max;
        // With nothing waiting one stream is let in whatever it may need; otherwise nobody would ever be.
        let room = |backlog: usize| {
            (backlog == 0 || backlog + expected <= max).then_some(backlog + expected)
        };
        let counted =
            shared.backlog.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if !counted {
            return Err(self.full());
        }
        Ok(Place {
            shared: Arc::clone(shared),
            expected,
            outstanding: 0,
            answer: Some(answer),
            _stream: stream,
            _whole: whole,
        })
    }

    /// What is said where there is no room.
    #[must_use]
    pub fn full(&self) -> Refusal {
        Refusal::QueueFull { retry_after: self.retry_after() }
    }

    /// Calls that are served.
    #[must_use]
    pub fn streams(&self) -> usize {
        let Shared { limits, streams, .. } = &*self.shared;
        limits.streams_max.saturating_sub(streams.available_permits())
    }

    /// Pieces that count as waiting.
    #[must_use]
    pub fn backlog_pieces(&self) -> usize {
        self.shared.backlog.load(Ordering::Relaxed)
    }

    /// When the backlog will be scored, as far as the past tells.
    fn retry_after(&self) -> Duration {
        let backlog = u32::try_from(self.backlog_pieces()).unwrap_or(u32::MAX);
        match self.shared.engine.pieces_per_second() {
            Some(rate) => {
                let seconds = (f64::from(backlog) / rate).min(RETRY_MAX.as_secs_f64());
                Duration::from_secs_f64(seconds).max(RETRY_MIN)
            }
            None => RETRY_UNKNOWN,
        }
    }
}

/// A call's place among those that are served; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    /// What is still expected of a stream that has only begun.
    expected: usize,
    outstanding: usize,
    answer: Option<OwnedSemaphorePermit>,
    _stream: OwnedSemaphorePermit,
    _whole: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// What has to be kept as long as the answer is in memory, which may be longer than the place.
    pub fn take_answer(&mut self) -> Option<OwnedSemaphorePermit> {
        self.answer.take()
    }

    /// A window of so many pieces waits for its scores now.
    pub fn cut(&mut self, pieces: usize) {
        let mean = &self.shared.window_pieces;
        let new = (mean.load(Ordering::Relaxed) * (MEAN_OVER - 1) + pieces).div_ceil(MEAN_OVER);
        mean.store(new.max(1), Ordering::Relaxed);
        self.count(self.outstanding + pieces, self.expected);
    }

    /// A window of so many pieces is scored.
    pub fn scored(&mut self, pieces: usize) {
        self.count(self.outstanding.saturating_sub(pieces), 0);
    }

    /// Whether more is expected of it than it has under way.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.expected > 0
    }

    /// The stream has nothing to do for now: nothing is expected of it any more.
    pub fn rest(&mut self) {
        self.count(self.outstanding, 0);
    }

    fn count(&mut self, outstanding: usize, expected: usize) {
        let before = self.outstanding.max(self.expected);
        (self.outstanding, self.expected) = (outstanding, expected);
        let after = outstanding.max(expected);
        let backlog = &self.shared.backlog;
        if after >= before {
            backlog.fetch_add(after - before, Ordering::Relaxed);
        } else {
            backlog.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count(0, 0);
    }
}
