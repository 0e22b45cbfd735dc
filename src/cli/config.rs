//! `gleand config`: what the daemon would run with, and why.

use super::exit::Failure;
use super::notes::{Notes, Talk};
use super::{Composition, MemoryPart, load, print};
use crate::config::{ConfigArgs, json_schema, keys_page, markdown_page, toml_page};

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
#[expect(clippy::struct_excessive_bools, reason = "clap takes one of the three at most")]
pub(super) struct ConfigCommandArgs {
    /// Prints every key with its type, bound, default, reason and cost instead.
    #[arg(long)]
    describe: bool,
    /// Prints the same as Markdown: deploy/CONFIGURATION.md.
    #[arg(long, conflicts_with = "describe")]
    markdown: bool,
    /// Prints the JSON Schema of the file: a part of the Helm chart's.
    #[arg(long, conflicts_with_all = ["describe", "markdown"])]
    schema: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the command.
pub(super) fn run(args: &ConfigCommandArgs, composition: &Composition) -> Result<(), Failure> {
    if args.describe {
        return print(&keys_page());
    }
    if args.markdown {
        return print(&markdown_page());
    }
    if args.schema {
        return print(&json_schema());
    }
    let loaded = load(&args.config.sources(), &Notes::new(Talk::Normal))?;
    let memory = (composition.memory)(&loaded)?;
    print(&format!("{}\n{}", toml_page(&loaded), memory_lines(&memory)))
}

/// What the daemon needs at worst, as comments: the parts, then the sum.
fn memory_lines(parts: &[MemoryPart]) -> String {
    let line = |part: &MemoryPart| format!("#   {:>15}  {}\n", part.bytes, part.what);
    let lines: String = parts.iter().map(line).collect();
    let sum: u64 = parts.iter().map(|part| part.bytes).sum();
    format!(
        "# Bytes of memory at worst:\n{lines}# Memory at worst: {sum} bytes ({})\n",
        binary(sum)
    )
}

/// Bytes as people read them.
pub(super) fn binary(bytes: u64) -> String {
    let mebibytes = bytes >> 20;
    match mebibytes {
        0..1024 => format!("{mebibytes} MiB"),
        _ => format!("{}.{:02} GiB", mebibytes >> 10, (mebibytes & 1023) * 100 / 1024),
    }
}
