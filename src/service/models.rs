//! `ModelService`: what this server can do, as facts that the application hands in once.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::refusal::Refusal;
use crate::pipeline::ports::TaskThresholds;
use crate::wire;
use crate::wire::model_service_server::ModelService;

/// One model and how this server runs it.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// What a config calls it.
    pub name: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// What fingerprints are made of, without the part that a config adds.
    pub fingerprint: String,
    /// Tasks that this server answers.
    pub tasks: Vec<TaskKind>,
    /// Limits of a call.
    pub limits: Limits,
    /// How documents are cut.
    pub windows: WindowSizes,
    /// Thresholds of tasks without their own.
    pub thresholds: TaskThresholds,
}

/// A kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Spans of named types.
    Entities,
    /// Pairs of spans.
    Relations,
    /// Answers to questions.
    Questions,
    /// Spans that sum up.
    Summary,
    /// Classes of the document.
    Classify,
    /// Spans that follow an instruction.
    Open,
}

/// What a call may ask for, in the words of `Limits` in the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a chunk.
    pub chunk_bytes_max: usize,
    /// Bytes of a text that is sent whole.
    pub text_bytes_max: usize,
    /// Bytes of a document, if there is a limit.
    pub document_bytes_max: Option<u64>,
    /// Tasks of a config.
    pub tasks_max: usize,
    /// Labels of a task.
    pub labels_max: usize,
    /// Bytes of a name or description.
    pub label_bytes_max: usize,
    /// Questions of a task.
    pub questions_max: usize,
    /// Passes of the second stage of relations over one window.
    pub relation_passes_max: usize,
    /// Bytes of a word.
    pub word_bytes_max: usize,
    /// Pieces of a word.
    pub word_pieces_max: usize,
    /// Bytes of results in one message of a stream.
    pub response_bytes_max: usize,
    /// Bytes of the answer of `Extract`.
    pub unary_response_bytes_max: usize,
    /// Bytes of results that wait for a slow reader.
    pub results_held_bytes_max: usize,
    /// Bytes of a resume token, if the server gives any.
    pub resume_token_bytes_max: Option<usize>,
    /// Time between two events.
    pub heartbeat: Duration,
    /// Time that the server waits for input.
    pub idle_timeout: Duration,
    /// Waiting in all for the bytes below after which a client that drips is ended; zero is never.
    pub slow_timeout: Duration,
    /// Bytes that count as progress.
    pub slow_bytes_min: u64,
    /// Time that an event waits for its reader.
    pub write_stall_timeout: Duration,
}

/// How documents are cut, in the words of `WindowPolicy` in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSizes {
    /// Words that the model reads at once.
    pub window_words_max: usize,
    /// Pieces that the model reads at once, if there is a limit.
    pub window_pieces_max: Option<usize>,
    /// Words of context before a core.
    pub left_margin_words: usize,
    /// Words after a core.
    pub right_margin_words: usize,
    /// Words of a mention that is found wherever it lies.
    pub mention_words_max: usize,
    /// Labels of one pass.
    pub labels_per_pass: usize,
    /// Words that a prompt leaves to a window.
    pub window_words_min: usize,
}

/// The service over a fixed list of models.
#[derive(Clone, Debug)]
pub struct Models {
    models: Vec<wire::Model>,
}

impl Models {
    /// A service that tells of `cards`, the default one first.
    #[must_use]
    pub fn new(cards: &[ModelCard]) -> Self {
        Self { models: cards.iter().map(model_to_wire).collect() }
    }
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn list_models(
        &self,
        _: Request<wire::ListModelsRequest>,
    ) -> Result<Response<wire::ListModelsResponse>, Status> {
        Ok(Response::new(wire::ListModelsResponse { models: self.models.clone() }))
    }

    async fn get_model(
        &self,
        request: Request<wire::GetModelRequest>,
    ) -> Result<Response<wire::GetModelResponse>, Status> {
        let name = &request.get_ref().name;
        let model = if name.is_empty() {
            self.models.first()
        } else {
            self.models.iter().find(|model| model.name == *name)
        };
        let model = model.ok_or(Refusal::ModelNotFound)?;
        Ok(Response::new(wire::GetModelResponse { model: Some(model.clone()) }))
    }
}

fn model_to_wire(card: &ModelCard) -> wire::Model {
    let thresholds = wire::DefaultThresholds {
        entities: card.thresholds.entities,
        relations: card.thresholds.relations,
        questions: card.thresholds.questions,
        summary: card.thresholds.summary,
        classify: card.thresholds.classify,
        open: card.thresholds.open,
    };
    wire::Model {
        name: card.name.clone(),
        digest: card.digest.clone(),
        tasks: card.tasks.iter().map(|kind| i32::from(kind_to_wire(*kind))).collect(),
        limits: Some(limits_to_wire(&card.limits)),
        window_policy: Some(windows_to_wire(&card.windows)),
        default_thresholds: Some(thresholds),
        fingerprint: card.fingerprint.clone(),
    }
}

