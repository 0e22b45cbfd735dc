//! The model inside the binary (cargo feature `default-model`), so that the copied binary alone works.

use super::load::Files;

/// The name under which the embedded model is listed.
pub(super) const NAME: &str = "default";

/// The files of the embedded model, if this build has one.
#[cfg(feature = "default-model")]
pub(super) fn files() -> Option<Files<'static>> {
    Some(Files {
        config: include_bytes!("../../models/default/gliner_config.json"),
        tokenizer: include_bytes!("../../models/default/tokenizer.json"),
        weights: include_bytes!("../../models/default/model.safetensors"),
        facts: Some(include_bytes!("../../models/default/gleand.json")),
    })
}

/// The files of the embedded model, if this build has one.
#[cfg(not(feature = "default-model"))]
pub(super) fn files() -> Option<Files<'static>> {
    None
}
