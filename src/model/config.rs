//! `gliner_config.json` as typed values.
//!
//! Strings become enums here and nowhere else. A value that would need code we do not have is an error that names
//! key and value; keys that only matter in training are not read.

use serde_json::{Map, Value};

use super::LoadError;

/// The file's name in a checkpoint.
pub(super) const CONFIG_FILE: &str = "gliner_config.json";

/// What a checkpoint is made of.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// Words read at once.
    pub(super) words_max: usize,
    /// Labels seen at once in training.
    pub(super) types_max: usize,
    /// Width of words and labels.
    pub(super) hidden: usize,
    /// The marker before each label, as the tokenizer spells it.
    pub(super) ent_token: String,
    /// The token between labels and text.
    pub(super) sep_token: String,
    /// The marker's piece, where the config states it.
    pub(super) class_token_index: Option<i64>,
    /// Which piece's state is a label's vector.
    pub(super) label_state: LabelState,
    /// How a word's state comes from its pieces.
    pub(super) pooling: Pooling,
    /// Layers of the recurrent network over words.
    pub(super) rnn_layers: RnnLayers,
    /// The text encoder.
    pub(super) encoder: EncoderConfig,
}

/// Which piece's state is a label's vector (`embed_ent_token`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelState {
    /// The marker before the label.
    Marker,
    /// The piece after the marker, usually the label's first.
    AfterMarker,
}

/// How a word's state comes from its pieces (`subtoken_pooling`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The first piece.
    First,
    /// The last piece.
    Last,
    /// The mean of all pieces.
    Mean,
    /// The largest value of all pieces, for every component.
    Max,
}

/// Layers of the recurrent network (`num_rnn_layers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RnnLayers {
    /// The config states the number.
    Exactly(usize),
    /// A config of before November 2025: as many as the weights hold.
    AsStored,
}

/// The text encoder, one variant an architecture.
#[derive(Clone, Debug)]
pub(super) enum EncoderConfig {
    /// `model_type = "bert"`.
    Bert(BertConfig),
    /// `model_type = "deberta-v2"`, which is v3 too.
    Deberta(DebertaConfig),
}

impl EncoderConfig {
    /// Width of the encoder's states.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Bert(config) => config.size.width,
            Self::Deberta(config) => config.size.width,
        }
    }
}

/// What all encoders have.
#[derive(Clone, Debug)]
pub(super) struct EncoderSize {
    /// Width of a state.
    pub(super) width: usize,
    /// Layers.
    pub(super) layers: usize,
    /// Attention heads; they divide the width.
    pub(super) heads: usize,
    /// Width inside the feed-forward part.
    pub(super) inner: usize,
    /// Added to the variance in layer normalisation.
    pub(super) norm_eps: f64,
}

/// BERT with learned absolute positions.
#[derive(Clone, Debug)]
pub(super) struct BertConfig {
    /// Sizes.
    pub(super) size: EncoderSize,
    /// Positions that were learned: the longest input.
    pub(super) positions: usize,
    /// Rows of the segment table; segment 0 is the only one used.
    pub(super) segments: usize,
}

/// DeBERTa-v2 and v3 with relative positions only.
#[derive(Clone, Debug)]
pub(super) struct DebertaConfig {
    /// Sizes.
    pub(super) size: EncoderSize,
    /// Distance up to which the log buckets reach.
    pub(super) distance_max: usize,
    /// Buckets a direction; absent: one bucket a distance.
    pub(super) buckets: Option<usize>,
    /// Positions go through the projections of the content.
    pub(super) shared_projections: bool,
    /// The position table is normalised.
    pub(super) normed_positions: bool,
    /// Rows of the segment table, zero without one.
    pub(super) segments: usize,
}

/// Keys that must be null, false or empty: they turn on parts that do not exist here.
const ABSENT: [&str; 9] = [
    "labels_encoder",
    "labels_decoder",
    "relations_layer",
    "fuse_layers",
    "represent_spans",
    "post_fusion_schema",
    "precomputed_prompts_mode",
    "span_encoder_config",
    "decoder_config",
];

