//! `gleand models fetch`: the files of a model from a hub, each with its hash. What an init container runs.

use std::path::PathBuf;

use super::exit::{Failure, Kind};
use super::notes::{Notes, Talk};
use super::print;
use crate::config::hub_endpoint;
use crate::hub::{self, FetchError, Order, Source, Wanted};

const EXAMPLES: &str = "\
Examples:
  gleand models fetch org/name --revision 0123abcd --to models/name \\
    --sha256 gliner_config.json=HASH --sha256 tokenizer.json=HASH --sha256 model.safetensors=HASH
  gleand models fetch https://hub.example/org/name --revision 0123abcd --to models/name --sha256 …

Only the files that are named come. A file that is there already and has its hash is not fetched again; one with
another hash is replaced. A file that comes with another hash is not kept. HF_ENDPOINT names another hub for org/name.

Exit status: 0 all files are there, 1 a file is another one or cannot be written, 2 usage, 4 the hub refuses or cannot be reached.";

/// Fetches the files of a model from a hub, each checked by its SHA-256.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
pub(super) struct FetchArgs {
    /// The model, org/name, or its address on another hub.
    #[arg(value_name = "ID|URL")]
    source: Source,
    /// Commit, tag or branch of the model.
    #[arg(long)]
    revision: String,
    /// A file of the model and its SHA-256 in hex; once a file.
    #[arg(long = "sha256", value_name = "FILE=HASH", required = true)]
    files: Vec<Wanted>,
    /// Directory for the files; made if need be.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// File with the token that the hub asks for where a model is not public.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: FetchArgs) -> Result<(), Failure> {
    let notes = Notes::new(Talk::Normal);
    let token = args.token_file.map(|path| {
        let read = std::fs::read_to_string(&path);
        read.map(|text| text.trim().to_owned()).map_err(|error| {
            Failure::new(Kind::Usage, format!("cannot read {}: {error}", path.display()))
        })
    });
    let mut source = args.source;
    source.endpoint = source.endpoint.or_else(hub_endpoint);
    let (revision, files) = (args.revision, args.files);
    let order = Order { source, revision, files, token: token.transpose()? };
    let fetched = hub::fetch(&order, &args.to, |one| {
        let how = if one.was_there { "was there" } else { "fetched" };
        notes.line(&format!("{}: {how}, {} bytes, SHA-256 as given", one.file, one.bytes));
    });
    fetched.await.map_err(|error| {
        let kind = match error {
            FetchError::Hub { .. } => Kind::Refused,
            FetchError::Other { .. } | FetchError::Directory { .. } => Kind::Failed,
        };
        Failure::new(kind, error.to_string())
    })?;
    print(&format!("{}\n", args.to.display()))
}
