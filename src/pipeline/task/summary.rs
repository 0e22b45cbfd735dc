//! Extractive summary: spans in the order of the text, widened to sentences if asked, and perhaps only the best of them.
//!
//! Text of the model: `Summarize the following text highlighting the most important information: \n {text}` with the
//! label `summary` (gliner 0.2.29, `GLiNERSummarizer`, which joins the spans and drops their places).

use std::cmp::Ordering;

use super::sentences::{Sentences, Wide};
use super::{Sink, TaskKind};
use crate::pipeline::decode::Candidate;
use crate::pipeline::finding::{Finding, Place, Span, SummarySpan};
use crate::pipeline::intake::Intake;
use crate::pipeline::merge::{Selection, SelectionRules};
use crate::pipeline::plan::TaskPlan;
use crate::pipeline::planning::Planning;
use crate::pipeline::prefix::Prefix;
use crate::pipeline::request::SummaryRequest;
use crate::pipeline::schema::{LabelsPerSpan, Overlap, Part};

const INSTRUCTION: &str =
    "Summarize the following text highlighting the most important information: ";
const LABEL: &str = "summary";
/// Words that a summary with a bound can have: what is held until the last window.
const WORDS_MAX: usize = 4096;

/// What summary is asked for.
#[derive(Debug)]
pub struct SummaryPlan {
    /// How candidates exclude each other.
    pub rules: SelectionRules,
    /// Words of all spans together at most, if there is a bound.
    pub words_max: Option<u64>,
    /// Words that a span is widened by on each side at most, to whole sentences; absent: spans stay as they are.
    pub sentence_words_max: Option<u64>,
}

/// Plans the task: one pass.
pub fn plan(planning: &mut Planning<'_>, request: &SummaryRequest) -> Option<TaskPlan> {
    let default = planning.facts.thresholds.summary;
    let threshold = planning.threshold(Part::Task, request.threshold, default);
    let words_max = planning.number(Part::WordsMax, request.words_max, WORDS_MAX);
    let (threshold, words_max) = (threshold?, words_max?);
    let prefix = Prefix::new(INSTRUCTION, planning.encoder);
    let pass = planning.pass(Part::Task, LABEL, threshold, prefix)?;
    let sentence_words = planning.window_words as u64;
    let plan = SummaryPlan {
        rules: planning.rules(Overlap::Flat, LabelsPerSpan::One, 1),
        words_max: (words_max > 0).then_some(words_max as u64),
        sentence_words_max: request.whole_sentences.then_some(sentence_words),
    };
    Some(planning.plan(TaskKind::Summary(plan), vec![pass], (0, 0)))
}

/// The summary so far.
#[derive(Debug)]
pub struct Summary {
    selection: Selection,
    sentences: Option<Sentences>,
    budget: Option<Budget>,
}

