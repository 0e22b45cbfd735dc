//! Sessions against a real engine with a toy model: what streams owe each other, and what clocks may end.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::admission::{Admission, AdmissionLimits};
use super::call::{Call, Method};
use super::catalog::Catalog;
use super::drain::{Drain, DrainTimes};
use super::models::Limits;
use super::order::Order;
use super::session::{Context, Session};
use crate::engine::budget::Share;
use crate::engine::{Engine, EngineThreads, Patience, ScorerFactory, Settings, Watchers};
use crate::pipeline::finding::{Answer, Finding, Span};
use crate::pipeline::offset::{Position, TextRange};
use crate::pipeline::plan::WindowPolicy;
use crate::pipeline::ports::{
    Encoder, LabelError, ModelFacts, ScoreError, ScoreMode, Scorer, TaskThresholds, TaskWindows,
};
use crate::pipeline::schedule::BatchBudget;
use crate::pipeline::scores::{Prompt, Scores, WindowInput};
use crate::telemetry::Telemetry;
use crate::wire;
use crate::wire::event::Kind as Said;
use crate::wire::extract_stream_request::Kind;

/// Far longer than any of these tests takes.
const HANGS: Duration = Duration::from_secs(60);

/// One piece a word.
#[derive(Debug)]
struct ToyEncoder;

impl Encoder for ToyEncoder {
    fn pieces(&self, _word: &str) -> Vec<u32> {
        vec![7]
    }

    fn unknown_piece(&self) -> Option<u32> {
        None
    }

    fn label_pieces(&self, label: &str) -> Result<Vec<u32>, LabelError> {
        Ok(self.pieces(label))
    }

    fn prompt(&self, labels: &[&str]) -> Prompt {
        let label_positions = (1..).take(labels.len()).collect();
        Prompt { head: vec![0; labels.len() + 1], label_positions, tail: Vec::new() }
    }
}

/// Finds a mention in every other word of a window, once its gate lets a batch through; a gate without a keeper is open.
struct ToyScorer {
    gate: Receiver<()>,
}

impl Scorer for ToyScorer {
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        self.gate.recv().ok();
        let score = |input: &&WindowInput| {
            let (words, labels) = (input.words(), input.prompt.labels());
            let cells = (0..words).flat_map(|word| vec![[0.9, 0.1][word % 2]; labels * 3]);
            Scores::new(words, labels, cells.collect()).unwrap()
        };
        Ok(batch.iter().map(score).collect())
    }
}

async fn engine(windows_max: usize, gate: Receiver<()>) -> (Engine, EngineThreads) {
    let settings = Settings {
        share: Share { workers: NonZeroUsize::MIN, threads_per_worker: NonZeroUsize::MIN },
        batch: BatchBudget::Packed(NonZeroUsize::MIN),
        windows_max: NonZeroUsize::new(windows_max).unwrap(),
        patience: Patience { tick: Duration::from_secs(1), ticks: 1000 },
        devices: vec!["cpu".to_owned()],
    };
    let gate = Mutex::new(Some(gate));
    let factory: ScorerFactory = Arc::new(move |_worker| {
        let gate = gate.lock().unwrap().take().ok_or("only one scorer is made")?;
        Ok(Box::new(ToyScorer { gate }))
    });
    let prompt = Arc::new(ToyEncoder.prompt(&["person"]));
    let warm_up = WindowInput { prompt, pieces: vec![7], word_ends: vec![1] };
    let quiet = Telemetry::quiet();
    let watchers = Watchers { metrics: quiet.metrics, tracer: quiet.tracer };
    let (engine, threads) = Engine::start(&settings, &factory, warm_up, watchers).unwrap();
    engine.ready().await.unwrap();
    (engine, threads)
}

fn limits() -> Limits {
    Limits {
        chunk_bytes_max: 1 << 20,
        text_bytes_max: 1 << 20,
        document_bytes_max: None,
        tasks_max: 4,
        labels_max: 4,
        label_bytes_max: 64,
        questions_max: 4,
        relation_passes_max: 4,
        word_bytes_max: 64,
        word_pieces_max: 8,
        response_bytes_max: 1 << 18,
        unary_response_bytes_max: 3 << 20,
        results_held_bytes_max: 1 << 20,
        resume_token_bytes_max: None,
        heartbeat: Duration::from_secs(15),
        idle_timeout: HANGS,
        slow_timeout: HANGS,
        slow_bytes_min: 16,
        write_stall_timeout: HANGS,
    }
}

