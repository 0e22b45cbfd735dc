//! Relations, second half: heads ask for their tails, window by window.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::Sink;
use super::relations::RelationsPlan;
use super::spans::mention;
use crate::pipeline::decode::{Candidate, judge};
use crate::pipeline::finding::{Finding, Relation};
use crate::pipeline::intake::Intake;
use crate::pipeline::plan::TaskPlan;
use crate::pipeline::ports::Encoder;
use crate::pipeline::scores::{Prompt, Scores, ShapeError, WindowInput};

/// Windows whose arguments are final and whose relations are not.
#[derive(Debug, Default)]
pub struct Pairs {
    open: VecDeque<Window>,
    /// Windows decided so far: the number of the first open one.
    decided: u64,
    /// Windows in which not all heads could ask.
    limited: u64,
}

#[derive(Debug)]
struct Window {
    words: Range<u64>,
    core: Range<u64>,
    arguments: Vec<Candidate>,
    asks: Vec<Ask>,
    /// The asks of each pass, and whether it still has to be scored.
    passes: Vec<(Range<usize>, bool)>,
    pairs: Vec<Pair>,
}

/// One label of the second stage.
#[derive(Debug)]
struct Ask {
    relation: usize,
    /// Tails that may be found, each with the head that it would belong to: indices of arguments.
    tails: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    relation: usize,
    score: f32,
    head: usize,
    tail: usize,
}

impl Pairs {
    /// Begins a window: its number and one input for each pass. One without pairs has no pass and is decided at once.
    pub fn begin(
        &mut self,
        (words, core, arguments): (Range<u64>, Range<u64>, Vec<Candidate>),
        plan: &TaskPlan,
        relations: &RelationsPlan,
        (encoder, intake): (&dyn Encoder, &Intake),
    ) -> (u64, Vec<WindowInput>) {
        let number = self.decided + self.open.len() as u64;
        let mut window = Window {
            words,
            core,
            arguments,
            asks: Vec::new(),
            passes: Vec::new(),
            pairs: Vec::new(),
        };
        let labels = window.ask(relations, encoder, intake);
        let mut packer = Packer::new(relations, encoder);
        for label in &labels {
            packer.add(label);
        }
        let (packed, asked) = packer.finish();
        self.limited += u64::from(asked < labels.len());
        let input = |packed: &Packed| {
            let max = plan.geometry.word_pieces_max;
            intake.window(&packed.prompt, &relations.prefix, window.words.clone(), max)
        };
        let inputs = packed.iter().map(input).collect();
        window.passes = packed.into_iter().map(|packed| (packed.asks, true)).collect();
        self.open.push_back(window);
        (number, inputs)
    }

    /// Takes the scores of one pass over one window.
    ///
    /// # Errors
    /// [`ShapeError`] when the scores are not those of this window.
    ///
    /// # Panics
    /// When the window was not begun or the pass was scored before.
    pub fn resolve(
        &mut self,
        plan: &TaskPlan,
        relations: &RelationsPlan,
        (number, pass): (u64, usize),
        scores: &Scores,
    ) -> Result<(), ShapeError> {
        let at = usize::try_from(number - self.decided).expect("open windows fit into memory");
        let window = &mut self.open[at];
        let (asks, waits) = &mut window.passes[pass];
        assert!(std::mem::replace(waits, false), "a pass over a window is scored once");
        let prefix_words = relations.prefix.words();
        let words = prefix_words + distance(window.words.start, window.words.end);
        scores.check(words, asks.len())?;
        let first_word = window.words.start;
        for (label, ask) in window.asks[asks.clone()].iter().enumerate() {
            let threshold = relations.relations[ask.relation].label.threshold;
            for &(tail, head) in &ask.tails {
                let argument = &window.arguments[tail];
                let [start, end] =
                    [argument.start, argument.end].map(|w| prefix_words + distance(first_word, w));
                let judged = judge(scores, label, start..end, plan.score_mode);
                if judged.is_over(threshold) {
                    let (relation, score) = (ask.relation, judged.score);
                    window.pairs.push(Pair { relation, score, head, tail });
                }
            }
        }
        Ok(())
    }

