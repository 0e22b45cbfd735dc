//! What was predicted, one JSON line for each text, with its gold and with the text: enough to compute each score
//! anew. All ranges are in bytes of `text`, as UTF-8, half-open.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::data::lines;
use super::data::{
    DataError, classification, entities, relation_documents, relations, squad, summaries,
};
use super::metric::relations::Triple;
use super::text::{ByteRange, Span};

/// A predicted range and how sure the model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The range and its label.
    #[serde(flatten)]
    pub span: Span,
    /// From 0 to 1.
    pub score: f32,
}

/// A text whose entities were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entities {
    /// The text.
    pub text: String,
    /// What is there.
    pub gold: Vec<Span>,
    /// What was found.
    pub predicted: Vec<Found>,
}

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Its name in the file.
    pub id: String,
    /// What was asked.
    pub question: String,
    /// Answers that people gave; none where there is no answer.
    pub gold: Vec<String>,
    /// The best answer; empty for "no answer".
    pub predicted: String,
    /// Its score, from 0 to 1; 0 without an answer.
    pub score: f32,
}

/// A text that was summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Summaries that people wrote.
    pub gold: Vec<String>,
    /// What was found, in the order of the text, joined with one blank.
    pub predicted: String,
    /// The first sentence, with which to compare.
    pub first_sentence: String,
}

/// A sentence whose tail was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// The sentence.
    pub text: String,
    /// Whose relation it is.
    pub head: ByteRange,
    /// Its name.
    pub relation: String,
    /// Whether other sentences of the relation were training rows of the default model.
    pub seen: bool,
    /// What is there.
    pub gold: ByteRange,
    /// What was found.
    pub predicted: Vec<ByteRange>,
}

/// A document whose relations were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triples {
    /// The document.
    pub text: String,
    /// What is there.
    pub gold: Vec<Triple>,
    /// What was found.
    pub predicted: Vec<Triple>,
}

/// A text that was classified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// The text.
    pub text: String,
    /// Name of the set that it is from.
    pub set: String,
    /// Its class.
    pub gold: String,
    /// The class that was found, if any.
    pub predicted: Option<String>,
}

impl Entities {
    /// With what was found in an example.
    #[must_use]
    pub fn new(example: &entities::Example, predicted: Vec<Found>) -> Self {
        Self { text: example.text.clone(), gold: example.gold.clone(), predicted }
    }
}

impl Answer {
    /// With the best answer and its score.
    #[must_use]
    pub fn new(example: &squad::Example, best: Option<(String, f32)>) -> Self {
        let squad::Example { id, question, answers, .. } = example.clone();
        let (predicted, score) = best.unwrap_or_default();
        Self { id, question, gold: answers, predicted, score }
    }
}

impl Summary {
    /// With the ranges that were found, in any order; those that do not fit the text are left out.
    #[must_use]
    pub fn new(example: &summaries::Example, found: &[ByteRange]) -> Self {
        let mut found = found.to_vec();
        found.sort_unstable();
        let parts: Vec<_> = found.iter().filter_map(|range| range.of(&example.text)).collect();
        let first = example.sentences.first().and_then(|sentence| sentence.of(&example.text));
        Self {
            gold: example.targets.clone(),
            predicted: parts.join(" "),
            first_sentence: first.unwrap_or_default().to_owned(),
        }
    }
}

impl Tail {
    /// With the tails that were found.
    #[must_use]
    pub fn new(example: &relations::Example, predicted: Vec<ByteRange>) -> Self {
        let relations::Example { text, head, relation, tail, seen, .. } = example.clone();
        Self { text, head, relation, seen, gold: tail, predicted }
    }
}

impl Triples {
    /// With the triples that were found.
    #[must_use]
    pub fn new(example: &relation_documents::Example, predicted: Vec<Triple>) -> Self {
        let triple = |triple: &relation_documents::Triple| Triple {
            head: triple.head,
            relation: triple.relation.clone(),
            tail: triple.tail,
        };
        let gold = example.triples.iter().map(triple).collect();
        Self { text: example.text.clone(), gold, predicted }
    }
}

impl Class {
    /// With the class that was found.
    #[must_use]
    pub fn new(example: &classification::Example, predicted: Option<String>) -> Self {
        let classification::Example { text, label, set, .. } = example.clone();
        Self { text, set, gold: label, predicted }
    }
}

/// One line for each prediction, each with its line break.
///
/// # Errors
/// Never for the types here: they have no keys but strings.
pub fn write<Prediction: Serialize>(
    predictions: &[Prediction],
) -> Result<String, serde_json::Error> {
    let mut lines = String::new();
    for prediction in predictions {
        lines.push_str(&serde_json::to_string(prediction)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// Reads what [`write()`] wrote, to compare two systems.
///
/// # Errors
/// On the first line that is of another shape.
pub fn read<Prediction: DeserializeOwned>(input: &str) -> Result<Vec<Prediction>, DataError> {
    lines::read(input, "a prediction of this task, as gleand eval writes it", Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_reads_back_as_it_was_written() {
        let span = Span::new(ByteRange { start: 0, end: 4 }, "person".to_owned());
        let found = Found { span: span.clone(), score: 0.1 };
        let line = Entities { text: "Zoë".to_owned(), gold: vec![span], predicted: vec![found] };
        let written = write(std::slice::from_ref(&line)).unwrap();
        assert_eq!(
            written,
            "{\"text\":\"Zoë\",\"gold\":[{\"start\":0,\"end\":4,\"label\":\"person\"}],\
             \"predicted\":[{\"start\":0,\"end\":4,\"label\":\"person\",\"score\":0.1}]}\n"
        );
        assert_eq!(read(&written), Ok(vec![line]));
    }

    #[test]
    fn a_summary_is_in_the_order_of_the_text() {
        let example = summaries::Example {
            text: "One. Two. Six.".to_owned(),
            sentences: vec![ByteRange { start: 0, end: 4 }],
            marked: vec![0],
            targets: vec!["one".to_owned()],
        };
        let found = [ByteRange { start: 10, end: 14 }, ByteRange { start: 0, end: 4 }];
        let summary = Summary::new(&example, &found);
        assert_eq!(
            (summary.predicted.as_str(), summary.first_sentence.as_str()),
            ("One. Six.", "One.")
        );
    }
}
