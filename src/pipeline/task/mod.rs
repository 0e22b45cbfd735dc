//! The tasks, one file each: what it asks the model (its plan), and how candidates become results (its state).
//!
//! A task reads each window in one or several passes, takes the candidates of whole windows in the order of the document,
//! and hands out findings, either with the text or after its end.

pub mod classify;
pub mod pairs;
pub mod questions;
pub mod relations;
pub mod sentences;
pub mod spans;
pub mod summary;

use std::ops::Range;

use super::decode::{Candidate, DecodeWindow, decode};
use super::finding::{Finding, Place};
use super::intake::Intake;
use super::offset::Position;
use super::plan::{Pass, TaskPlan};
use super::scores::Scores;
use classify::{Classify, ClassifyPlan};
use questions::{Questions, QuestionsPlan};
use relations::{Relations, RelationsPlan};
use spans::{Spans, SpansPlan};
use summary::{Summary, SummaryPlan};

/// Takes findings, in order.
pub type Sink<'a> = dyn FnMut(Finding<Place>) + 'a;

/// What is asked for.
#[derive(Debug)]
pub enum TaskKind {
    /// Entities, and open extraction.
    Spans(SpansPlan),
    /// Questions.
    Questions(QuestionsPlan),
    /// Summary.
    Summary(SummaryPlan),
    /// Classes.
    Classify(ClassifyPlan),
    /// Relations.
    Relations(RelationsPlan),
}

/// How far a task has come.
#[derive(Debug)]
pub enum TaskState {
    /// Entities, and open extraction.
    Spans(Spans),
    /// Questions.
    Questions(Questions),
    /// Summary.
    Summary(Summary),
    /// Classes.
    Classify(Classify),
    /// Relations.
    Relations(Relations),
}

impl TaskPlan {
    /// Reads the scores of one pass over one window.
    pub fn read(
        &self,
        pass: &Pass,
        (words, core): (&Range<u64>, &Range<u64>),
        scores: &Scores,
        sink: &mut impl FnMut(Candidate),
    ) {
        if let TaskKind::Classify(classify) = &self.kind {
            classify.read(scores, core, self.score_mode, sink);
            return;
        }
        let place =
            |word: u64| usize::try_from(word - words.start).expect("a window fits into memory");
        let window = DecodeWindow {
            first_word: words.start,
            prefix_words: pass.prefix.words(),
            core: (place(core.start), place(core.end)),
            first_label: pass.first_label,
        };
        decode(scores, window, &pass.thresholds, self.score_mode, sink);
    }
}

impl TaskState {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &TaskPlan) -> Self {
        match &plan.kind {
            TaskKind::Spans(plan) => Self::Spans(Spans::new(plan)),
            TaskKind::Questions(plan) => Self::Questions(Questions::new(plan)),
            TaskKind::Summary(plan) => Self::Summary(Summary::new(plan)),
            TaskKind::Classify(plan) => Self::Classify(Classify::new(plan)),
            TaskKind::Relations(plan) => Self::Relations(Relations::new(plan)),
        }
    }

    /// Takes the candidates of the next window in the order of the document.
    pub fn take(
        &mut self,
        candidates: Vec<Candidate>,
        (words, core): (Range<u64>, Range<u64>),
        intake: &Intake,
        sink: &mut Sink<'_>,
    ) {
        match self {
            Self::Spans(spans) => spans.take(candidates, core.end, sink),
            Self::Questions(questions) => questions.take(candidates, core.end, intake),
            Self::Summary(summary) => summary.take(candidates, core.end, intake, sink),
            Self::Classify(classify) => classify.take(&candidates, &core),
            Self::Relations(relations) => relations.take(candidates, words, core),
        }
    }

    /// The text counts as ended before `word`.
    pub fn stop(&mut self, word: u64) {
        if let Self::Summary(summary) = self {
            summary.stop(word);
        }
    }

    /// Hands out what is final although no window came: all windows before `frontier` are merged.
    pub fn settle(&mut self, frontier: u64, intake: &Intake, sink: &mut Sink<'_>) {
        if let Self::Summary(summary) = self {
            summary.settle(frontier, intake, sink);
        }
    }

    /// Hands out the results that come after the last window, or how they stand.
    pub fn tell(&self, plan: &TaskPlan, intake: &Intake, sink: &mut Sink<'_>) {
        match (self, &plan.kind) {
            (Self::Questions(questions), _) => questions.tell(sink),
            (Self::Summary(summary), _) => summary.tell(sink),
            (Self::Classify(classify), TaskKind::Classify(plan)) => {
                classify.tell(plan, intake.position(), sink);
            }
            (Self::Classify(_) | Self::Spans(_) | Self::Relations(_), _) => {}
        }
    }

    /// Whether what [`Self::tell`] says changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        match self {
            Self::Questions(questions) => questions.take_changed(),
            Self::Summary(summary) => summary.take_changed(),
            Self::Classify(classify) => classify.take_changed(),
            Self::Spans(_) | Self::Relations(_) => false,
        }
    }

    /// The first word that is still needed when all windows before `frontier` are merged.
    #[must_use]
    pub fn needed_from(&self, frontier: u64) -> u64 {
        let open = match self {
            Self::Spans(spans) => spans.selection().open_from(),
            Self::Questions(questions) => {
                questions.selections().iter().filter_map(super::merge::Selection::open_from).min()
            }
            Self::Summary(summary) => {
                let open = summary.selection().open_from();
                open.into_iter().chain(summary.needed_from(frontier)).min()
            }
            Self::Relations(relations) => relations.needed_from(),
            Self::Classify(_) => None,
        };
        open.unwrap_or(u64::MAX)
    }

    /// Before which word everything is final that comes with the text, if not all before `frontier` is.
    #[must_use]
    pub fn open_from(&self, frontier: u64, intake: &Intake) -> Option<u64> {
        match self {
            Self::Spans(spans) => spans.selection().open_from(),
            Self::Summary(summary) => {
                let open = summary.selection().open_from();
                summary.widened_from(frontier, intake).or(open)
            }
            Self::Relations(relations) => relations.open_from(),
            Self::Questions(_) | Self::Classify(_) => None,
        }
    }

    /// Clusters that were decided early because they reached a bound.
    #[must_use]
    pub fn forced(&self) -> u64 {
        match self {
            Self::Spans(spans) => spans.selection().forced(),
            Self::Questions(questions) => {
                questions.selections().iter().map(super::merge::Selection::forced).sum()
            }
            Self::Summary(summary) => summary.selection().forced(),
            Self::Relations(relations) => relations.forced(),
            Self::Classify(_) => 0,
        }
    }
}

/// The place before which everything is final, as a position: `word` may be the next one to come.
#[must_use]
pub fn place(word: Option<u64>, frontier: Position, intake: &Intake) -> Position {
    use super::window::Words as _;
    match word {
        Some(word) if word < intake.settled() => intake.range(word, word + 1).start,
        _ => frontier,
    }
}
