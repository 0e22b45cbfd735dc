//! How good the results of a model are: the pure part of `gleand eval`.
//!
//! ```text
//! file → data (examples with gold) → long (longer documents) → … the daemon … → prediction (one line each)
//!                                                                                  │
//!                                       table ← report ← metric, bootstrap ←───────┘
//! ```
//!
//! Nothing here reads a file, sends text or waits. A prediction holds its gold, so whoever has the file of
//! predictions can compute every score anew without this program; `tests/eval` does so. The texts here are those
//! of data sets, not of clients.

pub mod text;
pub mod data;
pub mod long;
pub mod windows;
pub mod prediction;
pub mod metric;
pub mod bootstrap;
pub mod report;
