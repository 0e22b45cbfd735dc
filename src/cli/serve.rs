//! `gleand serve`: the daemon, until it is told to stop.

use super::exit::Failure;
use super::notes::{Notes, Talk};
use super::{Composition, load};
use crate::config::ConfigArgs;

const EXAMPLES: &str = "\
Examples:
  gleand serve
  gleand serve --listen [::]:50051 --model models/gliner-multitask
  GLEAND__COMPUTE__CORES=4 gleand serve --config /etc/gleand.toml
  gleand config --describe    # every key that --config, GLEAND__SECTION__KEY and --set understand";

/// Runs the daemon until SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
pub(super) struct ServeArgs {
    /// Address and port to listen on [key: server.listen].
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) async fn run(args: ServeArgs, composition: &Composition) -> Result<(), Failure> {
    let mut sources = args.config.sources();
    if let Some(listen) = args.listen {
        sources.flag("--listen", "server.listen", listen);
    }
    let loaded = load(&sources, &Notes::new(Talk::Normal))?;
    Ok((composition.serve)(loaded).await?)
}
