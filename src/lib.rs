//! `gleand`: a gRPC daemon that streams documents of any length through GLiNER models.

pub mod pipeline;
pub mod model;
