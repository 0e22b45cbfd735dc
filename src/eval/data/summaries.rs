//! Summaries: SciTLDR, an abstract a line with one or more sentences that sum it up.
//!
//! The field `labels` marks the sentence nearest to the targets; `rouge` of the file is not read, in some lines it
//! counts other sentences.

use serde::Deserialize;

use super::error::{DataError, Problem};
use super::lines;
use crate::eval::text::{ByteRange, join};

/// An abstract and what sums it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its sentences without white space around them, joined with one blank.
    pub text: String,
    /// Where the sentences lie.
    pub sentences: Vec<ByteRange>,
    /// Numbers of the sentences that the file marks as nearest to the targets, from 0.
    pub marked: Vec<usize>,
    /// Summaries that people wrote, at least one.
    pub targets: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    sents: Vec<String>,
    labels: Vec<u8>,
    target: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// On the first line that is not of this shape, has no text, no target, or not one label for each sentence.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    lines::read(input, "sents, labels (a 0 or 1 for each) and target", example)
}

fn example(row: Row) -> Result<Example, Problem> {
    let Row { sents, labels, target } = row;
    if labels.len() != sents.len() {
        let (found, expected) = (labels.len(), sents.len());
        return Err(Problem::Lengths { field: "labels", found, other: "sents", expected });
    }
    for (field, texts) in [("sents", &sents), ("target", &target)] {
        if texts.iter().all(|text| text.trim().is_empty()) {
            return Err(Problem::EmptyField { field });
        }
    }
    let sentences: Vec<_> = sents.iter().map(|sentence| sentence.trim()).collect();
    let (text, sentences) = join(&sentences);
    let marks = labels.into_iter().enumerate();
    let marked = marks.filter(|&(_, label)| label != 0).map(|(number, _)| number).collect();
    Ok(Example { text, sentences, marked, targets: target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_lose_the_white_space_around_them() {
        let line = r#"{"sents": ["One.  ", " Two.\n"], "labels": [0, 1], "target": ["two"], "rouge": [0.5]}"#;
        let examples = parse(line).unwrap();
        assert_eq!(examples[0].text, "One. Two.");
        assert_eq!(examples[0].sentences[1].of(&examples[0].text), Some("Two."));
        assert_eq!(examples[0].marked, [1]);
    }

    #[test]
    fn a_line_without_a_target_or_with_other_labels_is_refused() {
        let problem = |line| parse(line).unwrap_err().problem;
        let empty = problem(r#"{"sents": ["One."], "labels": [0], "target": []}"#);
        assert_eq!(empty, Problem::EmptyField { field: "target" });
        let lengths = problem(r#"{"sents": ["One."], "labels": [], "target": ["one"]}"#);
        assert!(matches!(lengths, Problem::Lengths { found: 0, expected: 1, .. }));
    }
}
