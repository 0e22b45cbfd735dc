//! What happens to text between the first byte and the last mention. Pure: no clock, no task, no I/O, no log.

pub mod ports;
pub mod scores;
pub mod schedule;
