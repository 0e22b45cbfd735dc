//! A daemon without a model: a label's mentions are the places where its description, or else its name, stands.
//!
//! The score of a mention is the threshold that was asked for, so that a test sees what arrived. One entities task is
//! answered as the text comes, everything else at its end, as [`super::finds`] says.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gleand::wire;
use gleand::wire::event::Kind as EventKind;
use gleand::wire::extract_stream_request::Kind as RequestKind;
use gleand::wire::extraction_service_server::{ExtractionService, ExtractionServiceServer};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::finds::{self, SCORE, needle};

const FINGERPRINT: &str = "00ff";

/// What the stub does when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Finds words.
    Find,
    /// Says something first, then finds words.
    Warn(String),
    /// Ends every stream with this.
    Refuse(Code, &'static str, &'static str),
    /// The same with status details and a trailer that say when to try again.
    RefuseFor(Code, &'static str, Option<Duration>, Option<&'static str>),
    /// Ends every stream without a word.
    Forget,
    /// Finds words as a model with another fingerprint.
    FindAs(&'static str),
    /// Finds words, and ends the stream with this reason once so many bytes are there; DRAINING is announced.
    Cut(usize, &'static str),
    /// Finds words, and announces that it is about to stop once so many bytes are there.
    Drain(usize),
    /// Finds words for whoever shows this key.
    Ask(&'static str),
    /// Accepts, and never answers.
    Stall,
}

/// Files of a server with TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) cert: String,
    pub(crate) key: String,
    /// Whoever shows no certificate of this authority is refused.
    pub(crate) client_ca: Option<String>,
}

/// A running stub; it stops when dropped.
pub(crate) struct Stub {
    address: SocketAddr,
    streams: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Stub {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        Self::with(vec![behaviour], None)
    }

    /// Does something else in each stream; the last one goes on.
    pub(crate) fn in_turn(behaviours: &[Behaviour]) -> Self {
        Self::with(behaviours.to_vec(), None)
    }

    pub(crate) fn with(behaviours: Vec<Behaviour>, tls: Option<&Tls>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (health, health_service) = tonic_health::server::health_reporter();
        let is_serving = matches!(behaviours[0], Behaviour::Find);
        let streams = Arc::new(AtomicUsize::new(0));
        let service = Service { behaviours, streams: Arc::clone(&streams) };
        let mut server = tonic::transport::Server::builder();
        if let Some(Tls { cert, key, client_ca }) = tls {
            let mut config = ServerTlsConfig::new().identity(Identity::from_pem(cert, key));
            if let Some(ca) = client_ca {
                config = config.client_ca_root(Certificate::from_pem(ca));
            }
            server = server.tls_config(config).unwrap();
        }
        runtime.spawn(async move {
            let status = if is_serving { wire_status::Serving } else { wire_status::NotServing };
            health.set_service_status("", status).await;
            server
                .add_service(health_service)
                .add_service(ExtractionServiceServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self { address, streams, _runtime: runtime }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many streams were opened.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

use tonic_health::ServingStatus as wire_status;

struct Service {
    behaviours: Vec<Behaviour>,
    streams: Arc<AtomicUsize>,
}

type Reply<T> = Result<Response<T>, Status>;
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ExtractionService for Service {
    type ExtractStreamStream = Events<wire::ExtractStreamResponse>;
    type ExtractDocumentStream = Events<wire::ExtractDocumentResponse>;
    type ExtractManyStream = Events<wire::ExtractManyResponse>;

    async fn extract_stream(
        &self,
        request: Request<Streaming<wire::ExtractStreamRequest>>,
    ) -> Reply<Self::ExtractStreamStream> {
        let (sender, receiver) = mpsc::channel(4);
        let number = self.streams.fetch_add(1, Ordering::SeqCst);
        let behaviour = self.behaviours[number.min(self.behaviours.len() - 1)].clone();
        if let Behaviour::Ask(key) = &behaviour {
            match request.metadata().get("authorization") {
                Some(shown) if *shown == format!("Bearer {key}") => {}
                Some(_) => return Err(status(Code::Unauthenticated, "KEY_INVALID", "no such key")),
                None => return Err(status(Code::Unauthenticated, "KEY_MISSING", "no key")),
            }
        }
        Handle::current().spawn(async move {
            if let Err(status) = session(behaviour, request.into_inner(), &sender).await {
                // The client may have left.
                drop(sender.send(Err(status)).await);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn extract(
        &self,
        request: Request<wire::ExtractRequest>,
    ) -> Reply<wire::ExtractResponse> {
        if let Behaviour::Refuse(code, reason, message) = self.behaviours[0] {
            return Err(status(code, reason, message));
        }
        let wire::ExtractRequest { config, content } = request.into_inner();
        let bytes = match content {
            Some(wire::extract_request::Content::Text(text)) => text.into_bytes(),
            Some(wire::extract_request::Content::Data(data)) => data.to_vec(),
            None => Vec::new(),
        };
        let finder = Finder { bytes, ..Finder::new(config.unwrap_or_default(), FINGERPRINT) };
        let mut results = wire::Results::default();
        let mut done = finder.done();
        done.results.clear();
        for (task_id, found, count) in finder.all()? {
            results.mentions.extend(found.mentions);
            results.relations.extend(found.relations);
            results.answers.extend(found.answers);
            results.summary_spans.extend(found.summary_spans);
            results.classes.extend(found.classes);
            done.results.push(wire::TaskCount { task_id, results: count });
        }
        let (results, done) = (Some(results), Some(done));
        let response = wire::ExtractResponse { results, done, ..wire::ExtractResponse::default() };
        Ok(Response::new(response))
    }

    async fn extract_document(
        &self,
        _: Request<wire::ExtractDocumentRequest>,
    ) -> Reply<Self::ExtractDocumentStream> {
        Err(Status::unimplemented("not in the stub"))
    }

    async fn extract_many(
        &self,
        _: Request<Streaming<wire::ExtractManyRequest>>,
    ) -> Reply<Self::ExtractManyStream> {
        Err(Status::unimplemented("not in the stub"))
    }
}

type Sender = mpsc::Sender<Result<wire::ExtractStreamResponse, Status>>;

async fn send(sender: &Sender, kind: EventKind) -> Result<(), Status> {
    let response = wire::ExtractStreamResponse { event: Some(wire::Event { kind: Some(kind) }) };
    sender.send(Ok(response)).await.map_err(|_closed| Status::cancelled("the client has left"))
}

fn status(code: Code, reason: &str, message: &str) -> Status {
    let details =
        ErrorDetails::with_error_info(reason, "gleand.v1", std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

/// A refusal that says when to try again.
fn status_for(code: Code, reason: &str, retry: Option<Duration>, pushback: Option<&str>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "gleand.v1", std::collections::HashMap::new());
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    let mut status = Status::with_error_details(code, "not now", details);
    if let Some(pushback) = pushback {
        status.metadata_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
    }
    status
}

async fn session(
    behaviour: Behaviour,
    mut inbound: Streaming<wire::ExtractStreamRequest>,
    sender: &Sender,
) -> Result<(), Status> {
    let Some(RequestKind::Config(config)) =
        inbound.message().await?.and_then(|message| message.kind)
    else {
        return Err(status(Code::InvalidArgument, "CONFIG_MISSING", "no config"));
    };
    let Some(fingerprint) = accept(&behaviour, sender).await? else { return Ok(()) };
    let mut finder = Finder::new(config, fingerprint);
    let ready = wire::Ready { fingerprint: fingerprint.to_owned(), ..wire::Ready::default() };
    send(sender, EventKind::Ready(ready)).await?;
    let mut stop = Stop::default();
    while let Some(message) = inbound.message().await? {
        let is_end = match message.kind {
            Some(RequestKind::Chunk(chunk)) => {
                finder.bytes.extend_from_slice(&chunk.data);
                false
            }
            Some(RequestKind::Flush(_)) if stop.is_announced => {
                stop.is_flushed = true;
                continue;
            }
            Some(RequestKind::Finish(finish)) => {
                stop.check_end(finish, finder.bytes.len())?;
                true
            }
            _ => return Err(status(Code::InvalidArgument, "UNEXPECTED_MESSAGE", "unexpected")),
        };
        if finder.task.is_none() {
            if is_end {
                return whole(&finder, sender).await;
            }
            continue;
        }
        let mentions = finder.find(is_end)?;
        if !mentions.is_empty() {
            send(sender, EventKind::Mentions(wire::Mentions { mentions })).await?;
        }
        let watermark_bytes = i64::try_from(finder.searched).unwrap();
        send(
            sender,
            EventKind::Progress(wire::Progress { watermark_bytes, ..wire::Progress::default() }),
        )
        .await?;
        if is_end {
            return send(sender, EventKind::Done(finder.done())).await;
        }
        stop.announce(&behaviour, finder.bytes.len(), sender).await?;
    }
    Err(status(Code::Aborted, "INPUT_INCOMPLETE", "no finish"))
}

/// The fingerprint with which a stream is read; `None` where it ends without a word.
async fn accept(behaviour: &Behaviour, sender: &Sender) -> Result<Option<&'static str>, Status> {
    match behaviour {
        Behaviour::Find | Behaviour::Cut(..) | Behaviour::Drain(_) | Behaviour::Ask(_) => {}
        Behaviour::FindAs(other) => return Ok(Some(*other)),
        Behaviour::Warn(message) => {
            let code = wire::WarningCode::ManyPasses.into();
            let message = message.clone();
            send(sender, EventKind::Warning(wire::Warning { code, message, field: String::new() }))
                .await?;
        }
        Behaviour::Refuse(code, reason, message) => return Err(status(*code, reason, message)),
        Behaviour::RefuseFor(code, reason, retry, pushback) => {
            return Err(status_for(*code, reason, *retry, *pushback));
        }
        Behaviour::Forget => return Ok(None),
        Behaviour::Stall => std::future::pending().await,
    }
    Ok(Some(FINGERPRINT))
}

/// How a stub that is about to stop ends a stream.
#[derive(Default)]
struct Stop {
    is_announced: bool,
    is_flushed: bool,
}

impl Stop {
    /// Announces it, or cuts the stream, once so many bytes are there.
    async fn announce(
        &mut self,
        behaviour: &Behaviour,
        has: usize,
        sender: &Sender,
    ) -> Result<(), Status> {
        let draining = EventKind::Draining(wire::Draining::default());
        match behaviour {
            Behaviour::Drain(bytes) if has >= *bytes && !self.is_announced => {
                self.is_announced = true;
                send(sender, draining).await
            }
            Behaviour::Cut(bytes, reason) if has >= *bytes => {
                if *reason == "DRAINING" {
                    send(sender, draining).await?;
                }
                Err(status(Code::Unavailable, reason, "cut"))
            }
            _ => Ok(()),
        }
    }

    /// The total must be right, and a flush must come before where the end was announced, and nowhere else.
    fn check_end(&self, finish: wire::Finish, has: usize) -> Result<(), Status> {
        let total = wire::finish::OptionalTotalBytes::TotalBytes(i64::try_from(has).unwrap());
        if finish.optional_total_bytes != Some(total) || self.is_announced != self.is_flushed {
            return Err(status(Code::InvalidArgument, "TOTAL_MISMATCH", "wrong end"));
        }
        Ok(())
    }
}

/// Tells all results at the end, and each task's as an interim before them where that is asked for.
async fn whole(finder: &Finder, sender: &Sender) -> Result<(), Status> {
    let mut done = finder.done();
    done.results.clear();
    for (task_id, results, count) in finder.all()? {
        if finder.config.result_mode() == wire::ResultMode::Interim {
            let interim =
                wire::Interim { task_id: task_id.clone(), results: Some(results.clone()) };
            send(sender, EventKind::Interim(interim)).await?;
        }
        let wire::Results { mentions, relations, answers, summary_spans: spans, classes } = results;
        let kinds = [
            (!mentions.is_empty()).then_some(EventKind::Mentions(wire::Mentions { mentions })),
            (!relations.is_empty()).then_some(EventKind::Relations(wire::Relations { relations })),
            (!answers.is_empty()).then_some(EventKind::Answers(wire::Answers { answers })),
            (!spans.is_empty()).then_some(EventKind::Summary(wire::Summary { spans })),
            (!classes.is_empty()).then_some(EventKind::Classes(wire::Classes { classes })),
        ];
        for kind in kinds.into_iter().flatten() {
            send(sender, kind).await?;
        }
        done.results.push(wire::TaskCount { task_id, results: count });
    }
    send(sender, EventKind::Done(done)).await
}

/// Keeps the whole document: it is a stub.
struct Finder {
    bytes: Vec<u8>,
    searched: usize,
    found: i64,
    /// The only task, if it is of this kind.
    task: Option<wire::EntitiesTask>,
    config: wire::Config,
    fingerprint: &'static str,
}

impl Finder {
    fn new(config: wire::Config, fingerprint: &'static str) -> Self {
        let task = match config.tasks.as_slice() {
            [wire::Task { kind: Some(wire::task::Kind::Entities(task)), .. }] => Some(task.clone()),
            _ => None,
        };
        Self { bytes: Vec::new(), searched: 0, found: 0, task, config, fingerprint }
    }

    /// Every task's results in the whole document: id, results, count.
    fn all(&self) -> Result<Vec<(String, wire::Results, i64)>, Status> {
        self.check(true)?;
        let text = String::from_utf8_lossy(&self.bytes);
        let found = |task: &wire::Task| {
            let (results, count) = finds::results(task, &text);
            (task.id.clone(), results, count)
        };
        Ok(self.config.tasks.iter().map(found).collect())
    }

    fn check(&self, is_end: bool) -> Result<(), Status> {
        if self.config.invalid_utf8() == wire::InvalidUtf8::Reject
            && let Err(error) = std::str::from_utf8(&self.bytes)
            && (error.error_len().is_some() || is_end)
        {
            let message =
                format!("byte {} is not UTF-8: set config.invalid_utf8", error.valid_up_to());
            return Err(status(Code::InvalidArgument, "INVALID_UTF8", &message));
        }
        Ok(())
    }

    /// Mentions that start before what may still grow into one.
    fn find(&mut self, is_end: bool) -> Result<Vec<wire::Mention>, Status> {
        self.check(is_end)?;
        let Some(task) = self.task.clone() else { return Ok(Vec::new()) };
        let needles: Vec<Vec<u8>> =
            task.labels.iter().map(|label| needle(label).as_bytes().to_vec()).collect();
        let longest = needles.iter().map(Vec::len).max().unwrap();
        let limit =
            if is_end { self.bytes.len() } else { (self.bytes.len() + 1).saturating_sub(longest) };
        let mut mentions = Vec::new();
        while self.searched < limit {
            let rest = &self.bytes[self.searched..];
            match needles.iter().position(|needle| rest.starts_with(needle)) {
                Some(index) => {
                    let end = self.searched + needles[index].len();
                    mentions.push(self.mention(&task, index, end));
                    self.searched = end;
                }
                None => self.searched += 1,
            }
        }
        Ok(mentions)
    }

    fn mention(&mut self, task: &wire::EntitiesTask, index: usize, end: usize) -> wire::Mention {
        let label = &task.labels[index];
        let start = self.searched;
        let text = String::from_utf8_lossy(&self.bytes[start..end]).into_owned();
        let before = String::from_utf8_lossy(&self.bytes[..start]).into_owned();
        let range = |count: fn(&str) -> usize| {
            let start = i64::try_from(count(&before)).unwrap();
            Some(wire::Range { start, end: start + i64::try_from(count(&text)).unwrap() })
        };
        let own =
            label.optional_threshold.map(|wire::label::OptionalThreshold::Threshold(value)| value);
        let of_task = task
            .optional_threshold
            .map(|wire::entities_task::OptionalThreshold::Threshold(value)| value);
        let ordinal = self.found;
        self.found += 1;
        wire::Mention {
            task_id: self.config.tasks[0].id.clone(),
            ordinal,
            label_index: i32::try_from(index).unwrap(),
            label: label.name.clone(),
            score: own.or(of_task).unwrap_or(SCORE),
            byte_range: Some(wire::Range {
                start: i64::try_from(start).unwrap(),
                end: i64::try_from(end).unwrap(),
            }),
            codepoint_range: range(|text| text.chars().count()),
            utf16_range: range(|text| text.encode_utf16().count()),
            text,
        }
    }

    fn done(&self) -> wire::Done {
        wire::Done {
            received_bytes: i64::try_from(self.bytes.len()).unwrap(),
            words: 7,
            windows: 1,
            results: vec![wire::TaskCount {
                task_id: self.config.tasks[0].id.clone(),
                results: self.found,
            }],
            fingerprint: self.fingerprint.to_owned(),
            ..wire::Done::default()
        }
    }
}
