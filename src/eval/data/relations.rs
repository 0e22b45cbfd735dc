//! Relations in a sentence: FewRel and SemEval, one sentence a line. Head and relation are given, the tail is asked
//! for.
//!
//! ```json
//! {"tokenized_text": ["Ann", "left", "Rome"], "head": [0, 0], "tail": [2, 2], "relation": "left",
//!  "relation_seen_in_training": false, "source": "here"}
//! ```

use serde::Deserialize;

use super::error::{DataError, Problem};
use super::lines;
use crate::eval::text::ByteRange;

/// A sentence with one relation in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its words, joined with one blank.
    pub text: String,
    /// Where the words of the data set lie.
    pub words: Vec<ByteRange>,
    /// Whose relation it is.
    pub head: ByteRange,
    /// Its name in plain words.
    pub relation: String,
    /// What is asked for.
    pub tail: ByteRange,
    /// Whether other sentences of this relation were in the training rows of the default model.
    pub seen: bool,
    /// The corpus that it is from.
    pub source: String,
}

#[derive(Deserialize)]
struct Row {
    tokenized_text: Vec<String>,
    head: (usize, usize),
    tail: (usize, usize),
    relation: String,
    relation_seen_in_training: bool,
    source: String,
}

/// Reads a file.
///
/// # Errors
/// On the first line that is not of this shape, or whose head or tail does not fit its words.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    let expected = "tokenized_text, head and tail as [first, last], relation, relation_seen_in_training and source";
    lines::read(input, expected, example)
}

fn example(row: Row) -> Result<Example, Problem> {
    let (text, words) = lines::text(&row.tokenized_text)?;
    let head = lines::range(&words, row.head, || "head".to_owned())?;
    let tail = lines::range(&words, row.tail, || "tail".to_owned())?;
    if row.relation.is_empty() {
        return Err(Problem::EmptyField { field: "relation" });
    }
    let (seen, source) = (row.relation_seen_in_training, row.source);
    Ok(Example { text, words, head, relation: row.relation, tail, seen, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tail: &str) -> String {
        format!(
            r#"{{"tokenized_text": ["Ann", "left", "Rome"], "head": [0, 0], "tail": {tail}, "relation": "left",
            "relation_seen_in_training": false, "source": "here"}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn head_and_tail_are_ranges_of_the_text() {
        let examples = parse(&line("[1, 2]")).unwrap();
        assert_eq!(examples[0].head.of(&examples[0].text), Some("Ann"));
        assert_eq!(examples[0].tail.of(&examples[0].text), Some("left Rome"));
    }

    #[test]
    fn a_tail_outside_of_the_text_is_named() {
        let error = parse(&line("[2, 1]")).unwrap_err();
        assert!(error.to_string().starts_with("line 1: tail is [2, 1]"));
    }
}
