//! Named entities: CrossNER in the shape of the GLiNER data sets, one sentence a line.
//!
//! ```json
//! {"tokenized_text": ["Ann", "sings"], "ner": [[0, 0, "person"]], "labels": ["person", "miscellaneous"]}
//! ```

use serde::Deserialize;

use super::error::{DataError, Problem};
use super::lines;
use crate::eval::text::{ByteRange, Span};

/// The label that zero-shot scores leave out, of what is asked for and of the gold: its meaning is "what no other
/// label of this domain names", which nobody can know from the word.
pub const UNSCORED_LABEL: &str = "miscellaneous";

/// A text with the entities that people marked in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its words, joined with one blank.
    pub text: String,
    /// Where the words of the data set lie.
    pub words: Vec<ByteRange>,
    /// What to ask for, in the order of the file.
    pub labels: Vec<String>,
    /// What is there.
    pub gold: Vec<Span>,
}

#[derive(Deserialize)]
struct Row {
    tokenized_text: Vec<String>,
    ner: Vec<(usize, usize, String)>,
    labels: Vec<String>,
}

/// Reads a file, without [`UNSCORED_LABEL`].
///
/// # Errors
/// On the first line that is not of this shape, or whose gold does not fit its words or its labels.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    lines::read(input, "tokenized_text, ner as [first, last, label], and labels", example)
}

fn example(row: Row) -> Result<Example, Problem> {
    let (text, words) = lines::text(&row.tokenized_text)?;
    let mut gold = Vec::new();
    for (number, (first, last, label)) in row.ner.into_iter().enumerate() {
        let field = || format!("ner[{number}]");
        let range = lines::range(&words, (first, last), field)?;
        if !row.labels.contains(&label) {
            return Err(Problem::UnknownLabel { field: field() });
        }
        if label != UNSCORED_LABEL {
            gold.push(Span::new(range, label));
        }
    }
    let labels: Vec<_> = row.labels.into_iter().filter(|label| label != UNSCORED_LABEL).collect();
    if labels.is_empty() {
        return Err(Problem::TooFewLabels { found: 0, least: 1 });
    }
    Ok(Example { text, words, labels, gold })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ner: &str) -> String {
        format!(
            r#"{{"tokenized_text": ["Zoë", "Li", "sings"], "ner": {ner}, "labels": ["person", "miscellaneous"]}}"#
        )
    }

    #[test]
    fn words_become_bytes_and_the_unscored_label_goes() {
        let examples = parse(&line(r#"[[0, 1, "person"], [2, 2, "miscellaneous"]]"#)).unwrap();
        assert_eq!(examples[0].text, "Zoë Li sings");
        assert_eq!(examples[0].labels, ["person"]);
        let range = ByteRange { start: 0, end: 7 };
        assert_eq!(examples[0].gold, [Span::new(range, "person".to_owned())]);
    }

    #[test]
    fn gold_outside_of_the_text_or_of_the_labels_names_its_line() {
        let input = format!("{}\n{}", line("[]"), line(r#"[[1, 3, "person"]]"#));
        assert!(parse(&input).unwrap_err().to_string().starts_with("line 2: ner[0] is [1, 3]"));
        let problem = parse(&line(r#"[[1, 1, "town"]]"#)).unwrap_err().problem;
        assert_eq!(problem, Problem::UnknownLabel { field: "ner[0]".to_owned() });
    }
}
