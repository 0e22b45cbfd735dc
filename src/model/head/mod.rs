//! Heads: word states and label vectors to logits, one file a head.

pub(super) mod token;
