//! A task from the wire to the pipeline's request, and the way back: which field of it a mistake is about.

use super::refusal::{FieldMistake, Mistake};
use crate::pipeline::request::{
    ClassifyRequest, EntitiesRequest, OpenRequest, QuestionRequest, QuestionsRequest,
    RelationRequest, RelationsRequest, SummaryRequest, TaskRequest,
};
use crate::pipeline::schema::{LabelRequest, LabelsPerSpan, Overlap, Part, Problem, SchemaError};
use crate::wire;
use crate::wire::task::Kind;

/// Reads the task at `path`, as `config.tasks[0]`.
///
/// # Errors
/// What cannot be read at all.
pub fn task_request(path: &str, task: &wire::Task) -> Result<TaskRequest, FieldMistake> {
    let kind = task
        .kind
        .as_ref()
        .ok_or_else(|| FieldMistake { field: path.to_owned(), mistake: Mistake::UnknownTask })?;
    let overlap = |value| overlap(path, kind, value);
    Ok(match kind {
        Kind::Entities(task) => TaskRequest::Entities(EntitiesRequest {
            labels: labels(&task.labels),
            threshold: task
                .optional_threshold
                .map(|wire::entities_task::OptionalThreshold::Threshold(value)| value),
            overlap: overlap(task.overlap)?,
            labels_per_span: match task.multi_label {
                true => LabelsPerSpan::Many,
                false => LabelsPerSpan::One,
            },
        }),
        Kind::Open(task) => TaskRequest::Open(OpenRequest {
            instruction: task.instruction.clone(),
            threshold: task
                .optional_threshold
                .map(|wire::open_task::OptionalThreshold::Threshold(value)| value),
            overlap: overlap(task.overlap)?,
        }),
        Kind::Questions(task) => TaskRequest::Questions(QuestionsRequest {
            questions: task.questions.iter().map(question).collect(),
            threshold: task
                .optional_threshold
                .map(|wire::questions_task::OptionalThreshold::Threshold(value)| value),
            answers_max: task.answers_max,
        }),
        Kind::Summary(task) => TaskRequest::Summary(SummaryRequest {
            threshold: task
                .optional_threshold
                .map(|wire::summary_task::OptionalThreshold::Threshold(value)| value),
            words_max: task.words_max,
            whole_sentences: task.whole_sentences,
        }),
        Kind::Classify(task) => TaskRequest::Classify(ClassifyRequest {
            labels: labels(&task.labels),
            threshold: task
                .optional_threshold
                .map(|wire::classify_task::OptionalThreshold::Threshold(value)| value),
            multi_label: task.multi_label,
        }),
        Kind::Relations(task) => TaskRequest::Relations(RelationsRequest {
            relations: task.relations.iter().map(relation).collect(),
            threshold: task
                .optional_threshold
                .map(|wire::relations_task::OptionalThreshold::Threshold(value)| value),
            argument_threshold: task.optional_argument_threshold.map(
                |wire::relations_task::OptionalArgumentThreshold::ArgumentThreshold(value)| value,
            ),
            distance_words_max: task.distance_words_max,
            overlap: overlap(task.overlap)?,
        }),
    })
}

fn overlap(path: &str, kind: &Kind, value: i32) -> Result<Overlap, FieldMistake> {
    match wire::Overlap::try_from(value) {
        Ok(wire::Overlap::Unspecified | wire::Overlap::Flat) => Ok(Overlap::Flat),
        Ok(wire::Overlap::Nested) => Ok(Overlap::Nested),
        Err(_unknown) => Err(FieldMistake {
            field: format!("{path}.{}.overlap", name(kind)),
            mistake: Mistake::UnknownValue { value },
        }),
    }
}

fn labels(labels: &[wire::Label]) -> Vec<LabelRequest> {
    labels.iter().map(label).collect()
}

fn label(label: &wire::Label) -> LabelRequest {
    LabelRequest {
        name: label.name.clone(),
        description: (!label.description.is_empty()).then(|| label.description.clone()),
        threshold: label
            .optional_threshold
            .map(|wire::label::OptionalThreshold::Threshold(value)| value),
    }
}

