//! When a document is sent anew: how often, and after how long. Pure: the clock and the dice are the caller's.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Attempts at one document, the first one included.
pub(super) const ATTEMPTS_MAX: u32 = 4;
/// The longest wait after the first failure, where the server names none; doubled after each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
const TOLD_JITTER: f64 = 0.2;
/// No server means a longer wait than this.
const TOLD_MAX: Duration = Duration::from_secs(3_600);

/// What a failure says about another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// It is of no use.
    Never,
    /// It may do better after this time.
    After(Duration),
    /// It may do better after a while.
    Later,
}

/// Why there is no other attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// It would be of no use.
    Useless,
    /// There were enough.
    Attempts,
    /// The wait would end after the deadline.
    Deadline,
}

/// The attempts at one document.
#[derive(Debug)]
pub(super) struct Attempts {
    made: u32,
    deadline: Option<Instant>,
}

impl Attempts {
    /// The first attempt is under way.
    pub(super) fn first(deadline: Option<Instant>) -> Self {
        Self { made: 1, deadline }
    }

    /// The number of the attempt that is under way, from 1.
    pub(super) fn number(&self) -> u32 {
        self.made
    }

    /// How long to wait before the next attempt. `dice` is between 0 and 1.
    pub(super) fn next(
        &mut self,
        advice: Advice,
        now: Instant,
        dice: f64,
    ) -> Result<Duration, GaveUp> {
        if advice == Advice::Never {
            return Err(GaveUp::Useless);
        }
        if self.made >= ATTEMPTS_MAX {
            return Err(GaveUp::Attempts);
        }
        let delay = match advice {
            Advice::After(told) => told.min(TOLD_MAX).mul_f64(1.0 + TOLD_JITTER * dice),
            Advice::Never | Advice::Later => {
                let doubled = BACKOFF_FIRST.saturating_mul(1 << (self.made - 1));
                doubled.min(BACKOFF_MAX).mul_f64(dice)
            }
        };
        if self.deadline.is_some_and(|deadline| now + delay >= deadline) {
            return Err(GaveUp::Deadline);
        }
        self.made += 1;
        Ok(delay)
    }
}

/// A number from 0 up to 1 that other clients do not have.
pub(super) fn dice() -> f64 {
    // The keys of a new hasher are random, which is enough to spread clients.
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(advice: Advice, dice: f64) -> Vec<Result<Duration, GaveUp>> {
        let (mut attempts, now) = (Attempts::first(None), Instant::now());
        (0..5).map(|_| attempts.next(advice, now, dice)).collect()
    }

    #[test]
    fn there_are_four_attempts_and_the_wait_doubles() {
        let millis = |count| Ok(Duration::from_millis(count));
        let end = Err(GaveUp::Attempts);
        assert_eq!(waits(Advice::Later, 1.0), [millis(200), millis(400), millis(800), end, end]);
        assert_eq!(waits(Advice::Later, 0.5)[..3], [millis(100), millis(200), millis(400)]);
        assert_eq!(waits(Advice::Later, 0.0)[0], millis(0), "full jitter");
        let second = millis(1_000);
        assert_eq!(waits(Advice::After(SECOND), 0.0), [second, second, second, end, end]);
        assert_eq!(
            waits(Advice::After(SECOND), 1.0)[0],
            millis(1200),
            "never before the told time"
        );
        assert_eq!(waits(Advice::Never, 0.5)[0], Err(GaveUp::Useless));
    }

    #[test]
    fn no_wait_ends_after_the_deadline() {
        let now = Instant::now();
        let mut attempts = Attempts::first(Some(now + 2 * SECOND));
        assert_eq!(attempts.next(Advice::After(3 * SECOND), now, 0.0), Err(GaveUp::Deadline));
        assert_eq!(attempts.next(Advice::After(SECOND), now, 0.0), Ok(SECOND));
        assert_eq!(attempts.number(), 2);
        assert_eq!(attempts.next(Advice::After(SECOND), now + SECOND, 0.0), Err(GaveUp::Deadline));
        let far = Attempts::first(None).next(Advice::After(Duration::MAX), now, 0.0);
        assert_eq!(far, Ok(TOLD_MAX), "without an overflow");
    }

    #[test]
    fn dice_differ() {
        let thrown: Vec<f64> = (0..64).map(|_| dice()).collect();
        assert!(thrown.iter().all(|dice| (0.0..1.0).contains(dice)), "{thrown:?}");
        assert!(thrown.iter().any(|dice| *dice < 0.5) && thrown.iter().any(|dice| *dice >= 0.5));
    }
}
