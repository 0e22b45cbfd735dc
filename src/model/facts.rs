//! `gleand.json`: what this project knows about a checkpoint beyond its config. The file is optional.

use serde::Deserialize;

use super::LoadError;
use super::config::{Config, EncoderConfig};
use crate::pipeline::ports::{ModelFacts, ScoreMode, TaskThresholds, TaskWindows};

/// The file's name in a checkpoint.
pub(super) const FACTS_FILE: &str = "gleand.json";

/// The smallest window that can be asked for, as in the configuration.
const WINDOW_WORDS_MIN: usize = 8;

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    thresholds: Thresholds,
    labels_per_pass: Option<usize>,
    score_mode: Mode,
    window_words: Windows,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Thresholds {
    entities: Option<f32>,
    open: Option<f32>,
    relations: Option<f32>,
    questions: Option<f32>,
    summary: Option<f32>,
    classify: Option<f32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Windows {
    entities: Option<usize>,
    open: Option<usize>,
    questions: Option<usize>,
    summary: Option<usize>,
    relations: Option<usize>,
    classify: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Min,
    Mean,
}

/// Facts of a checkpoint: its config, and `gleand.json` where there is one.
pub(super) fn parse(json: Option<&[u8]>, config: &Config) -> Result<ModelFacts, LoadError> {
    let file: File = match json {
        None => File::default(),
        Some(json) => serde_json::from_slice(json)
            .map_err(|source| LoadError::Json { file: FACTS_FILE, source })?,
    };
    let labels_per_pass = file.labels_per_pass.unwrap_or(config.types_max);
    if labels_per_pass == 0 {
        return Err(invalid("labels_per_pass", "0".to_owned(), "a number above 0"));
    }
    Ok(ModelFacts {
        words_max: config.words_max,
        pieces_max: match &config.encoder {
            EncoderConfig::Bert(bert) => Some(bert.positions),
            EncoderConfig::Deberta(_) => None,
        },
        labels_per_pass,
        score_mode: match file.score_mode {
            Mode::Min => ScoreMode::Min,
            Mode::Mean => ScoreMode::Mean,
        },
        thresholds: file.thresholds.resolve()?,
        windows: file.window_words.resolve(config.words_max)?,
    })
}

impl Thresholds {
    fn resolve(&self) -> Result<TaskThresholds, LoadError> {
        let default = TaskThresholds::default();
        Ok(TaskThresholds {
            entities: checked("entities", self.entities, default.entities)?,
            open: checked("open", self.open, default.open)?,
            relations: checked("relations", self.relations, default.relations)?,
            questions: checked("questions", self.questions, default.questions)?,
            summary: checked("summary", self.summary, default.summary)?,
            classify: checked("classify", self.classify, default.classify)?,
        })
    }
}

impl Windows {
    fn resolve(&self, words_max: usize) -> Result<TaskWindows, LoadError> {
        let checked = |task: &str, words: Option<usize>| match words {
            Some(words) if words < WINDOW_WORDS_MIN || words > words_max => Err(invalid(
                &format!("window_words.{task}"),
                words.to_string(),
                "a number from 8 to the max_len of the checkpoint",
            )),
            words => Ok(words),
        };
        Ok(TaskWindows {
            entities: checked("entities", self.entities)?,
            open: checked("open", self.open)?,
            questions: checked("questions", self.questions)?,
            summary: checked("summary", self.summary)?,
            relations: checked("relations", self.relations)?,
            classify: checked("classify", self.classify)?,
        })
    }
}

fn checked(task: &str, threshold: Option<f32>, default: f32) -> Result<f32, LoadError> {
    match threshold {
        None => Ok(default),
        Some(threshold) if threshold > 0.0 && threshold < 1.0 => Ok(threshold),
        Some(threshold) => Err(invalid(
            &format!("thresholds.{task}"),
            threshold.to_string(),
            "a number between 0 and 1, both excluded",
        )),
    }
}

fn invalid(key: &str, value: String, expected: &'static str) -> LoadError {
    LoadError::Invalid { file: FACTS_FILE, key: key.to_owned(), value, expected }
}
