//! What a document says about itself, as messages of the wire. Its results are in [`super::results`], the way in is
//! [`super::order`].

use std::time::Duration;

use super::catalog::Catalog;
use super::models::{duration, limits_to_wire, narrow};
use super::order::Order;
use super::request::part;
use super::results::signed;
use crate::pipeline::event::{Progress, Summary, Warning};
use crate::pipeline::plan::{PlanWarning, TaskPlan};
use crate::pipeline::schema::Part;
use crate::pipeline::task::TaskKind;
use crate::wire;
use crate::wire::event::Kind;
use crate::wire::{LimitKind, WarningCode};

impl Order {
    /// The first event of a document.
    #[must_use]
    pub fn ready(&self, catalog: &Catalog) -> wire::Ready {
        let tasks =
            self.task_ids.iter().zip(&self.plan.tasks).map(|(id, plan)| task_plan(id, plan));
        wire::Ready {
            instance: catalog.instance.clone(),
            version: Catalog::VERSION.to_owned(),
            model: catalog.model.clone(),
            model_digest: catalog.model_digest.clone(),
            fingerprint: self.fingerprint.clone(),
            limits: Some(limits_to_wire(&catalog.limits)),
            tasks: tasks.collect(),
        }
    }

    /// Something the client should know.
    #[must_use]
    pub fn warning(&self, warning: Warning) -> wire::Warning {
        let (code, message, field) = match warning {
            Warning::Plan { task, index } => {
                self.plan_warning(task, &self.plan.tasks[task].warnings[index])
            }
            Warning::OutsideVocabulary { unknown, words } => (
                WarningCode::TextOutsideVocabulary,
                format!(
                    "the model knows nothing of {unknown} of the first {words} words: is the text in its language?"
                ),
                String::new(),
            ),
            Warning::InvalidReplaced => {
                let message = "bytes that are not UTF-8 were read as U+FFFD; done counts them";
                (WarningCode::InvalidUtf8Replaced, message.to_owned(), String::new())
            }
            Warning::FlushHeld => {
                let message = "a flush came less than a window behind the one before and waits until a window is full";
                (WarningCode::FlushHeldBack, message.to_owned(), String::new())
            }
            Warning::WordCut => {
                let max = self.plan.policy.word_bytes_max;
                (
                    WarningCode::WordClosedEarly,
                    format!("a word was closed after {max} bytes"),
                    String::new(),
                )
            }
            Warning::WordPiecesCut => {
                let message = "a word has more pieces than the model is given of one word; its position stays whole";
                (WarningCode::WordPiecesCut, message.to_owned(), String::new())
            }
            Warning::CandidatesDropped => {
                let message =
                    "a window had more candidates than are kept; a higher threshold gives fewer";
                (WarningCode::CandidatesDropped, message.to_owned(), String::new())
            }
            Warning::ClusterForced => {
                let message = "a chain of overlapping candidates was decided before its end; a higher threshold gives fewer";
                (WarningCode::ClusterClosedEarly, message.to_owned(), String::new())
            }
            Warning::RelationsLimited { task } => {
                let message = "a window had more heads and relations than passes were allowed; the rest was not asked for";
                let field = format!("config.tasks[{task}].relations");
                (WarningCode::RelationPassesReached, message.to_owned(), field)
            }
        };
        wire::Warning { code: code.into(), message, field }
    }

    fn plan_warning(&self, task: usize, warning: &PlanWarning) -> (WarningCode, String, String) {
        let field = |of: Part| match &self.tasks[task].kind {
            Some(kind) => part(&format!("config.tasks[{task}]"), kind, of),
            None => String::new(),
        };
        match *warning {
            PlanWarning::ManyPasses { passes } => (
                WarningCode::ManyPasses,
                format!(
                    "the task takes {passes} passes over every window: fewer or shorter labels or questions are faster"
                ),
                field(Part::Task),
            ),
            PlanWarning::EqualLabels { first, second } => (
                WarningCode::LabelsReadAlike,
                format!(
                    "the model reads this label like {} and cannot tell them apart",
                    field(first)
                ),
                field(second),
            ),
        }
    }

    /// The last event of a document.
    #[must_use]
    pub fn done(
        &self,
        summary: &Summary,
        total: Duration,
        (queue, compute): (Duration, Duration),
    ) -> wire::Done {
        let sum = |count: fn(&crate::pipeline::line::LineCounts) -> u64| {
            summary.tasks.iter().map(count).sum()
        };
        let results = self.task_ids.iter().zip(&summary.tasks);
        let limits = [
            (LimitKind::WordBytes, summary.intake.words_cut),
            (LimitKind::WordPieces, summary.intake.words_with_pieces_cut),
            (LimitKind::Cluster, sum(|counts| counts.clusters_forced)),
            (LimitKind::Candidates, sum(|counts| counts.candidates_dropped)),
            (LimitKind::RelationPasses, sum(|counts| counts.relations_limited)),
            (LimitKind::Margin, sum(|counts| counts.windows_narrowed)),
        ];
        wire::Done {
            received_bytes: signed(summary.received.bytes),
            codepoints: signed(summary.received.chars),
            words: signed(summary.words),
            windows: signed(sum(|counts| counts.windows)),
            passes: signed(sum(|counts| counts.passes)),
            results: results
                .map(|(id, counts)| wire::TaskCount {
                    task_id: id.clone(),
                    results: signed(counts.results),
                })
                .collect(),
            limits_reached: limits
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(limit, count)| wire::LimitCount {
                    limit: limit.into(),
                    count: signed(count),
                })
                .collect(),
            unknown_words: signed(summary.intake.unknown_words),
            replaced_invalid: signed(summary.intake.invalid_parts),
            timings: Some(wire::Timings {
                total: duration(total),
                queue: duration(queue),
                compute: duration(compute),
            }),
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// How far a document has come.
#[must_use]
pub fn progress(progress: Progress) -> wire::Progress {
    wire::Progress {
        watermark_bytes: signed(progress.watermark.bytes),
        watermark_codepoints: signed(progress.watermark.chars),
        received_bytes: signed(progress.received_bytes),
        optional_resume_from_bytes: None,
        resume_token: bytes::Bytes::new(),
    }
}

/// The server is about to stop.
#[must_use]
pub fn draining(remaining: Duration) -> wire::Draining {
    wire::Draining { remaining: duration(remaining) }
}

/// One step of a stream.
#[must_use]
pub fn event(kind: Kind) -> wire::ExtractStreamResponse {
    wire::ExtractStreamResponse { event: Some(wire::Event { kind: Some(kind) }) }
}

fn task_plan(id: &str, plan: &TaskPlan) -> wire::TaskPlan {
    let geometry = plan.geometry;
    let relation_passes_max = match &plan.kind {
        TaskKind::Relations(relations) => relations.passes_max,
        _ => 0,
    };
    let label_groups = match &plan.kind {
        TaskKind::Questions(_) => 1,
        _ => plan.passes.len(),
    };
    wire::TaskPlan {
        task_id: id.to_owned(),
        passes_per_window: narrow(plan.passes.len()),
        label_groups: narrow(label_groups),
        relation_passes_max: narrow(relation_passes_max),
        window_words_max: narrow(geometry.words_max),
        window_pieces_max: narrow(geometry.pieces_max + plan.prompt_pieces),
        core_words_max: narrow(geometry.words_max),
        left_margin_words: narrow(geometry.left_margin),
        right_margin_words: narrow(geometry.right_margin),
        mention_words_max: narrow(geometry.mention_words_max),
    }
}
