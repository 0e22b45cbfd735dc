//! `gleand`: a gRPC daemon that streams documents of any length through GLiNER models.

pub mod cli;
pub mod config;
pub mod model;
pub mod pipeline;
pub mod wire;
