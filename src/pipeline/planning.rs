//! From a request to a plan: what all tasks share. Mistakes are collected, so that a client learns of all at once.

use std::sync::Arc;

use super::merge::SelectionRules;
use super::plan::{Pass, PlanWarning, TaskPlan, WindowPolicy};
use super::ports::{Encoder, ModelFacts};
use super::prefix::Prefix;
use super::request::TaskRequest;
use super::schema::{
    Label, LabelRequest, LabelsPerSpan, Overlap, Part, Problem, SchemaError, SchemaLimits,
    Threshold, check_labels,
};
use super::task::{TaskKind, classify, questions, relations, spans, summary};
use super::window::Geometry;

/// More passes for each window than this are worth a warning about the cost.
const PASSES_WITHOUT_WARNING: usize = 4;
/// Words of a cluster for each word of a window, before the cluster is decided early.
const CLUSTER_WINDOWS: u64 = 8;

/// A plan that is being made.
#[derive(Debug)]
pub struct Planning<'a> {
    /// Words and labels to pieces.
    pub encoder: &'a dyn Encoder,
    /// What the model says about itself.
    pub facts: &'a ModelFacts,
    /// Sizes as set by the operator.
    pub policy: WindowPolicy,
    /// Bounds of a request.
    pub limits: SchemaLimits,
    /// Words of a window of this task.
    pub window_words: usize,
    /// What is wrong with the request so far.
    pub errors: Vec<SchemaError>,
    warnings: Vec<PlanWarning>,
}

impl TaskPlan {
    /// Works out how `request` is run on a model.
    ///
    /// # Errors
    /// Every mistake of the request.
    pub fn new(
        request: &TaskRequest,
        encoder: &dyn Encoder,
        facts: &ModelFacts,
        policy: WindowPolicy,
        limits: SchemaLimits,
    ) -> Result<Self, Vec<SchemaError>> {
        let measured = match request {
            TaskRequest::Entities(_) => facts.windows.entities,
            TaskRequest::Open(_) => facts.windows.open,
            TaskRequest::Questions(_) => facts.windows.questions,
            TaskRequest::Summary(_) => facts.windows.summary,
            TaskRequest::Classify(_) => facts.windows.classify,
            TaskRequest::Relations(_) => facts.windows.relations,
        };
        let mut planning = Planning {
            encoder,
            facts,
            policy,
            limits,
            window_words: policy.window_words(facts, measured),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        let plan = match request {
            TaskRequest::Entities(request) => spans::plan_entities(&mut planning, request),
            TaskRequest::Open(request) => spans::plan_open(&mut planning, request),
            TaskRequest::Questions(request) => questions::plan(&mut planning, request),
            TaskRequest::Summary(request) => summary::plan(&mut planning, request),
            TaskRequest::Classify(request) => classify::plan(&mut planning, request),
            TaskRequest::Relations(request) => relations::plan(&mut planning, request),
        };
        match plan {
            Some(plan) if planning.errors.is_empty() => Ok(plan),
            _ => Err(planning.errors),
        }
    }
}

impl Planning<'_> {
    /// Words, or as many pieces, that a prompt must leave to the text of a window.
    #[must_use]
    pub fn text_words(&self) -> usize {
        self.policy.text_words(self.facts, self.window_words)
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, part: Part, problem: Problem) {
        self.errors.push(SchemaError::new(part, problem));
    }

    /// A threshold that was asked for, else the model's.
    pub fn threshold(&mut self, part: Part, asked: Option<f32>, default: f32) -> Option<Threshold> {
        Threshold::new(asked.unwrap_or(default))
            .map_err(|value| self.mistake(part, Problem::Threshold { value }))
            .ok()
    }

    /// A number that was asked for, if it lies between 0 and `max`.
    pub fn number(&mut self, part: Part, value: i32, max: usize) -> Option<usize> {
        let number = usize::try_from(value).ok().filter(|number| *number <= max);
        if number.is_none() {
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            self.mistake(part, Problem::OutOfRange { value: value.into(), max });
        }
        number
    }

    /// Whether something is asked for, and not more than allowed.
    pub fn count(&mut self, actual: usize, limit: usize) -> bool {
        match actual {
            0 => self.mistake(Part::Task, Problem::Nothing),
            _ if actual > limit => self.mistake(Part::Task, Problem::TooMany { actual, limit }),
            _ => return true,
        }
        false
    }

    /// The labels of a request that has a list of them, and that the model can read them.
    pub fn labels(
        &mut self,
        requests: &[LabelRequest],
        task: Option<Threshold>,
    ) -> Option<Vec<Label>> {
        if !self.count(requests.len(), self.limits.labels_max) {
            return None;
        }
        let known = self.errors.len();
        let labels = check_labels(requests, &Part::Label, task, self.limits, &mut self.errors);
        self.check_readable(&labels);
        (self.errors.len() == known && !labels.is_empty()).then_some(labels)
    }

    /// Notes labels that the model cannot read, and those that it reads alike.
    pub fn check_readable(&mut self, labels: &[Label]) {
        let mut known: Vec<(Part, Vec<u32>)> = Vec::with_capacity(labels.len());
        for label in labels {
            match self.encoder.label_pieces(&label.prompt) {
                Ok(pieces) => {
                    if let Some((first, _)) = known.iter().find(|(_, other)| *other == pieces) {
                        let (first, second) = (*first, label.part);
                        self.warnings.push(PlanWarning::EqualLabels { first, second });
                    }
                    known.push((label.part, pieces));
                }
                Err(problem) => self.mistake(label.part, Problem::Unreadable(problem)),
            }
        }
    }

