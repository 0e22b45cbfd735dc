//! Classification: six sets in one file, a text a line with the classes to choose from.
//!
//! ```json
//! {"text": "play jazz", "label": "music", "labels": ["music", "weather"], "set": "snips"}
//! ```

use serde::Deserialize;

use super::error::{DataError, Problem};
use super::lines;

/// A text of one class.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Example {
    /// The text.
    pub text: String,
    /// Its class.
    pub label: String,
    /// The classes to choose from, at least two different ones; the right one is among them.
    pub labels: Vec<String>,
    /// Name of the set that it is from.
    pub set: String,
}

/// Reads a file.
///
/// # Errors
/// On the first line that is not of this shape, or whose class is not among those to choose from.
pub fn parse(input: &str) -> Result<Vec<Example>, DataError> {
    lines::read(input, "text, label, labels and set", check)
}

fn check(example: Example) -> Result<Example, Problem> {
    let Example { text, label, labels, .. } = &example;
    if text.trim().is_empty() {
        return Err(Problem::EmptyField { field: "text" });
    }
    let first = |label| labels.iter().position(|other| other == label);
    if let Some((label, _)) =
        labels.iter().enumerate().find(|&(at, label)| first(label) != Some(at))
    {
        return Err(Problem::RepeatedLabel { label });
    }
    if labels.len() < 2 {
        return Err(Problem::TooFewLabels { found: labels.len(), least: 2 });
    }
    if !labels.contains(label) {
        return Err(Problem::UnknownLabel { field: "label".to_owned() });
    }
    Ok(example)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(label: &str, labels: &str) -> Option<Problem> {
        let line =
            format!(r#"{{"text": "hi", "label": "{label}", "labels": {labels}, "set": "s"}}"#);
        parse(&line).err().map(|error| error.problem)
    }

    #[test]
    fn the_right_class_is_among_two_or_more_different_ones() {
        assert_eq!(problem("a", r#"["a", "b"]"#), None);
        let unknown = Problem::UnknownLabel { field: "label".to_owned() };
        assert_eq!(problem("c", r#"["a", "b"]"#), Some(unknown));
        assert_eq!(problem("a", r#"["a", "b", "a"]"#), Some(Problem::RepeatedLabel { label: 2 }));
        assert_eq!(problem("a", r#"["a"]"#), Some(Problem::TooFewLabels { found: 1, least: 2 }));
    }
}
