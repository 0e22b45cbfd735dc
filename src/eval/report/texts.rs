//! Reports of the tasks whose results are texts or names: questions, summaries, classification.

use serde::{Deserialize, Serialize};

use super::table::{percent, table};
use crate::eval::metric::classify::{self, Choice};
use crate::eval::metric::rouge::{Rouge, Words, average, score};
use crate::eval::metric::squad::{self, Part, Question};
use crate::eval::metric::threshold::{Chosen, SplitHalf, apply, best, split_half};
use crate::eval::prediction;

/// Questions of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Questions {
    /// `questions`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// Answers with a score over it count.
    pub threshold: f64,
    /// `examples`, `em` and `f1` of all questions, and `has_answer` and `no_answer` with the same three.
    #[serde(flatten)]
    pub scores: squad::Scores,
    /// With the threshold that is best on these very questions. Only thresholds above the one that the answers were
    /// asked with can be found.
    pub best_threshold: Chosen,
    /// With a threshold of one half on the other.
    pub split_half: SplitHalf,
}

/// Summaries of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summaries {
    /// `summary`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// Texts.
    pub examples: usize,
    /// ROUGE as rouge-score has it, without stemming.
    #[serde(flatten)]
    pub rouge: Rouge,
    /// The same over the words of GLiNER's splitter, as the card of the default model has it.
    pub splitter_words: Rouge,
    /// What the first sentence alone would have.
    pub first_sentence: FirstSentence,
}

/// The scores of the first sentence of each text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstSentence {
    /// ROUGE as rouge-score has it, without stemming.
    #[serde(flatten)]
    pub rouge: Rouge,
    /// The same over the words of GLiNER's splitter.
    pub splitter_words: Rouge,
}

/// Classes of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classes {
    /// `classify`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// `examples`, `accuracy` and `macro_f1` of all texts.
    #[serde(flatten)]
    pub scores: classify::Scores,
    /// Each set of the file, by name.
    pub sets: Vec<Set>,
}

/// The texts of one set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// Its name.
    pub set: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: classify::Scores,
}