fn kind_to_wire(kind: TaskKind) -> wire::TaskKind {
    match kind {
        TaskKind::Entities => wire::TaskKind::Entities,
        TaskKind::Relations => wire::TaskKind::Relations,
        TaskKind::Questions => wire::TaskKind::Questions,
        TaskKind::Summary => wire::TaskKind::Summary,
        TaskKind::Classify => wire::TaskKind::Classify,
        TaskKind::Open => wire::TaskKind::Open,
    }
}

/// Limits as `Ready` and `Model` tell them.
#[must_use]
pub fn limits_to_wire(limits: &Limits) -> wire::Limits {
    wire::Limits {
        chunk_bytes_max: wide(limits.chunk_bytes_max),
        text_bytes_max: wide(limits.text_bytes_max),
        document_bytes_max: limits
            .document_bytes_max
            .map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        tasks_max: narrow(limits.tasks_max),
        labels_max: narrow(limits.labels_max),
        label_bytes_max: narrow(limits.label_bytes_max),
        questions_max: narrow(limits.questions_max),
        word_bytes_max: narrow(limits.word_bytes_max),
        word_pieces_max: narrow(limits.word_pieces_max),
        response_bytes_max: wide(limits.response_bytes_max),
        unary_response_bytes_max: wide(limits.unary_response_bytes_max),
        results_held_bytes_max: wide(limits.results_held_bytes_max),
        resume_token_bytes_max: limits.resume_token_bytes_max.map_or(0, wide),
        heartbeat: duration(limits.heartbeat),
        idle_timeout: duration(limits.idle_timeout),
        write_stall_timeout: duration(limits.write_stall_timeout),
    }
}

fn windows_to_wire(windows: &WindowSizes) -> wire::WindowPolicy {
    wire::WindowPolicy {
        window_words_max: narrow(windows.window_words_max),
        window_pieces_max: windows.window_pieces_max.map_or(0, narrow),
        left_margin_words: narrow(windows.left_margin_words),
        right_margin_words: narrow(windows.right_margin_words),
        mention_words_max: narrow(windows.mention_words_max),
        labels_per_pass: narrow(windows.labels_per_pass),
        window_words_min: narrow(windows.window_words_min),
    }
}

/// Limits beyond the range of the wire are no limits, so the largest number says enough.
pub(super) fn narrow(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub(super) fn wide(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Longer than 292 billion years is told as absent.
pub(super) fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn card(name: &str) -> ModelCard {
        ModelCard {
            name: name.to_owned(),
            digest: "sha256:00".to_owned(),
            fingerprint: "f0".to_owned(),
            tasks: vec![TaskKind::Entities],
            limits: Limits {
                chunk_bytes_max: 1 << 20,
                text_bytes_max: usize::MAX,
                document_bytes_max: None,
                tasks_max: 16,
                labels_max: 256,
                label_bytes_max: 1024,
                questions_max: 32,
                relation_passes_max: 16,
                word_bytes_max: 4096,
                word_pieces_max: 64,
                response_bytes_max: 256 << 10,
                unary_response_bytes_max: 3 << 20,
                results_held_bytes_max: 1 << 20,
                resume_token_bytes_max: None,
                heartbeat: Duration::from_secs(15),
                idle_timeout: Duration::from_secs(300),
                slow_timeout: Duration::from_secs(3600),
                slow_bytes_min: 1024,
                write_stall_timeout: Duration::from_secs(60),
            },
            windows: WindowSizes {
                window_words_max: 320,
                window_pieces_max: Some(512),
                left_margin_words: 40,
                right_margin_words: 40,
                mention_words_max: 40,
                labels_per_pass: 20,
                window_words_min: 80,
            },
            thresholds: TaskThresholds::default(),
        }
    }

    async fn get(name: &str) -> Result<wire::Model, Status> {
        let models = Models::new(&[card("first"), card("second")]);
        let request = Request::new(wire::GetModelRequest { name: name.to_owned() });
        Ok(models.get_model(request).await?.into_inner().model.expect("a model"))
    }

    #[tokio::test]
    async fn an_empty_name_is_the_default_model() {
        assert_eq!(get("").await.expect("a model").name, "first");
        assert_eq!(get("second").await.expect("a model").name, "second");
    }

    #[tokio::test]
    async fn another_name_is_not_found() {
        let status = get("third").await.expect_err("no such model");
        assert_eq!(status.code(), tonic::Code::NotFound);
        let details = status.get_error_details();
        assert_eq!(details.error_info().expect("an ErrorInfo").reason, "MODEL_NOT_FOUND");
    }

    #[tokio::test]
    async fn absent_limits_are_told_as_zero_and_huge_ones_as_the_largest_number() {
        let limits = get("").await.expect("a model").limits.expect("limits");
        assert_eq!(limits.document_bytes_max, 0);
        assert_eq!(limits.resume_token_bytes_max, 0);
        assert_eq!(limits.text_bytes_max, i64::MAX);
        assert_eq!(limits.heartbeat, Some(prost_types::Duration { seconds: 15, nanos: 0 }));
    }

    #[tokio::test]
    async fn all_models_are_listed_the_default_one_first() {
        let models = Models::new(&[card("first"), card("second")]);
        let listed = models.list_models(Request::new(wire::ListModelsRequest {})).await;
        let names: Vec<_> = listed.expect("a list").into_inner().models;
        assert_eq!(names.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    }
}
