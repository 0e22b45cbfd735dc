//! Who talks to us: the gRPC services and what they answer.

pub mod complete;
pub mod models;
pub mod refusal;
pub mod status;
