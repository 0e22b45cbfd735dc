//! Names to look for, checked: what is wrong with one says where in the request it stands.

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

/// A part of a task's request, so that a mistake can be told by its place. Numbers count from 0, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The task itself.
    Task,
    /// One of its labels.
    Label(usize),
    /// One of its relations.
    Relation(usize),
    /// A label of the heads of a relation.
    HeadLabel(usize, usize),
    /// A label of the tails of a relation.
    TailLabel(usize, usize),
    /// One of its questions.
    Question(usize),
    /// Its instruction.
    Instruction,
    /// How many answers it wants.
    AnswersMax,
    /// How many words it wants.
    WordsMax,
    /// How far head and tail may stand apart.
    Distance,
    /// The threshold of arguments.
    ArgumentThreshold,
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
    /// Where the label stands in the request.
    pub part: Part,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label")
            .field("name_bytes", &self.name.len())
            .field("threshold", &self.threshold)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// Bounds of what a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaLimits {
    /// Labels of one task.
    pub labels_max: usize,
    /// Bytes of one name, description, question or instruction.
    pub label_bytes_max: usize,
    /// Questions of one task.
    pub questions_max: usize,
    /// Passes of the second stage of relations over one window.
    pub relation_passes_max: usize,
}

/// Checks `requests` one by one. A repetition with equal settings is dropped, one with others is a mistake.
///
/// `place` says where the label of a number stands in the request. Without `threshold` the task's own was no threshold,
/// which was reported already.
#[must_use]
pub fn check_labels(
    requests: &[LabelRequest],
    place: &dyn Fn(usize) -> Part,
    threshold: Option<Threshold>,
    limits: SchemaLimits,
    errors: &mut Vec<SchemaError>,
) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        if let Some(label) = check_label(request, place(index), threshold, limits, errors) {
            add_label(&mut labels, label, errors);
        }
    }
    labels
}

/// Adds a label unless its name is known, and says where it stands then.
pub fn add_label(labels: &mut Vec<Label>, label: Label, errors: &mut Vec<SchemaError>) -> usize {
    let Some(known) = labels.iter().position(|known| known.name == label.name) else {
        labels.push(label);
        return labels.len() - 1;
    };
    let first = &labels[known];
    if first.prompt != label.prompt || first.threshold != label.threshold {
        errors.push(SchemaError::new(label.part, Problem::Duplicate { first: first.part }));
    }
    known
}

/// Checks one label; `None` where it cannot be used.
pub fn check_label(
    label: &LabelRequest,
    part: Part,
    task_threshold: Option<Threshold>,
    limits: SchemaLimits,
    errors: &mut Vec<SchemaError>,
) -> Option<Label> {
    let name = label.name.trim();
    if name.is_empty() {
        errors.push(SchemaError::new(part, Problem::EmptyName));
        return None;
    }
    let description = label.description.as_deref().map(str::trim).filter(|text| !text.is_empty());
    for actual in [name.len(), description.map_or(0, str::len)] {
        if actual > limits.label_bytes_max {
            let limit = limits.label_bytes_max;
            errors.push(SchemaError::new(part, Problem::TooLong { actual, limit }));
            return None;
        }
    }
    let threshold = match label.threshold.map(Threshold::new) {
        None => task_threshold?,
        Some(Ok(threshold)) => threshold,
        Some(Err(value)) => {
            errors.push(SchemaError::new(part, Problem::Threshold { value }));
            return None;
        }
    };
    let prompt = description.unwrap_or(name).into();
    Some(Label { name: name.into(), prompt, threshold, part })
}

/// Why a task cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct SchemaError {
    /// Which part of the request.
    pub part: Part,
    /// What is wrong with it.
    pub problem: Problem,
}

impl SchemaError {
    /// States that something is wrong with a part.
    #[must_use]
    pub fn new(part: Part, problem: Problem) -> Self {
        Self { part, problem }
    }
}

/// What can be wrong with a part of a request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Nothing is asked for.
    #[error("name at least one")]
    Nothing,
    /// More is asked for than the server allows.
    #[error("{actual} are more than the {limit} that this server allows in a task")]
    TooMany {
        /// Labels, relations or questions in the request.
        actual: usize,
        /// As many are allowed.
        limit: usize,
    },
    /// A name, question or instruction is empty or blank.
    #[error("it is empty")]
    EmptyName,
    /// No relation says what its arguments are.
    #[error("name the labels of the heads or of the tails of at least one relation")]
    NoArgumentLabels,
    /// A text is too long.
    #[error("{actual} bytes are more than the {limit} that this server allows here")]
    TooLong {
        /// Bytes in the request.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A threshold is not between 0 and 1.
    #[error("the threshold {value} is not between 0 and 1 (both excluded)")]
    Threshold {
        /// What was sent.
        value: f32,
    },
    /// A number is out of its range.
    #[error("{value} is not a number from 0 to {max}")]
    OutOfRange {
        /// What was sent.
        value: i64,
        /// The largest number allowed.
        max: i64,
    },
    /// The same name twice with other settings.
    #[error("the name was used before with another description or threshold{}", of(*.first))]
    Duplicate {
        /// The part that has the name.
        first: Part,
    },
    /// A name that the prompt cannot hold.
    #[error("it {0}")]
    Unreadable(super::ports::LabelError),
    /// A text that leaves too little room for the document.
    #[error(
        "the model reads {taken} {unit} of this in every window and has {left} left for the document, fewer than the \
         {needed} that are needed: make it shorter, or ask for less at once"
    )]
    PromptTooLong {
        /// What is counted: pieces or words.
        unit: &'static str,
        /// Taken by a prompt with this part alone.
        taken: usize,
        /// Left for text.
        left: usize,
        /// Must be left.
        needed: usize,
    },
}

fn of(first: Part) -> String {
    match first {
        Part::Label(label) => format!(", by label {label}"),
        Part::HeadLabel(relation, _) | Part::TailLabel(relation, _) => {
            format!(", by relation {relation}")
        }
        _ => String::new(),
    }
}
