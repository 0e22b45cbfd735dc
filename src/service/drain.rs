//! How a daemon stops (P11): SIGTERM → not ready → lame duck → draining → ended. One value that everybody watches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Where a daemon stands on its way to the end. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// Told to stop: not ready any more, but whoever still comes is served.
    LameDuck,
    /// New calls are refused; open streams go on until the deadline, then they are cut.
    Draining {
        /// When open streams are cut.
        deadline: Instant,
    },
    /// Connections are closed.
    Ended,
}

/// A handle to the phase. Clones share it.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct DrainTimes {
    /// Of the lame duck.
    pub lame_duck: Duration,
    /// From the start of draining to the cut.
    pub drain: Duration,
}

/// Time for streams that were cut to hand over what is final.
pub const CUT_GRACE: Duration = Duration::from_secs(3);

impl Drain {
    /// Serving.
    #[must_use]
    pub fn new() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)) }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase now and from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits for the time when open streams are told, and returns when they will be cut.
    pub async fn draining(&self) -> Instant {
        let mut phase = self.watch();
        loop {
            match *phase.borrow_and_update() {
                Phase::Draining { deadline } => return deadline,
                Phase::Ended => return Instant::now(),
                Phase::Serving | Phase::LameDuck => {}
            }
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until connections are to be closed.
    pub async fn ended(&self) {
        let mut phase = self.watch();
        if phase.wait_for(|phase| *phase == Phase::Ended).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Goes through the phases; returns at the cut's end or as soon as `idle` says that nothing is open.
    pub async fn run(&self, times: DrainTimes, idle: impl Future<Output = ()>) {
        if !times.lame_duck.is_zero() {
            self.enter(Phase::LameDuck);
            sleep(times.lame_duck).await;
        }
        let deadline = Instant::now() + times.drain;
        self.enter(Phase::Draining { deadline });
        tokio::select! {
            () = idle => {}
            () = sleep_until(deadline + CUT_GRACE) => {}
        }
        self.enter(Phase::Ended);
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_modify(|now| *now = phase.max(*now));
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: DrainTimes =
        DrainTimes { lame_duck: Duration::from_millis(30), drain: Duration::from_secs(60) };

    #[tokio::test]
    async fn an_idle_daemon_ends_after_the_lame_duck() {
        let (drain, start) = (Drain::new(), Instant::now());
        drain.run(TIMES, std::future::ready(())).await;
        assert_eq!(drain.phase(), Phase::Ended);
        assert!((30..10_000).contains(&start.elapsed().as_millis()));
    }

    #[tokio::test]
    async fn open_streams_are_told_their_deadline_after_the_lame_duck() {
        let (drain, start) = (Drain::new(), Instant::now());
        let told = async {
            let deadline = drain.draining().await;
            assert!(start.elapsed() >= TIMES.lame_duck);
            assert!(deadline - start >= TIMES.lame_duck + TIMES.drain);
            assert!(drain.watch().borrow().gt(&Phase::LameDuck));
        };
        tokio::select! {
            () = told => {}
            () = drain.run(TIMES, std::future::pending()) => unreachable!("it waits for streams"),
        }
    }
}
