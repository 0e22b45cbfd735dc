//! Classes of the whole document. The only task that reads its own prompt: the model marks the names of the classes that
//! fit, in the list that stands before the text.
//!
//! Text of the model: `Classify text into the following classes: {a, b} \n {text}` with the label `match` (gliner
//! 0.2.29, `GLiNERClassifier`, which takes any span for a class; here a class is the span that lies exactly on its name).
//!
//! Rule over windows: the score of a class is the mean of its scores in all windows, each weighted with the words of the
//! window's core, added in f64 in the order of the windows.

use std::ops::Range;
use std::sync::Arc;

use super::{Sink, TaskKind};
use crate::pipeline::decode::{Candidate, judge};
use crate::pipeline::finding::{ClassScore, Finding};
use crate::pipeline::offset::{Position, TextRange};
use crate::pipeline::plan::{Pass, TaskPlan};
use crate::pipeline::planning::Planning;
use crate::pipeline::ports::{LabelError, ScoreMode};
use crate::pipeline::prefix::Prefix;
use crate::pipeline::request::ClassifyRequest;
use crate::pipeline::schema::{Label, Part, Problem};
use crate::pipeline::scores::Scores;

const INSTRUCTION: &str = "Classify text into the following classes: ";
const LABEL: &str = "match";

/// What classes there are.
#[derive(Debug)]
pub struct ClassifyPlan {
    /// Classes in the order of the request.
    pub classes: Vec<Label>,
    /// For each class the words before the text that are its name.
    places: Vec<Range<usize>>,
    /// Every class over its threshold, not the best one.
    multi_label: bool,
}

/// Plans the task: one pass, the list of all classes before the text.
pub fn plan(planning: &mut Planning<'_>, request: &ClassifyRequest) -> Option<TaskPlan> {
    let default = planning.facts.thresholds.classify;
    let threshold = planning.threshold(Part::Task, request.threshold, default);
    let classes = planning.labels(&request.labels, threshold)?;
    let encoder = planning.encoder;
    let mut prefix = Prefix::new(INSTRUCTION, encoder);
    let mut places = Vec::with_capacity(classes.len());
    for (number, class) in classes.iter().enumerate() {
        if number > 0 {
            prefix.push(",", encoder);
        }
        let place = prefix.push(&class.prompt, encoder);
        if place.is_empty() {
            planning.mistake(class.part, Problem::Unreadable(LabelError::NoPieces));
        }
        places.push(place);
    }
    let prompt = encoder.prompt(&[LABEL]);
    if !planning.fits(Part::Task, prompt.pieces() + prefix.pieces(), prefix.words()) {
        return None;
    }
    let pass = Pass {
        first_label: 0,
        // No span is asked for, so there is nothing to be over.
        thresholds: vec![classes.first()?.threshold],
        prompt: Arc::new(prompt),
        prefix: Arc::new(prefix),
    };
    let plan = ClassifyPlan { classes, places, multi_label: request.multi_label };
    Some(planning.plan(TaskKind::Classify(plan), vec![pass], (0, 0)))
}

impl ClassifyPlan {
    /// What one window says: for each class a candidate over the whole core.
    pub fn read(
        &self,
        scores: &Scores,
        core: &Range<u64>,
        mode: ScoreMode,
        sink: &mut impl FnMut(Candidate),
    ) {
        for (label, place) in (0u32..).zip(&self.places) {
            let score = judge(scores, 0, place.clone(), mode).score;
            sink(Candidate { start: core.start, end: core.end, label, score });
        }
    }
}

/// Sums over the windows so far.
#[derive(Debug)]
pub struct Classify {
    /// For each class the sum of score times words.
    sums: Vec<f64>,
    words: u64,
    changed: bool,
}

impl Classify {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &ClassifyPlan) -> Self {
        Self { sums: vec![0.0; plan.classes.len()], words: 0, changed: false }
    }

    /// Takes what the next window says.
    pub fn take(&mut self, candidates: &[Candidate], core: &Range<u64>) {
        let words = core.end - core.start;
        for candidate in candidates {
            self.sums[candidate.label as usize] += f64::from(candidate.score) * float(words);
        }
        self.words += words;
        self.changed = true;
    }

    /// Whether the scores changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The classes as they stand, best first; equal ones in the order of the request. None for a document without words.
    pub fn tell(&self, plan: &ClassifyPlan, read: Position, sink: &mut Sink<'_>) {
        if self.words == 0 {
            return;
        }
        let mut scores: Vec<(usize, f32)> =
            self.sums.iter().map(|sum| mean(*sum, self.words)).enumerate().collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        if plan.multi_label {
            scores.retain(|(class, score)| *score > plan.classes[*class].threshold.get());
        } else {
            scores.truncate(1);
        }
        let range = TextRange { start: Position::default(), end: read };
        for (class, score) in scores {
            sink(Finding::Class(ClassScore { class, score, range }));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a document has far fewer than 2^52 words")]
fn float(words: u64) -> f64 {
    words as f64
}

#[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
fn mean(sum: f64, words: u64) -> f32 {
    (sum / float(words)) as f32
}
