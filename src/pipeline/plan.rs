//! What a document is asked for, worked out before its first byte: label groups, prompts, window sizes.
//! If a plan was made, the stream cannot fail for a reason that its client could have known.

use std::sync::Arc;

use super::merge::SelectionRules;
use super::ports::{Encoder, ModelFacts, ScoreMode};
use super::schema::{EntitySchema, SchemaError, Threshold};
use super::scores::Prompt;
use super::utf8::InvalidUtf8;
use super::window::Geometry;

/// More passes for each window than this are worth a warning about the cost.
const PASSES_WITHOUT_WARNING: usize = 4;
/// Words of a cluster for each word of a window, before the cluster is decided early.
const CLUSTER_WINDOWS: u64 = 8;

/// Sizes that the operator may set; `None` is what the model's `max_len` gives (ARCHITECTURE.md, "Words and windows").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPolicy {
    /// Words of a window, at most the model's.
    pub words_max: Option<usize>,
    /// Pieces of a window, prompt included, at most the encoder's.
    pub pieces_max: Option<usize>,
    /// Words of context before a core.
    pub margin_words: Option<usize>,
    /// Words of the widest mention that is found wherever it stands: the margin behind a core.
    pub mention_words_max: Option<usize>,
    /// Words that must be left for text beside the labels of one pass.
    pub text_words_min: Option<usize>,
    /// Pieces that one word gives the encoder.
    pub word_pieces_max: usize,
    /// Bytes after which a word without end is closed.
    pub word_bytes_max: usize,
    /// Candidates that are held for one task.
    pub candidates_max: usize,
    /// Windows of one document that may be scored at the same time.
    pub windows_in_flight_max: usize,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self {
            words_max: None,
            pieces_max: None,
            margin_words: None,
            mention_words_max: None,
            text_words_min: None,
            word_pieces_max: 64,
            word_bytes_max: 4096,
            candidates_max: 1 << 18,
            windows_in_flight_max: 4,
        }
    }
}

impl WindowPolicy {
    /// Words of a window of this model.
    #[must_use]
    pub fn window_words(&self, facts: &ModelFacts) -> usize {
        self.words_max.unwrap_or(usize::MAX).min(facts.words_max).max(1)
    }

    /// Pieces of a window of this model, prompt included.
    #[must_use]
    pub fn window_pieces(&self, facts: &ModelFacts) -> usize {
        match (facts.pieces_max, self.pieces_max) {
            (Some(limit), Some(set)) => set.min(limit),
            (Some(limit), None) => limit,
            (None, Some(set)) => set,
            (None, None) => 2 * facts.words_max,
        }
    }

    /// Words, or as many pieces, that a prompt leaves to a window's text.
    #[must_use]
    pub fn text_words(&self, facts: &ModelFacts) -> usize {
        self.text_words_min.unwrap_or(self.window_words(facts) / 4).max(1)
    }
}

/// What is asked of one document.
#[derive(Debug)]
pub struct Plan {
    /// Tasks in the order of the request.
    pub tasks: Vec<TaskPlan>,
    /// Words to pieces.
    pub encoder: Arc<dyn Encoder>,
    /// What happens to bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// Whether results carry their text, so that text must be kept while a mention may form.
    pub keep_text: KeepText,
    /// Sizes as set by the operator.
    pub policy: WindowPolicy,
}

/// Whether results carry their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepText {
    /// They do.
    Yes,
    /// They carry offsets only.
    No,
}

/// One task, ready to run.
#[derive(Debug)]
pub struct TaskPlan {
    /// What to look for.
    pub schema: EntitySchema,
    /// Labels in as few passes as fit; every group sees the same windows.
    pub groups: Vec<LabelGroup>,
    /// Window sizes.
    pub geometry: Geometry,
    /// How candidates exclude each other.
    pub rules: SelectionRules,
    /// How a span's score is made.
    pub score_mode: ScoreMode,
    /// What the client should know before it sends text.
    pub warnings: Vec<PlanWarning>,
}

/// The labels of one pass.
#[derive(Debug)]
pub struct LabelGroup {
    /// The schema's number of the group's first label.
    pub first_label: u32,
    /// A threshold for each label of the group.
    pub thresholds: Vec<Threshold>,
    /// The prompt that asks for the group.
    pub prompt: Arc<Prompt>,
}

/// What a plan says about itself. Labels are indices into the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanWarning {
    /// Every window is read once for each group of labels.
    ManyPasses {
        /// Passes for each window.
        passes: usize,
    },
    /// Two labels are the same to the model.
    EqualLabels {
        /// One label.
        first: usize,
        /// The other.
        second: usize,
    },
}

