//! `gleand config`: what the daemon would run with, and why.

use super::exit::Failure;
use super::notes::{Notes, Talk};
use super::{load, print};
use crate::config::{ConfigArgs, keys_page, toml_page};

const EXAMPLES: &str = "\
Examples:
  gleand config                                  # the effective configuration, each value with its source
  gleand config --describe > gleand.toml         # every key, explained, with its default
  GLEAND__SERVER__STREAMS_MAX=64 gleand config --config gleand.toml

Later sources win: defaults, --config FILE, environment (GLEAND__SECTION__KEY), flags.
All mistakes are told at once, with exit status 2.";

/// Prints the effective configuration as TOML, each value with its source.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples.")]
pub(super) struct ConfigCommandArgs {
    /// Prints every key with its type, bound, default, reason and cost instead.
    #[arg(long)]
    describe: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) fn run(args: &ConfigCommandArgs) -> Result<(), Failure> {
    if args.describe {
        return print(&keys_page());
    }
    let loaded = load(&args.config.sources(), &Notes::new(Talk::Normal))?;
    print(&toml_page(&loaded))
}
