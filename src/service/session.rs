//! THE LINE: one document from its first chunk to its last result. Chunk, window, scores and result meet
//! here and nowhere else.
//!
//! Back-pressure: messages are read, and windows cut, only while the outbox has room; windows wait for the
//! engine, results for the client. Windows in flight are awaited whatever the client does, because one
//! that nobody polls may hold a place that other streams wait for. Cancellation: dropping the future of
//! [`Session::run`] drops every window in flight.
//!
//! A document that must end early, through no fault of its client, hands over what is final first: results up to the
//! watermark, then a last progress, then the reason.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::Status;

use super::admission::Place;
use super::call::Call;
use super::catalog::Catalog;
use super::clocks::{Clocks, Waiting};
use super::convert;
use super::drain::{CUT_GRACE, Drain};
use super::gate::REST;
use super::ingest::Ingest;
use super::order::Order;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::engine::{Engine, EngineError, Scored};
use crate::pipeline::document::Document;
use crate::pipeline::event::{DocumentError, Event, Input, WindowId};
use crate::pipeline::schedule::StreamId;
use crate::pipeline::scores::WindowInput;
use crate::wire;
use crate::wire::event::Kind;

/// How late the runtime may be when all processors compute.
const FORGIVENESS: Duration = Duration::from_millis(100);

/// Time that a client has to take over what is final. Less than what the drain allows, so that the reason comes too.
const HANDOVER: Duration = CUT_GRACE.saturating_sub(Duration::from_secs(1));

type InFlight = FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>;

/// A window that came back.
struct Answered {
    id: WindowId,
    pieces: usize,
    scored: Result<Scored, EngineError>,
}

/// What a session shares with others, and what is its own from the gate.
#[derive(Debug)]
pub struct Context {
    /// The model and its limits.
    pub catalog: Arc<Catalog>,
    /// Scores windows.
    pub engine: Engine,
    /// Tells when the daemon stops.
    pub drain: Drain,
    /// The call that the session answers.
    pub call: Call,
    /// Its place at the door.
    pub place: Place,
}

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
    drain: Drain,
    call: Call,
    place: Place,
    stream: StreamId,
    in_flight: InFlight,
    clocks: Clocks,
    stage: Stage,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The document is read.
    Open,
    /// It ends early: what is final goes out, and no new window is begun.
    HandingOver,
    /// The document said its last word.
    Done,
}