impl Summary {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &SummaryPlan) -> Self {
        Self {
            selection: Selection::new(plan.rules),
            sentences: plan.sentence_words_max.map(Sentences::new),
            budget: plan.words_max.map(Budget::new),
        }
    }

    /// Takes the candidates of the next window.
    pub fn take(
        &mut self,
        candidates: Vec<Candidate>,
        core_end: u64,
        intake: &Intake,
        sink: &mut Sink<'_>,
    ) {
        let mut spans = Vec::new();
        self.selection.take(candidates, core_end, &mut |span| spans.push(span));
        let Self { sentences, budget, selection } = self;
        let mut tell = |wide: Wide| keep(budget.as_mut(), wide, intake, sink);
        let Some(sentences) = sentences else {
            spans.into_iter().for_each(|span| tell(Wide::of(span)));
            return;
        };
        for span in spans {
            sentences.push(span, intake, &mut tell);
        }
        let frontier = selection.open_from().unwrap_or(core_end);
        sentences.advance(frontier, intake, &mut tell);
    }

    /// The text counts as ended before `word`.
    pub fn stop(&mut self, word: u64) {
        if let Some(sentences) = &mut self.sentences {
            sentences.stop(word);
        }
    }

    /// Hands out what the last words, or a stop, make final without a further window.
    pub fn settle(&mut self, frontier: u64, intake: &Intake, sink: &mut Sink<'_>) {
        let Self { sentences, budget, selection } = self;
        if let Some(sentences) = sentences {
            let frontier = selection.open_from().unwrap_or(frontier);
            sentences
                .advance(frontier, intake, &mut |wide| keep(budget.as_mut(), wide, intake, sink));
        }
    }

    /// Whether the kept spans changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        self.budget.as_mut().is_some_and(|budget| std::mem::take(&mut budget.changed))
    }

    /// The spans that were kept for the end, in the order of the text.
    pub fn tell(&self, sink: &mut Sink<'_>) {
        let Some(budget) = &self.budget else { return };
        let mut kept: Vec<&Kept> = budget.kept.iter().collect();
        kept.sort_by_key(|kept| kept.wide.start);
        for Kept { wide, span } in kept {
            let span = Place::Held(span.clone());
            sink(Finding::Summary(SummarySpan { score: wide.score, span }));
        }
    }

    /// The selection.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The first word that a span to come may be widened to, if spans are widened.
    #[must_use]
    pub fn widened_from(&self, frontier: u64, intake: &Intake) -> Option<u64> {
        let frontier = self.selection.open_from().unwrap_or(frontier);
        self.sentences.as_ref().map(|sentences| sentences.open_from(frontier, intake))
    }

    /// The first word that widening may still look at, if spans are widened.
    #[must_use]
    pub fn needed_from(&self, frontier: u64) -> Option<u64> {
        let frontier = self.selection.open_from().unwrap_or(frontier);
        self.sentences.as_ref().map(|sentences| sentences.needed_from(frontier))
    }
}

/// Hands a span out, or keeps it for the end where the summary has a bound.
fn keep(budget: Option<&mut Budget>, wide: Wide, intake: &Intake, sink: &mut Sink<'_>) {
    match budget {
        Some(budget) => budget.push(wide, intake),
        None => {
            let span = Place::Words(wide.start, wide.end);
            sink(Finding::Summary(SummarySpan { score: wide.score, span }));
        }
    }
}

/// The best spans that fit: by falling score, equal ones by start, each as long as all before it fit as well. A span that
/// is wider than the whole bound is passed over.
///
/// A span that does not fit can never come back, since later ones only take more room, and nothing that ranks behind it
/// can be kept: so what is held has a bound.
#[derive(Debug)]
struct Budget {
    words_max: u64,
    /// Best first.
    kept: Vec<Kept>,
    /// Score of the best span that did not fit. Spans come by start, so one of the same score ranks behind it.
    bar: f32,
    changed: bool,
}

#[derive(Debug)]
struct Kept {
    wide: Wide,
    span: Span,
}

impl Budget {
    fn new(words_max: u64) -> Self {
        Self { words_max, kept: Vec::new(), bar: f32::NEG_INFINITY, changed: false }
    }

    fn push(&mut self, wide: Wide, intake: &Intake) {
        if wide.words() > self.words_max || wide.score <= self.bar {
            return;
        }
        let better = |kept: &Kept| kept.wide.score.total_cmp(&wide.score) != Ordering::Less;
        let at = self.kept.partition_point(better);
        let span = intake.held_span(wide.start, wide.end);
        self.kept.insert(at, Kept { wide, span });
        self.changed = true;
        let mut words = 0;
        let fit = self.kept.iter().take_while(|kept| {
            words += kept.wide.words();
            words <= self.words_max
        });
        let fit = fit.count();
        if let Some(first_out) = self.kept.get(fit) {
            self.bar = first_out.wide.score;
            self.kept.truncate(fit);
        }
    }
}
