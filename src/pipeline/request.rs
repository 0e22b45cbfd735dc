//! What a client asks for, as it wrote it: nothing is checked yet. Each task's file in [`super::task`] turns its request
//! into a plan.

use super::schema::{LabelRequest, LabelsPerSpan, Overlap};

/// One task of a request.
#[derive(Clone, Debug)]
pub enum TaskRequest {
    /// Spans of named types.
    Entities(EntitiesRequest),
    /// Spans that follow an instruction.
    Open(OpenRequest),
    /// Answers to questions.
    Questions(QuestionsRequest),
    /// Spans that sum the document up.
    Summary(SummaryRequest),
    /// Classes of the document.
    Classify(ClassifyRequest),
    /// Pairs of spans that stand in a relation.
    Relations(RelationsRequest),
}

/// Spans of named types.
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

/// Spans that follow an instruction.
#[derive(Clone)]
pub struct OpenRequest {
    /// What to look for, in plain words.
    pub instruction: String,
    /// Threshold of the spans.
    pub threshold: Option<f32>,
    /// Flat or nested.
    pub overlap: Overlap,
}

/// Answers to questions.
#[derive(Clone, Debug)]
pub struct QuestionsRequest {
    /// The questions, in order.
    pub questions: Vec<QuestionRequest>,
    /// Threshold of questions without one of their own.
    pub threshold: Option<f32>,
    /// Answers to each at most; 0 is one.
    pub answers_max: i32,
}

/// One question.
#[derive(Clone)]
pub struct QuestionRequest {
    /// As a person would ask it.
    pub text: String,
    /// Threshold of its answers.
    pub threshold: Option<f32>,
}

/// Spans that sum the document up.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRequest {
    /// Threshold of the spans.
    pub threshold: Option<f32>,
    /// Words of all spans together at most; 0 is no bound.
    pub words_max: i32,
    /// Widen every span to the sentences that it touches.
    pub whole_sentences: bool,
}

/// Classes of the document.
#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    /// The classes, in order.
    pub labels: Vec<LabelRequest>,
    /// Threshold of classes without one of their own.
    pub threshold: Option<f32>,
    /// Every class over its threshold, not the best one.
    pub multi_label: bool,
}

/// Pairs of spans that stand in a relation.
#[derive(Clone, Debug)]
pub struct RelationsRequest {
    /// The relations, in order.
    pub relations: Vec<RelationRequest>,
    /// Threshold of relations without one of their own.
    pub threshold: Option<f32>,
    /// Threshold of argument labels without one of their own.
    pub argument_threshold: Option<f32>,
    /// Words between head and tail at most; 0 is as many as a window holds.
    pub distance_words_max: i32,
    /// Which arguments may share words.
    pub overlap: Overlap,
}

/// One relation.
#[derive(Clone, Debug)]
pub struct RelationRequest {
    /// Name, description and threshold.
    pub label: LabelRequest,
    /// Labels that a head may have; none is every label of the task.
    pub heads: Vec<LabelRequest>,
    /// Labels that a tail may have; none is every label of the task.
    pub tails: Vec<LabelRequest>,
}

// Both hold what a client wrote.
impl std::fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenRequest")
            .field("instruction_bytes", &self.instruction.len())
            .field("threshold", &self.threshold)
            .field("overlap", &self.overlap)
            .finish()
    }
}

impl std::fmt::Debug for QuestionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuestionRequest")
            .field("text_bytes", &self.text.len())
            .field("threshold", &self.threshold)
            .finish()
    }
}