    /// Decides the next window in the order of the document, if all its passes are scored.
    pub fn decide_next(&mut self, intake: &Intake, sink: &mut Sink<'_>) -> bool {
        let scored = |window: &mut Window| window.passes.iter().all(|(_, waits)| !waits);
        let Some(mut window) = self.open.pop_front_if(scored) else { return false };
        self.decided += 1;
        let arguments = &window.arguments;
        window.pairs.sort_by_key(|pair| {
            let [head, tail] =
                [pair.head, pair.tail].map(|at| (arguments[at].start, arguments[at].end));
            (head.0.min(tail.0), head, tail, pair.relation)
        });
        for pair in &window.pairs {
            let [head, tail] = [pair.head, pair.tail].map(|at| mention(arguments[at], intake));
            let (relation, score) = (pair.relation, pair.score);
            sink(Finding::Relation(Relation { relation, score, head, tail }));
        }
        true
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The first word of the first open window.
    #[must_use]
    pub fn needed_from(&self) -> Option<u64> {
        self.open.front().map(|window| window.words.start)
    }

    /// The first word of the first open core.
    #[must_use]
    pub fn open_from(&self) -> Option<u64> {
        self.open.front().map(|window| window.core.start)
    }

    /// Windows in which not all heads could ask.
    #[must_use]
    pub fn limited(&self) -> u64 {
        self.limited
    }
}

impl Window {
    /// Works out which labels to ask for: each text of a head with each relation that some tail may stand in.
    fn ask(&mut self, plan: &RelationsPlan, encoder: &dyn Encoder, intake: &Intake) -> Vec<String> {
        let mut labels = Vec::new();
        for (text, heads) in self.heads(intake) {
            for (relation, asked) in plan.relations.iter().enumerate() {
                let allowed = |at: &usize| asked.heads.index(self.arguments[*at].label).is_some();
                let heads: Vec<usize> = heads.iter().copied().filter(allowed).collect();
                if heads.is_empty() {
                    continue;
                }
                let is_tail = |at: &usize| asked.tails.index(self.arguments[*at].label).is_some();
                let tails = (0..self.arguments.len()).filter(is_tail);
                let pair = |tail| Some((tail, self.head_for(tail, &heads, plan.distance_max)?));
                let tails: Vec<_> = tails.filter_map(pair).collect();
                if !tails.is_empty() {
                    labels.push(label(&text, &asked.label.prompt, plan.label_pieces, encoder));
                    self.asks.push(Ask { relation, tails });
                }
            }
        }
        labels
    }

    /// Texts of the arguments in the order of their first appearance, each with its arguments.
    fn heads(&self, intake: &Intake) -> Vec<(String, Vec<usize>)> {
        let mut known = BTreeMap::new();
        let mut heads: Vec<(String, Vec<usize>)> = Vec::new();
        for (at, argument) in self.arguments.iter().enumerate() {
            let text = intake.words_text(argument.start, argument.end);
            let entry = *known.entry(text).or_insert_with_key(|text| {
                heads.push((text.clone(), Vec::new()));
                heads.len() - 1
            });
            heads[entry].1.push(at);
        }
        heads
    }

    /// The nearest of `heads` to a tail, the earlier of two, if the pair is this window's to decide.
    fn head_for(&self, tail: usize, heads: &[usize], distance_max: Option<u64>) -> Option<usize> {
        let tail = &self.arguments[tail];
        let gap = |at: usize| {
            let head = &self.arguments[at];
            // Arguments that share words are no pair.
            head.start.checked_sub(tail.end).or(tail.start.checked_sub(head.end))
        };
        let (gap, head) = heads.iter().filter_map(|&at| Some((gap(at)?, at))).min()?;
        let first = self.arguments[head].start.min(tail.start);
        let near = distance_max.is_none_or(|max| gap <= max);
        (near && self.core.contains(&first)).then_some(head)
    }
}

/// What the model reads; a head without end is cut to what fits.
fn label(head: &str, relation: &str, pieces_max: usize, encoder: &dyn Encoder) -> String {
    let mut head = head;
    loop {
        let label = format!("{head} <> {relation}");
        let pieces = encoder.prompt(&[&label]).pieces() - encoder.prompt(&[]).pieces();
        if pieces <= pieces_max || head.is_empty() {
            return label;
        }
        let half = head.floor_char_boundary(head.len() / 2);
        head = head.get(..half).unwrap_or_default();
    }
}

/// The labels of one pass.
struct Packed {
    prompt: Arc<Prompt>,
    asks: Range<usize>,
}

/// Puts labels into passes, in order.
struct Packer<'a> {
    plan: &'a RelationsPlan,
    encoder: &'a dyn Encoder,
    empty: usize,
    passes: Vec<Packed>,
    group: Vec<&'a str>,
    pieces: usize,
    asked: usize,
}

impl<'a> Packer<'a> {
    fn new(plan: &'a RelationsPlan, encoder: &'a dyn Encoder) -> Self {
        let empty = encoder.prompt(&[]).pieces();
        Self { plan, encoder, empty, passes: Vec::new(), group: Vec::new(), pieces: 0, asked: 0 }
    }

    fn add(&mut self, label: &'a str) {
        let pieces = self.encoder.prompt(&[label]).pieces() - self.empty;
        let is_full = self.group.len() >= self.plan.labels_per_pass.max(1)
            || self.pieces + pieces > self.plan.label_pieces;
        if is_full && !self.group.is_empty() {
            self.close();
        }
        self.group.push(label);
        self.pieces += pieces;
    }

    fn close(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.pieces = 0;
        if !group.is_empty() && self.passes.len() < self.plan.passes_max {
            let asks = self.asked..self.asked + group.len();
            self.asked = asks.end;
            self.passes.push(Packed { prompt: Arc::new(self.encoder.prompt(&group)), asks });
        }
    }

    /// The passes, and how many labels they ask for: the first ones.
    fn finish(mut self) -> (Vec<Packed>, usize) {
        self.close();
        (self.passes, self.asked)
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("a window's words fit into memory")
}
