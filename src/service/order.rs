//! A config from the wire to a plan: everything a client could get wrong is found here, before its text.

use std::sync::Arc;

use prost::Message as _;

use super::catalog::Catalog;
use super::refusal::{FieldMistake, Mistake, Mistakes, Refusal};
use super::request::{field_mistake, task_request};
use crate::pipeline::plan::{Interim, KeepText, Plan, TaskPlan};
use crate::pipeline::schema::SchemaLimits;
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
    /// The tasks as they were sent, for what is told about their fields.
    pub tasks: Vec<wire::Task>,
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
        let interim = reader.result_mode(config.result_mode);
        let utf16 = reader.utf16(&config.offset_encodings);
        reader.length("config.request_id", &config.request_id, ID_BYTES_MAX);
        reader.length("config.document_id", &config.document_id, ID_BYTES_MAX);
        let tasks = reader.tasks(&config.tasks);
        if let Some(mistakes) = Mistakes::new(reader.mistakes) {
            return Err(Refusal::Config(mistakes));
        }
        let keep_text = if config.include_text { KeepText::Yes } else { KeepText::No };
        let plan = Plan {
            tasks,
            encoder: Arc::clone(&catalog.encoder),
            invalid_utf8,
            keep_text,
            interim,
            policy: catalog.policy,
        };
        let task_ids = config.tasks.iter().map(|task| task.id.clone()).collect();
        let sent = config.tasks.clone();
        let what_matters = wire::Config {
            request_id: String::new(),
            document_id: String::new(),
            model: String::new(),
            result_mode: 0,
            ..config
        };
        let fingerprint = catalog.fingerprint(&what_matters.encode_to_vec());
        Ok(Self { plan: Arc::new(plan), task_ids, tasks: sent, utf16, fingerprint })
    }
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

    fn result_mode(&mut self, value: i32) -> Interim {
        match wire::ResultMode::try_from(value) {
            Ok(wire::ResultMode::Unspecified | wire::ResultMode::FinalOnly) => Interim::Silent,
            Ok(wire::ResultMode::Interim) => Interim::Told,
            Err(_unknown) => {
                self.mistake("config.result_mode", Mistake::UnknownValue { value });
                Interim::Silent
            }
        }
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
        let request = match task_request(path, task) {
            Ok(request) => request,
            Err(mistake) => {
                self.mistakes.push(mistake);
                return None;
            }
        };
        let Catalog { encoder, facts, policy, limits, .. } = self.catalog;
        let limits = SchemaLimits {
            labels_max: limits.labels_max,
            label_bytes_max: limits.label_bytes_max,
            questions_max: limits.questions_max,
            relation_passes_max: limits.relation_passes_max,
        };
        match TaskPlan::new(&request, &**encoder, facts, *policy, limits) {
            Ok(plan) => Some(plan),
            Err(errors) => {
                let mistakes = errors.into_iter().map(|error| field_mistake(path, task, error));
                self.mistakes.extend(mistakes);
                None
            }
        }
    }
}