fn question(question: &wire::Question) -> QuestionRequest {
    QuestionRequest {
        text: question.text.clone(),
        threshold: question
            .optional_threshold
            .map(|wire::question::OptionalThreshold::Threshold(value)| value),
    }
}

fn relation(relation: &wire::RelationType) -> RelationRequest {
    RelationRequest {
        label: LabelRequest {
            name: relation.name.clone(),
            description: (!relation.description.is_empty()).then(|| relation.description.clone()),
            threshold: relation
                .optional_threshold
                .map(|wire::relation_type::OptionalThreshold::Threshold(value)| value),
        },
        heads: labels(&relation.head_labels),
        tails: labels(&relation.tail_labels),
    }
}

/// The name of a kind's field.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Entities(_) => "entities",
        Kind::Relations(_) => "relations",
        Kind::Questions(_) => "questions",
        Kind::Summary(_) => "summary",
        Kind::Classify(_) => "classify",
        Kind::Open(_) => "open",
    }
}

/// What the pipeline says about the task at `path`, with the field that the client wrote.
#[must_use]
pub fn field_mistake(path: &str, task: &wire::Task, error: SchemaError) -> FieldMistake {
    let field = match &task.kind {
        Some(kind) => field(path, kind, &error),
        None => path.to_owned(),
    };
    FieldMistake { field, mistake: error.into() }
}

/// The path of the field that is meant.
fn field(path: &str, kind: &Kind, error: &SchemaError) -> String {
    let part = part(path, kind, error.part);
    match &error.problem {
        Problem::Threshold { .. } => match error.part {
            Part::ArgumentThreshold => part,
            _ => format!("{part}.threshold"),
        },
        Problem::TooMany { .. } if error.part != Part::Task => part,
        Problem::Nothing | Problem::TooMany { .. } | Problem::NoArgumentLabels => {
            format!("{part}{}", list(kind))
        }
        // The model reads the description where there is one.
        Problem::TooLong { .. } | Problem::Unreadable(_) | Problem::PromptTooLong { .. }
            if is_described(kind, error.part) =>
        {
            format!("{part}.description")
        }
        Problem::EmptyName
        | Problem::Duplicate { .. }
        | Problem::TooLong { .. }
        | Problem::Unreadable(_)
        | Problem::PromptTooLong { .. } => match error.part {
            Part::Question(_) => format!("{part}.text"),
            Part::Label(_) | Part::Relation(_) | Part::HeadLabel(..) | Part::TailLabel(..) => {
                format!("{part}.name")
            }
            Part::Task => format!("{part}{}", list(kind)),
            _ => part,
        },
        Problem::OutOfRange { .. } => part,
    }
}

/// The path of a part of the task at `path`.
#[must_use]
pub fn part(path: &str, kind: &Kind, part: Part) -> String {
    let within = match part {
        Part::Task => String::new(),
        Part::Label(label) => format!(".labels[{label}]"),
        Part::Relation(relation) => format!(".relations[{relation}]"),
        Part::HeadLabel(relation, label) => format!(".relations[{relation}].head_labels[{label}]"),
        Part::TailLabel(relation, label) => format!(".relations[{relation}].tail_labels[{label}]"),
        Part::Question(question) => format!(".questions[{question}]"),
        Part::Instruction => ".instruction".to_owned(),
        Part::AnswersMax => ".answers_max".to_owned(),
        Part::WordsMax => ".words_max".to_owned(),
        Part::Distance => ".distance_words_max".to_owned(),
        Part::ArgumentThreshold => ".argument_threshold".to_owned(),
    };
    format!("{path}.{}{within}", name(kind))
}

/// The list that a kind must fill, with its dot.
fn list(kind: &Kind) -> &'static str {
    match kind {
        Kind::Relations(_) => ".relations",
        Kind::Questions(_) => ".questions",
        Kind::Entities(_) | Kind::Classify(_) => ".labels",
        Kind::Summary(_) | Kind::Open(_) => "",
    }
}

