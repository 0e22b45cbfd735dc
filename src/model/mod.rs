//! GLiNER checkpoints: files to a network, words to pieces, windows to scores.
//!
//! A [`Model`] is immutable. Its encoder is shared by all streams; each worker makes a scorer of its own, which shares the
//! weights, and may throw it away after a failure and make another.
//!
//! Absent on purpose: batching (one window is one forward pass, see `gliner`), training, formats other than safetensors.

mod backbone;
mod compute;
mod config;
mod device;
mod embedded;
mod encode;
mod error;
mod facts;
mod float;
mod footprint;
mod gliner;
mod head;
mod layers;
mod load;
mod ops;
mod rnn;
mod weights;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use crate::pipeline::ports::{Encoder, ModelFacts, Scorer};
use crate::pipeline::scores::WindowInput;
use encode::PieceEncoder;
use gliner::{Gliner, GlinerScorer};

pub use compute::compute_path;
pub use device::{DeviceError, DeviceSpec};
pub use error::{ForwardError, LoadError};
pub use footprint::{Footprint, footprint};
pub use gliner::Stages;
pub use load::Source;

/// A checkpoint, ready to read and to score on one device.
#[derive(Clone)]
pub struct Model {
    name: String,
    digest: String,
    facts: ModelFacts,
    encoder: Arc<PieceEncoder>,
    network: Arc<Gliner>,
}

impl Model {
    /// Loads `source` onto `device`.
    ///
    /// # Errors
    /// [`LoadError`] names what does not fit.
    pub fn load(source: &Source, device: &Device) -> Result<Self, LoadError> {
        load::load(source, device)
    }

    /// Loads a directory in GLiNER layout onto the processor.
    ///
    /// # Errors
    /// [`LoadError`] names what does not fit.
    pub fn load_dir(directory: &Path) -> Result<Self, LoadError> {
        Self::load(&Source::Directory(directory.to_owned()), &Device::Cpu)
    }

    /// Loads the model inside this binary onto the processor.
    ///
    /// # Errors
    /// [`LoadError::NotEmbedded`] in a build without the feature `default-model`.
    pub fn embedded() -> Result<Self, LoadError> {
        Self::load(&Source::Embedded, &Device::Cpu)
    }

    /// The directory's name, or `default` for the embedded model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over the checkpoint's files, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the checkpoint says about itself.
    #[must_use]
    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Text to pieces.
    #[must_use]
    pub fn encoder(&self) -> Arc<dyn Encoder> {
        Arc::clone(&self.encoder) as _
    }

    /// A scorer for one worker. Cheap: the weights are shared.
    #[must_use]
    pub fn scorer(&self) -> Box<dyn Scorer> {
        Box::new(GlinerScorer(Arc::clone(&self.network)))
    }

    /// One window stage by stage, for comparison with the reference. The window has a word and a label.
    ///
    /// # Errors
    /// [`ForwardError`] when the window does not fit the network.
    pub fn trace(&self, window: &WindowInput) -> Result<Stages, ForwardError> {
        self.network.stages(window)
    }
}

// The parts print a vocabulary and weights.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
