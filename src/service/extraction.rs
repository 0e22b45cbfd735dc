//! `ExtractionService`: admits a call, starts its session, and ties the session's life to the response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::catalog::Catalog;
use super::deadline;
use super::order::Order;
use super::refusal::{Refusal, Unexpected};
use super::session::Session;
use crate::engine::{Engine, State};
use crate::wire;
use crate::wire::extract_stream_request::Kind;
use crate::wire::extraction_service_server::ExtractionService;

/// Messages between a session and its response; more wait in the session's outbox.
const OUTBOUND_MESSAGES: usize = 1;
/// When to try again after a refusal for want of a place.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// The service. Clones share everything.
#[derive(Clone, Debug)]
pub struct Extraction {
    catalog: Arc<Catalog>,
    engine: Engine,
    streams: Arc<Semaphore>,
}

impl Extraction {
    /// A service that serves at most `streams_max` calls at once.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, engine: Engine, streams_max: usize) -> Self {
        Self { catalog, engine, streams: Arc::new(Semaphore::new(streams_max)) }
    }

    fn admit(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Refusal> {
        match *self.engine.state().borrow() {
            State::Ready => {}
            State::Starting => return Err(Refusal::WarmingUp),
            State::Stopping => return Err(Refusal::Draining),
            State::Failed(_) => return Err(Refusal::WorkerFailed),
        }
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_full| Refusal::QueueFull { retry_after: RETRY_AFTER })
    }

    fn session<I>(
        &self,
        order: Order,
        inbound: I,
    ) -> (Session<I>, mpsc::Receiver<wire::ExtractStreamResponse>)
    where
        I: Stream<Item = Result<wire::ExtractStreamRequest, Status>> + Unpin,
    {
        let (outbound, receiver) = mpsc::channel(OUTBOUND_MESSAGES);
        (Session::new(order, &self.catalog, self.engine.clone(), inbound, outbound), receiver)
    }

    async fn extract_whole(
        &self,
        request: wire::ExtractRequest,
    ) -> Result<wire::ExtractResponse, Refusal> {
        use wire::extract_request::Content;
        let order = Order::new(request.config.ok_or(Refusal::ConfigMissing)?, &self.catalog)?;
        let data = match request.content {
            Some(Content::Text(text)) => text.into_bytes().into(),
            Some(Content::Data(data)) => data,
            None => bytes::Bytes::new(),
        };
        let max = self.catalog.limits.text_bytes_max;
        if data.len() > max {
            return Err(Refusal::DocumentTooLarge { max: max as u64 });
        }
        // The same line as for a stream; chunks are cut to what one may hold.
        let step = self.catalog.limits.chunk_bytes_max;
        let starts = (0..data.len()).step_by(step);
        let chunks = starts.map(|at| data.slice(at..data.len().min(at + step))).collect::<Vec<_>>();
        let chunks = chunks
            .into_iter()
            .map(|data| Kind::Chunk(wire::Chunk { optional_offset_bytes: None, data }));
        let messages = chunks.chain([Kind::Finish(wire::Finish { optional_total_bytes: None })]);
        let inbound = tokio_stream::iter(
            messages.map(|kind| Ok(wire::ExtractStreamRequest { kind: Some(kind) })),
        );
        let (session, events) = self.session(order, inbound);
        let answer = gather(events, self.catalog.limits.unary_response_bytes_max);
        let ((), answer) = tokio::try_join!(session.run(), answer)?;
        Ok(answer)
    }
}

/// Puts the events of one document into one answer.
async fn gather(
    mut events: mpsc::Receiver<wire::ExtractStreamResponse>,
    max: usize,
) -> Result<wire::ExtractResponse, Refusal> {
    use wire::event::Kind;
    let mut answer = wire::ExtractResponse::default();
    let mut results = wire::Results::default();
    let mut bytes = 0;
    while let Some(event) = events.recv().await {
        let size = event.encoded_len();
        let Some(kind) = event.event.and_then(|event| event.kind) else { continue };
        match kind {
            Kind::Ready(ready) => answer.ready = Some(ready),
            Kind::Mentions(list) => results.mentions.extend(list.mentions),
            Kind::Relations(list) => results.relations.extend(list.relations),
            Kind::Answers(list) => results.answers.extend(list.answers),
            Kind::Summary(list) => results.summary_spans.extend(list.spans),
            Kind::Classes(list) => results.classes.extend(list.classes),
            Kind::Warning(warning) => answer.warnings.push(warning),
            Kind::Done(done) => answer.done = Some(done),
            // Progress and interim lists are no results.
            _ => continue,
        }
        bytes += size;
        if bytes > max {
            return Err(Refusal::ResultTooLarge { max });
        }
    }
    answer.results = Some(results);
    Ok(answer)
}

