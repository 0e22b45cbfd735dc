//! The clocks of one stream: heartbeat, idle input, a reader that stalls. tokio's time, so that tests can pause it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::models::Limits;
use super::refusal::Refusal;

/// What the session waits for at this moment; the clocks of anything else stand still.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The session asks for input, and nothing else is to come.
    pub for_input: bool,
    /// An event waits, and nothing more is read until the client takes it.
    pub for_reader: bool,
}

/// When things last happened.
#[derive(Debug)]
pub struct Clocks {
    heartbeat: Duration,
    idle_timeout: Duration,
    write_stall_timeout: Duration,
    started: Instant,
    last_sent: Instant,
    idle_since: Option<Instant>,
    /// Time waited for input since the bytes of the last progress, and how much of them came.
    slow: Slow,
    stalled_since: Option<Instant>,
}

/// The clock of a client that drips: it sums up waiting until enough bytes were accepted.
#[derive(Debug)]
struct Slow {
    timeout: Duration,
    bytes_min: u64,
    waited: Duration,
    bytes: u64,
}

impl Clocks {
    /// Starts now. A timeout of zero never ends a stream.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            heartbeat: limits.heartbeat,
            idle_timeout: limits.idle_timeout,
            write_stall_timeout: limits.write_stall_timeout,
            started: now,
            last_sent: now,
            idle_since: None,
            slow: Slow {
                timeout: limits.slow_timeout,
                bytes_min: limits.slow_bytes_min,
                waited: Duration::ZERO,
                bytes: 0,
            },
            stalled_since: None,
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }

    /// The client took a message.
    pub fn sent(&mut self) {
        self.last_sent = Instant::now();
        self.stalled_since = None;
    }

    /// So many bytes of the client's were accepted. Messages without new bytes are no progress.
    pub fn received(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let idle = self.idle_since.take().map(|since| since.elapsed()).unwrap_or_default();
        self.slow.waited += idle;
        self.slow.bytes += bytes;
        if self.slow.bytes >= self.slow.bytes_min {
            (self.slow.waited, self.slow.bytes) = (Duration::ZERO, 0);
        }
    }

    /// Waits until a heartbeat is due.
    ///
    /// # Errors
    /// The refusal of a clock that ran out first.
    pub async fn tick(&mut self, waiting: Waiting) -> Result<(), Refusal> {
        let now = Instant::now();
        if !waiting.for_input
            && let Some(since) = self.idle_since.take()
        {
            self.slow.waited += now - since;
        }
        let idle = run(&mut self.idle_since, waiting.for_input, now, self.idle_timeout);
        let slow = match self.idle_since {
            Some(since) if !self.slow.timeout.is_zero() => {
                since + self.slow.timeout.saturating_sub(self.slow.waited)
            }
            _ => far(now),
        };
        let stalled =
            run(&mut self.stalled_since, waiting.for_reader, now, self.write_stall_timeout);
        // A heartbeat behind events that nobody reads would only add to them.
        let beat = if waiting.for_reader { far(now) } else { self.last_sent + self.heartbeat };
        sleep_until(beat.min(idle).min(slow).min(stalled)).await;
        let now = Instant::now();
        if now >= stalled {
            return Err(Refusal::WriteStalled { after: self.write_stall_timeout });
        }
        if now >= idle {
            return Err(Refusal::IdleTimeout { after: self.idle_timeout });
        }
        if now >= slow {
            let bytes = self.slow.bytes_min;
            return Err(Refusal::InputTooSlow { after: self.slow.timeout, bytes });
        }
        self.last_sent = now;
        Ok(())
    }
}

/// When a clock runs out that runs only while its condition holds. It starts again whenever its condition ends.
fn run(since: &mut Option<Instant>, runs: bool, now: Instant, timeout: Duration) -> Instant {
    if !runs {
        *since = None;
        return far(now);
    }
    let since = *since.get_or_insert(now);
    if timeout.is_zero() { far(now) } else { since + timeout }
}

/// Never, for all that matters.
fn far(now: Instant) -> Instant {
    now + Duration::from_hours(24 * 365)
}
