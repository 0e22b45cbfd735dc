//! `ExtractionService`: admits a call, starts its session, and ties the session's life to the response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::call::Call;
use super::catalog::Catalog;
use super::deadline;
use super::drain::Drain;
use super::gate::REST;
use super::order::Order;
use super::refusal::{Refusal, Unexpected};
use super::session::{Context as SessionContext, Session};
use crate::engine::Engine;
use crate::wire;
use crate::wire::extract_stream_request::Kind;
use crate::wire::extraction_service_server::ExtractionService;

/// Messages between a session and its response; more wait in the session's outbox.
const OUTBOUND_MESSAGES: usize = 1;

/// The service. Clones share everything.
#[derive(Clone, Debug)]
pub struct Extraction {
    catalog: Arc<Catalog>,
    engine: Engine,
    drain: Drain,
}

type Outbound = mpsc::Receiver<wire::ExtractStreamResponse>;

impl Extraction {
    /// A service behind a gate, which puts a [`Call`] with a place into every request.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, engine: Engine, drain: Drain) -> Self {
        Self { catalog, engine, drain }
    }

    fn session<I>(
        &self,
        config: wire::Config,
        call: Call,
        inbound: I,
    ) -> Result<(Session<I>, Outbound), Refusal>
    where
        I: Stream<Item = Result<wire::ExtractStreamRequest, Status>> + Unpin,
    {
        call.named(&config.request_id);
        let order = Order::new(config, &self.catalog)?;
        // Only the gate gives places, and one for each call.
        let place = call.take_place().ok_or(Refusal::WorkerFailed)?;
        let context = SessionContext {
            catalog: Arc::clone(&self.catalog),
            engine: self.engine.clone(),
            drain: self.drain.clone(),
            call,
            place,
        };
        let (outbound, receiver) = mpsc::channel(OUTBOUND_MESSAGES);
        Ok((Session::new(order, context, inbound, outbound), receiver))
    }

    /// A config that is waited for: the daemon may stop, and nothing is expected of the stream after a while.
    async fn waited_for(
        &self,
        call: &Call,
        config: impl Future<Output = Result<wire::Config, Refusal>>,
    ) -> Result<wire::Config, Refusal> {
        let rest = async {
            sleep(REST).await;
            call.rest();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            config = config => config,
            // Nothing was read, so another replica does as well.
            _ = self.drain.draining() => Err(Refusal::Draining),
            never = rest => never,
        }
    }

    async fn extract_whole(
        &self,
        request: wire::ExtractRequest,
        call: Call,
    ) -> Result<wire::ExtractResponse, Refusal> {
        use wire::extract_request::Content;
        let config = request.config.ok_or(Refusal::ConfigMissing)?;
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
        let (session, events) = self.session(config, call, inbound)?;
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
        let call = call_of(&request)?;
        call.begin();
        let deadline = deadline::of(request.metadata(), Instant::now());
        let answer = within(deadline, self.extract_whole(request.into_inner(), call)).await?;
        Ok(Response::new(answer))
    }

    type ExtractStreamStream = Events;

    async fn extract_stream(
        &self,
        request: Request<Streaming<wire::ExtractStreamRequest>>,
    ) -> Result<Response<Events>, Status> {
        let call = call_of(&request)?;
        let deadline = deadline::of(request.metadata(), Instant::now());
        let mut inbound = request.into_inner();
        let idle = self.catalog.limits.idle_timeout;
        let first = first_message(&mut inbound, idle);
        let first = within(deadline, self.waited_for(&call, first)).await?;
        call.begin();
        let (session, receiver) = self.session(first, call.clone(), inbound)?;
        let run = async move {
            let end = within(deadline, session.run()).await;
            if let Err(refusal) = &end {
                let (code, reason) = refusal.code_and_reason();
                call.end(code, reason);
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

/// The call of a request, as the observer has made it.
fn call_of<T>(request: &Request<T>) -> Result<Call, Refusal> {
    request.extensions().get().cloned().ok_or(Refusal::WorkerFailed)
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

/// Work that ends with the caller's deadline.
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
