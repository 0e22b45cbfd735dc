//! `gleand`: a gRPC daemon that streams documents of any length through GLiNER models.

pub mod pipeline;
pub mod model;
pub mod engine;
pub mod telemetry;
pub mod config;
pub mod wire;
pub mod service;
pub mod eval;
pub mod hub;
pub mod cli;
pub mod app;
