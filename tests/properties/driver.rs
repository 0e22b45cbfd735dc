//! Plays a document: chunks, polls and completions in an order that a seed decides.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use gleand::pipeline::document::{Document, Event, Input, Mention, Progress, Summary, WindowId};
use gleand::pipeline::plan::Plan;
use gleand::pipeline::scores::WindowInput;

use crate::generate::Script;
use crate::toy::{Sight, score};

/// Everything a document said, and that it kept its promises on the way.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) mentions: Vec<Mention>,
    pub(crate) summary: Summary,
    pub(crate) windows: Vec<WindowInput>,
}

impl Played {
    /// Results as a client would compare them.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.mentions
            .iter()
            .map(|m| {
                let text = m.text.as_deref().unwrap_or_default();
                format!(
                    "{} {:?} {} {:08x} {text:?}",
                    m.ordinal,
                    m.range,
                    m.label,
                    m.score.to_bits()
                )
            })
            .collect()
    }
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
    let mut promises = Promises::default();
    for _ in 0..10_000_000 {
        let polls = random.as_mut().map_or(usize::MAX, |r| r.below(4));
        for _ in 0..polls {
            match document.poll() {
                Some(Event::Window(id, input)) => {
                    windows.push(input.clone());
                    in_flight.push((id, input));
                }
                Some(Event::Mention(mention)) => {
                    promises.mention(&mention);
                    played.push(mention);
                }
                Some(Event::Progress(progress)) => promises.progress(progress),
                Some(Event::Warning(_)) => {}
                Some(Event::Done(summary)) => {
                    assert!(inputs.is_empty() && in_flight.is_empty(), "done before the end");
                    assert!(document.poll().is_none(), "nothing follows the end");
                    return Played { mentions: played, summary, windows };
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
    ordinals: u64,
    last_start: u64,
    watermark: u64,
}

impl Promises {
    fn mention(&mut self, mention: &Mention) {
        assert_eq!(mention.ordinal, self.ordinals, "ordinals count from 0 without a gap");
        self.ordinals += 1;
        let start = mention.range.start.bytes;
        assert!(start >= self.last_start, "mentions come by start");
        assert!(start >= self.watermark, "nothing comes before the watermark");
        self.last_start = start;
    }

    fn progress(&mut self, progress: Progress) {
        let watermark = progress.watermark.bytes;
        assert!(watermark >= self.watermark, "the watermark never goes back");
        assert!(watermark <= progress.received_bytes);
        self.watermark = watermark;
    }
}
