//! Entities and open extraction: every span of a label, as soon as nothing can change it.

use super::Sink;
use crate::pipeline::decode::Candidate;
use crate::pipeline::finding::{Finding, Mention, Place};
use crate::pipeline::merge::{Selection, SelectionRules};
use crate::pipeline::plan::TaskPlan;
use crate::pipeline::planning::Planning;
use crate::pipeline::prefix::Prefix;
use crate::pipeline::request::{EntitiesRequest, OpenRequest};
use crate::pipeline::schema::{Label, LabelsPerSpan, Part};
use crate::pipeline::task::TaskKind;

/// The one label of open extraction (gliner 0.2.29, `GLiNEROpenExtractor`).
const OPEN_LABEL: &str = "match";

/// What spans are asked for.
#[derive(Debug)]
pub struct SpansPlan {
    /// Labels in the order of the request.
    pub labels: Vec<Label>,
    /// How candidates exclude each other.
    pub rules: SelectionRules,
}

/// Plans an entities task: the labels, and nothing before the text.
pub fn plan_entities(planning: &mut Planning<'_>, request: &EntitiesRequest) -> Option<TaskPlan> {
    let default = planning.facts.thresholds.entities;
    let threshold = planning.threshold(Part::Task, request.threshold, default);
    let labels = planning.labels(&request.labels, threshold)?;
    let passes = planning.passes(&labels)?;
    let rules = planning.rules(request.overlap, request.labels_per_span, 1);
    Some(planning.plan(TaskKind::Spans(SpansPlan { labels, rules }), passes, (0, 0)))
}

/// Plans open extraction: the instruction before the text, and one label.
pub fn plan_open(planning: &mut Planning<'_>, request: &OpenRequest) -> Option<TaskPlan> {
    let default = planning.facts.thresholds.open;
    let threshold = planning.threshold(Part::Task, request.threshold, default);
    let text = planning.text(Part::Instruction, &request.instruction);
    let (threshold, text) = (threshold?, text?);
    let prefix = Prefix::new(text, planning.encoder);
    let pass = planning.pass(Part::Instruction, OPEN_LABEL, threshold, prefix)?;
    let (name, prompt) = (OPEN_LABEL.into(), OPEN_LABEL.into());
    let labels = vec![Label { name, prompt, threshold, part: Part::Label(0) }];
    let rules = planning.rules(request.overlap, LabelsPerSpan::One, 1);
    Some(planning.plan(TaskKind::Spans(SpansPlan { labels, rules }), vec![pass], (0, 0)))
}

/// The open cluster of a task.
#[derive(Debug)]
pub struct Spans {
    selection: Selection,
}

impl Spans {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &SpansPlan) -> Self {
        Self { selection: Selection::new(plan.rules) }
    }

    /// Takes the candidates of the next window, whose core ends before `core_end`.
    pub fn take(&mut self, candidates: Vec<Candidate>, core_end: u64, sink: &mut Sink<'_>) {
        let mut tell = |candidate| sink(Finding::Mention(mention(candidate)));
        self.selection.take(candidates, core_end, &mut tell);
    }

    /// The selection.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }
}

/// A candidate that was selected.
#[must_use]
pub fn mention(Candidate { start, end, label, score }: Candidate) -> Mention<Place> {
    Mention { label, score, span: Place::Words(start, end) }
}
