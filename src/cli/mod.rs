//! The command line: thin files, one a sub-command. Everything that scores goes through gRPC, also inside one process.

mod escape;
mod event;
mod exit;
mod held;
mod labels;
mod page;
mod view;