impl<I> Session<I>
where
    I: Stream<Item = Result<wire::ExtractStreamRequest, Status>> + Unpin,
{
    /// A session at its start: `inbound` is what follows the config.
    pub fn new(
        order: Order,
        context: Context,
        inbound: I,
        outbound: mpsc::Sender<wire::ExtractStreamResponse>,
    ) -> Self {
        let Context { catalog, engine, drain, call, place } = context;
        let limits = &catalog.limits;
        let mut outbox = Outbox::new(limits.response_bytes_max, limits.results_held_bytes_max);
        outbox.event(Kind::Ready(order.ready(&catalog)));
        Self {
            document: Document::new(Arc::clone(&order.plan)),
            ingest: Ingest::new(limits),
            clocks: Clocks::new(limits),
            stream: engine.new_stream(),
            in_flight: FuturesUnordered::new(),
            stage: Stage::Open,
            order,
            inbound,
            outbox,
            outbound,
            engine,
            drain,
            call,
            place,
        }
    }

    /// Runs the document to its end.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn run(mut self) -> Result<(), Refusal> {
        let end = self.read().await;
        match end {
            Err(refusal) if refusal.hands_over() => {
                // One that does not read gets what fits in the time.
                drop(timeout(HANDOVER, self.hand_over()).await);
                Err(refusal)
            }
            end => end,
        }
    }

    /// The line.
    async fn read(&mut self) -> Result<(), Refusal> {
        let outbound = self.outbound.clone();
        let drain = self.drain.clone();
        let mut draining = std::pin::pin!(drain.draining());
        let mut cut_at: Option<Instant> = None;
        loop {
            self.collect()?;
            if self.stage == Stage::Done && self.outbox.is_empty() {
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
                Some(answered) = self.in_flight.next() => self.answered(answered)?,
                message = self.inbound.next(), if wants_input => {
                    self.take(message)?;
                }
                deadline = draining.as_mut(), if cut_at.is_none() && self.stage == Stage::Open => {
                    cut_at = Some(deadline);
                    self.outbox.event(Kind::Draining(convert::draining(deadline - Instant::now())));
                }
                () = sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() && self.stage == Stage::Open => {
                    return Err(Refusal::Draining);
                }
                () = sleep(REST), if waiting.for_input && self.place.is_expected() => self.place.rest(),
                tick = self.clocks.tick(waiting) => match tick {
                    Ok(()) => {
                        self.place.rest();
                        self.document.handle(Input::Tick);
                    }
                    Err(refusal) => self.forgive(wants_input, &outbound, refusal).await?,
                },
            }
        }
    }

    /// A clock has run out. If the runtime was late, what it waited for may be here already: then it was in time.
    async fn forgive(
        &mut self,
        wants_input: bool,
        outbound: &mpsc::Sender<wire::ExtractStreamResponse>,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        // That clock sums up long times, and whoever drips always has the next byte soon.
        if matches!(refusal, Refusal::InputTooSlow { .. }) {
            return Err(refusal);
        }
        tokio::select! {
            biased;
            message = self.inbound.next(), if wants_input => {
                let before = self.ingest.received_bytes();
                self.take(message)?;
                if self.ingest.received_bytes() > before || self.ingest.is_finished() {
                    return Ok(());
                }
            }
            permit = outbound.reserve(), if !self.outbox.is_empty() && !wants_input => {
                if let (Ok(permit), Some(message)) = (permit, self.outbox.pop()) {
                    permit.send(message);
                    self.clocks.sent();
                    return Ok(());
                }
            }
            () = sleep(FORGIVENESS) => {}
        }
        Err(refusal)
    }

    /// Sends everything that is final, and how far that goes.
    async fn hand_over(&mut self) {
        self.stage = Stage::HandingOver;
        self.in_flight.clear();
        let outbound = self.outbound.clone();
        let mut told = false;
        loop {
            if self.collect().is_err() {
                return;
            }
            if !self.outbox.is_empty() {
                let Ok(permit) = outbound.reserve().await else { return };
                if let Some(message) = self.outbox.pop() {
                    permit.send(message);
                }
            } else if told || self.stage == Stage::Done {
                return;
            } else {
                told = true;
                self.document.handle(Input::Tick);
            }
        }
    }

    /// Takes what the document has to say, as long as there is room for it.
    fn collect(&mut self) -> Result<(), Refusal> {
        while !self.outbox.is_full() {
            match self.document.poll() {
                Some(Event::Window(id, input)) => self.score(id, input),
                Some(Event::Found(found)) => {
                    let outcome = self.order.outcome(found);
                    self.call.found(outcome.kind());
                    self.outbox.result(outcome);
                }
                Some(Event::Interim { task, findings }) => {
                    let max = self.outbox.message_bytes_max();
                    self.outbox.event(Kind::Interim(self.order.interim(task, findings, max)));
                }
                Some(Event::Progress(progress)) => {
                    let lag = progress.received_bytes.saturating_sub(progress.watermark.bytes);
                    self.call.progressed(lag);
                    self.outbox.event(Kind::Progress(convert::progress(progress)));
                }
                Some(Event::Warning(warning)) => {
                    self.outbox.event(Kind::Warning(self.order.warning(warning)));
                }
                Some(Event::Done(summary)) => {
                    let done = self.order.done(&summary, self.clocks.total(), self.call.times());
                    self.outbox.event(Kind::Done(done));
                    self.stage = Stage::Done;
                }
                Some(Event::Failed(error)) => return Err(fail(error)),
                None => break,
            }
        }
        self.outbox.close_group();
        Ok(())
    }

    fn score(&mut self, id: WindowId, input: WindowInput) {
        if self.stage == Stage::HandingOver {
            return;
        }
        let pieces = input.cost();
        self.place.cut(pieces);
        let span = self.call.window_span(input.words(), pieces);
        let scored = self.engine.score(self.stream, input, span);
        self.in_flight.push(Box::pin(async move { Answered { id, pieces, scored: scored.await } }));
    }

    fn answered(&mut self, Answered { id, pieces, scored }: Answered) -> Result<(), Refusal> {
        self.place.scored(pieces);
        let Scored { scores, queue, compute } = scored.map_err(refuse)?;
        self.call.scored(queue, compute);
        self.document.handle(Input::Scored(id, scores));
        self.call.read(self.document.words());
        Ok(())
    }

    fn take(
        &mut self,
        message: Option<Result<wire::ExtractStreamRequest, Status>>,
    ) -> Result<(), Refusal> {
        let Some(message) = message else { return self.ingest.end() };
        let message = message.map_err(|status| Refusal::Transport(Box::new(status)))?;
        let before = self.ingest.received_bytes();
        let input = self.ingest.take(message)?;
        self.clocks.received(self.ingest.received_bytes() - before);
        self.call.received(self.ingest.received_bytes());
        if let Some(input) = input {
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
