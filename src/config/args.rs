//! Flags that every sub-command with a configuration takes, exactly as typed.

use std::path::PathBuf;

use super::layers::{Assignment, Sources};

/// Where the configuration comes from, and short flags for its most used keys.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// TOML file with configuration (see `gleand config --describe` for the keys).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, e.g. --set server.streams_max=64. Wins over file and environment.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_assignment)]
    set: Vec<Assignment>,
    /// Directory of a GLiNER model, instead of the one in the binary [key: model.path].
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// What scores: cpu, or a list such as cuda:0,cuda:1 [key: compute.device].
    #[arg(long, value_name = "DEVICES")]
    device: Option<String>,
    /// How much is logged: off, error, warn, info, debug or trace [key: log.level].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl ConfigArgs {
    /// These flags over the environment of the process.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let mut sources = Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: self.set.clone(),
            ..Sources::default()
        };
        let short = [
            ("--model", "model.path", &self.model),
            ("--device", "compute.device", &self.device),
            ("--log-level", "log.level", &self.log_level),
        ];
        for (flag, key, value) in short {
            if let Some(value) = value {
                sources.flag(flag, key, value);
            }
        }
        sources
    }

    /// The first flag given that only a daemon in this process can honour.
    #[must_use]
    pub fn first_given(&self) -> Option<&'static str> {
        [
            ("--config", self.config.is_some()),
            ("--set", !self.set.is_empty()),
            ("--model", self.model.is_some()),
            ("--device", self.device.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

fn parse_assignment(text: &str) -> Result<Assignment, String> {
    let (key, value) =
        text.split_once('=').ok_or("expected KEY=VALUE, e.g. server.streams_max=64")?;
    Ok(Assignment {
        source: "flag --set".to_owned(),
        key: key.trim().to_owned(),
        value: value.to_owned(),
    })
}

/// Another hub than the usual one: `HF_ENDPOINT`, which the tools of the hub know too.
#[must_use]
pub fn hub_endpoint() -> Option<String> {
    let endpoint = std::env::var_os("HF_ENDPOINT")?.into_string().ok()?;
    Some(endpoint.trim_end_matches('/').to_owned()).filter(|endpoint| !endpoint.is_empty())
}

/// Whether the person asked for output without colour: `NO_COLOR` is set and not empty, or the terminal has none.
#[must_use]
pub fn wants_no_color() -> bool {
    let is = |name: &str, asks: fn(&std::ffi::OsStr) -> bool| {
        std::env::var_os(name).is_some_and(|value| asks(&value))
    };
    is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb")
}
