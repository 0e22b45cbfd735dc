//! What the views and the figures know about a request: which results to expect, and how to name and colour them.

use std::fmt;

use super::client::{Request, TaskKind};
use super::event::{Mention, Results};

/// A kind of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultKind {
    /// Of entities and instructions.
    Mention,
    /// A pair of spans.
    Relation,
    /// Of a question.
    Answer,
    /// A span of the summary.
    Summary,
    /// Of the whole document.
    Class,
}

/// What was asked for.
pub(super) struct Asked {
    tasks: Vec<AskedTask>,
    questions: Vec<String>,
}

#[derive(Debug)]
struct AskedTask {
    id: String,
    kind: ResultKind,
    /// Colour of its first label.
    first_color: usize,
    is_instruction: bool,
    /// Whether its results lie in the text and come with it.
    is_in_text: bool,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("tasks", &self.tasks)
            .field("questions", &self.questions.len())
            .finish()
    }
}

impl Asked {
    /// What a request asks for.
    pub(super) fn new(request: &Request) -> Self {
        let (mut tasks, mut questions, mut colors) = (Vec::new(), Vec::new(), 0);
        for task in &request.tasks {
            let (kind, names) = match &task.kind {
                TaskKind::Entities { labels, .. } => (ResultKind::Mention, labels.len()),
                TaskKind::Open { .. } => (ResultKind::Mention, 1),
                TaskKind::Questions { questions: asked, .. } => {
                    questions.extend(asked.iter().cloned());
                    (ResultKind::Answer, asked.len())
                }
                TaskKind::Summary { .. } => (ResultKind::Summary, 0),
                TaskKind::Relations { relations, .. } => (ResultKind::Relation, relations.len()),
                TaskKind::Classify { labels, .. } => (ResultKind::Class, labels.len()),
            };
            let is_in_text = match &task.kind {
                TaskKind::Entities { .. } | TaskKind::Open { .. } => true,
                // A bounded summary is known after the last window, when the text is printed.
                TaskKind::Summary { words_max, .. } => words_max.is_none(),
                _ => false,
            };
            let is_instruction = matches!(task.kind, TaskKind::Open { .. });
            let id = task.id.clone();
            tasks.push(AskedTask { id, kind, first_color: colors, is_instruction, is_in_text });
            colors += names;
        }
        Self { tasks, questions }
    }

    /// Kinds of results in the order of the tasks, each once.
    pub(super) fn kinds(&self) -> Vec<ResultKind> {
        let mut kinds: Vec<ResultKind> = Vec::new();
        for task in &self.tasks {
            if !kinds.contains(&task.kind) {
                kinds.push(task.kind);
            }
        }
        kinds
    }

    /// How many tasks have results that lie in the text and come with it.
    pub(super) fn tasks_in_text(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_in_text).count()
    }

    /// Whether the spans of the summary come with the text.
    pub(super) fn has_summary_in_text(&self) -> bool {
        self.tasks.iter().any(|task| task.is_in_text && task.kind == ResultKind::Summary)
    }

    /// The colour of the label with this index in this task.
    pub(super) fn color(&self, task: &str, index: usize) -> usize {
        self.task(task).map_or(0, |task| task.first_color) + index
    }

    /// What a mention is called for people: its label, or the id of the task where that is an instruction.
    pub(super) fn name<'m>(&self, mention: &'m Mention) -> &'m str {
        match self.task(&mention.task) {
            Some(task) if task.is_instruction => &mention.task,
            _ => &mention.label,
        }
    }

    /// A question as asked.
    pub(super) fn question(&self, index: usize) -> &str {
        self.questions.get(index).map_or("", String::as_str)
    }

    fn task(&self, id: &str) -> Option<&AskedTask> {
        self.tasks.iter().find(|task| task.id == id)
    }
}

/// How many results there are of each kind that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(Vec<(ResultKind, u64)>);

impl Tally {
    /// Nothing yet.
    pub(super) fn new(asked: &Asked) -> Self {
        Self(asked.kinds().into_iter().map(|kind| (kind, 0)).collect())
    }

