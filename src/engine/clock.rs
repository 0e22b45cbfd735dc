//! The engine's clock. It measures where time went; no result depends on it.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "measures only; nothing depends on it")]
pub(super) fn now() -> Instant {
    Instant::now()
}
