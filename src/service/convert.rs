//! What a document says, as messages of the wire. The way in is [`super::order`].

use super::catalog::Catalog;
use super::models::{duration, limits_to_wire, narrow, wide};
use super::order::Order;
use crate::pipeline::document::{Mention, Progress, Summary, Warning};
use crate::pipeline::offset::{Position, TextRange};
use crate::pipeline::plan::{PlanWarning, TaskPlan};
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

    /// A final mention.
    #[must_use]
    pub fn mention(&self, mention: Mention) -> wire::Mention {
        let (label, label_index) = &self.labels[mention.task][mention.label as usize];
        let TextRange { start, end } = mention.range;
        let range = |unit: fn(Position) -> u64| {
            Some(wire::Range { start: signed(unit(start)), end: signed(unit(end)) })
        };
        wire::Mention {
            task_id: self.task_ids[mention.task].clone(),
            ordinal: signed(mention.ordinal),
            label_index: *label_index,
            label: label.clone(),
            score: mention.score,
            byte_range: range(|place| place.bytes),
            codepoint_range: range(|place| place.chars),
            utf16_range: if self.utf16 { range(|place| place.utf16) } else { None },
            text: mention.text.unwrap_or_default(),
        }
    }

    /// Something the client should know.
    #[must_use]
    pub fn warning(&self, warning: Warning) -> wire::Warning {
        let (code, message, field) = match warning {
            Warning::Plan { task, index } => {
                plan_warning(task, &self.plan.tasks[task].warnings[index])
            }
            Warning::OutsideVocabulary { unknown, words } => (
                WarningCode::TextOutsideVocabulary,
                format!(
                    "the model knows nothing of {unknown} of the first {words} words: is the text in its language?"
                ),
                String::new(),
            ),
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
        };
        wire::Warning { code: code.into(), message, field }
    }

    /// The last event of a document.
    #[must_use]
    pub fn done(&self, summary: &Summary, total: std::time::Duration) -> wire::Done {
        let sum = |count: fn(&crate::pipeline::line::LineCounts) -> u64| {
            summary.tasks.iter().map(count).sum()
        };
        let passes = summary.tasks.iter().zip(&self.plan.tasks);
        let results = self.task_ids.iter().zip(&summary.tasks);
        let limits = [
            (LimitKind::WordBytes, summary.intake.words_cut),
            (LimitKind::WordPieces, summary.intake.words_with_pieces_cut),
            (LimitKind::Cluster, sum(|counts| counts.clusters_forced)),
            (LimitKind::Candidates, sum(|counts| counts.candidates_dropped)),
            (LimitKind::Margin, sum(|counts| counts.windows_narrowed)),
        ];
        wire::Done {
            received_bytes: signed(summary.received.bytes),
            codepoints: signed(summary.received.chars),
            words: signed(summary.words),
            windows: signed(sum(|counts| counts.windows)),
            passes: passes
                .map(|(counts, plan)| signed(counts.windows) * wide(plan.groups.len()))
                .sum(),
            results: results
                .map(|(id, counts)| wire::TaskCount {
                    task_id: id.clone(),
                    results: signed(counts.mentions),
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
            timings: Some(wire::Timings { total: duration(total), queue: None, compute: None }),
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

/// One step of a stream.
#[must_use]
pub fn event(kind: Kind) -> wire::ExtractStreamResponse {
    wire::ExtractStreamResponse { event: Some(wire::Event { kind: Some(kind) }) }
}

fn task_plan(id: &str, plan: &TaskPlan) -> wire::TaskPlan {
    let geometry = plan.geometry;
    let prompt = plan.groups.iter().map(|group| group.prompt.pieces()).max().unwrap_or(0);
    wire::TaskPlan {
        task_id: id.to_owned(),
        passes_per_window: narrow(plan.groups.len()),
        label_groups: narrow(plan.groups.len()),
        relation_passes_max: 0,
        window_words_max: narrow(geometry.words_max),
        window_pieces_max: narrow(geometry.pieces_max + prompt),
        core_words_max: narrow(geometry.words_max),
        left_margin_words: narrow(geometry.left_margin),
        right_margin_words: narrow(geometry.right_margin),
        mention_words_max: narrow(geometry.mention_words_max),
    }
}

fn plan_warning(task: usize, warning: &PlanWarning) -> (WarningCode, String, String) {
    let labels = format!("config.tasks[{task}].entities.labels");
    match warning {
        PlanWarning::ManyPasses { passes } => (
            WarningCode::ManyPasses,
            format!(
                "the labels take {passes} passes over every window: fewer or shorter ones are faster"
            ),
            labels,
        ),
        PlanWarning::EqualLabels { first, second } => (
            WarningCode::LabelsReadAlike,
            format!("the model reads label {second} like label {first} and cannot tell them apart"),
            format!("{labels}[{second}]"),
        ),
    }
}

/// Counts and positions are signed on the wire; none is near 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
