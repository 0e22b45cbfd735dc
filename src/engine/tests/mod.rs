//! The engine against scorers that are slow, fail, panic or cannot be made.

mod ill;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::*;
use crate::pipeline::ports::ScoreError;
use crate::pipeline::scores::Prompt;
use crate::telemetry::Telemetry;

type Answer = Result<Scores, EngineError>;
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

const WARM_UP: u32 = 0;
/// First pieces of windows that a [`Fake`] does not score.
const REFUSE: u32 = 1_000_001;
const PANIC: u32 = 1_000_002;

/// A window with one piece, one label and one word.
fn window(piece: u32) -> WindowInput {
    let prompt = Prompt { head: vec![1], label_positions: vec![0], tail: vec![2] };
    WindowInput { prompt: Arc::new(prompt), pieces: vec![piece], word_ends: vec![1] }
}

fn scores(piece: u32) -> Scores {
    let probability = f32::from(u16::try_from(piece).unwrap()) / 65_536.0;
    Scores::new(1, 1, vec![probability; 3]).unwrap()
}

/// A door that scorers wait at.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        drop(self.opened.wait_while(self.is_shut.lock().unwrap(), |is_shut| *is_shut).unwrap());
    }
}

/// What a test knows and decides about its scorers.
#[derive(Debug)]
struct Lab {
    gate: Gate,
    /// Batches as scorers saw them, without the warm-up.
    batches: Mutex<Vec<Vec<u32>>>,
    /// Batches that scorers have begun, without the warm-up.
    begun: watch::Sender<usize>,
    made: AtomicUsize,
}

impl Lab {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::default(),
            batches: Mutex::default(),
            begun: watch::Sender::new(0),
            made: AtomicUsize::new(0),
        })
    }

    async fn begun(&self, batches: usize) {
        self.begun.subscribe().wait_for(|begun| *begun >= batches).await.unwrap();
    }

    fn scored(&self) -> Vec<Vec<u32>> {
        self.batches.lock().unwrap().clone()
    }
}

struct Fake(Arc<Lab>);

impl Scorer for Fake {
    fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        let pieces: Vec<u32> = batch.iter().map(|window| window.pieces[0]).collect();
        if pieces != [WARM_UP] {
            self.0.batches.lock().unwrap().push(pieces.clone());
            self.0.begun.send_modify(|begun| *begun += 1);
            self.0.gate.pass();
        }
        assert!(!pieces.contains(&PANIC), "planted");
        if pieces.contains(&REFUSE) {
            return Err(ScoreError { windows: batch.len(), source: "planted".into() });
        }
        Ok(pieces.into_iter().map(scores).collect())
    }
}

fn settings(workers: usize, windows_max: usize) -> Settings {
    let count = |n| NonZeroUsize::new(n).unwrap();
    Settings {
        share: budget::Share { workers: count(workers), threads_per_worker: count(1) },
        batch: BatchBudget::Packed(count(300)),
        windows_max: count(windows_max),
        patience: Patience { tick: Duration::from_millis(20), ticks: 1000 },
        devices: vec!["cpu".to_owned()],
    }
}

fn watchers() -> Watchers {
    let quiet = Telemetry::quiet();
    Watchers { metrics: quiet.metrics, tracer: quiet.tracer }
}

fn factory(lab: &Arc<Lab>) -> ScorerFactory {
    let lab = Arc::clone(lab);
    Arc::new(move |_worker| {
        lab.made.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Fake(Arc::clone(&lab))))
    })
}

async fn start(lab: &Arc<Lab>, settings: Settings) -> (Engine, EngineThreads) {
    let (engine, threads) =
        Engine::start(&settings, &factory(lab), window(WARM_UP), watchers()).unwrap();
    engine.ready().await.unwrap();
    (engine, threads)
}

/// Asks for the scores of one window, without their times.
fn asked(
    engine: &Engine,
    stream: StreamId,
    input: WindowInput,
) -> impl Future<Output = Answer> + use<> {
    let scored = engine.score(stream, input, WindowSpan::default());
    async move { Ok(scored.await?.scores) }
}

/// Asks for scores and polls once, so that the window has its place if there is one.
async fn ask(engine: &Engine, stream: u64, piece: u32) -> Pending {
    // The runtime makes a task that never yields wait for its semaphores.
    tokio::task::yield_now().await;
    let mut pending: Pending = Box::pin(asked(engine, StreamId(stream), window(piece)));
    tokio::select! {
        biased;
        early = &mut pending => Box::pin(std::future::ready(early)),
        () = std::future::ready(()) => pending,
    }
}

