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

/// Bytes of a head's text that the model reads: far more than any name has.
const HEAD_BYTES_MAX: usize = 256;

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

/// What one label of the second stage may find.
type Ask = Vec<Pair>;

/// A head and a tail that one label asks about: indices of arguments.
#[derive(Clone, Copy, Debug)]
struct Pair {
    relation: usize,
    /// 0 until it is scored.
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
        let mut packer = Packer::new(relations, encoder);
        self.limited += u64::from(!window.ask(relations, intake, &mut packer));
        let packed = packer.finish();
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
            for pair in ask {
                let tail = &window.arguments[pair.tail];
                let [start, end] =
                    [tail.start, tail.end].map(|w| prefix_words + distance(first_word, w));
                let judged = judge(scores, label, start..end, plan.score_mode);
                if judged.is_over(relations.relations[pair.relation].label.threshold) {
                    window.pairs.push(Pair { score: judged.score, ..*pair });
                }
            }
        }
        Ok(())
    }

    /// Decides the next window in the order of the document, if all its passes are scored.
    pub fn decide_next(&mut self, sink: &mut Sink<'_>) -> bool {
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
            let [head, tail] = [pair.head, pair.tail].map(|at| mention(arguments[at]));
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
    /// Asks for each text of a head with each relation that some tail may stand in; false where not all fit.
    fn ask(&mut self, plan: &RelationsPlan, intake: &Intake, packer: &mut Packer<'_>) -> bool {
        for (text, heads) in self.heads(plan, intake) {
            for (prompt, relations) in &plan.prompts {
                let ask: Ask = relations
                    .iter()
                    .flat_map(|&relation| self.pairs_of(relation, &heads, plan))
                    .collect();
                if ask.is_empty() {
                    continue;
                }
                if !packer.add(&text, prompt) {
                    return false;
                }
                self.asks.push(ask);
            }
        }
        true
    }

    /// Texts of the arguments that may be heads, in the order of their first appearance, each with its arguments.
    fn heads(&self, plan: &RelationsPlan, intake: &Intake) -> Vec<(String, Vec<usize>)> {
        let may_be_head =
            |label| plan.relations.iter().any(|relation| relation.heads.index(label).is_some());
        let mut known = BTreeMap::new();
        let mut heads: Vec<(String, Vec<usize>)> = Vec::new();
        for (at, argument) in self.arguments.iter().enumerate() {
            if !may_be_head(argument.label) {
                continue;
            }
            let text = intake.words_text(argument.start, argument.end, HEAD_BYTES_MAX);
            let entry = *known.entry(text).or_insert_with_key(|text| {
                heads.push((text.clone(), Vec::new()));
                heads.len() - 1
            });
            heads[entry].1.push(at);
        }
        heads
    }

    /// The pairs of a relation that heads of one text may stand in.
    fn pairs_of(&self, relation: usize, heads: &[usize], plan: &RelationsPlan) -> Vec<Pair> {
        let asked = &plan.relations[relation];
        let is_head = |at: &usize| asked.heads.index(self.arguments[*at].label).is_some();
        let heads: Vec<usize> = heads.iter().copied().filter(is_head).collect();
        let is_tail = |at: &usize| asked.tails.index(self.arguments[*at].label).is_some();
        let tails = (0..self.arguments.len()).filter(is_tail);
        let pair = |tail| {
            let head = self.head_for(tail, &heads, plan.distance_max)?;
            Some(Pair { relation, score: 0.0, head, tail })
        };
        tails.filter_map(pair).collect()
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
    group: Vec<String>,
    pieces: usize,
    asked: usize,
}

impl<'a> Packer<'a> {
    fn new(plan: &'a RelationsPlan, encoder: &'a dyn Encoder) -> Self {
        let empty = encoder.prompt(&[]).pieces();
        Self { plan, encoder, empty, passes: Vec::new(), group: Vec::new(), pieces: 0, asked: 0 }
    }

    /// Adds the label of a head and a relation; false when there is no room in the last pass.
    fn add(&mut self, head: &str, relation: &str) -> bool {
        let (label, pieces) = self.label(head, relation);
        let is_full = self.group.len() >= self.plan.labels_per_pass.max(1)
            || self.pieces + pieces > self.plan.label_pieces;
        if is_full && !self.group.is_empty() {
            if self.passes.len() + 1 >= self.plan.passes_max {
                return false;
            }
            self.close();
        }
        self.group.push(label);
        self.pieces += pieces;
        true
    }

    /// What the model reads, and its pieces; a head without end is cut to what fits.
    fn label(&self, head: &str, relation: &str) -> (String, usize) {
        let mut head = head;
        loop {
            let label = format!("{head} <> {relation}");
            let pieces = self.encoder.prompt(&[&label]).pieces() - self.empty;
            if pieces <= self.plan.label_pieces || head.is_empty() {
                return (label, pieces);
            }
            let half = head.floor_char_boundary(head.len() / 2);
            head = head.get(..half).unwrap_or_default();
        }
    }

    fn close(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.pieces = 0;
        if !group.is_empty() {
            let labels: Vec<&str> = group.iter().map(String::as_str).collect();
            let asks = self.asked..self.asked + labels.len();
            self.asked = asks.end;
            self.passes.push(Packed { prompt: Arc::new(self.encoder.prompt(&labels)), asks });
        }
    }

    fn finish(mut self) -> Vec<Packed> {
        self.close();
        self.passes
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("a window's words fit into memory")
}
