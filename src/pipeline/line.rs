//! One task of a document: its windows in flight, and how far its results have come.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::decode::Candidate;
use super::intake::Intake;
use super::offset::Position;
use super::plan::TaskPlan;
use super::ports::Encoder;
use super::scores::{Scores, ShapeError, WindowInput};
use super::task::{Sink, TaskKind, TaskState, place};
use super::window::{WindowPlanner, WindowShape};

/// The state of one task.
#[derive(Debug)]
pub struct TaskLine {
    planner: WindowPlanner,
    /// Windows cut and not yet merged, in document order.
    open: VecDeque<OpenWindow>,
    /// Windows merged so far: the number of the first open one.
    merged: u64,
    task: TaskState,
    /// Where the last merged core ended: word and place.
    frontier: (u64, Position),
    counts: LineCounts,
}

/// What happened in one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Windows cut.
    pub windows: u64,
    /// Passes of the model over a window.
    pub passes: u64,
    /// Results handed out.
    pub results: u64,
    /// Candidates dropped because one window had too many.
    pub candidates_dropped: u64,
    /// Clusters decided early because they reached a bound.
    pub clusters_forced: u64,
    /// Windows whose right margin was narrower than promised.
    pub windows_narrowed: u64,
    /// Windows in which not all heads of relations could ask for their tails.
    pub relations_limited: u64,
}

/// Which reading of its windows a task is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The one that every task has.
    First,
    /// Heads of relations ask for their tails.
    Pairs,
}

/// One pass over one window of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassId {
    /// Which reading.
    pub stage: Stage,
    /// The window's number in it.
    pub window: u64,
    /// The pass's number in the window.
    pub pass: usize,
}

#[derive(Debug)]
struct OpenWindow {
    shape: WindowShape,
    /// Which passes still have to be scored.
    waiting: Vec<bool>,
    candidates: Vec<Candidate>,
}

impl TaskLine {
    /// A task at the start of a document.
    #[must_use]
    pub fn new(plan: &TaskPlan) -> Self {
        Self {
            planner: WindowPlanner::new(plan.geometry),
            open: VecDeque::new(),
            merged: 0,
            task: TaskState::new(plan),
            frontier: (0, Position::default()),
            counts: LineCounts::default(),
        }
    }

    /// Ends the text at `word` for what comes before it. True where that has to wait until a window is full.
    pub fn flush(&mut self, word: u64) -> bool {
        self.task.stop(word);
        self.planner.flush(word)
    }

    /// Ends the text for good, at once.
    pub fn finish(&mut self, word: u64) -> bool {
        self.planner.finish(word);
        self.task.stop(word);
        false
    }

    /// Cuts the next window, if there is one: one input for each pass.
    pub fn cut(
        &mut self,
        plan: &TaskPlan,
        encoder: &dyn Encoder,
        intake: &Intake,
    ) -> Option<Vec<(PassId, WindowInput)>> {
        let (stage, window, inputs) =
            self.cut_pairs(plan, encoder, intake).or_else(|| self.cut_first(plan, intake))?;
        self.counts.passes += inputs.len() as u64;
        let named = inputs.into_iter().enumerate();
        Some(named.map(|(pass, input)| (PassId { stage, window, pass }, input)).collect())
    }

    fn cut_pairs(
        &mut self,
        plan: &TaskPlan,
        encoder: &dyn Encoder,
        intake: &Intake,
    ) -> Option<(Stage, u64, Vec<WindowInput>)> {
        let (TaskState::Relations(relations), TaskKind::Relations(asked)) =
            (&mut self.task, &plan.kind)
        else {
            return None;
        };
        let ready = relations.next_ready()?;
        let (window, inputs) = relations.pairs_mut().begin(ready, plan, asked, (encoder, intake));
        Some((Stage::Pairs, window, inputs))
    }

    fn cut_first(
        &mut self,
        plan: &TaskPlan,
        intake: &Intake,
    ) -> Option<(Stage, u64, Vec<WindowInput>)> {
        let shape = self.planner.next(intake)?;
        let window = self.merged + self.open.len() as u64;
        let max = plan.geometry.word_pieces_max;
        let input = |pass: &super::plan::Pass| {
            intake.window(&pass.prompt, &pass.prefix, shape.words.clone(), max)
        };
        let inputs = plan.passes.iter().map(input).collect();
        self.counts.windows += 1;
        self.counts.windows_narrowed += u64::from(shape.narrowed);
        let waiting = vec![true; plan.passes.len()];
        self.open.push_back(OpenWindow { shape, waiting, candidates: Vec::new() });
        Some((Stage::First, window, inputs))
    }

    /// Takes the scores of one pass over one window.
    ///
    /// # Errors
    /// [`ShapeError`] when the scores are not those of this window.
    ///
    /// # Panics
    /// When the window was not cut or the pass was scored before.
    pub fn resolve(
        &mut self,
        plan: &TaskPlan,
        id: PassId,
        scores: &Scores,
    ) -> Result<(), ShapeError> {
        match (id.stage, &mut self.task, &plan.kind) {
            (Stage::Pairs, TaskState::Relations(relations), TaskKind::Relations(asked)) => {
                relations.pairs_mut().resolve(plan, asked, (id.window, id.pass), scores)
            }
            _ => self.resolve_first(plan, id, scores),
        }
    }

