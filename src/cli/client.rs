//! The wire as the command line sees it: generated types come in and plain ones go out, here and nowhere else.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::event::{Done, Event, Mention};
use super::exit::{Failure, Kind};
use super::labels::Label;
use crate::wire;
use crate::wire::event::Kind as WireKind;
use crate::wire::extract_stream_request::Kind as RequestKind;
use crate::wire::extraction_service_client::ExtractionServiceClient;
use crate::wire::model_service_client::ModelServiceClient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed after this and half as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Messages between the reading half and the connection: enough to keep it busy, little to hold.
const UPLOAD_MESSAGES_MAX: usize = 2;
/// Name of the only task.
const TASK_ID: &str = "entities";

/// A daemon that answers.
#[derive(Clone, Debug)]
pub(super) struct Server {
    channel: Channel,
    url: String,
}

/// What to look for in a document.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Labels in order.
    pub(super) labels: Vec<Label>,
    /// Of labels without their own; the model's when absent.
    pub(super) threshold: Option<f32>,
    /// Which mentions may share words.
    pub(super) overlap: Overlap,
    /// Whether one span may have several labels.
    pub(super) multi_label: bool,
    /// What happens with bytes that are not UTF-8.
    pub(super) invalid_utf8: InvalidUtf8,
}

/// Which mentions may share words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// None.
    Flat,
    /// One may lie in another.
    Nested,
}

/// What happens with bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum InvalidUtf8 {
    /// The document is refused.
    Reject,
    /// Each invalid part is read as U+FFFD.
    Replace,
}

/// Why a server did not do what it was asked.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    /// Stable word of the server; empty when the answer is not the server's own.
    pub(super) reason: String,
    message: String,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
}

/// A model of a server.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct ModelCard {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) tasks: Vec<String>,
    pub(super) window_words_max: i32,
    pub(super) mention_words_max: i32,
    pub(super) labels_per_pass: i32,
    pub(super) labels_max: i32,
    pub(super) threshold: f32,
    pub(super) fingerprint: String,
}

impl Server {
    /// Connects to `http://host:port`; the scheme may be left out.
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") {
            let message =
                format!("{url}: only http:// is understood; put a proxy that speaks TLS before it");
            return Err(Failure::new(Kind::Usage, message));
        }
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| {
                Failure::new(Kind::Usage, format!("{url} is no URL of a server: {error}"))
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE / 2);
        let channel = endpoint.connect().await.with_context(|| format!("cannot reach {url}"));
        let channel = channel.map_err(|error| Failure::new(Kind::Refused, format!("{error:#}")))?;
        Ok(Self { channel, url })
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Opens the stream of one document: a half to write and a half to read, to be driven at once.
    pub(super) fn extract(&self, request: Request) -> (Upload, Download) {
        let (sender, receiver) = mpsc::channel(UPLOAD_MESSAGES_MAX);
        let config = message(RequestKind::Config(wire_config(request)));
        sender.try_send(config).expect("a new channel has room");
        let client = ExtractionServiceClient::new(self.channel.clone());
        (Upload { sender }, Download::Closed(client, Some(receiver)))
    }

    /// All models, the default one first.
    pub(super) async fn models(&self) -> Result<Vec<ModelCard>, Refusal> {
        let mut client = ModelServiceClient::new(self.channel.clone());
        let response = client.list_models(wire::ListModelsRequest {}).await?.into_inner();
        Ok(response.models.into_iter().map(model_card).collect())
    }

    /// Whether a service says that it serves; the empty name is the whole server.
    pub(super) async fn is_serving(&self, service: &str) -> Result<bool, Refusal> {
        let mut client = HealthClient::new(self.channel.clone());
        let response =
            client.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
        Ok(response.status() == ServingStatus::Serving)
    }
}

/// The half of a stream that writes.
#[derive(Debug)]
pub(super) struct Upload {
    sender: mpsc::Sender<wire::ExtractStreamRequest>,
}

