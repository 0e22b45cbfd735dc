//! P5 and P7: nothing is cut, and what is held does not grow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gleand::pipeline::document::Document;
use gleand::pipeline::event::{DocumentError, Event, Input, Summary};
use gleand::pipeline::plan::{Plan, TaskPlan, WindowPolicy};
use gleand::pipeline::ports::{Encoder, LabelError, ModelFacts, TaskWindows};
use gleand::pipeline::request::{EntitiesRequest, TaskRequest};
use gleand::pipeline::schema::{LabelsPerSpan, Overlap};
use gleand::pipeline::scores::{Prompt, WindowInput};
use gleand::pipeline::utf8::InvalidUtf8;

use crate::driver::play_plainly;
use crate::generate::{Ask, LIMITS, Script, entities, label, plan, plan_with};
use crate::toy::{Sight, ToyEncoder, facts, score};

fn small_ask() -> Ask {
    Ask {
        words_max: 32,
        mention_words_max: 4,
        windows_in_flight_max: 2,
        overlap: Overlap::Flat,
        labels_per_span: LabelsPerSpan::One,
        labels: 3,
    }
}

#[test]
fn p5_every_word_is_in_a_window_of_every_label_group() {
    let text: String = (0..1000).map(|i| format!("word{i} ")).collect();
    let script = Script { bytes: text.into_bytes(), flushes: Vec::new() };
    let played = play_plainly(&plan(&small_ask()), &script, Sight::Word);
    let mut seen = HashMap::new();
    for window in &played.windows {
        let mut from = 0;
        for &end in &window.word_ends {
            let word = window.pieces[from as usize..end as usize].to_vec();
            seen.entry(word)
                .or_insert_with(std::collections::BTreeSet::new)
                .insert(window.prompt.labels());
            from = end;
        }
    }
    for i in 0..1000 {
        let groups = &seen[&ToyEncoder.pieces(&format!("word{i}"))];
        assert_eq!(groups.iter().copied().collect::<Vec<_>>(), [1, 2], "word{i}");
    }
}

#[test]
fn flushes_do_not_multiply_the_work() {
    let text: Vec<u8> = b"abc ".repeat(2000);
    let plain = play_plainly(
        &plan(&small_ask()),
        &Script { bytes: text.clone(), flushes: vec![] },
        Sight::Word,
    );
    let flushes = (4..text.len()).step_by(4).collect();
    let flushed = play_plainly(&plan(&small_ask()), &Script { bytes: text, flushes }, Sight::Word);
    let (few, many) = (plain.summary.tasks[0].windows, flushed.summary.tasks[0].windows);
    assert!(many <= 2 * few + 1, "{many} windows with a flush behind every word, {few} without");
}

#[test]
fn the_first_flush_takes_effect_at_once() {
    let mut document = Document::new(plan(&small_ask()));
    document.handle(Input::Bytes(Bytes::from_static(b"only a few words")));
    assert!(document.poll().is_none(), "a window waits for more text");
    document.handle(Input::Flush);
    assert!(matches!(document.poll(), Some(Event::Window(..))));
}

fn fail(invalid_utf8: InvalidUtf8, inputs: Vec<Input>) -> DocumentError {
    let plan = plan(&small_ask());
    let plan = Plan { invalid_utf8, ..Arc::into_inner(plan).unwrap() };
    let mut document = Document::new(Arc::new(plan));
    for input in inputs {
        document.handle(input);
        while let Some(event) = document.poll() {
            if let Event::Failed(error) = event {
                assert!(document.poll().is_none() && !document.wants_input());
                return error;
            }
        }
    }
    panic!("the document did not fail");
}

#[test]
fn invalid_bytes_are_named_by_their_offset_wherever_chunks_end() {
    let bytes = |b: &'static [u8]| Input::Bytes(Bytes::from_static(b));
    for inputs in [
        vec![bytes(b"caf\xc3\xa9 \xff")],
        vec![bytes(b"caf\xc3"), bytes(b"\xa9 "), bytes(b"\xff")],
        vec![bytes(b"caf\xc3\xa9 \xe2"), bytes(b"\x82"), bytes(b"x")],
        vec![bytes(b"caf\xc3\xa9 \xe2\x82"), Input::Finish],
    ] {
        assert_eq!(fail(InvalidUtf8::Reject, inputs), DocumentError::InvalidUtf8 { at: 6 });
    }
}

