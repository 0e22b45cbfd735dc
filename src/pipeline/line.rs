//! One task of a document: its windows in flight, its open cluster, its mentions.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::decode::{Candidate, DecodeWindow, decode};
use super::intake::Intake;
use super::merge::Selection;
use super::offset::Position;
use super::plan::TaskPlan;
use super::scores::{Prompt, Scores, ShapeError, WindowInput};
use super::window::{WindowPlanner, WindowShape};

/// The state of one task.
#[derive(Debug)]
pub struct TaskLine {
    planner: WindowPlanner,
    /// Windows cut and not yet merged, in document order.
    open: VecDeque<OpenWindow>,
    /// Windows merged so far: the number of the first open one.
    merged: u64,
    selection: Selection,
    /// Where the last merged core ended.
    frontier: Position,
    counts: LineCounts,
}

/// What happened in one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Windows cut.
    pub windows: u64,
    /// Mentions found.
    pub mentions: u64,
    /// Candidates dropped because one window had too many.
    pub candidates_dropped: u64,
    /// Clusters decided early because they reached a bound.
    pub clusters_forced: u64,
    /// Windows whose right margin was narrower than promised.
    pub windows_narrowed: u64,
}

#[derive(Debug)]
struct OpenWindow {
    shape: WindowShape,
    /// Which label groups still have to be scored.
    waiting: Vec<bool>,
    candidates: Vec<Candidate>,
}

/// A window that was cut: its number and one model input for each label group.
#[derive(Debug)]
pub struct CutWindow {
    /// The window's number in its task.
    pub number: u64,
    /// Inputs in the order of the plan's groups.
    pub inputs: Vec<WindowInput>,
}

impl TaskLine {
    /// A task at the start of a document.
    #[must_use]
    pub fn new(plan: &TaskPlan) -> Self {
        Self {
            planner: WindowPlanner::new(plan.geometry),
            open: VecDeque::new(),
            merged: 0,
            selection: Selection::new(plan.rules),
            frontier: Position::default(),
            counts: LineCounts::default(),
        }
    }

    /// Ends the text at `word` for what comes before it.
    pub fn flush(&mut self, word: u64) {
        self.planner.flush(word);
    }

    /// Ends the text for good.
    pub fn finish(&mut self, word: u64) {
        self.planner.finish(word);
    }

    /// Cuts the next window, if there is one.
    pub fn cut(&mut self, plan: &TaskPlan, intake: &Intake) -> Option<CutWindow> {
        let shape = self.planner.next(intake)?;
        let number = self.merged + self.open.len() as u64;
        let inputs = plan
            .groups
            .iter()
            .map(|group| input(&group.prompt, &shape, intake, plan.geometry.word_pieces_max))
            .collect();
        self.counts.windows += 1;
        self.counts.windows_narrowed += u64::from(shape.narrowed);
        self.open.push_back(OpenWindow {
            shape,
            waiting: vec![true; plan.groups.len()],
            candidates: Vec::new(),
        });
        Some(CutWindow { number, inputs })
    }

    /// Takes the scores of one label group of one window.
    ///
    /// # Errors
    /// [`ShapeError`] when the scores are not those of this window.
    ///
    /// # Panics
    /// When the window was not cut or the group was scored before.
    pub fn resolve(
        &mut self,
        plan: &TaskPlan,
        (number, group): (u64, usize),
        scores: &Scores,
    ) -> Result<(), ShapeError> {
        let at = usize::try_from(number - self.merged).expect("open windows fit into memory");
        let window = &mut self.open[at];
        assert!(
            std::mem::replace(&mut window.waiting[group], false),
            "a window group is scored once"
        );
        let group = &plan.groups[group];
        let words = distance(&window.shape.words);
        let expected = words * group.thresholds.len() * 3;
        if scores.words() != words || scores.labels() != group.thresholds.len() {
            return Err(ShapeError { expected, actual: scores.as_slice().len() });
        }
        let first_word = window.shape.words.start;
        let core_start = distance(&(first_word..window.shape.core.start));
        let core = (core_start, core_start + distance(&window.shape.core));
        let part = DecodeWindow { first_word, core, first_label: group.first_label };
        let max = plan.rules.candidates_max;
        let (candidates, dropped) = (&mut window.candidates, &mut self.counts.candidates_dropped);
        decode(scores, part, &group.thresholds, plan.score_mode, &mut |candidate| {
            candidates.push(candidate);
            if candidates.len() >= 2 * max {
                *dropped += keep_best(candidates, max);
            }
        });
        *dropped += keep_best(candidates, max);
        Ok(())
    }

    /// Merges the next window in document order, if all its groups are scored, and hands out what
    /// that makes final.
    pub fn merge_next(&mut self, intake: &Intake, sink: &mut impl FnMut(Candidate)) -> bool {
        let Some(window) = self.open.pop_front_if(|window| !window.waiting.contains(&true)) else {
            return false;
        };
        self.merged += 1;
        let mut candidates = window.candidates;
        candidates.sort_by_key(Candidate::enumeration_key);
        let mut mentions = 0;
        let mut counted = |candidate| {
            mentions += 1;
            sink(candidate);
        };
        for candidate in candidates {
            self.selection.push(candidate, &mut counted);
        }
        let core = window.shape.core;
        self.selection.advance(core.end, &mut counted);
        self.counts.mentions += mentions;
        self.frontier = intake.range(core.start, core.end).end;
        true
    }

    /// Whether every window that was cut is merged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The first word that is still needed.
    #[must_use]
    pub fn needed_from(&self) -> u64 {
        let open = self.open.front().map_or(u64::MAX, |window| window.shape.core.start);
        let cluster = self.selection.open_from().unwrap_or(u64::MAX);
        self.planner.needed_from().min(open).min(cluster)
    }

    /// The place before which everything is final.
    #[must_use]
    pub fn watermark(&self, intake: &Intake) -> Position {
        self.selection.open_from().map_or(self.frontier, |word| intake.range(word, word + 1).start)
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> LineCounts {
        LineCounts { clusters_forced: self.selection.forced(), ..self.counts }
    }
}

fn input(
    prompt: &Arc<Prompt>,
    shape: &WindowShape,
    intake: &Intake,
    word_pieces_max: usize,
) -> WindowInput {
    let mut pieces = Vec::new();
    let word_ends = shape
        .words
        .clone()
        .map(|word| {
            pieces.extend_from_slice(intake.pieces(word, word_pieces_max));
            u32::try_from(pieces.len()).expect("a window has far fewer pieces than 2^32")
        })
        .collect();
    WindowInput { prompt: Arc::clone(prompt), pieces, word_ends }
}

/// Keeps the `max` candidates that selection would look at first, and says how many it dropped.
fn keep_best(candidates: &mut Vec<Candidate>, max: usize) -> u64 {
    let Some(dropped) = candidates.len().checked_sub(max).filter(|&dropped| dropped > 0) else {
        return 0;
    };
    // A total order, so what is kept does not depend on the order in which groups were scored.
    candidates.select_nth_unstable_by(max, |a, b| match b.score.total_cmp(&a.score) {
        Ordering::Equal => a.enumeration_key().cmp(&b.enumeration_key()),
        order => order,
    });
    candidates.truncate(max);
    dropped as u64
}

fn distance(words: &Range<u64>) -> usize {
    usize::try_from(words.end - words.start).expect("a window's words fit into memory")
}