fn catalog(limits: Limits) -> Arc<Catalog> {
    Arc::new(Catalog {
        model: "toy".to_owned(),
        model_digest: String::new(),
        facts: ModelFacts {
            words_max: 16,
            pieces_max: None,
            labels_per_pass: 4,
            score_mode: ScoreMode::Min,
            thresholds: TaskThresholds::default(),
            windows: TaskWindows::default(),
        },
        encoder: Arc::new(ToyEncoder),
        compute: String::new(),
        policy: WindowPolicy::default(),
        limits,
        instance: String::new(),
    })
}

/// A session's two ends, as its client holds them.
struct Client {
    to_session: mpsc::Sender<Result<wire::ExtractStreamRequest, Status>>,
    from_session: mpsc::Receiver<wire::ExtractStreamResponse>,
}

impl Client {
    /// Asks for one label and runs the session beside the caller.
    fn start(engine: &Engine, limits: Limits) -> Self {
        Self::start_in(engine, limits, &Drain::new())
    }

    fn start_in(engine: &Engine, limits: Limits, drain: &Drain) -> Self {
        let label = wire::Label { name: "person".to_owned(), ..wire::Label::default() };
        let entities = wire::EntitiesTask { labels: vec![label], ..wire::EntitiesTask::default() };
        let kind = Some(wire::task::Kind::Entities(entities));
        let task = wire::Task { id: String::new(), kind };
        let config = wire::Config { tasks: vec![task], ..wire::Config::default() };
        let catalog = catalog(limits);
        let order = Order::new(config, &catalog).unwrap();
        let (to_session, inbound) = mpsc::channel(8);
        let (outbound, from_session) = mpsc::channel(1);
        let inbound = ReceiverStream::new(inbound);
        let quiet = Telemetry::quiet();
        let method = Method::of("/gleand.v1.ExtractionService/ExtractStream");
        let call = Call::new(method, &HeaderMap::new(), 1, &quiet.metrics, &quiet.tracer);
        let admission = AdmissionLimits {
            streams_max: 1,
            whole_max: 1,
            backlog_pieces_max: 1000,
            windows_in_flight_max: 4,
        };
        let place = Admission::new(admission, engine.clone()).admit(false).unwrap();
        let drain = drain.clone();
        let context = Context { catalog, engine: engine.clone(), drain, call, place };
        let session = Session::new(order, context, inbound, outbound);
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        drop(tokio::spawn(session.run()));
        Self { to_session, from_session }
    }

    async fn send(&self, kind: Kind) {
        let message = wire::ExtractStreamRequest { kind: Some(kind) };
        self.to_session.send(Ok(message)).await.unwrap();
    }

    async fn send_words(&self, count: usize) {
        self.send(words(count)).await;
    }

    async fn try_send_words(&self, count: usize) {
        let message = wire::ExtractStreamRequest { kind: Some(words(count)) };
        self.to_session.send(Ok(message)).await.ok();
    }

    /// The next event; `None` when the session is over.
    async fn next(&mut self) -> Option<Said> {
        let message = timeout(HANGS, self.from_session.recv()).await.expect("a session hangs");
        message.map(|message| message.event.unwrap().kind.unwrap())
    }

    async fn read_to_the_end(&mut self) -> wire::Done {
        loop {
            let said = self.next().await.expect("a session ended without its last event");
            if let Said::Done(done) = said {
                return done;
            }
        }
    }
}

fn words(count: usize) -> Kind {
    let data = "word ".repeat(count).into();
    Kind::Chunk(wire::Chunk { optional_offset_bytes: None, data })
}

fn finish() -> Kind {
    Kind::Finish(wire::Finish { optional_total_bytes: None })
}

#[tokio::test]
async fn a_client_that_never_reads_keeps_no_place_that_another_stream_waits_for() {
    let (open, gate) = sync_channel(0);
    drop(open);
    let (engine, _threads) = engine(1, gate).await;
    let silent = Client::start(&engine, Limits { results_held_bytes_max: 1, ..limits() });
    // Two windows: the results of the first fill what is held while the second waits for the one place.
    silent.send_words(40).await;
    while engine.counts().windows == 0 {
        tokio::task::yield_now().await;
    }
    let mut reader = Client::start(&engine, limits());
    reader.send_words(40).await;
    reader.send(finish()).await;
    assert_eq!(reader.read_to_the_end().await.words, 40);
}