impl Questions {
    /// Scores the answers for the file `data`; those whose score is not over `threshold` are none.
    #[must_use]
    pub fn new(data: &str, answers: &[prediction::Answer], threshold: f64) -> Self {
        let questions: Vec<_> = answers.iter().map(question).collect();
        Self {
            task: "questions".to_owned(),
            data: data.to_owned(),
            threshold,
            scores: apply(&questions, threshold),
            best_threshold: best(&questions),
            split_half: split_half(&questions),
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let part = |name: &str, Part { examples, em, f1 }: Part| {
            vec![name.to_owned(), percent(em), percent(f1), examples.to_string()]
        };
        let Chosen { threshold: best, scores: chosen } = self.best_threshold;
        let SplitHalf { threshold: half, reported_on, .. } = self.split_half;
        let rows = [
            part("has an answer", self.scores.has_answer),
            part("has no answer", self.scores.no_answer),
            part("all", self.scores.all),
            part(&format!("all, best threshold ({best:.3})"), chosen.all),
            part(&format!("odd, threshold of the even ({half:.3})"), reported_on.all),
        ];
        table(&["questions", "EM", "F1", "examples"], &rows)
    }
}

impl Summaries {
    /// Scores the summaries for the file `data`.
    #[must_use]
    pub fn new(data: &str, summaries: &[prediction::Summary]) -> Self {
        let rouge = |first: bool, words: Words| {
            let score = |summary: &prediction::Summary| {
                let text = if first { &summary.first_sentence } else { &summary.predicted };
                score(&summary.gold, text, words)
            };
            average(&summaries.iter().map(score).collect::<Vec<_>>())
        };
        Self {
            task: "summary".to_owned(),
            data: data.to_owned(),
            examples: summaries.len(),
            rouge: rouge(false, Words::Ascii),
            splitter_words: rouge(false, Words::Splitter),
            first_sentence: FirstSentence {
                rouge: rouge(true, Words::Ascii),
                splitter_words: rouge(true, Words::Splitter),
            },
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let cells = |name: &str, Rouge { rouge1, rouge2, rouge_l }: Rouge| {
            vec![name.to_owned(), percent(rouge1), percent(rouge2), percent(rouge_l)]
        };
        let rows = [
            cells("summaries", self.rouge),
            cells("first sentences", self.first_sentence.rouge),
            cells("summaries, words of the splitter", self.splitter_words),
            cells("first sentences, words of the splitter", self.first_sentence.splitter_words),
        ];
        table(&[&format!("{} texts", self.examples), "ROUGE-1", "ROUGE-2", "ROUGE-L"], &rows)
    }
}

impl Classes {
    /// Scores the classes for the file `data`.
    #[must_use]
    pub fn new(data: &str, classes: &[prediction::Class]) -> Self {
        let choices: Vec<_> = classes.iter().map(choice).collect();
        let sets = classify::by_set(&choices);
        Self {
            task: "classify".to_owned(),
            data: data.to_owned(),
            scores: classify::score(&choices),
            sets: sets.into_iter().map(|(set, scores)| Set { set, scores }).collect(),
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let cells = |name: &str, scores: classify::Scores| {
            let classify::Scores { examples, accuracy, macro_f1 } = scores;
            vec![name.to_owned(), percent(accuracy), percent(macro_f1), examples.to_string()]
        };
        let sets = self.sets.iter().map(|set| cells(&set.set, set.scores));
        let rows: Vec<_> = sets.chain([cells("all", self.scores)]).collect();
        table(&["set", "accuracy", "macro F1", "examples"], &rows)
    }
}

fn question(answer: &prediction::Answer) -> Question<'_> {
    let prediction::Answer { gold, predicted, score, .. } = answer;
    Question { gold, predicted, score: f64::from(*score) }
}

fn choice(class: &prediction::Class) -> Choice<'_> {
    let prediction::Class { set, gold, predicted, .. } = class;
    Choice { set, gold, predicted: predicted.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(gold: &[&str], predicted: &str, score: f32) -> prediction::Answer {
        prediction::Answer {
            id: String::new(),
            question: String::new(),
            gold: gold.iter().map(|&answer| answer.to_owned()).collect(),
            predicted: predicted.to_owned(),
            score,
        }
    }

    #[test]
    fn questions_have_parts_and_thresholds() {
        let report = Questions::new("q", &[answer(&["x"], "x", 0.75), answer(&[], "y", 0.25)], 0.1);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["f1"], 0.5);
        assert_eq!(json["has_answer"]["em"], 1.0);
        assert_eq!(json["no_answer"]["f1"], 0.0);
        assert_eq!(json["best_threshold"]["threshold"], 0.5);
        assert_eq!(json["best_threshold"]["f1"], 1.0);
        assert!(report.table().contains("all, best threshold (0.500)"));
    }

    #[test]
    fn summaries_are_compared_with_the_first_sentence() {
        let summary = prediction::Summary {
            gold: vec!["one two".to_owned()],
            predicted: "One, two".to_owned(),
            first_sentence: "six".to_owned(),
        };
        let json = serde_json::to_value(Summaries::new("s", &[summary])).unwrap();
        assert_eq!(json["rougeL"], 1.0);
        assert_eq!(json["splitter_words"]["rouge1"], 0.8);
        assert_eq!(json["first_sentence"]["rouge1"], 0.0);
    }

    #[test]
    fn classes_are_shown_by_set() {
        let class = |set: &str, predicted: Option<&str>| prediction::Class {
            text: String::new(),
            set: set.to_owned(),
            gold: "a".to_owned(),
            predicted: predicted.map(str::to_owned),
        };
        let report = Classes::new("c", &[class("s", Some("a")), class("t", None)]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["accuracy"], 0.5);
        assert_eq!(json["sets"][1]["accuracy"], 0.0);
        assert!(report.table().ends_with("all      50.0      66.7         2\n"));
    }
}
