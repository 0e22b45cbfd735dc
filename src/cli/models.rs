//! `gleand models`: what a daemon can do.

use super::client::{ConnectArgs, ModelCard};
use super::escape::one_line;
use super::exit::Failure;
use super::notes::{Notes, Talk};
use super::{Composition, extract, fetch, print};
use crate::config::ConfigArgs;

const EXAMPLES: &str = "\
Examples:
  gleand models
  gleand models --model models/gliner-multitask
  gleand models --server http://localhost:50051 --format jsonl
  gleand models fetch --help";

/// Lists the models of a daemon: the one in this binary, or of --server. `models fetch` brings one from a hub.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
#[command(args_conflicts_with_subcommands = true, subcommand_help_heading = "Instead")]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// How models are printed.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Instead {
    Fetch(fetch::FetchArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Jsonl,
}

/// Runs the command.
pub(super) async fn run(args: ModelsArgs, composition: &Composition) -> Result<(), Failure> {
    if let Some(Instead::Fetch(args)) = args.instead {
        return fetch::run(args).await;
    }
    let mut notes = Notes::new(Talk::Normal);
    // The guard keeps a daemon of this process alive until it has answered.
    let (target, _guard) =
        extract::target(&args.connect, &args.config, composition, (&mut notes, &[])).await?;
    let models = async { target.connect().await?.models().await };
    let models = models.await.map_err(|refusal| refusal.into_failure(target.url()))?;
    let page: String = match args.format {
        Format::Text => models.iter().map(text).collect::<Vec<_>>().join("\n"),
        Format::Jsonl => models.iter().map(json).collect(),
    };
    print(&page)
}

fn text(model: &ModelCard) -> String {
    let ModelCard {
        window_words_max,
        mention_words_max,
        labels_per_pass,
        labels_max,
        thresholds,
        ..
    } = model;
    let (name, digest, fingerprint) =
        (one_line(&model.name), one_line(&model.digest), one_line(&model.fingerprint));
    let thresholds: Vec<_> =
        thresholds.iter().map(|(task, threshold)| format!("{task} {threshold}")).collect();
    format!(
        "{name}\n  digest       {digest}\n  fingerprint  {fingerprint}\n  tasks        {}\n  \
         labels       {labels_max} a task, {labels_per_pass} in one pass\n  \
         windows      {window_words_max} words for entities; mentions of up to {mention_words_max} words wherever they stand\n  \
         thresholds   {}\n",
        model.tasks.join(", "),
        thresholds.join(", ")
    )
}

fn json(model: &ModelCard) -> String {
    let text = serde_json::to_string(model).expect("plain fields and string keys serialise");
    format!("{text}\n")
}
