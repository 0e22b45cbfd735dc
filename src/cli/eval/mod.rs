//! `gleand eval`: how good a model is, task by task, through the same daemon that serves.

mod classify;
mod entities;
mod questions;
mod relations;
mod session;
mod summary;
mod sweep;

use std::path::PathBuf;

use super::Composition;
use super::client::ConnectArgs;
use super::exit::Failure;
use super::labels::parse_threshold;
use crate::config::ConfigArgs;

const EXAMPLES: &str = "\
Examples:
  gleand eval entities --data tests/data/eval/crossner_ai_dev.jsonl
  gleand eval entities --data crossner_ai_dev.jsonl --data crossner_music_dev.jsonl --words 3000 --sweep
  gleand eval qa --data tests/data/eval/squad2_sample.json --paragraphs --json
  gleand eval relations --data tests/data/eval/relations_sample.jsonl --model models/gliner-multitask";

/// Scores a model on a file with the right answers.
///
/// Asks the daemon as any client does, and compares what comes back with what the file says. Scores are percentages for
/// people and fractions with --json.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EvalArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    Entities(entities::EntitiesArgs),
    Qa(questions::QuestionsArgs),
    Summary(summary::SummaryArgs),
    Relations(relations::RelationsArgs),
    Classify(classify::ClassifyArgs),
}

/// Flags of every task.
#[derive(Debug, clap::Args)]
struct Common {
    /// Least score of a result, between 0 and 1 [default: the model's].
    #[arg(short, long, value_name = "SCORE", value_parser = parse_threshold)]
    threshold: Option<f32>,
    /// Reads only the first examples of each file.
    #[arg(long, value_name = "EXAMPLES")]
    limit: Option<usize>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Writes what was predicted, with the right answers, as JSON lines.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// No progress and warnings on stderr.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) async fn run(args: EvalArgs, composition: &Composition) -> Result<(), Failure> {
    match args.task {
        Task::Entities(args) => entities::run(args, composition).await,
        Task::Qa(args) => questions::run(args, composition).await,
        Task::Summary(args) => summary::run(args, composition).await,
        Task::Relations(args) => relations::run(args, composition).await,
        Task::Classify(args) => classify::run(args, composition).await,
    }
}