impl Config {
    /// Reads `gliner_config.json`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, LoadError> {
        let root: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|source| LoadError::Json { file: CONFIG_FILE, source })?;
        let root = Section { prefix: "", fields: &root };
        root.choice("model_type", "gliner", &["gliner", "gliner_uni_encoder_token"])?;
        for key in ABSENT {
            root.absent(key)?;
        }
        root.choice("span_mode", "markerV0", &["token_level"])?;
        root.choice("words_splitter_type", "whitespace", &["whitespace"])?;
        let rnn_layers = match (root.get("num_rnn_layers"), root.flag("has_rnn", true)?) {
            (_, false) => RnnLayers::AsStored,
            (None, true) => RnnLayers::AsStored,
            (Some(_), true) => RnnLayers::Exactly(root.count("num_rnn_layers", None)?),
        };
        Ok(Self {
            words_max: root.positive("max_len", Some(384))?,
            types_max: root.positive("max_types", Some(25))?,
            hidden: root.even("hidden_size", Some(512))?,
            ent_token: root.text("ent_token", "<<ENT>>")?.to_owned(),
            sep_token: root.text("sep_token", "<<SEP>>")?.to_owned(),
            class_token_index: root.class_token_index()?,
            label_state: match root.flag("embed_ent_token", true)? {
                true => LabelState::Marker,
                false => LabelState::AfterMarker,
            },
            pooling: root.pooling()?,
            rnn_layers,
            encoder: EncoderConfig::parse(&root)?,
        })
    }
}

impl EncoderConfig {
    fn parse(root: &Section<'_>) -> Result<Self, LoadError> {
        let Some(Value::Object(fields)) = root.get("encoder_config") else {
            return Err(root.unsupported("encoder_config"));
        };
        let encoder = Section { prefix: "encoder_config.", fields };
        match encoder.text("model_type", "")? {
            "bert" => BertConfig::parse(&encoder).map(Self::Bert),
            "deberta-v2" => DebertaConfig::parse(&encoder).map(Self::Deberta),
            _ => Err(encoder.unsupported("model_type")),
        }
    }
}

impl EncoderSize {
    fn parse(encoder: &Section<'_>, norm_eps: f64) -> Result<Self, LoadError> {
        encoder.choice("hidden_act", "gelu", &["gelu"])?;
        let size = Self {
            width: encoder.positive("hidden_size", None)?,
            layers: encoder.positive("num_hidden_layers", None)?,
            heads: encoder.positive("num_attention_heads", None)?,
            inner: encoder.positive("intermediate_size", None)?,
            norm_eps: encoder.number("layer_norm_eps", norm_eps)?,
        };
        if !size.width.is_multiple_of(size.heads) {
            return Err(encoder.invalid("num_attention_heads", "a divisor of hidden_size"));
        }
        Ok(size)
    }
}

impl BertConfig {
    fn parse(encoder: &Section<'_>) -> Result<Self, LoadError> {
        encoder.choice("position_embedding_type", "absolute", &["absolute"])?;
        encoder.absent("is_decoder")?;
        encoder.absent("add_cross_attention")?;
        Ok(Self {
            size: EncoderSize::parse(encoder, 1e-12)?,
            positions: encoder.positive("max_position_embeddings", Some(512))?,
            segments: encoder.positive("type_vocab_size", Some(2))?,
        })
    }
}

impl DebertaConfig {
    fn parse(encoder: &Section<'_>) -> Result<Self, LoadError> {
        encoder.absent("conv_kernel_size")?;
        if !encoder.flag("relative_attention", false)? {
            return Err(encoder.unsupported("relative_attention"));
        }
        if encoder.flag("position_biased_input", true)? {
            return Err(encoder.unsupported("position_biased_input"));
        }
        let size = EncoderSize::parse(encoder, 1e-7)?;
        for (key, expected) in
            [("embedding_size", size.width), ("attention_head_size", size.width / size.heads)]
        {
            if encoder.count(key, Some(expected))? != expected {
                return Err(encoder.unsupported(key));
            }
        }
        encoder.both_position_terms()?;
        Ok(Self {
            distance_max: match encoder.signed("max_relative_positions", -1)? {
                ..1 => encoder.positive("max_position_embeddings", Some(512))?,
                _ => encoder.positive("max_relative_positions", None)?,
            },
            buckets: match encoder.signed("position_buckets", -1)? {
                ..1 => None,
                _ => Some(encoder.even("position_buckets", None)?),
            },
            shared_projections: encoder.flag("share_att_key", false)?,
            normed_positions: match encoder.text("norm_rel_ebd", "none")? {
                "layer_norm" => true,
                "none" => false,
                _ => return Err(encoder.unsupported("norm_rel_ebd")),
            },
            segments: encoder.count("type_vocab_size", Some(0))?,
            size,
        })
    }
}