    /// A question or an instruction, trimmed, if it can be read.
    pub fn text<'t>(&mut self, part: Part, text: &'t str) -> Option<&'t str> {
        let text = text.trim();
        let limit = self.limits.label_bytes_max;
        if text.is_empty() {
            self.mistake(part, Problem::EmptyName);
        } else if text.len() > limit {
            self.mistake(part, Problem::TooLong { actual: text.len(), limit });
        } else if Prefix::new(text, self.encoder).pieces() == 0 {
            self.mistake(part, Problem::Unreadable(super::ports::LabelError::NoPieces));
        } else {
            return Some(text);
        }
        None
    }

    /// One pass that asks for one label behind `prefix`; `part` is what its words come from.
    pub fn pass(
        &mut self,
        part: Part,
        name: &str,
        threshold: Threshold,
        prefix: Prefix,
    ) -> Option<Pass> {
        let prompt = self.encoder.prompt(&[name]);
        let fits = self.fits(part, prompt.pieces() + prefix.pieces(), prefix.words());
        fits.then(|| Pass {
            first_label: 0,
            thresholds: vec![threshold],
            prompt: Arc::new(prompt),
            prefix: Arc::new(prefix),
        })
    }

    /// Whether a prompt leaves enough of a window to the text; otherwise `part` is too long.
    pub fn fits(&mut self, part: Part, prompt_pieces: usize, prefix_words: usize) -> bool {
        let needed = self.text_words();
        let sizes = [
            ("pieces", prompt_pieces, self.policy.window_pieces(self.facts)),
            ("words", prefix_words, self.window_words),
        ];
        for (unit, taken, max) in sizes {
            let left = max.saturating_sub(taken);
            if left < needed {
                self.mistake(part, Problem::PromptTooLong { unit, taken, left, needed });
                return false;
            }
        }
        true
    }

    /// Cuts the labels in order into the fewest passes, equal but for one label, that fit.
    pub fn passes(&mut self, labels: &[Label]) -> Option<Vec<Pass>> {
        // Sizes add up, so each label is read once, however many counts of groups are tried.
        let empty = self.encoder.prompt(&[]).pieces();
        let size = |label: &Label| self.encoder.prompt(&[&label.prompt]).pieces() - empty;
        let sizes: Vec<usize> = labels.iter().map(size).collect();
        let (widest, size) = sizes.iter().enumerate().max_by_key(|(_, size)| **size)?;
        if !self.fits(labels.get(widest)?.part, empty + size, 0) {
            return None;
        }
        let max = self.policy.window_pieces(self.facts) - self.text_words();
        let part = |group: usize, count: usize| {
            group * labels.len() / count..(group + 1) * labels.len() / count
        };
        let fits = |count: usize| {
            (0..count).all(|group| empty + sizes[part(group, count)].iter().sum::<usize>() <= max)
        };
        let fewest = labels.len().div_ceil(self.facts.labels_per_pass.max(1));
        let count = (fewest..labels.len()).find(|&count| fits(count)).unwrap_or(labels.len());
        let prefix = Arc::new(Prefix::default());
        let passes = (0..count).map(|group| {
            let range = part(group, count);
            let prompts: Vec<&str> = labels[range.clone()].iter().map(|l| &*l.prompt).collect();
            Pass {
                first_label: u32::try_from(range.start).expect("far fewer labels than 2^32"),
                thresholds: labels[range].iter().map(|label| label.threshold).collect(),
                prompt: Arc::new(self.encoder.prompt(&prompts)),
                prefix: Arc::clone(&prefix),
            }
        });
        Some(passes.collect())
    }

    /// Rules of a selection that shares the task's bounds with `sharers`.
    pub fn rules(
        &self,
        overlap: Overlap,
        labels_per_span: LabelsPerSpan,
        sharers: usize,
    ) -> SelectionRules {
        SelectionRules {
            overlap,
            labels_per_span,
            candidates_max: (self.policy.candidates_max / sharers.max(1)).max(1),
            words_max: CLUSTER_WINDOWS * self.window_words as u64,
        }
    }

    /// The plan of a task that reads each window in `passes`, and perhaps later behind a prompt of `later` pieces and
    /// words.
    pub fn plan(&mut self, kind: TaskKind, passes: Vec<Pass>, later: (usize, usize)) -> TaskPlan {
        let pieces = |pass: &Pass| pass.prompt.pieces() + pass.prefix.pieces();
        let prompt_pieces = passes.iter().map(pieces).fold(later.0, usize::max);
        let prefix_words = passes.iter().map(|pass| pass.prefix.words()).fold(later.1, usize::max);
        if passes.len() > PASSES_WITHOUT_WARNING {
            self.warnings.push(PlanWarning::ManyPasses { passes: passes.len() });
        }
        let geometry = Geometry::new(
            self.window_words - prefix_words,
            self.policy.window_pieces(self.facts) - prompt_pieces,
            self.policy,
        );
        TaskPlan {
            kind,
            passes,
            geometry,
            prompt_pieces,
            prefix_words,
            score_mode: self.facts.score_mode,
            candidates_max: self.policy.candidates_max,
            warnings: std::mem::take(&mut self.warnings),
        }
    }
}
