//! The command line: thin files, one a sub-command. Everything that scores goes through gRPC, also inside one process.

mod asked;
mod client;
mod config;
mod escape;
mod event;
mod eval;
mod exit;
mod extract;
mod fetch;
mod handed;
mod healthcheck;
mod held;
mod input;
mod labels;
mod licenses;
mod models;
mod notes;
mod paint;
mod place;
mod relations;
mod retry;
mod run;
mod screen;
mod serve;
mod tasks;
mod thresholds;
mod typed;
mod view;

use std::any::Any;
use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Loaded, Sources};
use exit::{Failure, Kind};
use notes::{Notes, Talk};

/// What the command line asks of the composition root.
#[derive(Clone, Copy, Debug)]
pub struct Composition {
    /// Serves until the process is told to stop.
    pub serve: fn(Loaded) -> Pending<Stopped>,
    /// Starts a daemon beside the caller.
    pub start: fn(Loaded) -> Pending<Daemon>,
    /// Memory that a daemon of this configuration needs at worst.
    pub memory: fn(&Loaded) -> anyhow::Result<Vec<MemoryPart>>,
}

/// A part of the memory that a daemon needs at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPart {
    /// What needs it.
    pub what: &'static str,
    /// How much.
    pub bytes: u64,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to, and everything was handed over.
    Drained,
    /// It was told twice.
    Interrupted,
    /// Scorers panicked again and again; everything was handed over.
    Sick,
    /// A forward never ended.
    Stuck,
}

impl Stopped {
    /// Whether streams were ended in order and workers can be waited for.
    #[must_use]
    pub fn is_orderly(self) -> bool {
        matches!(self, Self::Drained | Self::Sick)
    }
}

/// What a shell makes of a process that SIGTERM ended.
const TERMINATED: u8 = 128 + 15;

/// The configuration names something that cannot be used. Ends the command as a mistake of the configuration does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// Something of the composition root that takes time.
pub type Pending<T> = Pin<Box<dyn Future<Output = anyhow::Result<T>>>>;

/// A daemon in this process; it stops when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    /// Where its data port is.
    pub address: SocketAddr,
    /// Whatever must live as long as it.
    pub guard: Box<dyn Guard>,
}

/// Anything that stops a daemon when it is dropped.
pub trait Guard: Any + std::fmt::Debug {}

impl<T: Any + std::fmt::Debug> Guard for T {}

const EXAMPLES: &str = "\
Examples:
  gleand extract --labels person,location,date book.txt
  gleand extract --ask \"Who made the creature?\" --summary --summary-words 60 book.txt
  gleand extract --relations \"works for(person->organization)\" news.txt
  gleand serve --listen 127.0.0.1:50051
  gleand extract --labels person --server http://127.0.0.1:50051 book.txt

`gleand COMMAND --help` shows more. Exit status: 0 done, 1 failed, 2 usage, 3 input, 4 refused or unreachable.";

/// Finds entities, relations, answers, summaries and classes in documents of any length: a gRPC daemon, and its client.
#[derive(Debug, Parser)]
#[command(name = "gleand", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Extract(Box<extract::ExtractArgs>),
    Eval(Box<eval::EvalArgs>),
    Serve(serve::ServeArgs),
    Models(models::ModelsArgs),
    Config(config::ConfigCommandArgs),
    Healthcheck(healthcheck::HealthcheckArgs),
    Licenses(licenses::LicensesArgs),
}

/// Runs the command that `arguments` name, the program's own name first.
pub async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    composition: Composition,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; when they cannot be written, nobody reads them.
            drop(error.print());
            return if error.use_stderr() { Kind::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    // A daemon drains. Everything else just ends, also as the first process of a container, for which the kernel has no default.
    let drains = matches!(cli.command, Command::Serve(_));
    let ended = tokio::select! {
        ended = dispatch(cli.command, composition) => ended,
        () = told_to_end(), if !drains => return ExitCode::from(TERMINATED),
    };
    match ended {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Told { kind, message }) => {
            Notes::new(Talk::Normal).error(&message);
            kind.into()
        }
    }
}

/// Waits for SIGTERM.
async fn told_to_end() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => drop(terminate.recv().await),
        // Without a handler the signal does what it does by default.
        Err(_no_handler) => std::future::pending().await,
    }
}

async fn dispatch(command: Command, composition: Composition) -> Result<(), Failure> {
    match command {
        Command::Extract(args) => extract::run(*args, &composition).await,
        Command::Eval(args) => eval::run(*args, &composition).await,
        Command::Serve(args) => serve::run(args, &composition).await,
        Command::Models(args) => models::run(args, &composition).await,
        Command::Config(args) => config::run(&args, &composition),
        Command::Healthcheck(args) => healthcheck::run(args).await,
        Command::Licenses(args) => licenses::run(&args),
    }
}

/// Reads the configuration, or tells all its mistakes.
fn load(sources: &Sources, notes: &Notes) -> Result<Loaded, Failure> {
    let loaded = Loaded::read(sources)
        .map_err(|mistakes| Failure::new(Kind::Usage, mistakes.to_string()))?;
    loaded.warnings.iter().for_each(|warning| notes.warn(warning));
    Ok(loaded)
}

/// Prints what a command was asked for.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::of_output(&error))
}
