//! Scores. Each is defined as the program that others use defines it (named in its file), so that numbers can be
//! compared, and `tests/eval` computes each of them with that program. All are fractions from 0 to 1, and a
//! fraction of nothing is 0.

pub mod counts;
pub mod spans;
pub mod relations;
pub mod squad;
pub mod threshold;
pub mod rouge;
pub mod classify;
