//! What to look for, from plain types to the wire, and which flag a field of it came from.

use crate::cli::labels::Label;
use crate::cli::relations::RelationType;
use crate::wire;
use crate::wire::task::Kind;

/// What to look for in a document.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Request {
    /// At least one; ids differ.
    pub(in crate::cli) tasks: Vec<Task>,
    /// What happens with bytes that are not UTF-8.
    pub(in crate::cli) invalid_utf8: InvalidUtf8,
    /// Also tell what may become a result.
    pub(in crate::cli) interim: bool,
}

/// One thing to look for.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Task {
    /// Comes back with each result.
    pub(in crate::cli) id: String,
    /// What it is.
    pub(in crate::cli) kind: TaskKind,
}

/// What a task looks for. Thresholds hold where a label has none of its own; the model's when absent.
#[derive(Clone)]
pub(in crate::cli) enum TaskKind {
    /// Spans of named types.
    Entities {
        /// Types in order.
        labels: Vec<Label>,
        /// Least score.
        threshold: Option<f32>,
        /// Which mentions may share words.
        overlap: Overlap,
        /// Whether one span may have several labels.
        multi_label: bool,
    },
    /// Spans that follow an instruction.
    Open {
        /// What to look for, in plain words.
        instruction: String,
        /// Least score.
        threshold: Option<f32>,
        /// Which mentions may share words.
        overlap: Overlap,
    },
    /// Answers to questions.
    Questions {
        /// Questions in order.
        questions: Vec<String>,
        /// Least score.
        threshold: Option<f32>,
        /// Answers to each question at most, 1 to 16; one when absent.
        answers_max: Option<i32>,
    },
    /// Spans that sum the document up.
    Summary {
        /// Least score.
        threshold: Option<f32>,
        /// Words of all spans together at most. The spans then come after the last window.
        words_max: Option<i32>,
        /// Widen spans to the sentences that they touch.
        whole_sentences: bool,
    },
    /// Pairs of spans.
    Relations {
        /// Relations in order.
        relations: Vec<RelationType>,
        /// Least score of a relation.
        threshold: Option<f32>,
        /// Least score of an argument.
        argument_threshold: Option<f32>,
        /// Words between head and tail at most; as many as a window holds when absent.
        distance_words_max: Option<i32>,
        /// Which arguments may share words.
        overlap: Overlap,
    },
    /// Classes of the whole document.
    Classify {
        /// Classes in order.
        labels: Vec<Label>,
        /// Least score.
        threshold: Option<f32>,
        /// Every class over its threshold instead of the best one.
        multi_label: bool,
    },
}

impl std::fmt::Debug for TaskKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, count) = match self {
            Self::Entities { labels, .. } => ("Entities", labels.len()),
            Self::Open { .. } => ("Open", 1),
            Self::Questions { questions, .. } => ("Questions", questions.len()),
            Self::Summary { .. } => ("Summary", 1),
            Self::Relations { relations, .. } => ("Relations", relations.len()),
            Self::Classify { labels, .. } => ("Classify", labels.len()),
        };
        f.debug_struct(name).field("count", &count).finish_non_exhaustive()
    }
}

/// Which mentions may share words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Overlap {
    /// None.
    Flat,
    /// One may lie in another.
    Nested,
}

/// What happens with bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum InvalidUtf8 {
    /// The document is refused.
    Reject,
    /// Each invalid part is read as U+FFFD.
    Replace,
}

impl Request {
    /// The flag that asked for each task, in order; instructions are numbered where there are several.
    pub(super) fn flags(&self) -> Vec<String> {
        let is_open = |task: &Task| matches!(task.kind, TaskKind::Open { .. });
        let instructions = self.tasks.iter().filter(|task| is_open(task)).count();
        let mut number = 0;
        let flag = |task: &Task| match task.kind {
            TaskKind::Open { .. } => {
                number += 1;
                if instructions > 1 { format!("--open {number}") } else { "--open".to_owned() }
            }
            TaskKind::Entities { .. } => "--labels".to_owned(),
            TaskKind::Questions { .. } => "--ask".to_owned(),
            TaskKind::Summary { .. } => "--summary".to_owned(),
            TaskKind::Relations { .. } => "--relations".to_owned(),
            TaskKind::Classify { .. } => "--classify".to_owned(),
        };
        self.tasks.iter().map(flag).collect()
    }