/// The events of a stream, and the task that makes them: it ends with the response.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<wire::ExtractStreamResponse>,
    session: Option<AbortOnDropHandle<Result<(), Refusal>>>,
}

impl Stream for Events {
    type Item = Result<wire::ExtractStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = ready!(self.receiver.poll_recv(context)) {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(session) = self.session.as_mut() else { return Poll::Ready(None) };
        let end = ready!(Pin::new(session).poll(context));
        self.session = None;
        Poll::Ready(match end {
            Ok(Ok(())) => None,
            Ok(Err(refusal)) => Some(Err(refusal.into_status())),
            // The panic hook has logged where; the payload may hold text.
            Err(_panicked) => Some(Err(Refusal::WorkerFailed.into_status())),
        })
    }
}

#[tonic::async_trait]
impl ExtractionService for Extraction {
    async fn extract(
        &self,
        request: Request<wire::ExtractRequest>,
    ) -> Result<Response<wire::ExtractResponse>, Status> {
        let place = self.admit()?;
        let deadline = deadline::of(request.metadata(), Instant::now());
        let answer = within(deadline, self.extract_whole(request.into_inner())).await;
        drop(place);
        Ok(Response::new(answer?))
    }

    type ExtractStreamStream = Events;

    async fn extract_stream(
        &self,
        request: Request<Streaming<wire::ExtractStreamRequest>>,
    ) -> Result<Response<Events>, Status> {
        let place = self.admit()?;
        let deadline = deadline::of(request.metadata(), Instant::now());
        let mut inbound = request.into_inner();
        let first =
            within(deadline, first_message(&mut inbound, self.catalog.limits.idle_timeout)).await?;
        let order = Order::new(first, &self.catalog)?;
        let (session, receiver) = self.session(order, inbound);
        let run = async move {
            let end = within(deadline, session.run()).await;
            drop(place);
            if let Err(refusal) = &end {
                tracing::debug!(reason = refusal.reason(), "a stream ended early");
            }
            end
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the one task of a stream, owned by its response"
        )]
        let session = Some(AbortOnDropHandle::new(tokio::spawn(run)));
        Ok(Response::new(Events { receiver, session }))
    }

    type ExtractDocumentStream = tokio_stream::Empty<Result<wire::ExtractDocumentResponse, Status>>;

    async fn extract_document(
        &self,
        _: Request<wire::ExtractDocumentRequest>,
    ) -> Result<Response<Self::ExtractDocumentStream>, Status> {
        Err(Refusal::MethodNotBuilt { method: "ExtractDocument" }.into_status())
    }

    type ExtractManyStream = tokio_stream::Empty<Result<wire::ExtractManyResponse, Status>>;

    async fn extract_many(
        &self,
        _: Request<Streaming<wire::ExtractManyRequest>>,
    ) -> Result<Response<Self::ExtractManyStream>, Status> {
        Err(Refusal::MethodNotBuilt { method: "ExtractMany" }.into_status())
    }
}

/// The config that must come first.
async fn first_message(
    inbound: &mut Streaming<wire::ExtractStreamRequest>,
    idle_timeout: std::time::Duration,
) -> Result<wire::Config, Refusal> {
    let message = if idle_timeout.is_zero() {
        inbound.next().await
    } else {
        let idle = Refusal::IdleTimeout { after: idle_timeout };
        tokio::time::timeout(idle_timeout, inbound.next()).await.map_err(|_elapsed| idle)?
    };
    match message {
        Some(Ok(wire::ExtractStreamRequest { kind: Some(Kind::Config(config)) })) => Ok(config),
        Some(Ok(wire::ExtractStreamRequest { kind: None })) => {
            Err(Refusal::UnexpectedMessage(Unexpected::WithoutKind))
        }
        Some(Ok(_)) => Err(Refusal::ConfigMissing),
        Some(Err(status)) => Err(Refusal::Transport(Box::new(status))),
        None => Err(Refusal::InputIncomplete { received_bytes: 0 }),
    }
}

async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    match deadline {
        Some(deadline) => {
            timeout_at(deadline, work).await.unwrap_or(Err(Refusal::DeadlineExceeded))
        }
        None => work.await,
    }
}