fn is_described(kind: &Kind, part: Part) -> bool {
    let described = |label: Option<&wire::Label>| label.is_some_and(|l| !l.description.is_empty());
    match (kind, part) {
        (Kind::Entities(task), Part::Label(at)) => described(task.labels.get(at)),
        (Kind::Classify(task), Part::Label(at)) => described(task.labels.get(at)),
        (Kind::Relations(task), Part::Relation(at)) => {
            task.relations.get(at).is_some_and(|relation| !relation.description.is_empty())
        }
        (Kind::Relations(task), Part::HeadLabel(relation, at)) => {
            described(task.relations.get(relation).and_then(|r| r.head_labels.get(at)))
        }
        (Kind::Relations(task), Part::TailLabel(relation, at)) => {
            described(task.relations.get(relation).and_then(|r| r.tail_labels.get(at)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(description: &str) -> wire::Label {
        wire::Label {
            name: "name".to_owned(),
            description: description.to_owned(),
            optional_threshold: None,
        }
    }

    fn check(kind: Kind, part: Part, problem: Problem, field: &str) {
        let task = wire::Task { id: String::new(), kind: Some(kind) };
        let mistake = field_mistake("task", &task, SchemaError::new(part, problem));
        assert_eq!(mistake.field, field);
    }

    #[test]
    fn a_mistake_names_the_field_that_the_client_wrote() {
        let entities = || {
            let labels = vec![label(""), label("description")];
            Kind::Entities(wire::EntitiesTask { labels, ..Default::default() })
        };
        let too_long = || Problem::TooLong { actual: 9, limit: 8 };
        let threshold = || Problem::Threshold { value: 2.0 };
        check(entities(), Part::Task, Problem::Nothing, "task.entities.labels");
        check(entities(), Part::Label(0), Problem::EmptyName, "task.entities.labels[0].name");
        check(entities(), Part::Label(0), too_long(), "task.entities.labels[0].name");
        check(entities(), Part::Label(1), too_long(), "task.entities.labels[1].description");
        check(entities(), Part::Task, threshold(), "task.entities.threshold");
        check(entities(), Part::Label(1), threshold(), "task.entities.labels[1].threshold");
    }

    #[test]
    fn so_does_one_of_any_other_task() {
        let questions = || Kind::Questions(wire::QuestionsTask::default());
        check(questions(), Part::Task, Problem::Nothing, "task.questions.questions");
        check(
            questions(),
            Part::Question(1),
            Problem::EmptyName,
            "task.questions.questions[1].text",
        );
        let out = Problem::OutOfRange { value: -1, max: 16 };
        check(questions(), Part::AnswersMax, out, "task.questions.answers_max");
        let open = Kind::Open(wire::OpenTask::default());
        check(open, Part::Instruction, Problem::EmptyName, "task.open.instruction");
        let relations = Kind::Relations(wire::RelationsTask {
            relations: vec![wire::RelationType {
                tail_labels: vec![label("long")],
                ..Default::default()
            }],
            ..Default::default()
        });
        let unreadable = Problem::Unreadable(crate::pipeline::ports::LabelError::NoPieces);
        let field = "task.relations.relations[0].tail_labels[0].description";
        check(relations, Part::TailLabel(0, 0), unreadable, field);
        let relations = || Kind::Relations(wire::RelationsTask::default());
        let threshold = || Problem::Threshold { value: 2.0 };
        check(
            relations(),
            Part::ArgumentThreshold,
            threshold(),
            "task.relations.argument_threshold",
        );
        check(relations(), Part::Relation(2), threshold(), "task.relations.relations[2].threshold");
        let classify = Kind::Classify(wire::ClassifyTask::default());
        let long = Problem::PromptTooLong { unit: "words", taken: 9, left: 1, needed: 2 };
        check(classify, Part::Task, long, "task.classify.labels");
    }
}
