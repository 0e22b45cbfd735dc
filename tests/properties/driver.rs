//! Plays a document: chunks, polls and completions in an order that a seed decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gleand::pipeline::document::Document;
use gleand::pipeline::event::{Event, Input, Progress, Summary, WindowId};
use gleand::pipeline::finding::{Finding, Found, Mention, Span};
use gleand::pipeline::plan::{Plan, TaskPlan};
use gleand::pipeline::scores::WindowInput;
use gleand::pipeline::task::TaskKind;

use crate::generate::Script;
use crate::toy::{Sight, score};

/// Everything a document said, and that it kept its promises on the way.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) found: Vec<Found>,
    pub(crate) summary: Summary,
    pub(crate) windows: Vec<WindowInput>,
}

impl Played {
    /// Results as a client would compare them.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.found.iter().map(result).collect()
    }

    /// The same for each task: what results of several tasks come between each other is of no matter.
    pub(crate) fn lines_by_task(&self) -> Vec<Vec<String>> {
        let of_task = |task| self.found.iter().filter(move |found| found.task == task);
        (0..self.summary.tasks.len()).map(|task| of_task(task).map(result).collect()).collect()
    }

    /// The mentions among the results.
    pub(crate) fn mentions(&self) -> Vec<&Mention> {
        let mentions = self.found.iter().filter_map(|found| match &found.finding {
            Finding::Mention(mention) => Some(mention),
            _ => None,
        });
        mentions.collect()
    }
}

