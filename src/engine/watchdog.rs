//! Notices a forward pass that never ends. A device that hangs gives no error, so time is the only sign.
//!
//! Time is counted in ticks of the watchdog's own thread: a process that is stopped (SIGSTOP, a frozen cgroup) does
//! not tick, so it is not taken for a hung one when it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::pool::Pool;

/// A forward must also run this many times longer than the slowest one before it.
const TIMES_SLOWEST: u32 = 20;

/// What one worker tells the watchdog: an even number while it is idle, an odd one while it scores.
#[derive(Debug, Default)]
pub(super) struct Forward(AtomicU64);

impl Forward {
    /// Marks a forward as running until what is returned is dropped.
    pub(super) fn begin(&self) -> Running<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A forward that runs.
pub(super) struct Running<'a>(&'a Forward);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How patient the watchdog is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time between two looks: a second, less in tests.
    pub tick: Duration,
    /// Ticks that any forward may take.
    pub ticks: u32,
}

/// Looks at every tick until the pool is closed and nothing runs any more.
pub(super) fn watch(pool: &Arc<Pool>, patience: Patience) {
    let mut seats = vec![Seen::default(); pool.forwards.len()];
    let mut slowest = 0;
    loop {
        if pool.is_closed_within(patience.tick) {
            if pool.forwards.iter().all(|forward| forward.number().is_multiple_of(2)) {
                return;
            }
            // A forward that hangs while the process stops must be noticed too.
            thread::sleep(patience.tick);
        }
        for (worker, (seen, forward)) in seats.iter_mut().zip(&pool.forwards).enumerate() {
            slowest = slowest.max(seen.look(forward.number()));
            if seen.ticks >= patience.ticks.max(slowest.saturating_mul(TIMES_SLOWEST)) {
                tracing::error!(worker, ticks = seen.ticks, slowest, "a forward is stuck");
                pool.stuck();
                return;
            }
        }
    }
}

/// The forward of a worker at the last tick.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    number: u64,
    ticks: u32,
}

impl Seen {
    /// Counts a tick; returns the ticks of the forward that ended since the last one.
    fn look(&mut self, number: u64) -> u32 {
        if number == self.number && !number.is_multiple_of(2) {
            self.ticks += 1;
            return 0;
        }
        self.number = number;
        std::mem::take(&mut self.ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_count_within_one_forward_only() {
        let mut seen = Seen::default();
        let forward = Forward::default();
        assert_eq!((seen.look(forward.number()), seen.ticks), (0, 0), "idle");
        let running = forward.begin();
        seen.look(forward.number());
        seen.look(forward.number());
        assert_eq!((seen.look(forward.number()), seen.ticks), (0, 2));
        drop(running);
        assert_eq!((seen.look(forward.number()), seen.ticks), (2, 0), "it took two ticks");
        let _running = forward.begin();
        assert_eq!((seen.look(forward.number()), seen.ticks), (0, 0), "another forward");
    }
}
