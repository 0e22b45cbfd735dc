//! A config from the wire to a plan: everything a client could get wrong is found here, before its text.

use std::sync::Arc;

use prost::Message as _;

use super::catalog::Catalog;
use super::refusal::{FieldMistake, Mistake, Mistakes, Refusal};
use crate::pipeline::plan::{KeepText, Plan, TaskPlan};
use crate::pipeline::schema::{
    EntitiesRequest, EntitySchema, LabelRequest, LabelsPerSpan, Overlap, SchemaLimits,
};
use crate::pipeline::utf8::InvalidUtf8;
use crate::wire;

/// Bytes of an id that a client chooses.
const ID_BYTES_MAX: usize = 256;
/// Bytes of a task's id.
const TASK_ID_BYTES_MAX: usize = 64;

/// What a call asked for, checked.
#[derive(Debug)]
pub struct Order {
    /// What the pipeline runs.
    pub plan: Arc<Plan>,
    /// Ids of the tasks, in the order of the plan.
    pub task_ids: Vec<String>,
    /// Names and request indices of each task's labels, by schema index.
    pub labels: Vec<Vec<(String, i32)>>,
    /// Return UTF-16 positions too.
    pub utf16: bool,
    /// What results depend on.
    pub fingerprint: String,
}

impl Order {
    /// Reads a config.
    ///
    /// # Errors
    /// Every mistake of the config at once, or why this server cannot serve it.
    pub fn new(config: wire::Config, catalog: &Catalog) -> Result<Self, Refusal> {
        if !config.resume_token.is_empty() {
            return Err(Refusal::ResumeNotBuilt);
        }
        if !config.model.is_empty() && config.model != catalog.model {
            return Err(Refusal::ModelNotFound);
        }
        let mut reader = Reader { catalog, mistakes: Vec::new() };
        let invalid_utf8 = reader.invalid_utf8(config.invalid_utf8);
        reader.result_mode(config.result_mode);
        let utf16 = reader.utf16(&config.offset_encodings);
        reader.length("config.request_id", &config.request_id, ID_BYTES_MAX);
        reader.length("config.document_id", &config.document_id, ID_BYTES_MAX);
        let tasks = reader.tasks(&config.tasks);
        if let Some(mistakes) = Mistakes::new(reader.mistakes) {
            return Err(Refusal::Config(mistakes));
        }
        let keep_text = if config.include_text { KeepText::Yes } else { KeepText::No };
        let labels = tasks.iter().map(label_names).collect();
        let plan = Plan {
            tasks,
            encoder: Arc::clone(&catalog.encoder),
            invalid_utf8,
            keep_text,
            policy: catalog.policy,
        };
        let task_ids = config.tasks.iter().map(|task| task.id.clone()).collect();
        let what_matters = wire::Config {
            request_id: String::new(),
            document_id: String::new(),
            model: String::new(),
            ..config
        };
        let fingerprint = catalog.fingerprint(&what_matters.encode_to_vec());
        Ok(Self { plan: Arc::new(plan), task_ids, labels, utf16, fingerprint })
    }
}

fn label_names(plan: &TaskPlan) -> Vec<(String, i32)> {
    let index = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
    plan.schema
        .labels
        .iter()
        .map(|label| (label.name.to_string(), index(label.request_index)))
        .collect()
}

