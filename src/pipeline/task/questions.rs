//! Questions: each is a pass of its own, and its best answers over all windows come after the last one.
//!
//! Text of the model: `Answer the following question: {question} \n {text}` with the label `answer` (gliner 0.2.29,
//! `GLiNERQuestionAnswerer`, which has no offsets and, given several questions, asks only the first: not copied).

use std::cmp::Ordering;

use super::{Sink, TaskKind};
use crate::pipeline::decode::Candidate;
use crate::pipeline::finding::{Answer, Finding, Place, Span};
use crate::pipeline::intake::Intake;
use crate::pipeline::merge::{Selection, SelectionRules};
use crate::pipeline::plan::TaskPlan;
use crate::pipeline::planning::Planning;
use crate::pipeline::prefix::Prefix;
use crate::pipeline::request::QuestionsRequest;
use crate::pipeline::schema::{LabelsPerSpan, Overlap, Part};

const INSTRUCTION: &str = "Answer the following question: ";
const LABEL: &str = "answer";
/// Answers to one question at most.
const ANSWERS_MAX: usize = 16;

/// What is asked.
#[derive(Debug)]
pub struct QuestionsPlan {
    /// Questions; the pass of each has its number.
    pub questions: usize,
    /// Answers to each at most.
    pub answers_max: usize,
    /// How candidates of one question exclude each other.
    pub rules: SelectionRules,
}

/// Plans the task: a pass for each question.
pub fn plan(planning: &mut Planning<'_>, request: &QuestionsRequest) -> Option<TaskPlan> {
    let default = planning.facts.thresholds.questions;
    let task = planning.threshold(Part::Task, request.threshold, default);
    let answers_max = planning.number(Part::AnswersMax, request.answers_max, ANSWERS_MAX);
    if !planning.count(request.questions.len(), planning.limits.questions_max) {
        return None;
    }
    let mut passes = Vec::with_capacity(request.questions.len());
    for (number, question) in request.questions.iter().enumerate() {
        let part = Part::Question(number);
        let threshold = match question.threshold {
            Some(own) => planning.threshold(part, Some(own), default),
            None => task,
        };
        let text = planning.text(part, &question.text);
        let (Some(threshold), Some(text)) = (threshold, text) else { continue };
        let prefix = Prefix::new(&format!("{INSTRUCTION}{text}"), planning.encoder);
        let mut pass = planning.pass(part, LABEL, threshold, prefix)?;
        pass.first_label = u32::try_from(number).expect("far fewer questions than 2^32");
        passes.push(pass);
    }
    let questions = request.questions.len();
    if passes.len() < questions {
        return None;
    }
    let rules = planning.rules(Overlap::Flat, LabelsPerSpan::One, questions);
    let plan = QuestionsPlan { questions, answers_max: answers_max?.max(1), rules };
    Some(planning.plan(TaskKind::Questions(plan), passes, (0, 0)))
}

/// The best answers so far.
#[derive(Debug)]
pub struct Questions {
    answers_max: usize,
    selections: Vec<Selection>,
    /// For each question, best first.
    best: Vec<Vec<Held>>,
    changed: bool,
}

#[derive(Debug)]
struct Held {
    candidate: Candidate,
    span: Span,
}

impl Questions {
    /// Nothing was read.
    #[must_use]
    pub fn new(plan: &QuestionsPlan) -> Self {
        Self {
            answers_max: plan.answers_max,
            selections: (0..plan.questions).map(|_| Selection::new(plan.rules)).collect(),
            best: (0..plan.questions).map(|_| Vec::new()).collect(),
            changed: false,
        }
    }

    /// Takes the candidates of the next window, whose label is the number of their question.
    pub fn take(&mut self, candidates: Vec<Candidate>, core_end: u64, intake: &Intake) {
        let mut by_question: Vec<Vec<Candidate>> = self.best.iter().map(|_| Vec::new()).collect();
        for candidate in candidates {
            by_question[candidate.label as usize].push(candidate);
        }
        let answers_max = self.answers_max;
        let parts = self.selections.iter_mut().zip(&mut self.best).zip(by_question);
        for ((selection, best), candidates) in parts {
            let changed = &mut self.changed;
            selection.take(candidates, core_end, &mut |candidate| {
                *changed |= hold(best, answers_max, candidate, intake);
            });
        }
    }

    /// Whether the answers changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The answers as they stand.
    pub fn tell(&self, sink: &mut Sink<'_>) {
        for (question, best) in self.best.iter().enumerate() {
            for (rank, held) in best.iter().enumerate() {
                let best = Some((held.candidate.score, Place::Held(held.span.clone())));
                sink(Finding::Answer(Answer { question, rank, best }));
            }
            if best.is_empty() {
                sink(Finding::Answer(Answer { question, rank: 0, best: None }));
            }
        }
    }

    /// The selections, one a question.
    #[must_use]
    pub fn selections(&self) -> &[Selection] {
        &self.selections
    }
}

/// Holds an answer if it is among the best; of equal ones the first in the text is better.
fn hold(best: &mut Vec<Held>, max: usize, candidate: Candidate, intake: &Intake) -> bool {
    // Answers come by start, so an equal one goes behind.
    let at = best
        .partition_point(|held| held.candidate.score.total_cmp(&candidate.score) != Ordering::Less);
    if at >= max {
        return false;
    }
    best.truncate(max - 1);
    best.insert(at, Held { candidate, span: intake.held_span(candidate.start, candidate.end) });
    true
}
