//! Who talks to us: the gRPC services and what they answer.

pub mod session;
pub mod ingest;
pub mod outbox;
pub mod clocks;
pub mod order;
pub mod request;
pub mod results;
pub mod convert;
pub mod catalog;
pub mod extraction;
pub mod deadline;
pub mod models;
pub mod refusal;
pub mod status;
pub mod complete;
pub mod server;
#[cfg(test)]
mod tests;
