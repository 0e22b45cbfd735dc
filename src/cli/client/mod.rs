//! The wire as the command line sees it: generated types come in and plain ones go out, in this folder and nowhere else.

mod connect;
mod events;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request as Call, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::event::{Event, Extracted};
use crate::wire;
use crate::wire::extract_stream_request::Kind as RequestKind;
use crate::wire::extraction_service_client::ExtractionServiceClient;
use crate::wire::model_service_client::ModelServiceClient;

use connect::Key;
pub(super) use connect::{ConnectArgs, Target};
pub(super) use refusal::Refusal;
pub(super) use request::{InvalidUtf8, Overlap, Request, Task, TaskKind};

/// Messages between the reading half and the connection: enough to keep it busy, little to hold.
const UPLOAD_MESSAGES_MAX: usize = 2;
/// More than any configuration lets a server answer at once.
const ANSWER_BYTES_MAX: usize = 65 << 20;
/// Bytes of a chunk of a document that lies in memory.
const CHUNK_BYTES: usize = 64 << 10;

/// A daemon that answers. Clones share its connection.
#[derive(Clone, Debug)]
pub(super) struct Server {
    channel: Channel,
    url: String,
    key: Key,
}

/// A connection that shows the API key.
type Link = InterceptedService<Channel, Key>;

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
    /// Of each task.
    pub(super) thresholds: BTreeMap<&'static str, f32>,
    pub(super) fingerprint: String,
}

impl Server {
    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Opens the stream of one document: a half to write and a half to read, to be driven at once. After `left` the
    /// server gives it up.
    pub(super) fn extract(&self, request: &Request, left: Option<Duration>) -> (Upload, Download) {
        let (sender, receiver) = mpsc::channel(UPLOAD_MESSAGES_MAX);
        let config = message(RequestKind::Config(request.to_wire()));
        sender.try_send(config).expect("a new channel has room");
        let mut call = Call::new(ReceiverStream::new(receiver));
        if let Some(left) = left {
            call.set_timeout(left);
        }
        let state = State::Closed(Box::new(self.extraction()), Some(call));
        (Upload { sender }, Download { flags: request.flags(), state })
    }

    fn link(&self) -> Link {
        InterceptedService::new(self.channel.clone(), self.key.clone())
    }

    fn extraction(&self) -> ExtractionServiceClient<Link> {
        ExtractionServiceClient::new(self.link()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Reads one small text by one question and one answer.
    pub(super) async fn extract_text(
        &self,
        text: String,
        request: &Request,
    ) -> Result<Extracted, Refusal> {
        let message = wire::ExtractRequest {
            config: Some(request.to_wire()),
            content: Some(wire::extract_request::Content::Text(text)),
        };
        let response = self.extraction().extract(message).await;
        let response =
            response.map_err(|status| Refusal::from(status).asked_by(request.flags()))?;
        events::extracted(response.into_inner()).ok_or_else(Refusal::ended_early)
    }

    /// Reads one text of any length through a stream, and collects everything.
    pub(super) async fn extract_document(
        &self,
        text: &[u8],
        request: &Request,
    ) -> Result<Extracted, Refusal> {
        let (upload, mut download) = self.extract(request, None);
        let feed = async {
            for chunk in text.chunks(CHUNK_BYTES) {
                // A server that takes no more says why in its answer.
                if !upload.chunk(chunk.to_vec()).await {
                    return Ok(());
                }
            }
            upload.finish(text.len() as u64).await;
            Ok(())
        };
        let collect = async {
            let mut extracted = Extracted::default();
            while let Some(event) = download.next().await? {
                match event {
                    Event::Results(results) => extracted.results.extend(results),
                    Event::Warning(warning) => extracted.warnings.push(warning),
                    Event::Done(done) => return Ok(Extracted { done, ..extracted }),
                    Event::Ready { .. }
                    | Event::Interim { .. }
                    | Event::Progress { .. }
                    | Event::Draining => {}
                }
            }
            Err(Refusal::ended_early())
        };
        tokio::try_join!(feed, collect).map(|((), extracted)| extracted)
    }

    /// All models, the default one first.
    pub(super) async fn models(&self) -> Result<Vec<ModelCard>, Refusal> {
        let mut client = ModelServiceClient::new(self.link());
        let response = client.list_models(wire::ListModelsRequest {}).await?.into_inner();
        Ok(response.models.into_iter().map(model_card).collect())
    }

    /// Whether a service says that it serves; the empty name is the whole server.
    pub(super) async fn is_serving(&self, service: &str) -> Result<bool, Refusal> {
        let mut client = HealthClient::new(self.link());
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

    /// Closes what was sent, as if the text ended here. It must not end inside a code point.
    pub(super) async fn flush(&self) -> bool {
        self.sender.send(message(RequestKind::Flush(wire::Flush {}))).await.is_ok()
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
pub(super) struct Download {
    /// The flags that a refusal names.
    flags: Vec<String>,
    state: State,
}

type Messages = ReceiverStream<wire::ExtractStreamRequest>;

#[derive(Debug)]
enum State {
    /// The call is not made yet.
    Closed(Box<ExtractionServiceClient<Link>>, Option<Call<Messages>>),
    /// The server answers.
    Open(Box<Streaming<wire::ExtractStreamResponse>>),
}

impl Download {
    /// The next event; `None` after the last one. Not to be dropped half way and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Refusal> {
        let refused = |status: tonic::Status| Refusal::from(status).asked_by(self.flags.clone());
        loop {
            match &mut self.state {
                State::Closed(client, call) => {
                    let Some(call) = call.take() else { return Ok(None) };
                    let responses = client.extract_stream(call).await;
                    self.state = State::Open(Box::new(responses.map_err(refused)?.into_inner()));
                }
                State::Open(responses) => {
                    let response = responses.message().await.map_err(refused)?;
                    let Some(response) = response else { return Ok(None) };
                    // Kinds that this client does not know are passed over.
                    if let Some(event) = response.event.and_then(events::event) {
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

fn model_card(model: wire::Model) -> ModelCard {
    let tasks = model
        .tasks()
        .map(|task| task.as_str_name().trim_start_matches("TASK_KIND_").to_ascii_lowercase());
    let tasks = tasks.collect();
    let windows = model.window_policy.unwrap_or_default();
    let thresholds = model.default_thresholds.unwrap_or_default();
    ModelCard {
        tasks,
        name: model.name,
        digest: model.digest,
        window_words_max: windows.window_words_max,
        mention_words_max: windows.mention_words_max,
        labels_per_pass: windows.labels_per_pass,
        labels_max: model.limits.unwrap_or_default().labels_max,
        thresholds: BTreeMap::from([
            ("entities", thresholds.entities),
            ("open", thresholds.open),
            ("questions", thresholds.questions),
            ("summary", thresholds.summary),
            ("relations", thresholds.relations),
            ("classify", thresholds.classify),
        ]),
        fingerprint: model.fingerprint,
    }
}