#[tokio::test]
async fn a_client_that_waits_for_results_is_not_idle() {
    let (open, gate) = sync_channel(1);
    open.send(()).unwrap();
    let (engine, _threads) = engine(4, gate).await;
    let heartbeat = Duration::from_millis(20);
    let limits = Limits { heartbeat, idle_timeout: 10 * heartbeat, ..limits() };
    let mut client = Client::start(&engine, limits);
    client.send_words(3).await;
    client.send(Kind::Flush(wire::Flush {})).await;
    for _ in 0..40 {
        client.next().await.expect("the session ended while a result was due");
    }
    // In this order, so that the end is there before the client could be called idle.
    client.send(finish()).await;
    drop(open);
    assert_eq!(client.read_to_the_end().await.results[0].results, 2);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_idle() {
    let (open, gate) = sync_channel(0);
    drop(open);
    let (engine, _threads) = engine(4, gate).await;
    let idle = Duration::from_millis(50);
    let mut client = Client::start(&engine, Limits { idle_timeout: idle, ..limits() });
    assert!(matches!(client.next().await, Some(Said::Ready(_))));
    assert!(matches!(client.next().await, Some(Said::Progress(_))), "how far it came");
    assert_eq!(client.next().await, None);
}

#[test]
fn an_interim_list_leaves_out_the_text_that_a_message_does_not_hold() {
    let question = wire::Question { text: "who".to_owned(), ..wire::Question::default() };
    let questions = wire::QuestionsTask { questions: vec![question], ..Default::default() };
    let kind = Some(wire::task::Kind::Questions(questions));
    let tasks = vec![wire::Task { id: String::new(), kind }];
    let config = wire::Config { tasks, include_text: true, ..wire::Config::default() };
    let order = Order::new(config, &catalog(limits())).unwrap();
    let here = TextRange { start: Position::default(), end: Position::default() };
    let answer = |rank| {
        let span = Span { range: here, text: Some("x".repeat(1000)) };
        Finding::Answer(Answer { question: 0, rank, best: Some((0.5, span)) })
    };
    let results = order.interim(0, (0..10).map(answer).collect(), 3000).results.unwrap();
    assert_eq!(results.answers.len(), 10);
    assert_eq!(results.answers.iter().filter(|answer| !answer.text.is_empty()).count(), 2);
    assert!(results.encoded_len() <= 3000);
}

#[tokio::test]
async fn a_client_that_drips_is_ended_though_it_is_never_idle() {
    let (open, gate) = sync_channel(0);
    drop(open);
    let (engine, _threads) = engine(4, gate).await;
    let step = Duration::from_millis(20);
    let limits = Limits { slow_timeout: 10 * step, slow_bytes_min: 1000, ..limits() };
    let mut client = Client::start(&engine, limits);
    assert!(matches!(client.next().await, Some(Said::Ready(_))));
    let mut sent = 0;
    while !client.to_session.is_closed() {
        client.try_send_words(1).await;
        sent += 1;
        tokio::time::sleep(step).await;
        assert!(sent < 1000, "the session goes on for ever");
    }
    assert!(sent >= 5, "it ended after {sent} words");
}

#[tokio::test]
async fn a_client_that_sends_empty_chunks_is_idle() {
    let (open, gate) = sync_channel(0);
    drop(open);
    let (engine, _threads) = engine(4, gate).await;
    let idle = Duration::from_millis(100);
    let client = Client::start(&engine, Limits { idle_timeout: idle, ..limits() });
    let mut sent = 0;
    while !client.to_session.is_closed() {
        // It may end in between.
        client.try_send_words(0).await;
        sent += 1;
        tokio::time::sleep(idle / 10).await;
        assert!(sent < 1000, "the session goes on for ever");
    }
}

#[tokio::test]
async fn at_the_cut_a_stream_gets_what_is_final_then_progress() {
    let (open, gate) = sync_channel(2);
    // The warm-up and one window.
    open.send(()).unwrap();
    open.send(()).unwrap();
    let (engine, _threads) = engine(4, gate).await;
    let drain = Drain::new();
    let mut client = Client::start_in(&engine, limits(), &drain);
    // Several windows; the first is scored, the others never come back.
    client.send_words(60).await;
    while engine.counts().windows == 0 {
        tokio::task::yield_now().await;
    }
    let times = DrainTimes { lame_duck: Duration::ZERO, drain: Duration::from_millis(50) };
    let (mut ends, mut watermark, mut told) = (Vec::new(), 0, false);
    let reads = async {
        while let Some(said) = client.next().await {
            match said {
                Said::Mentions(list) => {
                    ends.extend(list.mentions.iter().map(|m| m.byte_range.unwrap().end));
                }
                Said::Progress(progress) => watermark = progress.watermark_bytes,
                Said::Draining(draining) => {
                    assert!(draining.remaining.is_some());
                    told = true;
                }
                _ => {}
            }
        }
    };
    tokio::join!(drain.run(times, std::future::pending()), reads);
    assert!(told, "no draining event");
    assert!(!ends.is_empty(), "nothing was final");
    assert!(ends.iter().all(|end| *end <= watermark), "{ends:?} {watermark}");
    drop(open);
}
