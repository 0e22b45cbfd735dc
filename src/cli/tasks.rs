//! The flags of `gleand extract` that say what to look for, and the tasks that they make.

use std::fmt;

use super::client::{Overlap, Task, TaskKind};
use super::exit::{Failure, Kind};
use super::labels::{Label, LabelList, parse_labels, parse_threshold};
use super::relations::{RelationList, RelationType, parse_relations};
use super::thresholds::{TASKS, Threshold, of_task, parse_task_threshold};

/// What to look for. At least one of [`TaskArgs::TASKS`] is given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to look for")]
pub(super) struct TaskArgs {
    /// Entities: NAME[:THRESHOLD][=DESCRIPTION], separated by commas.
    ///
    /// The model reads a description instead of the name. \, \: \= \\ stand for the characters themselves.
    #[arg(short, long, value_name = "LABELS", value_parser = parse_labels)]
    labels: Vec<LabelList>,
    /// Whatever an instruction describes, such as "Find all ships"; once for each instruction.
    #[arg(long, value_name = "INSTRUCTION", value_parser = parse_wording)]
    open: Vec<Wording>,
    /// The answer to a question about the whole document; once for each question.
    #[arg(long, value_name = "QUESTION", value_parser = parse_wording)]
    ask: Vec<Wording>,
    /// Answers to each question at most, 1 to 16 [default: 1].
    #[arg(long, value_name = "N", requires = "ask", value_parser = clap::value_parser!(i32).range(1..=16))]
    answers: Option<i32>,
    #[command(flatten)]
    summary: SummaryArgs,
    /// Relations: NAME(HEAD->TAIL), separated by commas.
    ///
    /// Such as "works for(person->organization),born in(person->place|city)".
    /// HEAD and TAIL are labels, alternatives separated by |, each with its own :THRESHOLD if it needs one; that of one
    /// mention of a label holds for all. A side that is empty, or a NAME alone, is every label that stands in any
    /// relation. A relation's own :THRESHOLD and =DESCRIPTION stand behind the parenthesis. A backslash takes the next
    /// character as it is.
    #[arg(long, value_name = "RELATIONS", value_parser = parse_relations)]
    relations: Vec<RelationList>,
    /// Words between head and tail at most [default: as many as a window holds].
    #[arg(long, value_name = "WORDS", requires = "relations",
          value_parser = clap::value_parser!(i32).range(1..))]
    relation_distance: Option<i32>,
    /// Least score of heads and tails without a threshold of their own [default: the model's for entities].
    #[arg(long, value_name = "SCORE", requires = "relations", value_parser = parse_threshold)]
    argument_threshold: Option<f32>,
    /// The class of the whole document: the best of these, written like --labels.
    ///
    /// Thresholds count with --multi-label only, which prints every class over its own; the best one is printed whatever
    /// its score.
    #[arg(long, value_name = "LABELS", value_parser = parse_labels)]
    classify: Vec<LabelList>,
    /// Least score, between 0 and 1, of what has none of its own; TASK=SCORE is for one task [default: the model's].
    ///
    /// TASK is entities, open, questions, summary, relations or classify, and wins over a number for all. Heads and
    /// tails of relations have thresholds of their own, such as person:0.4.
    #[arg(short, long, value_name = "[TASK=]SCORE", value_parser = parse_task_threshold)]
    threshold: Vec<Threshold>,
    /// Mentions never overlap (the default).
    #[arg(long, conflicts_with = "nested")]
    flat: bool,
    #[command(flatten)]
    overlaps: Overlaps,
}

/// The summary.
#[derive(Debug, clap::Args)]
struct SummaryArgs {
    /// The spans that sum the document up.
    #[arg(long)]
    summary: bool,
    /// Words of the summary at most: the best spans, told after the end of the document.
    #[arg(long, value_name = "N", requires = "summary", value_parser = clap::value_parser!(i32).range(1..))]
    summary_words: Option<i32>,
    /// Widen spans of the summary to whole sentences.
    #[arg(long, requires = "summary")]
    whole_sentences: bool,
}

/// What may share words.
#[derive(Debug, clap::Args)]
struct Overlaps {
    /// A mention may lie within another one (--labels, --open, --relations).
    #[arg(long, requires = "nesting")]
    nested: bool,
    /// The same words may be a mention of several labels, and the document of several classes.
    #[arg(long, requires = "labelled")]
    multi_label: bool,
}

/// A question or an instruction, as typed.
#[derive(Clone, PartialEq, Eq)]
struct Wording(String);

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wording").field("bytes", &self.0.len()).finish()
    }
}

fn parse_wording(text: &str) -> Result<Wording, String> {
    match text.trim() {
        "" => {
            Err("is empty; write it as to a person, such as \"Who wrote the letter?\"".to_owned())
        }
        text => Ok(Wording(text.to_owned())),
    }
}

