//! Questions on a paragraph: SQuAD 2.0 in its official shape, in which half of the questions have no answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::error::{DataError, Place, Problem};
use super::lines::shape;

/// A question with its paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its name in the file.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The paragraph that may hold the answer.
    pub context: String,
    /// Number of the paragraph among the different ones of the file, from 0.
    pub paragraph: usize,
    /// The answers that people gave; none where the paragraph holds no answer.
    pub answers: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    question: String,
    answers: Vec<Answer>,
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    // Characters.
    answer_start: usize,
}

/// Reads a file; the questions keep its order.
///
/// # Errors
/// Where it is not of this shape (with the line), and on the first question (with its id) whose answers are not in
/// its paragraph, contradict `is_impossible`, or whose id was there before.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    let expected = "data[].paragraphs[] with context and qas[] with id, question and answers";
    let file: File = serde_json::from_str(input).map_err(|error| DataError {
        place: Place::Line(error.line()),
        problem: shape(&error, expected),
    })?;
    let mut examples = Vec::new();
    let mut ids = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for Paragraph { context, qas } in file.data.into_iter().flat_map(|article| article.paragraphs) {
        let next = numbers.len();
        let paragraph = *numbers.entry(context.clone()).or_insert(next);
        for row in qas {
            let checked = if ids.insert(row.id.clone()) {
                check(&row, &context)
            } else {
                Err(Problem::RepeatedId)
            };
            if let Err(problem) = checked {
                return Err(DataError { place: Place::Question(row.id), problem });
            }
            examples.push(Example {
                id: row.id,
                question: row.question,
                context: context.clone(),
                paragraph,
                answers: row.answers.into_iter().map(|answer| answer.text).collect(),
            });
        }
    }
    if examples.is_empty() {
        return Err(DataError { place: Place::File, problem: Problem::Empty });
    }
    Ok(examples)
}

fn check(row: &Row, context: &str) -> Result<(), Problem> {
    let answers = row.answers.len();
    if row.is_impossible != row.answers.is_empty() {
        return Err(Problem::Impossible { impossible: row.is_impossible, answers });
    }
    let stands = |answer: &Answer| {
        let place = context.char_indices().nth(answer.answer_start);
        let rest = place.and_then(|(byte, _)| context.get(byte..));
        !answer.text.is_empty() && rest.is_some_and(|rest| rest.starts_with(&answer.text))
    };
    match row.answers.iter().position(|answer| !stands(answer)) {
        Some(answer) => Err(Problem::Answer { answer }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(qas: &str) -> String {
        format!(r#"{{"data": [{{"paragraphs": [{{"context": "Zoë is 39.", "qas": [{qas}]}}]}}]}}"#)
    }

    #[test]
    fn answers_are_counted_in_characters() {
        let input = file(
            r#"{"id": "a", "question": "Age?", "answers": [{"text": "39", "answer_start": 7}]},
               {"id": "b", "question": "Town?", "answers": [], "is_impossible": true}"#,
        );
        let examples = parse(&input).unwrap();
        assert_eq!(examples[0].answers, ["39"]);
        assert_eq!((examples[1].answers.len(), examples[1].paragraph), (0, 0));
    }

    #[test]
    fn what_does_not_fit_names_the_question() {
        let wrong =
            file(r#"{"id": "a", "question": "?", "answers": [{"text": "39", "answer_start": 8}]}"#);
        let error = parse(&wrong).unwrap_err();
        assert_eq!(error.place, Place::Question("a".to_owned()));
        assert_eq!(error.problem, Problem::Answer { answer: 0 });
        let silent = file(r#"{"id": "a", "question": "?", "answers": []}"#);
        let problem = parse(&silent).unwrap_err().problem;
        assert_eq!(problem, Problem::Impossible { impossible: false, answers: 0 });
        let one = r#"{"id": "a", "question": "?", "answers": [], "is_impossible": true}"#;
        let twice = file(&format!("{one}, {one}"));
        assert_eq!(parse(&twice).unwrap_err().problem, Problem::RepeatedId);
    }

    #[test]
    fn another_shape_names_the_line() {
        assert_eq!(parse("{\n\"data\": 1}").unwrap_err().place, Place::Line(2));
    }
}