    fn resolve_first(
        &mut self,
        plan: &TaskPlan,
        id: PassId,
        scores: &Scores,
    ) -> Result<(), ShapeError> {
        let at = usize::try_from(id.window - self.merged).expect("open windows fit into memory");
        let window = &mut self.open[at];
        let waits = std::mem::replace(&mut window.waiting[id.pass], false);
        assert!(waits, "a pass over a window is scored once");
        let pass = &plan.passes[id.pass];
        let (words, core) = (&window.shape.words, &window.shape.core);
        let count = usize::try_from(words.end - words.start).expect("a window fits into memory");
        scores.check(pass.prefix.words() + count, pass.thresholds.len())?;
        let max = match plan.kind {
            // One a class, whatever its score.
            TaskKind::Classify(_) => usize::MAX / 2,
            // Each pass has its share, so that none pushes out what another found.
            _ => (plan.candidates_max / plan.passes.len()).max(1),
        };
        let mut candidates = Vec::new();
        let dropped = &mut self.counts.candidates_dropped;
        plan.read(pass, (words, core), scores, &mut |candidate| {
            candidates.push(candidate);
            if candidates.len() >= 2 * max {
                *dropped += keep_best(&mut candidates, max);
            }
        });
        *dropped += keep_best(&mut candidates, max);
        window.candidates.append(&mut candidates);
        Ok(())
    }

    /// Merges the next window in document order, if all its passes are scored, and hands out what that makes final.
    pub fn merge_next(&mut self, intake: &Intake, sink: &mut Sink<'_>) -> bool {
        let results = &mut self.counts.results;
        let mut counted = |finding| {
            *results += 1;
            sink(finding);
        };
        if let TaskState::Relations(relations) = &mut self.task
            && relations.pairs_mut().decide_next(&mut counted)
        {
            return true;
        }
        let Some(window) = self.open.pop_front_if(|window| !window.waiting.contains(&true)) else {
            return false;
        };
        self.merged += 1;
        let WindowShape { words, core, .. } = window.shape;
        self.frontier = (core.end, intake.range(core.start, core.end).end);
        self.task.take(window.candidates, (words, core), intake, &mut counted);
        true
    }

    /// Hands out what is final although no window came.
    pub fn settle(&mut self, intake: &Intake, sink: &mut Sink<'_>) {
        let results = &mut self.counts.results;
        self.task.settle(self.frontier.0, intake, &mut |finding| {
            *results += 1;
            sink(finding);
        });
    }

    /// Hands out the results that come after the last window.
    pub fn conclude(&mut self, plan: &TaskPlan, intake: &Intake, sink: &mut Sink<'_>) {
        let results = &mut self.counts.results;
        self.task.tell(plan, intake, &mut |finding| {
            *results += 1;
            sink(finding);
        });
    }

    /// Hands out how these results stand, if that changed.
    pub fn tell_changed(&mut self, plan: &TaskPlan, intake: &Intake, sink: &mut Sink<'_>) -> bool {
        let changed = self.task.take_changed();
        if changed {
            self.task.tell(plan, intake, sink);
        }
        changed
    }

    /// Whether every window that was cut is merged, and none is still to be read again.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waits = match &self.task {
            TaskState::Relations(relations) => !relations.is_idle(),
            _ => false,
        };
        self.open.is_empty() && !waits
    }

    /// The first word that is still needed.
    #[must_use]
    pub fn needed_from(&self) -> u64 {
        let open = self.open.front().map_or(u64::MAX, |window| match self.task {
            // The whole window is read again.
            TaskState::Relations(_) => window.shape.words.start,
            _ => window.shape.core.start,
        });
        self.planner.needed_from().min(open).min(self.task.needed_from(self.frontier.0))
    }

    /// The place before which everything is final.
    #[must_use]
    pub fn watermark(&self, intake: &Intake) -> Position {
        place(self.task.open_from(self.frontier.0, intake), self.frontier.1, intake)
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> LineCounts {
        let relations_limited = match &self.task {
            TaskState::Relations(relations) => relations.pairs().limited(),
            _ => 0,
        };
        LineCounts { clusters_forced: self.task.forced(), relations_limited, ..self.counts }
    }
}

/// Keeps the `max` candidates that selection would look at first, and says how many it dropped.
fn keep_best(candidates: &mut Vec<Candidate>, max: usize) -> u64 {
    let Some(dropped) = candidates.len().checked_sub(max).filter(|&dropped| dropped > 0) else {
        return 0;
    };
    // A total order, so what is kept does not depend on the order in which passes were scored.
    candidates.select_nth_unstable_by(max, |a, b| match b.score.total_cmp(&a.score) {
        Ordering::Equal => a.enumeration_key().cmp(&b.enumeration_key()),
        order => order,
    });
    candidates.truncate(max);
    dropped as u64
}
