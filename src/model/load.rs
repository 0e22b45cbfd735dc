//! From the files of a checkpoint to a [`Model`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::config::{CONFIG_FILE, Config};
use super::encode::PieceEncoder;
use super::facts::{self, FACTS_FILE};
use super::gliner::Gliner;
use super::weights::Weights;
use super::{LoadError, Model, embedded};

const TOKENIZER_FILE: &str = "tokenizer.json";
const WEIGHTS_FILE: &str = "model.safetensors";

/// Where a checkpoint comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory in GLiNER layout.
    Directory(PathBuf),
    /// The model inside this binary.
    Embedded,
}

/// The contents of a checkpoint's files.
pub(super) struct Files<'a> {
    pub(super) config: &'a [u8],
    pub(super) tokenizer: &'a [u8],
    pub(super) weights: &'a [u8],
    pub(super) facts: Option<&'a [u8]>,
}

/// Loads `source` onto `device`.
pub(super) fn load(source: &Source, device: &Device) -> Result<Model, LoadError> {
    let name = match source {
        Source::Directory(directory) => {
            let name = directory.canonicalize().ok();
            let name = name.as_deref().unwrap_or(directory).file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        }
        Source::Embedded => embedded::NAME.to_owned(),
    };
    with_files(source, |files| files.load(name, device))
}

/// Opens the files of `source` for as long as `read_files` looks at them.
pub(super) fn with_files<T>(
    source: &Source,
    read_files: impl FnOnce(Files<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let directory = match source {
        Source::Directory(directory) => directory,
        Source::Embedded => return read_files(embedded::files().ok_or(LoadError::NotEmbedded)?),
    };
    let config = read(directory, CONFIG_FILE)?;
    let tokenizer = read(directory, TOKENIZER_FILE)?;
    let weights = map(directory, WEIGHTS_FILE)?;
    let facts = match read(directory, FACTS_FILE) {
        Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        facts => Some(facts?),
    };
    read_files(Files {
        config: &config,
        tokenizer: &tokenizer,
        weights: &weights,
        facts: facts.as_deref(),
    })
}

impl Files<'_> {
    fn load(&self, name: String, device: &Device) -> Result<Model, LoadError> {
        let config = Config::parse(self.config)?;
        let facts = facts::parse(self.facts, &config)?;
        let encoder = PieceEncoder::parse(self.tokenizer, &config)?;
        let weights = Weights::parse(self.weights, device)?;
        let network = Gliner::load(weights, &config, &encoder, facts.pieces_max)?;
        Ok(Model {
            name,
            digest: self.digest(),
            facts,
            encoder: Arc::new(encoder),
            network: Arc::new(network),
        })
    }

    /// SHA-256 over the files that decide about results, each with its name and length.
    fn digest(&self) -> String {
        let files = [
            (CONFIG_FILE, Some(self.config)),
            (TOKENIZER_FILE, Some(self.tokenizer)),
            (WEIGHTS_FILE, Some(self.weights)),
            (FACTS_FILE, self.facts),
        ];
        let mut digest = Sha256::new();
        for (name, bytes) in files {
            let Some(bytes) = bytes else { continue };
            digest.update(format!("{name} {}\n", bytes.len()));
            digest.update(bytes);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn read(directory: &Path, name: &str) -> Result<Vec<u8>, LoadError> {
    let path = directory.join(name);
    fs::read(&path).map_err(|source| LoadError::Read { path, source })
}

fn map(directory: &Path, name: &str) -> Result<Mmap, LoadError> {
    let path = directory.join(name);
    let file =
        File::open(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
    #[expect(
        unsafe_code,
        reason = "weights of gigabytes would lie in memory twice while they load"
    )]
    // SAFETY: the bytes are only read, and only until the tensors are made. Somebody who cuts the file short in these
    // seconds ends the process with a bus error; that is the same person who could delete the model.
    unsafe { Mmap::map(&file) }.map_err(|source| LoadError::Read { path, source })
}
