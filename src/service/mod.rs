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
mod verdict;
pub mod admin;
pub mod complete;
pub mod admission;
pub mod call;
pub mod gate;
pub mod observe;
pub mod drain;
pub mod greeting;
pub mod port;
pub mod server;
pub mod keys;
pub mod tls;
pub mod reload;
#[cfg(test)]
mod tests;
