//! `gleand serve`: the daemon, until it is told to stop.

use super::exit::{Failure, Kind};
use super::notes::{Notes, Talk};
use super::{Composition, Misconfigured, Stopped, load};
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
    match (composition.serve)(loaded).await {
        Ok(Stopped::Drained) => Ok(()),
        Ok(Stopped::Interrupted) => Err(Failure::new(Kind::Failed, "told twice to stop")),
        Ok(Stopped::Sick) => Err(Failure::new(Kind::Failed, "scorers panic again and again")),
        Ok(Stopped::Stuck) => Err(Failure::new(Kind::Stuck, "a forward is stuck")),
        Err(error) if error.is::<Misconfigured>() => {
            Err(Failure::new(Kind::Usage, format!("{error:#}")))
        }
        Err(error) => Err(error.into()),
    }
}
