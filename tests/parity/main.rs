//! Parity with the Python reference (PyPI gliner 0.2.29), stage by stage, on the checkpoints under `fixtures`.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "clippy knows tests by their attribute, and the functions that they share have none"
)]

mod batch_neutrality;
mod checkpoints;
mod default_model;
mod golden;
mod spans;
mod stages;