#[test]
fn a_flush_inside_a_code_point_is_an_error_even_where_bytes_are_replaced() {
    let inputs = vec![Input::Bytes(Bytes::from_static(b"abc\xc3")), Input::Flush];
    let expected = DocumentError::FlushInsideCodePoint { at: 4 };
    assert_eq!(fail(InvalidUtf8::Replace, inputs), expected);
}

/// Plays `chunks` copies of `chunk` with scores that depend on the window's size alone, and returns the
/// summary and the most bytes that were allocated at once beyond what was there at an eighth of it.
fn play_long(chunk: &Bytes, chunks: usize) -> (Summary, usize) {
    let ask = Ask { words_max: 320, mention_words_max: 40, labels: 2, ..small_ask() };
    let mut document = Document::new(plan(&ask));
    let mut constant = HashMap::new();
    let mut sent = 0;
    let mut base = 0;
    loop {
        match document.poll() {
            Some(Event::Window(id, input)) => {
                let scores =
                    constant.entry(input.words()).or_insert_with(|| score(&input, Sight::Word));
                document.handle(Input::Scored(id, scores.clone()));
            }
            Some(Event::Done(summary)) => return (summary, counting::peak().saturating_sub(base)),
            Some(Event::Failed(error)) => panic!("{error}"),
            Some(_) => {}
            None if sent < chunks => {
                assert!(document.wants_input());
                document.handle(Input::Bytes(chunk.clone()));
                sent += 1;
                if sent == chunks / 8 {
                    base = counting::reset_peak();
                }
            }
            None => document.handle(Input::Finish),
        }
    }
}

#[test]
fn p7_a_document_of_one_gigabyte_holds_no_more_than_one_of_an_eighth() {
    let line = "It was on a dreary night of November, that I beheld my man.\n";
    let chunk = Bytes::from(line.repeat(1100));
    let chunks = (1 << 30) / chunk.len();
    let (summary, grown) = play_long(&chunk, chunks);
    assert_eq!(summary.received.bytes, (chunk.len() * chunks) as u64);
    assert_eq!(summary.words, summary.received.bytes / line.len() as u64 * 15);
    assert!(summary.tasks[0].results > 1_000_000, "the scores find something");
    assert!(grown < 256 << 10, "{grown} bytes more than before");
}

#[test]
fn p7_blanks_without_end_behind_a_word_are_not_held() {
    let mut document = Document::new(plan(&small_ask()));
    document.handle(Input::Bytes(Bytes::from_static(b"the only word ")));
    let blanks = Bytes::from(vec![b' '; 1 << 20]);
    let mut base = 0;
    for chunk in 0..48 {
        document.handle(Input::Bytes(blanks.clone()));
        assert!(document.poll().is_none());
        if chunk == 0 {
            base = counting::reset_peak();
        }
    }
    let grown = counting::peak() - base;
    assert!(grown < 2 << 20, "{grown} bytes more");
}

/// What the model reads of a document for the tasks of `plan` that ask for one label.
fn read_for_one_label(plan: Arc<Plan>) -> Vec<WindowInput> {
    let mut document = Document::new(plan);
    document.handle(Input::Bytes(Bytes::from("word after word ".repeat(20))));
    document.handle(Input::Finish);
    let mut windows = Vec::new();
    loop {
        match document.poll() {
            Some(Event::Window(id, input)) => {
                let scores = score(&input, Sight::Word);
                if input.prompt.labels() == 1 {
                    windows.push(input);
                }
                document.handle(Input::Scored(id, scores));
            }
            Some(Event::Done(_)) => return windows,
            other => assert!(other.is_some(), "a document that has everything goes on"),
        }
    }
}