/// Collects mistakes on the way through a config.
struct Reader<'a> {
    catalog: &'a Catalog,
    mistakes: Vec<FieldMistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, field: impl Into<String>, mistake: Mistake) {
        self.mistakes.push(FieldMistake { field: field.into(), mistake });
    }

    fn length(&mut self, field: &str, value: &str, max: usize) {
        if value.len() > max {
            self.mistake(field, Mistake::TooLong { bytes: value.len(), max });
        }
    }

    fn invalid_utf8(&mut self, value: i32) -> InvalidUtf8 {
        match wire::InvalidUtf8::try_from(value) {
            Ok(wire::InvalidUtf8::Unspecified | wire::InvalidUtf8::Reject) => InvalidUtf8::Reject,
            Ok(wire::InvalidUtf8::Replace) => InvalidUtf8::Replace,
            Err(_unknown) => {
                self.mistake("config.invalid_utf8", Mistake::UnknownValue { value });
                InvalidUtf8::Reject
            }
        }
    }

    /// Interim lists are not built yet; nothing else depends on the mode.
    fn result_mode(&mut self, value: i32) {
        let mistake = match wire::ResultMode::try_from(value) {
            Ok(wire::ResultMode::Unspecified | wire::ResultMode::FinalOnly) => return,
            Ok(wire::ResultMode::Interim) => Mistake::TaskNotBuilt { kind: "interim results" },
            Err(_unknown) => Mistake::UnknownValue { value },
        };
        self.mistake("config.result_mode", mistake);
    }

    fn utf16(&mut self, encodings: &[i32]) -> bool {
        let mut asked = false;
        for (index, &value) in encodings.iter().enumerate() {
            if wire::OffsetEncoding::try_from(value) == Ok(wire::OffsetEncoding::Utf16) {
                asked = true;
            } else {
                let field = format!("config.offset_encodings[{index}]");
                self.mistake(field, Mistake::UnknownValue { value });
            }
        }
        asked
    }

    fn tasks(&mut self, tasks: &[wire::Task]) -> Vec<TaskPlan> {
        let max = self.catalog.limits.tasks_max;
        if tasks.is_empty() {
            self.mistake("config.tasks", Mistake::NoTask);
        } else if tasks.len() > max {
            self.mistake("config.tasks", Mistake::TooManyTasks { count: tasks.len(), max });
            return Vec::new();
        }
        let mut plans = Vec::with_capacity(tasks.len());
        for (index, task) in tasks.iter().enumerate() {
            let path = format!("config.tasks[{index}]");
            self.length(&format!("{path}.id"), &task.id, TASK_ID_BYTES_MAX);
            if let Some(first) = tasks[..index].iter().position(|other| other.id == task.id) {
                self.mistake(format!("{path}.id"), Mistake::DuplicateTask { first });
            }
            plans.extend(self.task(&path, task));
        }
        plans
    }

    fn task(&mut self, path: &str, task: &wire::Task) -> Option<TaskPlan> {
        use wire::task::Kind;
        let kind = match &task.kind {
            Some(Kind::Entities(entities)) => {
                return self.entities(&format!("{path}.entities"), entities);
            }
            Some(Kind::Relations(_)) => "relations",
            Some(Kind::Questions(_)) => "questions",
            Some(Kind::Summary(_)) => "summary",
            Some(Kind::Classify(_)) => "classify",
            Some(Kind::Open(_)) => "open",
            None => {
                self.mistake(path, Mistake::UnknownTask);
                return None;
            }
        };
        self.mistake(format!("{path}.{kind}"), Mistake::TaskNotBuilt { kind });
        None
    }

    fn entities(&mut self, path: &str, task: &wire::EntitiesTask) -> Option<TaskPlan> {
        let overlap = match wire::Overlap::try_from(task.overlap) {
            Ok(wire::Overlap::Unspecified | wire::Overlap::Flat) => Overlap::Flat,
            Ok(wire::Overlap::Nested) => Overlap::Nested,
            Err(_unknown) => {
                let value = task.overlap;
                self.mistake(format!("{path}.overlap"), Mistake::UnknownValue { value });
                return None;
            }
        };
        let request = EntitiesRequest {
            labels: task.labels.iter().map(label_request).collect(),
            threshold: task
                .optional_threshold
                .map(|wire::entities_task::OptionalThreshold::Threshold(value)| value),
            overlap,
            labels_per_span: if task.multi_label {
                LabelsPerSpan::Many
            } else {
                LabelsPerSpan::One
            },
        };
        let catalog = self.catalog;
        let limits = SchemaLimits {
            labels_max: catalog.limits.labels_max,
            label_bytes_max: catalog.limits.label_bytes_max,
        };
        let plan = EntitySchema::new(&request, catalog.facts.thresholds.entities, limits).and_then(
            |schema| TaskPlan::new(schema, &*catalog.encoder, &catalog.facts, catalog.policy),
        );
        match plan {
            Ok(plan) => Some(plan),
            Err(errors) => {
                let labels = &request.labels;
                let mistakes =
                    errors.into_iter().map(|error| FieldMistake::of_entities(path, error, labels));
                self.mistakes.extend(mistakes);
                None
            }
        }
    }
}

fn label_request(label: &wire::Label) -> LabelRequest {
    LabelRequest {
        name: label.name.clone(),
        description: (!label.description.is_empty()).then(|| label.description.clone()),
        threshold: label
            .optional_threshold
            .map(|wire::label::OptionalThreshold::Threshold(value)| value),
    }
}