    /// Counts from the start again.
    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, count)| *count = 0);
    }

    /// How many there are of a kind; 0 where it was not asked for.
    pub(super) fn count(&self, kind: ResultKind) -> u64 {
        self.0.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count)
    }

    /// Counts results; that there is no answer is none.
    pub(super) fn add(&mut self, results: &Results) {
        let answers = results.answers.iter().filter(|answer| answer.span.is_some()).count();
        for (kind, count) in &mut self.0 {
            let more = match kind {
                ResultKind::Mention => results.mentions.len(),
                ResultKind::Relation => results.relations.len(),
                ResultKind::Answer => answers,
                ResultKind::Summary => results.summary.len(),
                ResultKind::Class => results.classes.len(),
            };
            *count += more as u64;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let (one, many) = match kind {
                ResultKind::Mention => ("mention", "mentions"),
                ResultKind::Relation => ("relation", "relations"),
                ResultKind::Answer => ("answer", "answers"),
                ResultKind::Summary => ("summary span", "summary spans"),
                ResultKind::Class => ("class", "classes"),
            };
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {}", if *count == 1 { one } else { many })?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::client::{InvalidUtf8, Overlap, Task};
    use super::super::event::{Answer, Span};
    use super::super::labels::parse_labels;
    use super::super::relations::parse_relations;
    use super::*;

    fn labels(names: &str) -> Vec<super::super::labels::Label> {
        parse_labels(names).unwrap().0
    }

    fn kind(name: &str) -> TaskKind {
        let (threshold, overlap, multi_label) = (None, Overlap::Flat, false);
        match name {
            "entities" => TaskKind::Entities {
                labels: labels("person,place"),
                threshold,
                overlap,
                multi_label,
            },
            "questions" => TaskKind::Questions {
                questions: vec!["Who?".to_owned(), "Wh\x1bere?".to_owned()],
                threshold,
                answers_max: None,
            },
            "summary" => TaskKind::Summary { threshold, words_max: None, whole_sentences: false },
            "short" => TaskKind::Summary { threshold, words_max: Some(9), whole_sentences: false },
            "relations" => TaskKind::Relations {
                relations: parse_relations("knows(person->person)").unwrap().0,
                threshold,
                argument_threshold: None,
                distance_words_max: None,
                overlap,
            },
            "classify" => {
                TaskKind::Classify { labels: labels("fact,fiction"), threshold, multi_label }
            }
            _ => TaskKind::Open { instruction: "find".to_owned(), threshold, overlap },
        }
    }

    /// Tasks by name; one that is no kind is an instruction.
    pub(in crate::cli) fn asked(names: &[&str]) -> Asked {
        let task = |name: &&str| Task { id: (*name).to_owned(), kind: kind(name) };
        Asked::new(&Request {
            tasks: names.iter().map(task).collect(),
            invalid_utf8: InvalidUtf8::Reject,
            interim: false,
        })
    }

    #[test]
    fn tasks_share_no_colours_and_mentions_of_instructions_are_named_by_task() {
        let asked = asked(&["entities", "open", "open-2", "classify"]);
        let colors = ["entities", "open", "open-2", "classify"].map(|task| asked.color(task, 1));
        assert_eq!(colors, [1, 3, 4, 5]);
        let mention = |task: &str| Mention {
            task: task.to_owned(),
            ordinal: 0,
            label: "match".to_owned(),
            label_index: 0,
            score: 0.5,
            span: Span::default(),
        };
        assert_eq!(asked.name(&mention("open-2")), "open-2");
        assert_eq!(asked.name(&mention("entities")), "match");
    }

    #[test]
    fn a_bounded_summary_does_not_lie_in_the_text() {
        let check = |names: &[&str], in_text: usize, summary: bool| {
            let asked = asked(names);
            assert_eq!((asked.tasks_in_text(), asked.has_summary_in_text()), (in_text, summary));
        };
        check(&["entities", "open", "summary"], 3, true);
        check(&["short", "questions", "relations", "classify"], 0, false);
    }

    #[test]
    fn the_tally_counts_each_kind_that_was_asked_for() {
        let mut tally = Tally::new(&asked(&["entities", "open", "questions", "relations"]));
        assert_eq!(tally.to_string(), "0 mentions, 0 answers, 0 relations");
        let answer = |span: Option<Span>| Answer {
            task: "questions".to_owned(),
            ordinal: 0,
            question_index: 0,
            rank: 0,
            score: 0.0,
            span,
        };
        tally.add(&Results {
            answers: vec![answer(Some(Span::default())), answer(None)],
            ..Results::default()
        });
        assert_eq!(tally.to_string(), "0 mentions, 1 answer, 0 relations");
    }

    #[test]
    fn debug_shows_no_question() {
        let shown = format!("{:?}", asked(&["questions"]));
        assert!(!shown.contains("Who"), "{shown}");
    }
}
