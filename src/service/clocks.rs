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
    stalled_since: Option<Instant>,
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

    /// The client sent a message.
    pub fn received(&mut self) {
        self.idle_since = None;
    }

    /// Waits until a heartbeat is due.
    ///
    /// # Errors
    /// The refusal of a clock that ran out first.
    pub async fn tick(&mut self, waiting: Waiting) -> Result<(), Refusal> {
        let now = Instant::now();
        let idle = run(&mut self.idle_since, waiting.for_input, now, self.idle_timeout);
        let stalled =
            run(&mut self.stalled_since, waiting.for_reader, now, self.write_stall_timeout);
        // A heartbeat behind events that nobody reads would only add to them.
        let beat = if waiting.for_reader { far(now) } else { self.last_sent + self.heartbeat };
        sleep_until(beat.min(idle).min(stalled)).await;
        let now = Instant::now();
        if now >= stalled {
            return Err(Refusal::WriteStalled { after: self.write_stall_timeout });
        }
        if now >= idle {
            return Err(Refusal::IdleTimeout { after: self.idle_timeout });
        }
        self.last_sent = now;
        Ok(())
    }
}

/// When a clock runs out that runs only while its condition holds.
fn run(since: &mut Option<Instant>, runs: bool, now: Instant, timeout: Duration) -> Instant {
    if !runs || timeout.is_zero() {
        *since = None;
        return far(now);
    }
    *since.get_or_insert(now) + timeout
}

/// Never, for all that matters.
fn far(now: Instant) -> Instant {
    now + Duration::from_hours(24 * 365)
}