/// Asks for scores of many windows of stream 1.
async fn ask_all(engine: &Engine, pieces: impl IntoIterator<Item = u32>) -> Vec<Pending> {
    let mut asked = Vec::new();
    for piece in pieces {
        asked.push(ask(engine, 1, piece).await);
    }
    asked
}

/// Shuts the gate and keeps the only worker busy behind it, so that what is asked next waits.
async fn occupy(lab: &Lab, engine: &Engine) -> Pending {
    let begun = *lab.begun.borrow();
    lab.gate.set(true);
    let busy = ask(engine, 999, 999).await;
    lab.begun(begun + 1).await;
    busy
}

#[tokio::test]
async fn scores_come_back_to_the_window_that_asked() {
    let lab = Lab::new();
    let (engine, threads) = start(&lab, settings(2, 16)).await;
    let asked =
        (1..200_u32).map(|piece| asked(&engine, StreamId(u64::from(piece % 7)), window(piece)));
    let answers = join_all(asked).await;
    let expected: Vec<Answer> = (1..200).map(|piece| Ok(scores(piece))).collect();
    assert_eq!(answers, expected);
    let counts = engine.counts();
    assert_eq!((counts.windows, counts.pieces), (199, 199 * 3));
    drop(engine);
    threads.join().unwrap();
}

#[tokio::test]
async fn batches_form_by_themselves_while_a_worker_is_busy() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 16)).await;
    let busy = occupy(&lab, &engine).await;
    let waiting = ask_all(&engine, 1..=5).await;
    assert_eq!(engine.waiting(), 5);
    lab.gate.set(false);
    busy.await.unwrap();
    join_all(waiting).await;
    assert_eq!(lab.scored(), [vec![999], vec![1, 2, 3, 4, 5]]);
}

#[tokio::test]
async fn a_stream_with_one_window_does_not_wait_for_a_stream_with_many() {
    let lab = Lab::new();
    let one_window = BatchBudget::Packed(NonZeroUsize::MIN);
    let (engine, _threads) = start(&lab, Settings { batch: one_window, ..settings(1, 2000) }).await;
    let busy = occupy(&lab, &engine).await;
    let mut waiting = ask_all(&engine, 1..=1000).await;
    waiting.push(ask(&engine, 2, 5000).await);
    lab.gate.set(false);
    busy.await.unwrap();
    join_all(waiting).await;
    let order: Vec<u32> = lab.scored().concat();
    assert_eq!(order[..4], [999, 1, 5000, 2]);
    assert_eq!(order.len(), 1002);
}

#[tokio::test]
async fn dropping_a_future_keeps_its_window_from_being_scored() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 16)).await;
    let busy = occupy(&lab, &engine).await;
    let first = ask(&engine, 1, 1).await;
    let second = ask(&engine, 1, 2).await;
    drop(first);
    lab.gate.set(false);
    busy.await.unwrap();
    second.await.unwrap();
    assert_eq!(lab.scored(), [vec![999], vec![2]]);
    assert_eq!(engine.counts().windows_skipped, 1);
}

#[tokio::test]
async fn asking_waits_for_a_place_and_a_dropped_future_gives_its_place_back() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 2)).await;
    let busy = occupy(&lab, &engine).await;
    let second = ask(&engine, 1, 2).await;
    let third = ask(&engine, 1, 3).await;
    let fourth = ask(&engine, 1, 4).await;
    assert_eq!(engine.waiting(), 1);
    drop(third);
    lab.gate.set(false);
    busy.await.unwrap();
    assert_eq!(join_all([second, fourth]).await, [Ok(scores(2)), Ok(scores(4))]);
    assert!(!lab.scored().concat().contains(&3));
}

/// Scores eight windows at once, one of them poisoned; the others must not notice.
async fn check_poison(poison: u32, panics: usize) {
    let lab = Lab::new();
    let (engine, threads) = start(&lab, settings(1, 16)).await;
    let busy = occupy(&lab, &engine).await;
    let waiting = ask_all(&engine, [1, 2, 3, 4, 5, poison, 7, 8]).await;
    lab.gate.set(false);
    busy.await.unwrap();
    let answers = join_all(waiting).await;
    let mut expected: Vec<Answer> = (1..=8).map(|piece| Ok(scores(piece))).collect();
    expected[5] = Err(EngineError::Failed);
    assert_eq!(answers, expected);
    // 8 -> 4 + 4 -> 2 + 2 -> 1 + 1: three cuts reach the window, each leaves one sound half.
    assert_eq!(lab.scored()[1..].iter().map(Vec::len).collect::<Vec<_>>(), [8, 4, 4, 2, 1, 1, 2]);
    assert_eq!(lab.made.load(Ordering::Relaxed), 1 + panics);
    let counts = engine.counts();
    assert_eq!((counts.windows, counts.windows_failed), (8, 1));
    assert_eq!(counts.panics, u64::try_from(panics).unwrap());
    assert_eq!(asked(&engine, StreamId(2), window(9)).await, Ok(scores(9)));
    drop(engine);
    threads.join().unwrap();
}