    pub(super) fn to_wire(&self) -> wire::Config {
        let invalid_utf8 = match self.invalid_utf8 {
            InvalidUtf8::Reject => wire::InvalidUtf8::Reject,
            InvalidUtf8::Replace => wire::InvalidUtf8::Replace,
        };
        let mode =
            if self.interim { wire::ResultMode::Interim } else { wire::ResultMode::FinalOnly };
        let tasks = self
            .tasks
            .iter()
            .map(|task| wire::Task { id: task.id.clone(), kind: Some(wire_kind(&task.kind)) });
        wire::Config {
            tasks: tasks.collect(),
            offset_encodings: vec![wire::OffsetEncoding::Utf16.into()],
            include_text: true,
            result_mode: mode.into(),
            invalid_utf8: invalid_utf8.into(),
            ..wire::Config::default()
        }
    }
}

fn wire_kind(kind: &TaskKind) -> Kind {
    match kind {
        TaskKind::Entities { labels, threshold, overlap, multi_label } => {
            Kind::Entities(wire::EntitiesTask {
                labels: wire_labels(labels),
                optional_threshold: threshold
                    .map(wire::entities_task::OptionalThreshold::Threshold),
                overlap: wire_overlap(*overlap),
                multi_label: *multi_label,
            })
        }
        TaskKind::Open { instruction, threshold, overlap } => Kind::Open(wire::OpenTask {
            instruction: instruction.clone(),
            optional_threshold: threshold.map(wire::open_task::OptionalThreshold::Threshold),
            overlap: wire_overlap(*overlap),
        }),
        TaskKind::Questions { questions, threshold, answers_max } => {
            let questions = questions
                .iter()
                .map(|text| wire::Question { text: text.clone(), ..wire::Question::default() });
            Kind::Questions(wire::QuestionsTask {
                questions: questions.collect(),
                optional_threshold: threshold
                    .map(wire::questions_task::OptionalThreshold::Threshold),
                answers_max: answers_max.unwrap_or_default(),
            })
        }
        TaskKind::Summary { threshold, words_max, whole_sentences } => {
            Kind::Summary(wire::SummaryTask {
                optional_threshold: threshold.map(wire::summary_task::OptionalThreshold::Threshold),
                words_max: words_max.unwrap_or_default(),
                whole_sentences: *whole_sentences,
            })
        }
        TaskKind::Relations {
            relations,
            threshold,
            argument_threshold,
            distance_words_max,
            overlap,
        } => Kind::Relations(wire::RelationsTask {
            relations: relations.iter().map(wire_relation).collect(),
            optional_threshold: threshold.map(wire::relations_task::OptionalThreshold::Threshold),
            optional_argument_threshold: argument_threshold
                .map(wire::relations_task::OptionalArgumentThreshold::ArgumentThreshold),
            distance_words_max: distance_words_max.unwrap_or_default(),
            overlap: wire_overlap(*overlap),
        }),
        TaskKind::Classify { labels, threshold, multi_label } => {
            Kind::Classify(wire::ClassifyTask {
                labels: wire_labels(labels),
                multi_label: *multi_label,
                optional_threshold: threshold
                    .map(wire::classify_task::OptionalThreshold::Threshold),
            })
        }
    }
}

fn wire_overlap(overlap: Overlap) -> i32 {
    match overlap {
        Overlap::Flat => wire::Overlap::Flat.into(),
        Overlap::Nested => wire::Overlap::Nested.into(),
    }
}

fn wire_labels(labels: &[Label]) -> Vec<wire::Label> {
    let label = |label: &Label| wire::Label {
        name: label.name.clone(),
        description: label.description.clone().unwrap_or_default(),
        optional_threshold: label.threshold.map(wire::label::OptionalThreshold::Threshold),
    };
    labels.iter().map(label).collect()
}

