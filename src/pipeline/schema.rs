//! What to look for. A value of these types is known to be usable.

use std::fmt;

/// A threshold, `0 < t < 1`, kept as the f32 that was sent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Threshold(f32);

impl Threshold {
    /// # Errors
    /// Returns the value where it is not between 0 and 1.
    pub fn new(value: f32) -> Result<Self, f32> {
        if value > 0.0 && value < 1.0 { Ok(Self(value)) } else { Err(value) }
    }

    /// The value.
    #[must_use]
    pub fn get(self) -> f32 {
        self.0
    }
}

/// Whether mentions may lie in one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// No two mentions share a word.
    Flat,
    /// A mention may contain another; crossing ones exclude each other.
    Nested,
}

/// How many labels one range may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsPerSpan {
    /// The best one.
    One,
    /// Every one over its threshold.
    Many,
}

/// An entities task as a client wrote it: nothing is checked yet.
#[derive(Clone, Debug)]
pub struct EntitiesRequest {
    /// Labels in the order of the request.
    pub labels: Vec<LabelRequest>,
    /// Threshold of labels without one of their own.
    pub threshold: Option<f32>,
    /// Flat or nested.
    pub overlap: Overlap,
    /// One label a range or many.
    pub labels_per_span: LabelsPerSpan,
}

/// A label as a client wrote it.
#[derive(Clone, PartialEq)]
pub struct LabelRequest {
    /// What the result carries.
    pub name: String,
    /// What the model reads instead of the name.
    pub description: Option<String>,
    /// The label's own threshold.
    pub threshold: Option<f32>,
}

impl fmt::Debug for LabelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelRequest")
            .field("name_bytes", &self.name.len())
            .field("description_bytes", &self.description.as_ref().map(String::len))
            .field("threshold", &self.threshold)
            .finish()
    }
}

/// A label to look for.
#[derive(Clone, PartialEq)]
pub struct Label {
    /// What the result carries, trimmed.
    pub name: Box<str>,
    /// What the model reads: the description, else the name.
    pub prompt: Box<str>,
    /// The label's threshold.
    pub threshold: Threshold,
    /// Where the label stands in the request, duplicates counted.
    pub request_index: usize,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label")
            .field("name_bytes", &self.name.len())
            .field("threshold", &self.threshold)
            .field("request_index", &self.request_index)
            .finish_non_exhaustive()
    }
}

/// An entities task that can be run: at least one label, no two of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct EntitySchema {
    /// Labels in the order of the request.
    pub labels: Vec<Label>,
    /// Flat or nested.
    pub overlap: Overlap,
    /// One label a range or many.
    pub labels_per_span: LabelsPerSpan,
}

/// Bounds of what a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaLimits {
    /// Labels of one task.
    pub labels_max: usize,
    /// Bytes of one name or description.
    pub label_bytes_max: usize,
}

impl EntitySchema {
    /// Checks a request. `default_threshold` is the model's for the task.
    ///
    /// # Errors
    /// Every [`SchemaError`] that the request has.
    pub fn new(
        request: &EntitiesRequest,
        default_threshold: f32,
        limits: SchemaLimits,
    ) -> Result<Self, Vec<SchemaError>> {
        if request.labels.is_empty() {
            return Err(vec![SchemaError::NoLabels]);
        }
        if request.labels.len() > limits.labels_max {
            let actual = request.labels.len();
            return Err(vec![SchemaError::TooManyLabels { actual, limit: limits.labels_max }]);
        }
        let mut errors = Vec::new();
        let task_threshold = match Threshold::new(request.threshold.unwrap_or(default_threshold)) {
            Ok(threshold) => Some(threshold),
            Err(value) => {
                errors.push(SchemaError::Threshold { label: None, value });
                None
            }
        };
        let mut labels: Vec<Label> = Vec::with_capacity(request.labels.len());
        for (index, label) in request.labels.iter().enumerate() {
            match check_label(index, label, task_threshold, limits) {
                Ok(label) => match labels.iter().find(|known| known.name == label.name) {
                    None => labels.push(label),
                    Some(known)
                        if known.prompt == label.prompt && known.threshold == label.threshold => {}
                    Some(known) => {
                        errors.push(SchemaError::Duplicate {
                            label: index,
                            first: known.request_index,
                        });
                    }
                },
                Err(error) => errors.extend(error),
            }
        }
        if errors.is_empty() {
            Ok(Self { labels, overlap: request.overlap, labels_per_span: request.labels_per_span })
        } else {
            Err(errors)
        }
    }
}

/// `None` stands for a label that only suffers from the task's threshold, which was reported already.
fn check_label(
    index: usize,
    label: &LabelRequest,
    task_threshold: Option<Threshold>,
    limits: SchemaLimits,
) -> Result<Label, Option<SchemaError>> {
    let name = label.name.trim();
    if name.is_empty() {
        return Err(Some(SchemaError::EmptyName { label: index }));
    }
    let description = label.description.as_deref().map(str::trim).filter(|text| !text.is_empty());
    for actual in [name.len(), description.map_or(0, str::len)] {
        if actual > limits.label_bytes_max {
            let limit = limits.label_bytes_max;
            return Err(Some(SchemaError::LabelTooLong { label: index, actual, limit }));
        }
    }
    let threshold = match label.threshold {
        Some(value) => Threshold::new(value)
            .map_err(|value| Some(SchemaError::Threshold { label: Some(index), value }))?,
        None => task_threshold.ok_or(None)?,
    };
    let prompt = description.unwrap_or(name).into();
    Ok(Label { name: name.into(), prompt, threshold, request_index: index })
}

/// Why a task cannot be run. `label` is an index into the request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// Nothing is asked for.
    #[error("name at least one label")]
    NoLabels,
    /// More labels than the server allows.
    #[error("{actual} labels are more than the {limit} that this server allows in a task")]
    TooManyLabels {
        /// Labels in the request.
        actual: usize,
        /// Labels allowed.
        limit: usize,
    },
    /// A name is empty or blank.
    #[error("the name is empty")]
    EmptyName {
        /// Which label.
        label: usize,
    },
    /// A name or description is too long.
    #[error(
        "{actual} bytes are more than the {limit} that this server allows in a name or description"
    )]
    LabelTooLong {
        /// Which label.
        label: usize,
        /// Bytes in the request.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A threshold is not between 0 and 1.
    #[error("the threshold {value} is not between 0 and 1 (both excluded)")]
    Threshold {
        /// Which label; the task's own if absent.
        label: Option<usize>,
        /// What was sent.
        value: f32,
    },
    /// The same name twice with other settings.
    #[error("the name was used before with another description or threshold, by label {first}")]
    Duplicate {
        /// Which label.
        label: usize,
        /// The label that has the name.
        first: usize,
    },
    /// A label that the prompt cannot hold.
    #[error("the label {source}")]
    Unreadable {
        /// Which label.
        label: usize,
        /// Why.
        source: super::ports::LabelError,
    },
    /// A label that leaves too little room for text.
    #[error(
        "the label takes {pieces} pieces of the prompt and leaves {left} for text, fewer than the {needed} \
         that are needed: shorten its description"
    )]
    PromptTooLong {
        /// Which label.
        label: usize,
        /// Pieces that a prompt with this label alone takes.
        pieces: usize,
        /// Pieces left for text.
        left: usize,
        /// Pieces that must be left.
        needed: usize,
    },
}