#[tokio::test]
async fn a_window_that_the_model_refuses_fails_alone() {
    check_poison(REFUSE, 0).await;
}

#[tokio::test]
async fn a_window_that_makes_the_model_panic_fails_alone() {
    check_poison(PANIC, 4).await;
}

#[tokio::test]
async fn too_few_scores_are_a_failure() {
    struct Silent;
    impl Scorer for Silent {
        fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
            let warm_up = batch.iter().filter(|window| window.pieces == [WARM_UP]);
            Ok(warm_up.map(|_| scores(0)).collect())
        }
    }
    let factory: ScorerFactory = Arc::new(|_worker| Ok(Box::new(Silent)));
    let (engine, _threads) =
        Engine::start(&settings(1, 4), &factory, window(WARM_UP), watchers()).unwrap();
    assert_eq!(asked(&engine, StreamId(1), window(1)).await, Err(EngineError::Failed));
}

#[tokio::test]
async fn a_scorer_that_cannot_be_made_anew_is_told_and_tried_again() {
    let lab = Lab::new();
    let sound = factory(&lab);
    let tries = AtomicUsize::new(0);
    let repair = Arc::new(Gate::default());
    repair.set(true);
    let repaired = Arc::clone(&repair);
    let factory: ScorerFactory =
        Arc::new(move |worker| match tries.fetch_add(1, Ordering::Relaxed) {
            1 => Err("planted".into()),
            2 => {
                repaired.pass();
                sound(worker)
            }
            _ => sound(worker),
        });
    let (engine, _threads) =
        Engine::start(&settings(1, 4), &factory, window(WARM_UP), watchers()).unwrap();
    engine.ready().await.unwrap();
    let mut state = engine.state();
    assert_eq!(asked(&engine, StreamId(1), window(PANIC)).await, Err(EngineError::Failed));
    let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await.unwrap().clone();
    assert!(matches!(failed, State::Failed(error) if matches!(*error, WorkerError::Build { .. })));
    repair.set(false);
    assert_eq!(asked(&engine, StreamId(1), window(2)).await, Ok(scores(2)));
    assert!(matches!(*state.borrow_and_update(), State::Ready));
}

#[tokio::test]
async fn closing_answers_what_runs_and_stops_what_waits() {
    let lab = Lab::new();
    let (engine, threads) = start(&lab, settings(1, 2)).await;
    let running = occupy(&lab, &engine).await;
    let waiting = ask(&engine, 1, 2).await;
    let without_place = ask(&engine, 1, 3).await;
    engine.close();
    assert_eq!(waiting.await, Err(EngineError::Stopping));
    assert_eq!(without_place.await, Err(EngineError::Stopping));
    assert_eq!(asked(&engine, StreamId(1), window(4)).await, Err(EngineError::Stopping));
    assert!(matches!(*engine.state().borrow(), State::Stopping));
    lab.gate.set(false);
    assert_eq!(running.await, Ok(scores(999)));
    threads.join().unwrap();
    assert_eq!(lab.scored(), [vec![999]]);
}

#[tokio::test]
async fn the_threads_end_with_the_last_handle_and_not_before() {
    let lab = Lab::new();
    let (engine, threads) = start(&lab, settings(3, 4)).await;
    let other = engine.clone();
    drop(engine);
    let asked = asked(&other, StreamId(1), window(1));
    drop(other);
    assert_eq!(asked.await, Ok(scores(1)));
    threads.join().unwrap();
}

/// A start that fails on the second of two workers: `ready` says so, nothing is scored, the threads end.
async fn check_start(sick: fn() -> Result<Box<dyn Scorer>, Cause>) -> String {
    let sound = factory(&Lab::new());
    let factory: ScorerFactory =
        Arc::new(move |worker| if worker == 1 { sick() } else { sound(worker) });
    let (engine, threads) =
        Engine::start(&settings(2, 4), &factory, window(WARM_UP), watchers()).unwrap();
    let error = engine.ready().await.unwrap_err();
    assert_eq!(asked(&engine, StreamId(1), window(1)).await, Err(EngineError::Stopping));
    threads.join().unwrap();
    assert!(matches!(*engine.state().borrow(), State::Failed(_)));
    error.to_string()
}

struct Sick(fn() -> Result<Vec<Scores>, ScoreError>);

impl Scorer for Sick {
    fn score(&mut self, _batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
        (self.0)()
    }
}