/// One object of the config. A null counts as absent, as in the reference.
struct Section<'a> {
    prefix: &'static str,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn shown(&self, key: &str) -> (String, String) {
        const SHOWN_MAX: usize = 60;
        let value = self.get(key).map_or_else(|| "absent".to_owned(), Value::to_string);
        let value = match value.char_indices().nth(SHOWN_MAX) {
            Some(_) => value.chars().take(SHOWN_MAX).chain(['…']).collect(),
            None => value,
        };
        (format!("{}{key}", self.prefix), value)
    }

    fn unsupported(&self, key: &str) -> LoadError {
        let (key, value) = self.shown(key);
        LoadError::NotSupported { file: CONFIG_FILE, key, value }
    }

    fn invalid(&self, key: &str, expected: &'static str) -> LoadError {
        let (key, value) = self.shown(key);
        LoadError::Invalid { file: CONFIG_FILE, key, value, expected }
    }

    fn text(&self, key: &str, default: &'a str) -> Result<&'a str, LoadError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_str().ok_or_else(|| self.invalid(key, "a string"))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, LoadError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.invalid(key, "true or false"))
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, LoadError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.invalid(key, "a number"))
    }

    fn signed(&self, key: &str, default: i64) -> Result<i64, LoadError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_i64().ok_or_else(|| self.invalid(key, "a whole number"))
    }

    fn count(&self, key: &str, default: Option<usize>) -> Result<usize, LoadError> {
        // A size beyond this is a mistake, and would overflow products of sizes.
        const COUNT_MAX: usize = 1 << 24;
        let expected = "a whole number from 0 to 2^24";
        let value = match self.get(key) {
            None => default,
            Some(value) => value.as_u64().and_then(|count| usize::try_from(count).ok()),
        };
        value.filter(|count| *count <= COUNT_MAX).ok_or_else(|| self.invalid(key, expected))
    }

    fn positive(&self, key: &str, default: Option<usize>) -> Result<usize, LoadError> {
        match self.count(key, default)? {
            0 => Err(self.invalid(key, "a number above 0")),
            count => Ok(count),
        }
    }

    fn even(&self, key: &str, default: Option<usize>) -> Result<usize, LoadError> {
        match self.positive(key, default)? {
            count if count.is_multiple_of(2) => Ok(count),
            _ => Err(self.invalid(key, "an even number")),
        }
    }

    fn choice(&self, key: &str, default: &str, allowed: &[&str]) -> Result<(), LoadError> {
        let value = match self.get(key) {
            None => Some(default),
            Some(value) => value.as_str(),
        };
        match value.is_some_and(|value| allowed.contains(&value)) {
            true => Ok(()),
            false => Err(self.unsupported(key)),
        }
    }

    fn absent(&self, key: &str) -> Result<(), LoadError> {
        match self.get(key) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(()),
            Some(_) => Err(self.unsupported(key)),
        }
    }

    fn class_token_index(&self) -> Result<Option<i64>, LoadError> {
        Ok(Some(self.signed("class_token_index", -1)?).filter(|index| *index != -1))
    }

    fn pooling(&self) -> Result<Pooling, LoadError> {
        match self.text("subtoken_pooling", "first")? {
            "first" => Ok(Pooling::First),
            "last" => Ok(Pooling::Last),
            "mean" => Ok(Pooling::Mean),
            "max" => Ok(Pooling::Max),
            _ => Err(self.unsupported("subtoken_pooling")),
        }
    }

    /// `pos_att_type`: a list, or names joined by `|` in older files. All published encoders have both terms.
    fn both_position_terms(&self) -> Result<(), LoadError> {
        let key = "pos_att_type";
        let mut names: Vec<&str> = match self.get(key) {
            Some(Value::String(names)) => names.split('|').collect(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            None | Some(_) => Vec::new(),
        };
        names.sort_unstable();
        match names == ["c2p", "p2c"] {
            true => Ok(()),
            false => Err(self.unsupported(key)),
        }
    }
}
