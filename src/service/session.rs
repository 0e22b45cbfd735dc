//! THE LINE: one document from its first chunk to its last result. Chunk, window, scores and result meet
//! here and nowhere else.
//!
//! Back-pressure: messages are read, and windows cut, only while the outbox has room; windows wait for the
//! engine, results for the client. Windows in flight are awaited whatever the client does, because one
//! that nobody polls may hold a place that other streams wait for. Cancellation: dropping the future of
//! [`Session::run`] drops every window in flight.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tonic::Status;

use super::catalog::Catalog;
use super::clocks::{Clocks, Waiting};
use super::convert;
use super::ingest::Ingest;
use super::order::Order;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::engine::{Engine, EngineError};
use crate::pipeline::document::Document;
use crate::pipeline::event::{DocumentError, Event, Input, WindowId};
use crate::pipeline::schedule::StreamId;
use crate::pipeline::scores::Scores;
use crate::wire;
use crate::wire::event::Kind;

type InFlight =
    FuturesUnordered<Pin<Box<dyn Future<Output = (WindowId, Result<Scores, EngineError>)> + Send>>>;

/// One document and everything that it talks to.
#[derive(Debug)]
pub struct Session<I> {
    order: Order,
    document: Document,
    ingest: Ingest,
    inbound: I,
    outbox: Outbox,
    outbound: mpsc::Sender<wire::ExtractStreamResponse>,
    engine: Engine,
    stream: StreamId,
    in_flight: InFlight,
    clocks: Clocks,
    done: bool,
}

impl<I> Session<I>
where
    I: Stream<Item = Result<wire::ExtractStreamRequest, Status>> + Unpin,
{
    /// A session at its start: `inbound` is what follows the config.
    pub fn new(
        order: Order,
        catalog: &Arc<Catalog>,
        engine: Engine,
        inbound: I,
        outbound: mpsc::Sender<wire::ExtractStreamResponse>,
    ) -> Self {
        let limits = &catalog.limits;
        let mut outbox = Outbox::new(limits.response_bytes_max, limits.results_held_bytes_max);
        outbox.event(Kind::Ready(order.ready(catalog)));
        Self {
            document: Document::new(Arc::clone(&order.plan)),
            ingest: Ingest::new(limits),
            clocks: Clocks::new(limits),
            stream: engine.new_stream(),
            in_flight: FuturesUnordered::new(),
            done: false,
            order,
            inbound,
            outbox,
            outbound,
            engine,
        }
    }

    /// Runs the document to its end.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn run(mut self) -> Result<(), Refusal> {
        let outbound = self.outbound.clone();
        loop {
            self.collect()?;
            if self.done && self.outbox.is_empty() {
                return Ok(());
            }
            let wants_input = self.document.wants_input() && !self.outbox.is_full();
            let waiting = Waiting {
                // A client may wait for results before it goes on, so it is not idle while some are due.
                for_input: wants_input && self.in_flight.is_empty(),
                for_reader: !self.outbox.is_empty()
                    && (self.outbox.is_full() || self.ingest.is_finished()),
            };
            tokio::select! {
                permit = outbound.reserve(), if !self.outbox.is_empty() => {
                    // The client is gone; there is nobody to tell.
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(message) = self.outbox.pop() {
                        permit.send(message);
                    }
                    self.clocks.sent();
                }
                Some((id, scores)) = self.in_flight.next() => {
                    self.document.handle(Input::Scored(id, scores.map_err(refuse)?));
                }
                message = self.inbound.next(), if wants_input => {
                    self.clocks.received();
                    self.take(message)?;
                }
                tick = self.clocks.tick(waiting) => {
                    tick?;
                    self.document.handle(Input::Tick);
                }
            }
        }
    }

    /// Takes what the document has to say, as long as there is room for it.
    fn collect(&mut self) -> Result<(), Refusal> {
        while !self.outbox.is_full() {
            match self.document.poll() {
                Some(Event::Window(id, input)) => {
                    let scores = self.engine.score(self.stream, input);
                    self.in_flight.push(Box::pin(async move { (id, scores.await) }));
                }
                Some(Event::Found(found)) => self.outbox.result(self.order.outcome(found)),
                Some(Event::Interim { task, findings }) => {
                    let max = self.outbox.message_bytes_max();
                    self.outbox.event(Kind::Interim(self.order.interim(task, findings, max)));
                }
                Some(Event::Progress(progress)) => {
                    self.outbox.event(Kind::Progress(convert::progress(progress)));
                }
                Some(Event::Warning(warning)) => {
                    self.outbox.event(Kind::Warning(self.order.warning(warning)));
                }
                Some(Event::Done(summary)) => {
                    let done = self.order.done(&summary, self.clocks.total());
                    self.outbox.event(Kind::Done(done));
                    self.done = true;
                }
                Some(Event::Failed(error)) => return Err(fail(error)),
                None => break,
            }
        }
        self.outbox.close_group();
        Ok(())
    }

    fn take(
        &mut self,
        message: Option<Result<wire::ExtractStreamRequest, Status>>,
    ) -> Result<(), Refusal> {
        let Some(message) = message else { return self.ingest.end() };
        let message = message.map_err(|status| Refusal::Transport(Box::new(status)))?;
        if let Some(input) = self.ingest.take(message)? {
            self.document.handle(input);
        }
        Ok(())
    }
}

fn refuse(error: EngineError) -> Refusal {
    match error {
        EngineError::Stopping => Refusal::Draining,
        EngineError::Failed => Refusal::WorkerFailed,
    }
}

fn fail(error: DocumentError) -> Refusal {
    match error {
        DocumentError::InvalidUtf8 { at } => Refusal::InvalidUtf8 { at },
        DocumentError::FlushInsideCodePoint { at } => Refusal::FlushInsideCodePoint { at },
        DocumentError::Scores(_) => Refusal::WorkerFailed,
    }
}
