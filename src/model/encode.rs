//! Text to pieces, with the checkpoint's tokenizer.
//!
//! The reference hands words to the tokenizer already split; that tokenises each by itself, so a word can be encoded
//! as soon as it is complete (checked against the reference for WordPiece and for SentencePiece with Metaspace: `tests/parity`).
//!
//! Invariant: text never becomes a special token. A word or a label that spells `<<ENT>>` is text here.

use std::fmt;

use serde::Deserialize;
use tokenizers::{AddedToken, Tokenizer};

use super::LoadError;
use super::config::{Config, LabelState};
use crate::pipeline::ports::{Encoder, LabelError};
use crate::pipeline::scores::Prompt;

/// The encoder of one checkpoint.
pub(super) struct PieceEncoder {
    tokenizer: Tokenizer,
    /// Every special token as it is spelled, longest first.
    specials: Vec<String>,
    /// Pieces of the special tokens that text must not produce; the unknown piece is not among them.
    reserved: Vec<u32>,
    unknown: Option<u32>,
    /// Pieces before the first label (`[CLS]`).
    open: Vec<u32>,
    /// The marker before each label.
    marker: u32,
    /// The piece between labels and text.
    separator: u32,
    /// Pieces after the text (`[SEP]`).
    close: Vec<u32>,
    label_state: LabelState,
}

/// The parts of `tokenizer.json` that the library does not give away.
#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    unk_token: Option<String>,
    unk_id: Option<u32>,
}

impl PieceEncoder {
    /// Reads `tokenizer.json`.
    pub(super) fn parse(json: &[u8], config: &Config) -> Result<Self, LoadError> {
        let file: File = serde_json::from_slice(json)
            .map_err(|source| LoadError::Json { file: "tokenizer.json", source })?;
        let failed = |source| LoadError::Tokenizer { source };
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(failed)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(failed)?;
        let marker = special(&mut tokenizer, &config.ent_token)?;
        let separator = special(&mut tokenizer, &config.sep_token)?;
        if let Some(index) = config.class_token_index
            && index != i64::from(marker)
        {
            let token = config.ent_token.clone();
            return Err(LoadError::ClassTokenIndex { config: index, token, tokenizer: marker });
        }
        let framed = tokenizer.encode_fast(config.ent_token.as_str(), true).map_err(failed)?;
        let mut frame = framed.get_ids().split(|piece| *piece == marker);
        let (Some(open), Some(close), None) = (frame.next(), frame.next(), frame.next()) else {
            return Err(LoadError::MissingToken { token: config.ent_token.clone() });
        };
        let (open, close) = (open.to_vec(), close.to_vec());
        tokenizer.set_encode_special_tokens(true);
        let unknown = file.model.unk_id.or_else(|| tokenizer.token_to_id(&file.model.unk_token?));
        let specials = specials(&tokenizer);
        let piece = |token: &String| tokenizer.token_to_id(token);
        let reserved = specials.iter().filter_map(piece).filter(|p| Some(*p) != unknown).collect();
        Ok(Self {
            tokenizer,
            specials,
            reserved,
            unknown,
            open,
            marker,
            separator,
            close,
            label_state: config.label_state,
        })
    }

    /// The largest piece that the tokenizer can produce.
    pub(super) fn piece_max(&self) -> u32 {
        self.tokenizer.get_vocab(true).into_values().max().unwrap_or(0)
    }
}

/// The piece of a prompt token, which from now on counts as special, however the file declares it.
fn special(tokenizer: &mut Tokenizer, token: &str) -> Result<u32, LoadError> {
    let Some(piece) = tokenizer.token_to_id(token) else {
        return Err(LoadError::MissingToken { token: token.to_owned() });
    };
    let declared = tokenizer.get_added_tokens_decoder();
    if !declared.get(&piece).is_some_and(|added| added.special) {
        tokenizer
            .add_special_tokens([AddedToken::from(token, true)])
            .map_err(|source| LoadError::Tokenizer { source })?;
    }
    Ok(piece)
}

fn specials(tokenizer: &Tokenizer) -> Vec<String> {
    let mut specials: Vec<String> = tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .filter(|added| added.special && !added.content.is_empty())
        .map(|added| added.content)
        .collect();
    specials.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    specials
}

impl Encoder for PieceEncoder {
    fn pieces(&self, word: &str) -> Vec<u32> {
        // A tokenizer fails only on text outside its vocabulary when it has no piece for that.
        let Ok(encoding) = self.tokenizer.encode_fast(word, false) else { return Vec::new() };
        // A unigram vocabulary holds its control symbols as if they were text.
        let plain = |piece: &u32| match self.reserved.contains(piece) {
            true => self.unknown,
            false => Some(*piece),
        };
        encoding.get_ids().iter().filter_map(plain).collect()
    }

    fn unknown_piece(&self) -> Option<u32> {
        self.unknown
    }

    fn label_pieces(&self, label: &str) -> Result<Vec<u32>, LabelError> {
        if let Some(token) = self.specials.iter().find(|token| label.contains(token.as_str())) {
            return Err(LabelError::SpecialToken { token: token.clone() });
        }
        let pieces = self.pieces(label);
        match pieces.is_empty() {
            true => Err(LabelError::NoPieces),
            false => Ok(pieces),
        }
    }

    fn prompt(&self, labels: &[&str]) -> Prompt {
        let mut head = self.open.clone();
        let mut label_positions = Vec::with_capacity(labels.len());
        for label in labels {
            let marker = position(head.len());
            label_positions.push(match self.label_state {
                LabelState::Marker => marker,
                LabelState::AfterMarker => marker + 1,
            });
            head.push(self.marker);
            head.extend(self.pieces(label));
        }
        head.push(self.separator);
        Prompt { head, label_positions, tail: self.close.clone() }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a prompt is far shorter than 2^32 pieces")]
fn position(at: usize) -> u32 {
    at as u32
}

// The tokenizer prints its whole vocabulary.
impl fmt::Debug for PieceEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceEncoder")
            .field("specials", &self.specials.len())
            .field("marker", &self.marker)
            .finish_non_exhaustive()
    }
}
