//! Engines that are sick or stuck, and what the engine tells of the time.

use super::*;

#[tokio::test]
async fn batches_that_panic_again_and_again_make_the_engine_sick_and_it_goes_on() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 16)).await;
    let mut state = engine.state();
    for _ in 0..2 {
        let answer = asked(&engine, StreamId(1), window(PANIC)).await;
        assert_eq!(answer.err(), Some(EngineError::Failed));
        assert!(!matches!(*state.borrow(), State::Sick));
    }
    let answer = asked(&engine, StreamId(1), window(PANIC)).await;
    assert_eq!(answer.err(), Some(EngineError::Failed));
    state.wait_for(|state| matches!(state, State::Sick)).await.unwrap();
    assert!(asked(&engine, StreamId(1), window(1)).await.is_ok());
}

#[tokio::test]
async fn one_bad_window_in_a_batch_counts_as_one_panic() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 64)).await;
    let busy = occupy(&lab, &engine).await;
    let waiting = ask_all(&engine, (1..40).chain([PANIC])).await;
    lab.gate.set(false);
    busy.await.unwrap();
    let failed = join_all(waiting).await.into_iter().filter(Result::is_err).count();
    assert_eq!(failed, 1);
    assert!(engine.counts().panics > 3, "the batch was not cut in halves");
    assert!(!matches!(*engine.state().borrow(), State::Sick));
}

#[tokio::test]
async fn a_forward_that_never_ends_is_told() {
    let lab = Lab::new();
    let patience = Patience { tick: Duration::from_millis(5), ticks: 10 };
    let (engine, _threads) = start(&lab, Settings { patience, ..settings(1, 16) }).await;
    let busy = occupy(&lab, &engine).await;
    engine.state().wait_for(|state| matches!(state, State::Stuck)).await.unwrap();
    lab.gate.set(false);
    busy.await.unwrap();
    assert!(matches!(*engine.state().borrow(), State::Stuck), "it is final");
}

#[tokio::test]
async fn what_waits_is_counted_in_pieces_and_scored_with_its_times() {
    let lab = Lab::new();
    let (engine, _threads) = start(&lab, settings(1, 64)).await;
    let busy = occupy(&lab, &engine).await;
    let waiting =
        (1..=3).map(|piece| engine.score(StreamId(1), window(piece), WindowSpan::default()));
    let waiting = join_all(waiting);
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        _ = &mut waiting => unreachable!("the worker is busy"),
        () = std::future::ready(()) => {}
    }
    assert_eq!((engine.waiting(), engine.waiting_pieces()), (3, 3 * window(1).cost()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    lab.gate.set(false);
    busy.await.unwrap();
    for scored in waiting.await {
        assert!(scored.unwrap().queue >= Duration::from_millis(20));
    }
    assert_eq!((engine.waiting(), engine.waiting_pieces()), (0, 0));
    assert!(engine.pieces_per_second().is_some_and(|rate| rate > 0.0));
}
