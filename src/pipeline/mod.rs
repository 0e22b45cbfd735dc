//! What happens to text between the first byte and the last mention.
//!
//! ```text
//! bytes → utf8 → words(+pieces) → window → schedule → (model) → decode → merge → mentions
//!         └────── intake ──────┘  └────────────── line, one a task ──────────┘
//!         └───────────────────────── document, one a stream ─────────────────┘
//! ```
//!
//! Everything here is pure: no clock, task, lock, I/O or log. What must be logged is a return value. The
//! model is behind two traits, [`ports::Encoder`] and [`ports::Scorer`].

pub mod offset;
pub mod schema;
pub mod ports;
pub mod scores;
pub mod plan;
pub mod utf8;
pub mod words;
pub mod pieces;
pub mod intake;
pub mod window;
pub mod schedule;
pub mod decode;
pub mod merge;
pub mod line;
pub mod document;