fn wire_relation(typed: &RelationType) -> wire::RelationType {
    let Label { name, threshold, description } = typed.relation.clone();
    wire::RelationType {
        name,
        description: description.unwrap_or_default(),
        head_labels: wire_labels(&typed.heads),
        tail_labels: wire_labels(&typed.tails),
        optional_threshold: threshold.map(wire::relation_type::OptionalThreshold::Threshold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::labels::parse_labels;
    use crate::cli::relations::parse_relations;

    fn request(kinds: Vec<TaskKind>) -> Request {
        let tasks = kinds.into_iter().enumerate();
        let tasks = tasks.map(|(index, kind)| Task { id: format!("t{index}"), kind }).collect();
        Request { tasks, invalid_utf8: InvalidUtf8::Reject, interim: false }
    }

    fn all() -> Vec<TaskKind> {
        let open = |text: &str| TaskKind::Open {
            instruction: text.to_owned(),
            threshold: Some(0.5),
            overlap: Overlap::Nested,
        };
        vec![
            TaskKind::Entities {
                labels: parse_labels("hidden:0.25=veiled").unwrap().0,
                threshold: None,
                overlap: Overlap::Flat,
                multi_label: true,
            },
            open("hidden"),
            open("veiled"),
            TaskKind::Questions {
                questions: vec!["hidden".to_owned(), "veiled".to_owned()],
                threshold: Some(0.5),
                answers_max: Some(3),
            },
            TaskKind::Summary { threshold: None, words_max: Some(40), whole_sentences: true },
            TaskKind::Relations {
                relations: parse_relations("hidden(veiled:0.75->):0.25=masked").unwrap().0,
                threshold: Some(0.5),
                argument_threshold: Some(0.125),
                distance_words_max: Some(20),
                overlap: Overlap::Nested,
            },
            TaskKind::Classify {
                labels: parse_labels("hidden").unwrap().0,
                threshold: Some(0.5),
                multi_label: true,
            },
        ]
    }

    #[test]
    fn every_setting_of_every_task_is_on_the_wire() {
        let config = Request { interim: true, ..request(all()) }.to_wire();
        assert_eq!(config.result_mode(), wire::ResultMode::Interim);
        assert!(config.include_text);
        let ids: Vec<_> = config.tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(ids, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
        let kinds: Vec<Kind> = config.tasks.into_iter().filter_map(|task| task.kind).collect();
        let label = |name: &str, description: &str, threshold: Option<f32>| wire::Label {
            name: name.to_owned(),
            description: description.to_owned(),
            optional_threshold: threshold.map(wire::label::OptionalThreshold::Threshold),
        };
        let open = |instruction: &str| {
            Kind::Open(wire::OpenTask {
                instruction: instruction.to_owned(),
                optional_threshold: Some(wire::open_task::OptionalThreshold::Threshold(0.5)),
                overlap: wire::Overlap::Nested.into(),
            })
        };
        let question =
            |text: &str| wire::Question { text: text.to_owned(), ..wire::Question::default() };
        let relation = wire::RelationType {
            name: "hidden".to_owned(),
            description: "masked".to_owned(),
            head_labels: vec![label("veiled", "", Some(0.75))],
            tail_labels: Vec::new(),
            optional_threshold: Some(wire::relation_type::OptionalThreshold::Threshold(0.25)),
        };
        let expected = [
            Kind::Entities(wire::EntitiesTask {
                labels: vec![label("hidden", "veiled", Some(0.25))],
                optional_threshold: None,
                overlap: wire::Overlap::Flat.into(),
                multi_label: true,
            }),
            open("hidden"),
            open("veiled"),
            Kind::Questions(wire::QuestionsTask {
                questions: vec![question("hidden"), question("veiled")],
                optional_threshold: Some(wire::questions_task::OptionalThreshold::Threshold(0.5)),
                answers_max: 3,
            }),
            Kind::Summary(wire::SummaryTask {
                optional_threshold: None,
                words_max: 40,
                whole_sentences: true,
            }),
            Kind::Relations(wire::RelationsTask {
                relations: vec![relation],
                optional_threshold: Some(wire::relations_task::OptionalThreshold::Threshold(0.5)),
                optional_argument_threshold: Some(
                    wire::relations_task::OptionalArgumentThreshold::ArgumentThreshold(0.125),
                ),
                distance_words_max: 20,
                overlap: wire::Overlap::Nested.into(),
            }),
            Kind::Classify(wire::ClassifyTask {
                labels: vec![label("hidden", "", None)],
                multi_label: true,
                optional_threshold: Some(wire::classify_task::OptionalThreshold::Threshold(0.5)),
            }),
        ];
        // Messages that hold text show none in Debug, so that `assert_eq` could not tell much either.
        assert!(kinds == expected);
        assert_eq!(request(all()).to_wire().result_mode(), wire::ResultMode::FinalOnly);
    }

    #[test]
    fn every_task_knows_its_flag() {
        let flags = request(all()).flags();
        let expected =
            ["--labels", "--open 1", "--open 2", "--ask", "--summary", "--relations", "--classify"];
        assert_eq!(flags, expected);
        assert_eq!(request(all().into_iter().skip(2).take(1).collect()).flags(), ["--open"]);
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!("{:?}", request(all()));
        for text in ["hidden", "veiled", "masked"] {
            assert!(!shown.contains(text), "{shown}");
        }
    }
}