impl Upload {
    /// Sends bytes, once there is room. False when the server wants no more: the reading half knows why.
    pub(super) async fn chunk(&self, bytes: Vec<u8>) -> bool {
        let chunk = wire::Chunk { data: bytes.into(), ..wire::Chunk::default() };
        self.sender.send(message(RequestKind::Chunk(chunk))).await.is_ok()
    }

    /// Ends the document.
    pub(super) async fn finish(self, total_bytes: u64) -> bool {
        let total = wire::finish::OptionalTotalBytes::TotalBytes(
            i64::try_from(total_bytes).unwrap_or(i64::MAX),
        );
        let finish = wire::Finish { optional_total_bytes: Some(total) };
        self.sender.send(message(RequestKind::Finish(finish))).await.is_ok()
    }
}

/// The half of a stream that reads.
#[derive(Debug)]
pub(super) enum Download {
    /// The call is not made yet.
    Closed(ExtractionServiceClient<Channel>, Option<mpsc::Receiver<wire::ExtractStreamRequest>>),
    /// The server answers.
    Open(Box<Streaming<wire::ExtractStreamResponse>>),
}

impl Download {
    /// The next event; `None` after the last one. Not to be dropped half way and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Refusal> {
        loop {
            match self {
                Self::Closed(client, receiver) => {
                    let Some(receiver) = receiver.take() else { return Ok(None) };
                    let responses =
                        client.extract_stream(ReceiverStream::new(receiver)).await?.into_inner();
                    *self = Self::Open(Box::new(responses));
                }
                Self::Open(responses) => {
                    let Some(response) = responses.message().await? else { return Ok(None) };
                    // Kinds that this client did not ask for, or does not know, are passed over.
                    if let Some(event) = response.event.and_then(|event| event.kind).and_then(event)
                    {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }
}

fn message(kind: RequestKind) -> wire::ExtractStreamRequest {
    wire::ExtractStreamRequest { kind: Some(kind) }
}

fn wire_config(request: Request) -> wire::Config {
    let labels = request.labels.into_iter().map(|label| wire::Label {
        name: label.name,
        description: label.description.unwrap_or_default(),
        optional_threshold: label.threshold.map(wire::label::OptionalThreshold::Threshold),
    });
    let overlap = match request.overlap {
        Overlap::Flat => wire::Overlap::Flat,
        Overlap::Nested => wire::Overlap::Nested,
    };
    let invalid_utf8 = match request.invalid_utf8 {
        InvalidUtf8::Reject => wire::InvalidUtf8::Reject,
        InvalidUtf8::Replace => wire::InvalidUtf8::Replace,
    };
    let entities = wire::EntitiesTask {
        labels: labels.collect(),
        optional_threshold: request
            .threshold
            .map(wire::entities_task::OptionalThreshold::Threshold),
        overlap: overlap.into(),
        multi_label: request.multi_label,
    };
    let task =
        wire::Task { id: TASK_ID.to_owned(), kind: Some(wire::task::Kind::Entities(entities)) };
    wire::Config {
        tasks: vec![task],
        offset_encodings: vec![wire::OffsetEncoding::Utf16.into()],
        include_text: true,
        invalid_utf8: invalid_utf8.into(),
        ..wire::Config::default()
    }
}

fn event(kind: WireKind) -> Option<Event> {
    match kind {
        WireKind::Ready(_) => Some(Event::Ready),
        WireKind::Mentions(list) => {
            Some(Event::Mentions(list.mentions.into_iter().map(mention).collect()))
        }
        WireKind::Progress(progress) => {
            Some(Event::Progress { watermark: count(progress.watermark_bytes) })
        }
        WireKind::Warning(warning) => Some(Event::Warning {
            reason: warning.code().as_str_name().trim_start_matches("WARNING_CODE_").to_owned(),
            message: warning.message,
        }),
        WireKind::Draining(_) => Some(Event::Warning {
            reason: "DRAINING".to_owned(),
            message: "the server is about to stop; it goes on with open documents for a while"
                .to_owned(),
        }),
        WireKind::Done(done) => Some(Event::Done(convert_done(done))),
        WireKind::Relations(_)
        | WireKind::Answers(_)
        | WireKind::Classes(_)
        | WireKind::Summary(_)
        | WireKind::Interim(_) => None,
    }
}

fn mention(mention: wire::Mention) -> Mention {
    Mention {
        task: mention.task_id,
        ordinal: count(mention.ordinal),
        label: mention.label,
        label_index: usize::try_from(mention.label_index).unwrap_or_default(),
        score: mention.score,
        bytes: range(mention.byte_range.unwrap_or_default()),
        chars: range(mention.codepoint_range.unwrap_or_default()),
        utf16: mention.utf16_range.map(range),
        text: mention.text,
    }
}

fn convert_done(done: wire::Done) -> Done {
    let limits = done.limits_reached.iter().map(|limit| {
        let name =
            limit.limit().as_str_name().trim_start_matches("LIMIT_KIND_").to_ascii_lowercase();
        (name, count(limit.count))
    });
    let timings = done.timings.unwrap_or_default();
    let time = |part: Option<prost_types::Duration>| {
        part.and_then(|part| part.try_into().ok()).unwrap_or_default()
    };
    Done {
        total: time(timings.total),
        compute: time(timings.compute),
        received_bytes: count(done.received_bytes),
        words: count(done.words),
        windows: count(done.windows),
        results: done.results.iter().map(|task| count(task.results)).sum(),
        replaced_invalid: count(done.replaced_invalid),
        limits: limits.collect(),
        fingerprint: done.fingerprint,
    }
}

fn model_card(model: wire::Model) -> ModelCard {
    let tasks = model
        .tasks()
        .map(|task| task.as_str_name().trim_start_matches("TASK_KIND_").to_ascii_lowercase());
    let tasks = tasks.collect();
    let windows = model.window_policy.unwrap_or_default();
    ModelCard {
        tasks,
        name: model.name,
        digest: model.digest,
        window_words_max: windows.window_words_max,
        mention_words_max: windows.mention_words_max,
        labels_per_pass: windows.labels_per_pass,
        labels_max: model.limits.unwrap_or_default().labels_max,
        threshold: model.default_thresholds.unwrap_or_default().entities,
        fingerprint: model.fingerprint,
    }
}

/// Counts and positions are never negative on the wire; a server that says otherwise is read as 0.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn range(range: wire::Range) -> [u64; 2] {
    let start = count(range.start);
    [start, count(range.end).max(start)]
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| {
            let told = bad.field_violations.iter();
            told.map(|violation| (violation.field.clone(), violation.description.clone())).collect()
        });
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            fields: fields.unwrap_or_default(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

impl Refusal {
    /// What the refusal means to whoever typed the command.
    pub(super) fn into_failure(self, url: &str) -> Failure {
        let Self { code, message, .. } = &self;
        match (code, self.reason.as_str()) {
            // Every answer of the daemon has a reason: this one is of the connection.
            (Code::Unknown | Code::Internal | Code::Unavailable | Code::Cancelled, "") => {
                Failure::new(Kind::Refused, format!("the connection to {url} broke: {message}"))
            }
            (_, "INVALID_UTF8" | "DOCUMENT_TOO_LARGE") => {
                Failure::new(Kind::Input, message.clone())
            }
            (Code::InvalidArgument, _) => Failure::new(Kind::Usage, self.with_fields()),
            (
                Code::Internal | Code::Unknown | Code::DataLoss | Code::Aborted | Code::OutOfRange,
                reason,
            ) => Failure::new(Kind::Failed, format!("{message} ({reason})")),
            (_, reason) => Failure::new(
                Kind::Refused,
                format!("{url} refuses: {message} ({reason}){}", self.later()),
            ),
        }
    }

    fn with_fields(&self) -> String {
        let fields = self
            .fields
            .iter()
            .filter(|(_, description)| !self.message.contains(description.as_str()));
        fields.fold(self.message.clone(), |told, (field, description)| {
            format!("{told}\n  {field}: {description}")
        })
    }

    fn later(&self) -> String {
        self.retry_after
            .map(|delay| format!("; try again in {:.1} s", delay.as_secs_f64()))
            .unwrap_or_default()
    }
}