#[test]
fn a_task_reads_words_alike_whatever_rides_along() {
    let policy =
        WindowPolicy { pieces_max: Some(15), text_words_min: Some(1), ..WindowPolicy::default() };
    let of_labels = |labels| {
        let plan = plan_with(&Ask { words_max: 8, labels, ..small_ask() }, policy);
        Arc::into_inner(plan).unwrap()
    };
    let alone = of_labels(1);
    let mut together = of_labels(1);
    together.tasks.extend(of_labels(2).tasks);
    let limits: Vec<_> = together.tasks.iter().map(|t| t.geometry.word_pieces_max).collect();
    assert!(limits[1] < limits[0], "the longer prompt leaves less for a word: {limits:?}");
    assert_eq!(read_for_one_label(Arc::new(together)), read_for_one_label(Arc::new(alone)));
}

/// Labels that are far too long for one pass, and how often one was read.
#[derive(Debug)]
struct LongLabels(AtomicUsize);

impl Encoder for LongLabels {
    fn pieces(&self, _word: &str) -> Vec<u32> {
        self.0.fetch_add(1, Ordering::Relaxed);
        vec![7; 50]
    }

    fn unknown_piece(&self) -> Option<u32> {
        None
    }

    fn label_pieces(&self, label: &str) -> Result<Vec<u32>, LabelError> {
        Ok(self.pieces(label))
    }

    fn prompt(&self, labels: &[&str]) -> Prompt {
        let head: Vec<u32> = labels.iter().flat_map(|label| self.pieces(label)).collect();
        let label_positions = (0..).step_by(50).take(labels.len()).collect();
        Prompt { head, label_positions, tail: Vec::new() }
    }
}

#[test]
fn labels_are_read_a_few_times_however_many_groups_they_need() {
    let request = TaskRequest::Entities(EntitiesRequest {
        labels: (0..100).map(|i| label(&i.to_string())).collect(),
        threshold: None,
        overlap: Overlap::Flat,
        labels_per_span: LabelsPerSpan::One,
    });
    let encoder = LongLabels(AtomicUsize::new(0));
    let policy = WindowPolicy { pieces_max: Some(128), ..WindowPolicy::default() };
    let facts = ModelFacts { labels_per_pass: 100, ..facts(64) };
    let plan = TaskPlan::new(&request, &encoder, &facts, policy, LIMITS).unwrap();
    assert_eq!(plan.passes.len(), 50, "two labels fit beside a quarter of the words");
    assert!(encoder.0.into_inner() <= 4 * 100);
}

#[test]
fn a_model_may_be_at_its_best_with_fewer_words_for_a_task_and_the_operator_wins() {
    let request = entities(&small_ask());
    let windows = TaskWindows { entities: Some(16), ..TaskWindows::default() };
    let facts = ModelFacts { windows, ..facts(64) };
    let words = |policy| {
        let plan = TaskPlan::new(&request, &ToyEncoder, &facts, policy, LIMITS).unwrap();
        (plan.geometry.words_max, plan.geometry.left_margin)
    };
    assert_eq!(words(WindowPolicy::default()), (16, 2));
    assert_eq!(words(WindowPolicy { words_max: Some(48), ..WindowPolicy::default() }), (48, 6));
}

/// Counts what the thread of a test allocates; the tests beside it have threads of their own.
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<usize> = const { Cell::new(0) };
        static PEAK: Cell<usize> = const { Cell::new(0) };
    }

    struct Counting;

    #[expect(unsafe_code, reason = "an allocator that counts is an unsafe trait")]
    // SAFETY: every call goes to the system allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let now = NOW.get().wrapping_add(layout.size());
            NOW.set(now);
            PEAK.set(PEAK.get().max(now));
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            NOW.set(NOW.get().saturating_sub(layout.size()));
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    pub(crate) fn peak() -> usize {
        PEAK.get()
    }

    /// Forgets the peak and says what is allocated now.
    pub(crate) fn reset_peak() -> usize {
        PEAK.set(NOW.get());
        NOW.get()
    }
}
