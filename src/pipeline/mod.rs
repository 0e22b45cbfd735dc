//! What happens to text between the first byte and the last result.
//!
//! ```text
//! request → planning → plan
//! bytes → utf8 → words(+pieces) → window → schedule → (model) → decode → merge → task → findings
//!         └────── intake ──────┘  └────────────── line, one a task ─────────────────┘
//!         └───────────────────────── document, one a stream ────────────────────────┘
//! ```
//!
//! Everything here is pure: no clock, task, lock, I/O or log. What must be logged is a return value. The
//! model is behind two traits, [`ports::Encoder`] and [`ports::Scorer`].

pub mod offset;
pub mod schema;
pub mod request;
pub mod ports;
pub mod scores;
pub mod prefix;
pub mod plan;
pub mod planning;
pub mod utf8;
pub mod words;
pub mod pieces;
pub mod intake;
pub mod window;
pub mod schedule;
pub mod decode;
pub mod merge;
pub mod finding;
pub mod task;
pub mod line;
pub mod event;
pub mod document;
