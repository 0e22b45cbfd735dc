//! Relations of whole documents: re3d, one document a line with every triple that people marked. Nothing is given:
//! heads, relations and tails are all to be found.
//!
//! The text is that of the file, not its words joined; `offsets` say in characters where the words lie in it.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::error::{DataError, Problem};
use super::lines;
use crate::eval::text::ByteRange;

/// A document with its relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The document.
    pub text: String,
    /// Where the words of the data set lie.
    pub words: Vec<ByteRange>,
    /// What is there.
    pub triples: Vec<Triple>,
}

/// A relation that people marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triple {
    /// Whose relation it is.
    pub head: ByteRange,
    /// What kind of thing the head is.
    pub head_type: String,
    /// Name of the relation in plain words.
    pub relation: String,
    /// The other side.
    pub tail: ByteRange,
    /// What kind of thing the tail is.
    pub tail_type: String,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    tokenized_text: Vec<String>,
    offsets: Vec<(usize, usize)>,
    triples: Vec<RowTriple>,
}

#[derive(Deserialize)]
struct RowTriple {
    head: (usize, usize),
    head_type: String,
    tail: (usize, usize),
    tail_type: String,
    relation: String,
}

/// Reads a file.
///
/// # Errors
/// On the first line that is not of this shape, whose offsets do not point at its words, or whose triples do not
/// fit them.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    let expected = "text, tokenized_text, offsets as [start, end] in characters, and triples with head, head_type, \
                    tail, tail_type and relation";
    lines::read(input, expected, example)
}

/// Names of the relations in all documents, which are asked of each of them.
#[must_use]
pub fn relations(examples: &[Example]) -> BTreeSet<&str> {
    let triples = examples.iter().flat_map(|example| &example.triples);
    triples.map(|triple| triple.relation.as_str()).collect()
}

/// Kinds of things that are heads or tails in any document, which are asked of each of them.
#[must_use]
pub fn types(examples: &[Example]) -> BTreeSet<&str> {
    let triples = examples.iter().flat_map(|example| &example.triples);
    triples.flat_map(|triple| [triple.head_type.as_str(), triple.tail_type.as_str()]).collect()
}

fn example(row: Row) -> Result<Example, Problem> {
    let words = words(&row)?;
    let mut triples = Vec::new();
    for (number, triple) in row.triples.into_iter().enumerate() {
        let head = lines::range(&words, triple.head, || format!("triples[{number}].head"))?;
        let tail = lines::range(&words, triple.tail, || format!("triples[{number}].tail"))?;
        let RowTriple { head_type, relation, tail_type, .. } = triple;
        triples.push(Triple { head, head_type, relation, tail, tail_type });
    }
    Ok(Example { text: row.text, words, triples })
}

fn words(row: &Row) -> Result<Vec<ByteRange>, Problem> {
    let (found, expected) = (row.offsets.len(), row.tokenized_text.len());
    if found != expected {
        return Err(Problem::Lengths {
            field: "offsets",
            found,
            other: "tokenized_text",
            expected,
        });
    }
    // Where each character starts, and where the text ends.
    let starts = row.text.char_indices().map(|(byte, _)| byte);
    let bytes: Vec<_> = starts.chain([row.text.len()]).collect();
    let places = row.offsets.iter().zip(&row.tokenized_text).enumerate();
    let place = |(word, (&(start, end), expected)): (usize, (&(usize, usize), &String))| {
        let range = bytes.get(start).zip(bytes.get(end));
        let range = range.map(|(&start, &end)| ByteRange { start, end });
        range
            .filter(|range| range.of(&row.text) == Some(expected.as_str()))
            .ok_or(Problem::Offset { word })
    };
    places.map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offsets: &str) -> String {
        format!(
            r#"{{"text": "Zoë\nleft Rome", "tokenized_text": ["Zoë", "left", "Rome"], "offsets": {offsets}, "triples":
            [{{"head": [0, 0], "head_type": "person", "tail": [2, 2], "tail_type": "town", "relation": "left"}}]}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn characters_become_bytes_of_the_text_as_it_is() {
        let examples = parse(&line("[[0, 3], [4, 8], [9, 13]]")).unwrap();
        let Example { text, triples, .. } = &examples[0];
        assert_eq!(triples[0].tail, ByteRange { start: 10, end: 14 });
        assert_eq!(triples[0].head.of(text), Some("Zoë"));
        assert_eq!(types(&examples), BTreeSet::from(["person", "town"]));
        assert_eq!(relations(&examples), BTreeSet::from(["left"]));
    }

    #[test]
    fn offsets_that_miss_their_word_are_named() {
        let problem = |offsets| parse(&line(offsets)).unwrap_err().problem;
        assert_eq!(problem("[[0, 3], [4, 8], [9, 14]]"), Problem::Offset { word: 2 });
        assert_eq!(problem("[[0, 4], [4, 8], [9, 13]]"), Problem::Offset { word: 0 });
        assert!(matches!(problem("[[0, 3]]"), Problem::Lengths { found: 1, expected: 3, .. }));
    }
}