impl TaskPlan {
    /// Works out how `schema` is run on a model.
    ///
    /// # Errors
    /// Every [`SchemaError`] that only the model can know.
    pub fn new(
        schema: EntitySchema,
        encoder: &dyn Encoder,
        facts: &ModelFacts,
        policy: WindowPolicy,
    ) -> Result<Self, Vec<SchemaError>> {
        let mut warnings = check_readable(&schema, encoder)?;
        let words_max = policy.words_max.unwrap_or(usize::MAX).min(facts.words_max).max(1);
        let pieces_max =
            facts.pieces_max.unwrap_or(policy.pieces_max.unwrap_or(2 * facts.words_max));
        let text_pieces_min = policy.text_words_min.unwrap_or(words_max / 4).max(1);
        let prompt_pieces_max = pieces_max.saturating_sub(text_pieces_min);
        let groups = group_labels(&schema, encoder, facts.labels_per_pass, prompt_pieces_max)
            .map_err(|(label, pieces)| {
                let left = pieces_max.saturating_sub(pieces);
                vec![SchemaError::PromptTooLong { label, pieces, left, needed: text_pieces_min }]
            })?;
        if groups.len() > PASSES_WITHOUT_WARNING {
            warnings.push(PlanWarning::ManyPasses { passes: groups.len() });
        }
        let prompt_pieces = groups.iter().map(|group| group.prompt.pieces()).max().unwrap_or(0);
        let geometry = Geometry::new(words_max, pieces_max - prompt_pieces, policy);
        let rules = SelectionRules {
            overlap: schema.overlap,
            labels_per_span: schema.labels_per_span,
            candidates_max: policy.candidates_max,
            words_max: CLUSTER_WINDOWS * words_max as u64,
        };
        Ok(Self { schema, groups, geometry, rules, score_mode: facts.score_mode, warnings })
    }
}

fn check_readable(
    schema: &EntitySchema,
    encoder: &dyn Encoder,
) -> Result<Vec<PlanWarning>, Vec<SchemaError>> {
    let mut known: Vec<(usize, Vec<u32>)> = Vec::with_capacity(schema.labels.len());
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    for label in &schema.labels {
        let index = label.request_index;
        match encoder.label_pieces(&label.prompt) {
            Ok(pieces) => {
                if let Some((first, _)) = known.iter().find(|(_, other)| *other == pieces) {
                    warnings.push(PlanWarning::EqualLabels { first: *first, second: index });
                }
                known.push((index, pieces));
            }
            Err(source) => errors.push(SchemaError::Unreadable { label: index, source }),
        }
    }
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

/// Cuts the labels in order into the fewest groups, equal but for one label, that fit.
///
/// Fails with the request index and the prompt's pieces of a label that does not even fit alone.
fn group_labels(
    schema: &EntitySchema,
    encoder: &dyn Encoder,
    labels_per_pass: usize,
    prompt_pieces_max: usize,
) -> Result<Vec<LabelGroup>, (usize, usize)> {
    let labels = schema.labels.len();
    // Sizes add up, so each label is read once, however many counts of groups are tried.
    let empty = encoder.prompt(&[]).pieces();
    let sizes: Vec<usize> =
        schema.labels.iter().map(|l| encoder.prompt(&[&l.prompt]).pieces() - empty).collect();
    let (widest, size) =
        sizes.iter().enumerate().max_by_key(|(_, size)| **size).expect("a schema has labels");
    if empty + size > prompt_pieces_max {
        return Err((schema.labels[widest].request_index, empty + size));
    }
    let fits = |count: usize| {
        (0..count).all(|group| {
            let labels = group * labels / count..(group + 1) * labels / count;
            empty + sizes[labels].iter().sum::<usize>() <= prompt_pieces_max
        })
    };
    let fewest = labels.div_ceil(labels_per_pass.max(1));
    let count = (fewest..labels).find(|&count| fits(count)).unwrap_or(labels);
    let groups = (0..count).map(|group| {
        label_group(schema, encoder, group * labels / count, (group + 1) * labels / count)
    });
    Ok(groups.collect())
}

fn label_group(schema: &EntitySchema, encoder: &dyn Encoder, from: usize, to: usize) -> LabelGroup {
    let labels = &schema.labels[from..to];
    let prompts: Vec<&str> = labels.iter().map(|label| &*label.prompt).collect();
    LabelGroup {
        first_label: u32::try_from(from).expect("far fewer labels than 2^32"),
        thresholds: labels.iter().map(|label| label.threshold).collect(),
        prompt: Arc::new(encoder.prompt(&prompts)),
    }
}
