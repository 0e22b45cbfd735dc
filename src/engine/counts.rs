//! What the engine has done, as plain numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Work since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of a scorer, those of bisected batches included, the warm-up not.
    pub batches: u64,
    /// Windows that were scored.
    pub windows: u64,
    /// Windows that were not scored because nobody waited for them any more.
    pub windows_skipped: u64,
    /// Windows that no scorer could score.
    pub windows_failed: u64,
    /// Windows that were scored for nobody: their streams ended while the batch ran.
    pub windows_unheard: u64,
    /// Pieces of the windows that were scored, prompts included.
    pub pieces: u64,
    /// Panics of scorers.
    pub panics: u64,
    /// Time inside scorers for windows that were scored, summed over workers.
    pub busy: Duration,
}

/// The counters behind [`Counts`]. Relaxed: no reader needs two of them to agree.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) batches: Counter,
    pub(super) windows: Counter,
    pub(super) windows_skipped: Counter,
    pub(super) windows_failed: Counter,
    pub(super) windows_unheard: Counter,
    pub(super) pieces: Counter,
    pub(super) panics: Counter,
    pub(super) busy_us: Counter,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            batches: self.batches.get(),
            windows: self.windows.get(),
            windows_skipped: self.windows_skipped.get(),
            windows_failed: self.windows_failed.get(),
            windows_unheard: self.windows_unheard.get(),
            pieces: self.pieces.get(),
            panics: self.panics.get(),
            busy: Duration::from_micros(self.busy_us.get()),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn add_micros(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