impl TaskArgs {
    /// Flags that ask for a task.
    pub(super) const TASKS: [&'static str; 6] =
        ["labels", "open", "ask", "summary", "relations", "classify"];
    /// Flags whose mentions may nest.
    pub(super) const NESTING: [&'static str; 3] = ["labels", "open", "relations"];
    /// Flags whose labels may come several at once.
    pub(super) const LABELLED: [&'static str; 2] = ["labels", "classify"];

    /// The tasks in the order of the flags above.
    pub(super) fn tasks(&self) -> Result<Vec<Task>, Failure> {
        let overlap = if self.overlaps.nested { Overlap::Nested } else { Overlap::Flat };
        let multi_label = self.overlaps.multi_label;
        let threshold = |task| of_task(&self.threshold, task);
        let mut tasks = Vec::new();
        let mut push = |id: &str, kind| tasks.push(Task { id: id.to_owned(), kind });
        if !self.labels.is_empty() {
            let (labels, threshold) = (labels(&self.labels), threshold("entities"));
            push("entities", TaskKind::Entities { labels, threshold, overlap, multi_label });
        }
        for (index, Wording(instruction)) in self.open.iter().enumerate() {
            let id = if index == 0 { "open".to_owned() } else { format!("open-{}", index + 1) };
            let (instruction, threshold) = (instruction.clone(), threshold("open"));
            push(&id, TaskKind::Open { instruction, threshold, overlap });
        }
        if !self.ask.is_empty() {
            let questions = self.ask.iter().map(|Wording(question)| question.clone()).collect();
            let (threshold, answers_max) = (threshold("questions"), self.answers);
            push("questions", TaskKind::Questions { questions, threshold, answers_max });
        }
        if self.summary.summary {
            let SummaryArgs { summary_words: words_max, whole_sentences, .. } = self.summary;
            let threshold = threshold("summary");
            push("summary", TaskKind::Summary { threshold, words_max, whole_sentences });
        }
        if !self.relations.is_empty() {
            let relations = self.relations()?;
            let kind = TaskKind::Relations {
                relations,
                threshold: threshold("relations"),
                argument_threshold: self.argument_threshold,
                distance_words_max: self.relation_distance,
                overlap,
            };
            push("relations", kind);
        }
        if !self.classify.is_empty() {
            let (labels, threshold) = (labels(&self.classify), threshold("classify"));
            push("classify", TaskKind::Classify { labels, threshold, multi_label });
        }
        self.check_thresholds(&tasks)?;
        Ok(tasks)
    }

    /// The relations of all flags, of which one at least says what its arguments are.
    fn relations(&self) -> Result<Vec<RelationType>, Failure> {
        let relations: Vec<RelationType> =
            self.relations.iter().flat_map(|RelationList(list)| list.iter().cloned()).collect();
        if relations.iter().all(|typed| typed.heads.is_empty() && typed.tails.is_empty()) {
            let message = "--relations: no relation says what its head or tail is; \
                           write it for one at least: works for(person->organization)";
            return Err(Failure::new(Kind::Usage, message));
        }
        Ok(settled(relations))
    }

    fn check_thresholds(&self, tasks: &[Task]) -> Result<(), Failure> {
        // The name of a task is the id of the first one of its kind.
        let is_asked = |name: &str| tasks.iter().any(|task| task.id == name);
        let idle = self.threshold.iter().filter_map(|threshold| threshold.task);
        let mut idle = idle.filter(|name| !is_asked(name));
        match idle.next() {
            None => Ok(()),
            Some(name) => {
                let flag =
                    TASKS.iter().find(|(task, _)| *task == name).map_or("", |(_, flag)| flag);
                let message = format!("--threshold {name}=… has no effect without {flag}");
                Err(Failure::new(Kind::Usage, message))
            }
        }
    }
}

/// Gives each argument label without settings those that it has elsewhere.
fn settled(mut relations: Vec<RelationType>) -> Vec<RelationType> {
    let has_settings = |label: &&Label| label.threshold.is_some() || label.description.is_some();
    let arguments = relations.iter().flat_map(|typed| typed.heads.iter().chain(&typed.tails));
    let known: Vec<Label> = arguments.filter(has_settings).cloned().collect();
    let places =
        relations.iter_mut().flat_map(|typed| typed.heads.iter_mut().chain(&mut typed.tails));
    for label in places.filter(|label| label.threshold.is_none() && label.description.is_none()) {
        if let Some(same) = known.iter().find(|same| same.name == label.name) {
            label.clone_from(same);
        }
    }
    relations
}

fn labels(lists: &[LabelList]) -> Vec<Label> {
    lists.iter().flat_map(|LabelList(labels)| labels.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use clap::{ArgGroup, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(group = ArgGroup::new("nesting").args(TaskArgs::NESTING).multiple(true))]
    #[command(group = ArgGroup::new("labelled").args(TaskArgs::LABELLED).multiple(true))]
    struct Line {
        #[command(flatten)]
        args: TaskArgs,
    }

    fn parse(flags: &[&str]) -> TaskArgs {
        Line::try_parse_from([&["gleand"], flags].concat()).unwrap().args
    }

    fn tasks(flags: &[&str]) -> Vec<Task> {
        parse(flags).tasks().unwrap()
    }

    fn refused(flags: &[&str]) -> String {
        match Line::try_parse_from([&["gleand"], flags].concat()) {
            Err(error) => error.to_string(),
            Ok(line) => line.args.tasks().unwrap_err().to_string(),
        }
    }

    #[test]
    fn every_flag_makes_its_task_with_a_stable_id() {
        let flags = [
            "--classify",
            "good,bad",
            "--relations",
            "knows(a->b)",
            "--summary",
            "--ask",
            "Who?",
            "--open",
            "Find ships",
            "--open",
            "Find ports",
            "--labels",
            "person",
            "--ask",
            "Where?",
        ];
        let tasks = tasks(&flags);
        let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        assert_eq!(
            ids,
            ["entities", "open", "open-2", "questions", "summary", "relations", "classify"]
        );
        let TaskKind::Questions { questions, answers_max, .. } = &tasks[3].kind else {
            panic!("questions")
        };
        assert_eq!((questions.join(" ").as_str(), *answers_max), ("Who? Where?", None));
        let TaskKind::Open { instruction, .. } = &tasks[2].kind else { panic!("an instruction") };
        assert_eq!(instruction, "Find ports");
    }

    #[test]
    fn an_argument_has_its_settings_wherever_it_stands() {
        let typed = "works for(person:0.25->firm),knows(person->person=a human being)";
        let tasks = tasks(&["--relations", typed, "--argument-threshold", "0.5"]);
        let TaskKind::Relations { relations, argument_threshold, .. } = &tasks[0].kind else {
            panic!("relations")
        };
        assert_eq!(*argument_threshold, Some(0.5));
        assert_eq!(relations[0].heads[0].threshold, Some(0.25));
        assert_eq!(relations[1].heads[0], relations[0].heads[0]);
    }

    #[test]
    fn settings_reach_their_tasks() {
        let flags = [
            "--labels",
            "a",
            "--summary",
            "--summary-words",
            "40",
            "--whole-sentences",
            "--ask",
            "Who?",
            "--answers",
            "3",
            "--relations",
            "knows(a->b)",
            "--relation-distance",
            "20",
            "--nested",
            "--classify",
            "x",
            "--multi-label",
            "-t",
            "0.25",
            "--threshold",
            "summary=0.75",
        ];
        for task in tasks(&flags) {
            match task.kind {
                TaskKind::Entities { threshold, overlap, multi_label, .. } => assert_eq!(
                    (threshold, overlap, multi_label),
                    (Some(0.25), Overlap::Nested, true)
                ),
                TaskKind::Questions { threshold, answers_max, .. } => {
                    assert_eq!((threshold, answers_max), (Some(0.25), Some(3)));
                }
                TaskKind::Summary { threshold, words_max, whole_sentences } => assert_eq!(
                    (threshold, words_max, whole_sentences),
                    (Some(0.75), Some(40), true)
                ),
                TaskKind::Relations {
                    threshold,
                    argument_threshold,
                    distance_words_max,
                    overlap,
                    ..
                } => {
                    assert_eq!((threshold, argument_threshold), (Some(0.25), None));
                    assert_eq!((distance_words_max, overlap), (Some(20), Overlap::Nested));
                }
                TaskKind::Classify { threshold, multi_label, .. } => {
                    assert_eq!((threshold, multi_label), (Some(0.25), true));
                }
                TaskKind::Open { .. } => panic!("no instruction was given"),
            }
        }
    }

    #[test]
    fn several_flags_of_relations_make_one_task_that_names_one_argument_at_least() {
        let kind = tasks(&["--relations", "knows(a->)", "--relations", "likes"]).remove(0).kind;
        let TaskKind::Relations { relations, .. } = kind else { panic!("relations") };
        assert_eq!(relations.len(), 2);
        assert!(refused(&["--relations", "knows,likes()"]).contains(
            "no relation says what its head or tail is; write it for one at least: works for("
        ));
    }

    #[test]
    fn a_flag_without_the_task_that_it_is_about_is_refused() {
        let check = |flags: &[&str], said: &[&str]| {
            let told = refused(flags);
            for part in said {
                assert!(told.contains(part), "{flags:?}: {told}");
            }
        };
        check(&["--summary", "--answers", "2"], &["--ask"]);
        check(&["--ask", "Who?", "--summary-words", "9"], &["--summary"]);
        check(&["--ask", "Who?", "--whole-sentences"], &["--summary"]);
        check(&["--ask", "Who?", "--relation-distance", "9"], &["--relations"]);
        check(&["--ask", "Who?", "--nested"], &["--labels", "--open", "--relations"]);
        check(&["--ask", "Who?", "--multi-label"], &["--labels", "--classify"]);
        check(
            &["--ask", "Who?", "-t", "summary=0.5"],
            &["--threshold summary=… has no effect without --summary"],
        );
        check(&["--ask", " "], &["is empty; write it as to a person"]);
        check(&["--ask", "Who?", "--answers", "17"], &["--answers", "1..=16"]);
    }

    #[test]
    fn debug_shows_no_question() {
        let shown = format!("{:?}", parse(&["--ask", "hidden", "--open", "hidden"]));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
