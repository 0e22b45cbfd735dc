//! Checkpoints that load, and checkpoints that must not: every error names the thing.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use gleand::model::{LoadError, Model};
use gleand::pipeline::ports::{LabelError, ScoreMode, TaskThresholds};
use gleand::pipeline::scores::WindowInput;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::golden::directory;

/// A copy of a fixture's checkpoint that a test may damage; removed when dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(fixture: &str, test: &str) -> Self {
        let copy = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("checkpoint-{test}"));
        fs::create_dir_all(&copy).unwrap();
        for file in ["gliner_config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(directory(fixture).join(file), copy.join(file)).unwrap();
        }
        Self(copy)
    }

    fn edit(&self, file: &str, edit: impl FnOnce(&mut Value)) {
        let path = self.0.join(file);
        let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut value);
        fs::write(path, value.to_string()).unwrap();
    }

    fn edit_weights(&self, edit: impl FnOnce(&mut BTreeMap<String, TensorView<'_>>)) {
        let path = self.0.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        edit(&mut tensors);
        fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    }

    fn error(&self) -> LoadError {
        Model::load_dir(&self.0).expect_err("the checkpoint is damaged")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_directory_without_gleand_json_has_the_defaults() {
    let copy = Copy::of("token_bert", "defaults");
    let model = Model::load_dir(&copy.0).unwrap();
    let facts = model.facts();
    assert_eq!(facts.thresholds, TaskThresholds::default());
    assert_eq!(facts.labels_per_pass, 20);
    assert_eq!(facts.score_mode, ScoreMode::Min);
    assert_eq!((facts.words_max, facts.pieces_max), (28, Some(512)));
    assert_eq!(model.name(), "checkpoint-defaults");
}

#[test]
fn relative_positions_have_no_limit_of_pieces() {
    let model = Model::load_dir(&directory("token_deberta")).unwrap();
    assert_eq!(model.facts().pieces_max, None);
}

#[test]
fn gleand_json_overrides_the_defaults_and_the_digest_covers_it() {
    let copy = Copy::of("token_bert", "facts");
    let without = Model::load_dir(&copy.0).unwrap();
    let facts = json!({
        "thresholds": {"summary": 0.1},
        "labels_per_pass": 3,
        "score_mode": "mean",
        "window_words": {"entities": 16},
    });
    fs::write(copy.0.join("gleand.json"), facts.to_string()).unwrap();
    let with = Model::load_dir(&copy.0).unwrap();
    assert_eq!(with.facts().thresholds.summary.to_bits(), 0.1_f32.to_bits());
    assert_eq!(with.facts().thresholds.entities.to_bits(), 0.5_f32.to_bits());
    assert_eq!(with.facts().labels_per_pass, 3);
    assert_eq!(with.facts().score_mode, ScoreMode::Mean);
    assert_eq!(with.facts().windows.entities, Some(16));
    assert_eq!(with.facts().windows.questions, None);
    assert_ne!(with.digest(), without.digest());
    assert_eq!(with.digest().len(), 64);
}

#[test]
fn a_mistake_in_gleand_json_is_named() {
    let copy = Copy::of("token_bert", "facts-wrong");
    let write = |facts: &str| fs::write(copy.0.join("gleand.json"), facts).unwrap();
    write(r#"{"thresholds": {"summary": 1.5}}"#);
    assert!(copy.error().to_string().contains("gleand.json: thresholds.summary is 1.5"));
    write(r#"{"window_words": {"entities": 29}}"#);
    assert!(copy.error().to_string().contains("gleand.json: window_words.entities is 29"));
    write(r#"{"thresholds": {"summery": 0.5}}"#);
    let error = copy.error();
    assert!(error.source().unwrap().to_string().contains("summery"), "{error}");
}

#[test]
fn a_missing_weight_is_named() {
    let copy = Copy::of("token_bert", "missing");
    copy.edit_weights(|tensors| {
        tensors.remove("rnn.lstm.weight_hh_l0_reverse").unwrap();
    });
    let error = copy.error();
    assert!(
        matches!(&error, LoadError::MissingWeight { key } if key == "rnn.lstm.weight_hh_l0_reverse"),
        "{error}"
    );
}

#[test]
fn an_unexpected_weight_is_named() {
    let copy = Copy::of("token_deberta", "unexpected");
    copy.edit_weights(|tensors| {
        let view = tensors["scorer.out_mlp.3.bias"].clone();
        tensors.insert("token_rep_layer.projection.bias".to_owned(), view);
    });
    let error = copy.error();
    assert!(
        matches!(&error, LoadError::UnexpectedWeight { key } if key == "token_rep_layer.projection.bias"),
        "{error}"
    );
}

#[test]
fn a_weight_of_another_shape_is_named() {
    let copy = Copy::of("token_bert", "shape");
    copy.edit("gliner_config.json", |config| {
        config["encoder_config"]["intermediate_size"] = json!(96);
    });
    let error = copy.error().to_string();
    assert!(error.contains("layer.0.intermediate.dense.weight"), "{error}");
    assert!(error.contains("[64, 32]") && error.contains("[96, 32]"), "{error}");
}

#[test]
fn weights_that_are_cut_short_are_an_error() {
    let copy = Copy::of("token_bert", "cut");
    let path = copy.0.join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = copy.error();
        assert!(error.to_string().contains("model.safetensors"), "{length} bytes: {error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let copy = Copy::of("token_bert", "no-tokenizer");
    fs::remove_file(copy.0.join("tokenizer.json")).unwrap();
    assert!(copy.error().to_string().ends_with("tokenizer.json"));
}

#[test]
fn a_marker_that_is_not_the_tokenizers_is_an_error() {
    let copy = Copy::of("token_bert", "marker");
    copy.edit("gliner_config.json", |config| config["class_token_index"] = json!(1000));
    let error = copy.error().to_string();
    assert!(
        error.contains("1000") && error.contains("<<ENT>>") && error.contains("1001"),
        "{error}"
    );
    copy.edit("gliner_config.json", |config| config["class_token_index"] = json!(-1));
    Model::load_dir(&copy.0).unwrap();
    copy.edit("gliner_config.json", |config| config["ent_token"] = json!("<<LABEL>>"));
    assert!(matches!(copy.error(), LoadError::MissingToken { token } if token == "<<LABEL>>"));
}

#[test]
fn what_is_not_supported_is_named_with_its_value() {
    let cases = [
        ("span_mode", json!("markerV0")),
        ("fuse_layers", json!(true)),
        ("represent_spans", json!(true)),
        ("labels_encoder", json!("some/encoder")),
        ("relations_layer", json!("dot")),
        ("words_splitter_type", json!("spacy")),
        ("subtoken_pooling", json!("median")),
        ("model_type", json!("gliner_streaming_span")),
        ("encoder_config", Value::Null),
    ];
    let copy = Copy::of("token_bert", "unsupported");
    for (key, value) in cases {
        let mut before = Value::Null;
        copy.edit("gliner_config.json", |config| {
            before = config[key].clone();
            config[key] = value.clone();
        });
        let error = copy.error();
        let shown = if value.is_null() { "absent".to_owned() } else { value.to_string() };
        let expected = format!("gliner_config.json: {key} = {shown} is not supported yet");
        assert_eq!(error.to_string(), expected);
        copy.edit("gliner_config.json", |config| config[key] = before);
    }
    copy.edit("gliner_config.json", |config| config["encoder_config"]["model_type"] = json!("t5"));
    assert!(copy.error().to_string().contains("encoder_config.model_type = \"t5\""));
}

#[test]
fn half_precision_weights_are_read_as_fp32() {
    // The same three numbers, as fp32, fp16 and bf16.
    let formats: [(Dtype, &'static [u8]); 3] = [
        (Dtype::F32, &[0, 0, 0, 0x3f, 0, 0, 0x80, 0xbf, 0, 0, 0, 0x40]),
        (Dtype::F16, &[0, 0x38, 0, 0xbc, 0, 0x40]),
        (Dtype::BF16, &[0, 0x3f, 0x80, 0xbf, 0, 0x40]),
    ];
    let probabilities = formats.map(|(format, bytes)| {
        let copy = Copy::of("token_bert", &format!("{format:?}"));
        copy.edit_weights(|tensors| {
            let view = TensorView::new(format, vec![3], bytes).unwrap();
            tensors.insert("scorer.out_mlp.3.bias".to_owned(), view);
        });
        let model = Model::load_dir(&copy.0).unwrap();
        let encoder = model.encoder();
        let pieces = encoder.pieces("word");
        let word_ends = vec![u32::try_from(pieces.len()).unwrap()];
        let prompt = Arc::new(encoder.prompt(&["person"]));
        let window = WindowInput { prompt, pieces, word_ends };
        model.scorer().score(&[&window]).unwrap().remove(0)
    });
    assert_eq!(probabilities[0], probabilities[1]);
    assert_eq!(probabilities[0], probabilities[2]);
}

#[test]
fn a_weight_in_another_number_format_is_named() {
    let copy = Copy::of("token_bert", "format");
    copy.edit_weights(|tensors| {
        let view = TensorView::new(Dtype::I32, vec![3], &[0; 12]).unwrap();
        tensors.insert("scorer.out_mlp.3.bias".to_owned(), view);
    });
    let error = copy.error().to_string();
    assert!(error.contains("scorer.out_mlp.3.bias") && error.contains("I32"), "{error}");
}

#[test]
fn a_tokenizer_with_more_pieces_than_embeddings_is_an_error() {
    let copy = Copy::of("token_bert", "vocabulary");
    copy.edit("tokenizer.json", |tokenizer| {
        let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
        let mut token = tokens[0].clone();
        token["id"] = json!(1003);
        token["content"] = json!("<<NEW>>");
        tokens.push(token);
    });
    assert!(matches!(copy.error(), LoadError::Vocabulary { piece: 1003, rows: 1003 }));
}

#[test]
fn a_window_that_does_not_fit_the_network_is_an_error() {
    let model = Model::load_dir(&directory("token_bert")).unwrap();
    let prompt = Arc::new(model.encoder().prompt(&["person"]));
    let long = 513 - u32::try_from(prompt.pieces()).unwrap();
    let bad = [
        (vec![9; long as usize], (1..=long).collect(), "longer than the 512"),
        (vec![9, 9], vec![3], "word ends"),
        (vec![9, 9], vec![2, 1], "word ends"),
    ];
    for (pieces, word_ends, expected) in bad {
        let window = WindowInput { prompt: Arc::clone(&prompt), pieces, word_ends };
        let error = model.scorer().score(&[&window]).unwrap_err();
        assert_eq!(error.windows, 1);
        assert!(error.source.to_string().contains(expected), "{}", error.source);
    }
    let unknown = WindowInput { prompt, pieces: vec![5000], word_ends: vec![1] };
    assert!(model.scorer().score(&[&unknown]).is_err());
}

#[test]
fn a_label_that_would_disturb_the_prompt_is_refused() {
    for fixture in ["token_bert", "token_deberta"] {
        let encoder = Model::load_dir(&directory(fixture)).unwrap().encoder();
        for token in ["<<ENT>>", "<<SEP>>", "[SEP]", "[CLS]", "[PAD]"] {
            let error = encoder.label_pieces(&format!("a{token} b")).unwrap_err();
            assert_eq!(error, LabelError::SpecialToken { token: token.to_owned() });
        }
        assert!(!encoder.label_pieces("person").unwrap().is_empty());
    }
    let encoder = Model::load_dir(&directory("token_bert")).unwrap().encoder();
    assert_eq!(encoder.label_pieces("\u{200b}").unwrap_err(), LabelError::NoPieces);
}

#[test]
fn text_never_becomes_a_special_piece() {
    for fixture in ["token_bert", "token_deberta"] {
        let encoder = Model::load_dir(&directory(fixture)).unwrap().encoder();
        let prompt = encoder.prompt(&["a"]);
        let marker = prompt.head[prompt.label_positions[0] as usize];
        for text in ["<<ENT>>", "<<SEP>>", "[SEP]", "x[CLS]y"] {
            let pieces = encoder.pieces(text);
            assert!(!pieces.contains(&marker), "{text}");
            assert!(pieces.iter().all(|piece| !prompt.tail.contains(piece)), "{text}");
        }
    }
}

#[test]
fn a_marker_that_the_tokenizer_declares_as_plain_is_special_all_the_same() {
    let copy = Copy::of("token_bert", "plain-marker");
    let special = Model::load_dir(&copy.0).unwrap().encoder();
    copy.edit("tokenizer.json", |tokenizer| {
        for token in tokenizer["added_tokens"].as_array_mut().unwrap() {
            token["special"] = json!(!token["content"].as_str().unwrap().starts_with("<<"));
        }
    });
    let plain = Model::load_dir(&copy.0).unwrap().encoder();
    assert_eq!(plain.prompt(&["person", "date"]), special.prompt(&["person", "date"]));
    assert_eq!(plain.pieces("<<ENT>>"), special.pieces("<<ENT>>"));
    assert!(plain.label_pieces("a <<SEP>>").is_err());
}

#[cfg(feature = "default-model")]
#[test]
fn the_embedded_model_is_the_one_in_the_repository() {
    let embedded = Model::embedded().unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let loaded = Model::load_dir(&root.join("models/default")).unwrap();
    assert_eq!(embedded.digest(), loaded.digest());
    assert_eq!((embedded.name(), loaded.name()), ("default", "default"));
    assert_eq!(embedded.facts().labels_per_pass, 20);
    assert_eq!(embedded.facts().pieces_max, Some(512));
}
