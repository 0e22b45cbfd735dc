//! JSON lines: one example a line. Empty lines are skipped, but counted.

use serde::de::DeserializeOwned;

use super::error::{DataError, Place, Problem};
use crate::eval::text::{ByteRange, cover, join};

/// Reads every line as a `Row` and makes an example of it. `expected` names the fields for people.
///
/// # Errors
/// On the first line that is no `Row` or that `convert` refuses, and where there is no line at all.
pub fn read<Row: DeserializeOwned, Example>(
    input: &str,
    expected: &'static str,
    mut convert: impl FnMut(Row) -> Result<Example, Problem>,
) -> Result<Vec<Example>, DataError> {
    let mut examples = Vec::new();
    for (line, number) in input.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let row = serde_json::from_str(line).map_err(|error| shape(&error, expected));
        let example = row.and_then(&mut convert);
        examples
            .push(example.map_err(|problem| DataError { place: Place::Line(number), problem })?);
    }
    if examples.is_empty() {
        return Err(DataError { place: Place::File, problem: Problem::Empty });
    }
    Ok(examples)
}

/// What the parser says, without its own place: the line of a row is always 1.
pub(super) fn shape(error: &serde_json::Error, expected: &'static str) -> Problem {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    Problem::Shape { expected, message: message.to_owned(), column: error.column() }
}

/// The text of a row of words, and where they lie in it.
pub(super) fn text(words: &[String]) -> Result<(String, Vec<ByteRange>), Problem> {
    if words.is_empty() {
        return Err(Problem::EmptyField { field: "tokenized_text" });
    }
    if let Some(word) = words.iter().position(String::is_empty) {
        return Err(Problem::EmptyWord { word });
    }
    Ok(join(words))
}

/// The range of words that a field names; `field` is asked for its name only where it is wrong.
pub(super) fn range(
    words: &[ByteRange],
    (first, last): (usize, usize),
    field: impl FnOnce() -> String,
) -> Result<ByteRange, Problem> {
    cover(words, first, last).ok_or_else(|| Problem::Words {
        field: field(),
        first,
        last,
        words: words.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(input: &str) -> Result<Vec<u8>, DataError> {
        read(input, "a number", Ok)
    }

    #[test]
    fn empty_lines_are_skipped_but_counted() {
        assert_eq!(numbers("1\n\n2\n"), Ok(vec![1, 2]));
        let error = numbers("1\n\nx").unwrap_err();
        assert_eq!(error.to_string(), "line 3: needs a number; expected value (column 1)");
    }

    #[test]
    fn a_file_without_examples_is_an_error() {
        assert_eq!(numbers("\n").unwrap_err().problem, Problem::Empty);
    }
}
