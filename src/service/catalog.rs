//! What the services know of the model and of themselves, fixed before the first call.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::models::{Limits, ModelCard, TaskKind, WindowSizes};
use crate::pipeline::plan::WindowPolicy;
use crate::pipeline::ports::{Encoder, ModelFacts};
use crate::pipeline::window::Geometry;

/// Raised by every commit that can change a result of the same text, config and model.
pub const RESULTS_VERSION: u32 = 2;

/// Tasks that this server answers.
pub const TASKS: [TaskKind; 6] = [
    TaskKind::Entities,
    TaskKind::Relations,
    TaskKind::Questions,
    TaskKind::Summary,
    TaskKind::Classify,
    TaskKind::Open,
];

/// One model, ready to be asked, and the bounds of a call.
#[derive(Debug)]
pub struct Catalog {
    /// What a config calls the model.
    pub model: String,
    /// `sha256:` and 64 hex digits over the model's files.
    pub model_digest: String,
    /// What the checkpoint says about itself.
    pub facts: ModelFacts,
    /// Words to pieces.
    pub encoder: Arc<dyn Encoder>,
    /// What computes, and everything about it that can change a bit of a score.
    pub compute: String,
    /// Window sizes as set by the operator.
    pub policy: WindowPolicy,
    /// Bounds of a call.
    pub limits: Limits,
    /// Names this process.
    pub instance: String,
}

impl Catalog {
    /// The version of the server.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// What results depend on, `config` included. Equal fingerprints, equal results (architecture, Promises).
    #[must_use]
    pub fn fingerprint(&self, config: &[u8]) -> String {
        let version = RESULTS_VERSION.to_string();
        let policy = format!("{:?}", self.policy_of_results());
        let parts =
            [&version, &self.model_digest, &self.compute, &policy].map(|part| part.as_bytes());
        let mut hasher = Sha256::new();
        for part in parts.into_iter().chain([config]) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex(&hasher.finalize()[..16])
    }

    /// The policy without what changes only when results come.
    fn policy_of_results(&self) -> WindowPolicy {
        WindowPolicy { windows_in_flight_max: 0, ..self.policy }
    }

    /// What `ModelService` tells.
    #[must_use]
    pub fn card(&self) -> ModelCard {
        // Those of an entities task; `ready` tells those of each.
        let words_max = self.policy.window_words(&self.facts, self.facts.windows.entities);
        let pieces_max = self.policy.window_pieces(&self.facts);
        let geometry = Geometry::new(words_max, pieces_max, self.policy);
        ModelCard {
            name: self.model.clone(),
            digest: self.model_digest.clone(),
            fingerprint: self.fingerprint(&[]),
            tasks: TASKS.to_vec(),
            limits: self.limits.clone(),
            windows: WindowSizes {
                window_words_max: words_max,
                window_pieces_max: Some(pieces_max),
                left_margin_words: geometry.left_margin,
                right_margin_words: geometry.right_margin,
                mention_words_max: geometry.mention_words_max,
                labels_per_pass: self.facts.labels_per_pass,
                window_words_min: self.policy.text_words(&self.facts, words_max),
            },
            thresholds: self.facts.thresholds,
        }
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
