//! What can be wrong with a file of examples: where it is, and what was expected there instead. Names fields and
//! numbers, and no text beyond a value that the JSON parser may quote.

use std::fmt;

/// A file that cannot be scored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DataError {
    /// Where in the file.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// A place in a file of examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, counted from 1.
    Line(usize),
    /// A question of a SQuAD file, by its `id`.
    Question(String),
    /// The file as a whole.
    File,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Question(id) => write!(f, "question {id}"),
            Self::File => f.write_str("the file"),
        }
    }
}

/// What is wrong with one example.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON, or JSON of another shape.
    #[error("needs {expected}; {message} (column {column})")]
    Shape {
        /// The fields that are needed.
        expected: &'static str,
        /// What the parser says.
        message: String,
        /// Where on the line it stopped, counted from 1 in bytes.
        column: usize,
    },
    /// No example at all.
    #[error("holds no examples; check that it is the right file and that it was downloaded whole")]
    Empty,
    /// A word without a character.
    #[error("tokenized_text[{word}] is empty; a word needs at least one character")]
    EmptyWord {
        /// Number of the word, from 0.
        word: usize,
    },
    /// Gold outside of the text.
    #[error(
        "{field} is [{first}, {last}], but the text has {words} words: both are counted from 0, both \
         are inside, and the first is not behind the last"
    )]
    Words {
        /// Which field.
        field: String,
        /// Number of the first word.
        first: usize,
        /// Number of the last word.
        last: usize,
        /// Words of the text.
        words: usize,
    },
    /// A label that is not asked for.
    #[error("the label of {field} is not in labels; add it there")]
    UnknownLabel {
        /// Which field.
        field: String,
    },
    /// The same label twice.
    #[error("labels[{label}] is there already; name each label once")]
    RepeatedLabel {
        /// Number of the label, from 0.
        label: usize,
    },
    /// Nothing to ask for.
    #[error("has {found} labels that count, but needs at least {least}")]
    TooFewLabels {
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// An answer that is not where it should be.
    #[error(
        "the text of answers[{answer}] does not stand at character answer_start of the context"
    )]
    Answer {
        /// Number of the answer, from 0.
        answer: usize,
    },
    /// Answers and `is_impossible` disagree.
    #[error(
        "is_impossible is {impossible}, but there are {answers} answers; SQuAD 2.0 has answers where it is false"
    )]
    Impossible {
        /// What the file says.
        impossible: bool,
        /// How many answers there are.
        answers: usize,
    },
    /// The same id twice.
    #[error("this id is there already; a question needs an id of its own")]
    RepeatedId,
    /// Two lists that belong together.
    #[error("{field} has {found} entries, but {other} has {expected}; one belongs to the other")]
    Lengths {
        /// The one list.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The other list.
        other: &'static str,
        /// Its length.
        expected: usize,
    },
    /// A field that must hold something.
    #[error("{field} is empty; it needs at least one entry with text")]
    EmptyField {
        /// Which field.
        field: &'static str,
    },
    /// A word's offsets do not point at it.
    #[error(
        "offsets[{word}] does not point at tokenized_text[{word}]; offsets count characters of text, half-open"
    )]
    Offset {
        /// Number of the word, from 0.
        word: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_and_what_was_expected() {
        let problem = Problem::Words { field: "ner[2]".to_owned(), first: 3, last: 9, words: 7 };
        let error = DataError { place: Place::Line(12), problem };
        assert_eq!(
            error.to_string(),
            "line 12: ner[2] is [3, 9], but the text has 7 words: both are counted from 0, both are inside, and \
             the first is not behind the last"
        );
    }
}
