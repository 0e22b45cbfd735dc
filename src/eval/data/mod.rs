//! The files of `gleand eval` as they are published, one adapter each. An example that does not fit its own text is
//! an error that names the line: a score over wrong gold is worse than none.

pub mod error;
pub mod lines;
pub mod entities;
pub mod squad;
pub mod summaries;
pub mod relations;
pub mod relation_documents;
pub mod classification;

pub use error::{DataError, Place, Problem};