fn refuse() -> Result<Vec<Scores>, ScoreError> {
    Err(ScoreError { windows: 1, source: "planted".into() })
}

#[tokio::test]
async fn a_worker_that_cannot_start_fails_the_start() {
    let error = check_start(|| Err("planted".into())).await;
    assert_eq!(error, "worker 1 could not make its scorer");
    let error = check_start(|| panic!("planted")).await;
    assert_eq!(error, "worker 1 panicked before it could serve");
    let error = check_start(|| Ok(Box::new(Sick(refuse)))).await;
    assert_eq!(error, "worker 1 could not score the warm-up window");
    let error = check_start(|| Ok(Box::new(Sick(|| panic!("planted"))))).await;
    assert_eq!(error, "worker 1 panicked before it could serve");
}

#[tokio::test]
async fn the_engine_is_ready_once_every_worker_is_warm() {
    let lab = Lab::new();
    let sound = factory(&lab);
    let gated = Arc::clone(&lab);
    let factory: ScorerFactory = Arc::new(move |worker| {
        if worker == 1 {
            gated.gate.pass();
        }
        sound(worker)
    });
    lab.gate.set(true);
    let (engine, _threads) =
        Engine::start(&settings(2, 4), &factory, window(WARM_UP), watchers()).unwrap();
    let waiting = ask(&engine, 1, 1).await;
    // Worker 0 is warm when it takes the window; the engine is not ready all the same.
    lab.begun(1).await;
    assert!(matches!(*engine.state().borrow(), State::Starting));
    lab.gate.set(false);
    engine.ready().await.unwrap();
    assert_eq!(waiting.await, Ok(scores(1)));
}

#[tokio::test]
async fn a_scorer_computes_on_the_threads_of_its_worker_only() {
    struct Wide(Arc<Mutex<BTreeSet<String>>>);
    impl Scorer for Wide {
        fn score(&mut self, batch: &[&WindowInput]) -> Result<Vec<Scores>, ScoreError> {
            assert_eq!(rayon::current_num_threads(), 2);
            // Two tasks that wait for each other are on two threads.
            let both = std::sync::Barrier::new(2);
            let meet = || {
                both.wait();
                let name = std::thread::current().name().unwrap().to_owned();
                self.0.lock().unwrap().insert(name);
            };
            rayon::join(meet, meet);
            Ok(batch.iter().map(|window| scores(window.pieces[0])).collect())
        }
    }
    let names = Arc::new(Mutex::default());
    let seen = Arc::clone(&names);
    let factory: ScorerFactory = Arc::new(move |_worker| Ok(Box::new(Wide(Arc::clone(&seen)))));
    let two = NonZeroUsize::new(2).unwrap();
    let share = budget::Share { workers: two, threads_per_worker: two };
    let settings = Settings { share, ..settings(2, 4) };
    let (engine, threads) =
        Engine::start(&settings, &factory, window(WARM_UP), watchers()).unwrap();
    engine.ready().await.unwrap();
    drop(engine);
    threads.join().unwrap();
    let names = names.lock().unwrap().clone();
    assert_eq!(Vec::from_iter(names), ["score-0", "score-0-1", "score-1", "score-1-1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Conservation: whatever is refused, panics or is abandoned, every window gets the answer it deserves, every
    /// place is free again at the end, and the counts add up.
    #[test]
    fn every_window_is_answered_skipped_or_failed(
        workers in 1..4_usize,
        windows in vec((0..5_u64, 0..10_u32, 0..5_u8), 1..64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new();
            let (engine, threads) = start(&lab, settings(workers, 64)).await;
            let mut asked = Vec::new();
            for (number, &(stream, kind, patience)) in (1..).zip(&windows) {
                let piece = match kind { 0 => PANIC, 1 => REFUSE, _ => number };
                let pending = ask(&engine, stream, piece).await;
                // Some leave at once, before or after a worker came for them.
                if patience > 0 { asked.push((piece, pending)); }
            }
            for (piece, pending) in asked {
                let sound = piece != PANIC && piece != REFUSE;
                let expected = if sound { Ok(scores(piece)) } else { Err(EngineError::Failed) };
                prop_assert_eq!(pending.await, expected);
            }
            let mut places = Vec::new();
            while places.len() < 64 {
                places.push(engine.owner.pool.place().await.unwrap());
            }
            let counts = engine.counts();
            let ended = counts.windows + counts.windows_failed + counts.windows_skipped;
            prop_assert_eq!(ended, u64::try_from(windows.len()).unwrap());
            prop_assert_eq!(engine.waiting(), 0);
            drop(engine);
            threads.join().unwrap();
            Ok(())
        })?;
    }
}
