//! How a command ends: 0 done, 1 failed, 2 usage, 3 input, 4 refused or unreachable, 70 stuck.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something broke.
    Failed,
    /// The command or the configuration is wrong.
    Usage,
    /// The document cannot be read.
    Input,
    /// The server refuses, or there is none.
    Refused,
    /// The daemon hangs (`EX_SOFTWARE` of sysexits.h).
    Stuck,
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failed => Self::from(1),
            Kind::Usage => Self::from(2),
            Kind::Input => Self::from(3),
            Kind::Refused => Self::from(4),
            Kind::Stuck => Self::from(70),
        }
    }
}

/// The end of a command that did not do its work.
#[derive(Debug)]
pub(super) enum Failure {
    /// Told on stderr.
    Told {
        /// Gives the exit code.
        kind: Kind,
        /// What to say; controls are escaped when it is printed.
        message: String,
    },
    /// Whoever read our output has left: nothing to say, and no failure of ours.
    OutputClosed,
}

impl Failure {
    /// A failure to tell.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::Told { kind, message: message.into() }
    }

    /// The same failure, with more to tell.
    pub(super) fn and(self, more: &str) -> Self {
        match self {
            Self::Told { kind, message } => Self::Told { kind, message: message + more },
            Self::OutputClosed => self,
        }
    }

    /// A failure to write the output.
    pub(super) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(Kind::Failed, format!("cannot write the output: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { message, .. } => f.write_str(message),
            Self::OutputClosed => f.write_str("the output was closed"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// For what has no better kind: the whole chain in one line.
    fn from(error: anyhow::Error) -> Self {
        Self::new(Kind::Failed, format!("{error:#}"))
    }
}
