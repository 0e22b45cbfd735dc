//! What the daemon is told from outside: defaults, then a TOML file, then the environment, then flags.
//!
//! - [`table`] is the one list of keys; struct, checks, `gleand config` and the documentation come from it.
//! - Every key is read by itself, so that one start reports every mistake.
//! - The environment of the process is read here and nowhere else.

mod args;
mod layers;
mod mistake;
mod schema;
mod show;
mod table;
mod value;

pub use args::{ConfigArgs, hub_endpoint, wants_no_color};
pub use layers::{Assignment, Sources};
pub use mistake::{Mistake, Mistakes};
pub use schema::json_schema;
pub use show::{keys_page, markdown_page, toml_page};
pub use table::{
    Admin, Auth, Compute, Config, KEYS, Key, Limits, Log, Model, Otlp, Server, Stream, Telemetry,
    Tls, Window,
};
pub use value::{
    Bound, Device, Devices, Export, LogFormat, LogLevel, Names, OtlpProtocol, Switch, TraceRatio,
};

/// A configuration that was checked, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values, typed and within their bounds.
    pub config: Config,
    /// One entry a key, in the order of the table.
    pub origins: Vec<Origin>,
    /// What should be said once and does not stop the start.
    pub warnings: Vec<String>,
}

/// One effective value and who set it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The row of the table.
    pub key: &'static Key,
    /// The value as it would be written in the file, without quotes.
    pub text: String,
    /// The layer that set it, in words: `default`, `file …`, `environment variable …`, `flag …`.
    pub source: String,
}

impl Loaded {
    /// Layers the sources and checks every key.
    ///
    /// # Errors
    /// Every mistake of every layer, at once.
    pub fn read(sources: &Sources) -> Result<Self, Mistakes> {
        let mut layered = layers::merge(sources);
        let config = Config::read(&mut layered);
        if let Some(config) = &config {
            check_together(config, &mut layered);
        }
        match config {
            Some(config) if layered.mistakes.is_empty() => {
                Ok(Self { config, origins: layered.origins, warnings: layered.warnings })
            }
            _ => Err(Mistakes::new(layered.mistakes)),
        }
    }
}

/// Bounds that concern two keys.
fn check_together(config: &Config, layered: &mut layers::Layered) {
    let message = config.server.message_bytes_max;
    let parts = [
        ("server.chunk_bytes_max", config.server.chunk_bytes_max),
        ("server.text_bytes_max", config.server.text_bytes_max),
    ];
    for (key, bytes) in parts {
        if bytes.get().saturating_add(MESSAGE_FRAME_BYTES) > message.get() {
            layered.mistake(
                key,
                format!("of {bytes} bytes does not fit a message of server.message_bytes_max = {message} bytes"),
            );
        }
    }
    check_security(config, layered);
}

/// TLS and keys are whole or absent.
fn check_security(config: &Config, layered: &mut layers::Layered) {
    let tls = &config.tls;
    let is_tls = match (&tls.cert_file, &tls.key_file) {
        (Some(_), Some(_)) => true,
        (Some(_), None) => {
            layered.mistake("tls.key_file", "must be set beside tls.cert_file".to_owned());
            true
        }
        (None, Some(_)) => {
            layered.mistake("tls.cert_file", "must be set beside tls.key_file".to_owned());
            true
        }
        (None, None) => false,
    };
    if tls.client_ca_file.is_some() && !is_tls {
        let problem =
            "needs tls.cert_file and tls.key_file: without TLS clients show no certificate";
        layered.mistake("tls.client_ca_file", problem.to_owned());
    }
    if !tls.client_sans.as_slice().is_empty() && tls.client_ca_file.is_none() {
        let problem = "needs tls.client_ca_file: names of certificates that nobody vouches for are worth nothing";
        layered.mistake("tls.client_sans", problem.to_owned());
    }
}

/// What a message needs around its bytes: tags, lengths and the offset.
const MESSAGE_FRAME_BYTES: usize = 64;

#[cfg(test)]
mod tests;