/// A result without the number of its task.
fn result(Found { ordinal, finding, .. }: &Found) -> String {
    let span = |score: f32, span: &Span| {
        format!("{:08x} {:?} {:?}", score.to_bits(), span.range, span.text)
    };
    let mention = |m: &Mention| format!("{} {}", m.label, span(m.score, &m.span));
    let what = match finding {
        Finding::Mention(found) => mention(found),
        Finding::Relation(found) => format!(
            "{} {:08x} {} {}",
            found.relation,
            found.score.to_bits(),
            mention(&found.head),
            mention(&found.tail)
        ),
        Finding::Answer(found) => {
            let best = found.best.as_ref().map(|(score, best)| span(*score, best));
            format!("{} {} {best:?}", found.question, found.rank)
        }
        Finding::Summary(found) => span(found.score, &found.span),
        Finding::Class(found) => {
            format!("{} {:08x} {:?}", found.class, found.score.to_bits(), found.range)
        }
    };
    format!("{ordinal} {what}")
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// The document in one chunk for each stretch between flushes, every window scored at once and in order.
pub(crate) fn play_plainly(plan: &Arc<Plan>, script: &Script, sight: Sight) -> Played {
    play(plan, inputs(script, |rest| rest), sight, None)
}

/// The document cut and played as `seed` says.
pub(crate) fn play_randomly(plan: &Arc<Plan>, script: &Script, sight: Sight, seed: u64) -> Played {
    let mut random = Random(seed);
    let longest = [1, 2, 7, 40, 700][random.below(5)];
    let cut = |rest: usize| rest.min(1 + random.below(longest));
    let inputs = inputs(script, cut);
    play(plan, inputs, sight, Some(Random(seed ^ 0x5555)))
}

fn inputs(script: &Script, mut cut: impl FnMut(usize) -> usize) -> VecDeque<Input> {
    let mut inputs = VecDeque::new();
    let mut from = 0;
    for &to in script.flushes.iter().chain([&script.bytes.len()]) {
        while from < to {
            let size = cut(to - from);
            inputs
                .push_back(Input::Bytes(Bytes::copy_from_slice(&script.bytes[from..from + size])));
            from += size;
        }
        inputs.push_back(Input::Flush);
    }
    inputs.pop_back();
    inputs.push_back(Input::Finish);
    inputs
}

fn play(
    plan: &Arc<Plan>,
    mut inputs: VecDeque<Input>,
    sight: Sight,
    mut random: Option<Random>,
) -> Played {
    let mut document = Document::new(Arc::clone(plan));
    let mut played = Vec::new();
    let mut in_flight: Vec<(WindowId, WindowInput)> = Vec::new();
    let mut windows = Vec::new();
    let is_bounded = |task: &TaskPlan| match &task.kind {
        TaskKind::Summary(summary) => summary.words_max.is_some(),
        _ => false,
    };
    let bounded = (0..plan.tasks.len()).filter(|&task| is_bounded(&plan.tasks[task]));
    let mut promises = Promises { waits_for_the_end: bounded.collect(), ..Promises::default() };
    for _ in 0..10_000_000 {
        let polls = random.as_mut().map_or(usize::MAX, |r| r.below(4));
        for _ in 0..polls {
            match document.poll() {
                Some(Event::Window(id, input)) => {
                    windows.push(input.clone());
                    in_flight.push((id, input));
                }
                Some(Event::Found(found)) => {
                    promises.found(&found);
                    played.push(found);
                }
                Some(Event::Interim { .. }) => panic!("nobody asked for interim lists"),
                Some(Event::Progress(progress)) => promises.progress(progress),
                Some(Event::Warning(_)) => {}
                Some(Event::Done(summary)) => {
                    assert!(inputs.is_empty() && in_flight.is_empty(), "done before the end");
                    assert!(document.poll().is_none(), "nothing follows the end");
                    promises.end(&summary);
                    return Played { found: played, summary, windows };
                }
                Some(Event::Failed(error)) => panic!("{error}"),
                None => {
                    let stuck = in_flight.is_empty() && !document.wants_input();
                    assert!(!stuck, "nothing in flight, nothing to say, and no wish");
                    break;
                }
            }
        }
        assert!(
            in_flight.len() <= plan.policy.windows_in_flight_max,
            "more in flight than allowed"
        );
        let choice = random.as_mut().map_or(0, |r| r.below(3));
        if !in_flight.is_empty() && choice < 2 {
            let which = random.as_mut().map_or(0, |r| r.below(in_flight.len()));
            let (id, input) = in_flight.remove(which);
            document.handle(Input::Scored(id, score(&input, sight)));
        } else if choice == 2 && random.as_mut().is_some_and(|r| r.below(9) == 0) {
            document.handle(Input::Tick);
        } else if document.wants_input()
            && let Some(input) = inputs.pop_front()
        {
            document.handle(input);
        }
    }
    panic!("the document never ends");
}

/// P6: what must hold between one event and the next.
#[derive(Default)]
struct Promises {
    /// For each task its results so far, and where the last one started.
    tasks: BTreeMap<usize, (u64, u64)>,
    /// Summaries with a bound, which keep their spans.
    waits_for_the_end: Vec<usize>,
    watermark: u64,
}

impl Promises {
    fn found(&mut self, found: &Found) {
        let (ordinals, last_start) = self.tasks.entry(found.task).or_default();
        assert_eq!(found.ordinal, *ordinals, "ordinals count from 0 without a gap");
        *ordinals += 1;
        // Answers and classes come after the last window, best first.
        if matches!(found.finding, Finding::Answer(_) | Finding::Class(_)) {
            return;
        }
        let start = found.finding.start();
        assert!(start >= *last_start, "results come by start");
        *last_start = start;
        let waits = self.waits_for_the_end.contains(&found.task);
        assert!(waits || start >= self.watermark, "nothing comes before the watermark");
    }

    fn progress(&mut self, progress: Progress) {
        let watermark = progress.watermark.bytes;
        assert!(watermark >= self.watermark, "the watermark never goes back");
        assert!(watermark <= progress.received_bytes);
        self.watermark = watermark;
    }

    fn end(&self, summary: &Summary) {
        for (task, counts) in summary.tasks.iter().enumerate() {
            let found = self.tasks.get(&task).map_or(0, |(found, _)| *found);
            assert_eq!(counts.results, found, "the end counts what was handed out");
        }
    }
}
