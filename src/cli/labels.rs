//! `--labels person,date:0.4,"party=name of a party to the contract"`, and the same for `--classify`.
//!
//! An item is `NAME[:THRESHOLD][=DESCRIPTION]`; items are separated by commas. A backslash takes the next
//! character as it is. An item may stand in double quotes, which protect its commas (a shell usually eats them).

use std::fmt;

use super::typed::{self, Marked, plain};

/// One label as typed.
#[derive(Clone, PartialEq)]
pub(super) struct Label {
    /// What comes back with each mention.
    pub(super) name: String,
    /// Over the threshold of the task.
    pub(super) threshold: Option<f32>,
    /// What the model reads instead of the name.
    pub(super) description: Option<String>,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label")
            .field("name_bytes", &self.name.len())
            .field("threshold", &self.threshold)
            .field("description_bytes", &self.description.as_ref().map(String::len))
            .finish()
    }
}

/// The labels of one flag, in order. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LabelList(pub(super) Vec<Label>);

/// Reads the value of `--labels` or `--classify`; the error names the item and what to write instead.
pub(super) fn parse_labels(text: &str) -> Result<LabelList, String> {
    let marked = typed::mark(text)?;
    let items = typed::split(&marked, ',');
    let labels = items.iter().enumerate().map(|(index, item)| {
        parse_item(item).map_err(|problem| match index {
            0 if items.len() == 1 => problem,
            _ => format!("label {}: {problem}", index + 1),
        })
    });
    labels.collect::<Result<_, _>>().map(LabelList)
}

/// Reads a threshold: more than 0 and less than 1.
pub(super) fn parse_threshold(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(threshold) if threshold > 0.0 && threshold < 1.0 => Ok(threshold),
        _ => {
            Err(format!("`{text}` is no threshold: it is more than 0 and less than 1, such as 0.4"))
        }
    }
}

/// Reads one `NAME[:THRESHOLD][=DESCRIPTION]`.
pub(super) fn parse_item(item: &[Marked]) -> Result<Label, String> {
    let (head, description) = typed::split_once(item, '=');
    let (name, threshold) = typed::split_once(head, ':');
    let name = plain(name);
    if name.is_empty() {
        return Err("the name is empty; expected NAME[:THRESHOLD][=DESCRIPTION]".to_owned());
    }
    let threshold = threshold
        .map(|text| parse_threshold(&plain(text)))
        .transpose()
        .map_err(|problem| format!("{problem} (a colon in a name is written `\\:`)"))?;
    let description = description.map(plain);
    if description.as_ref().is_some_and(String::is_empty) {
        return Err(
            "the description after `=` is empty (an equals sign in a name is written `\\=`)"
                .to_owned(),
        );
    }
    Ok(Label { name, threshold, description })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Option<f32>, Option<&str>)]) {
        let LabelList(labels) = parse_labels(text).unwrap();
        let read: Vec<_> = labels
            .iter()
            .map(|label| (label.name.as_str(), label.threshold, label.description.as_deref()))
            .collect();
        assert_eq!(read, expected, "{text}");
    }

    fn refused(text: &str) -> String {
        parse_labels(text).unwrap_err()
    }

    #[test]
    fn reads_names_thresholds_and_descriptions() {
        check("person", &[("person", None, None)]);
        check(
            "person,date:0.4,party=name of a party to the contract",
            &[
                ("person", None, None),
                ("date", Some(0.4), None),
                ("party", None, Some("name of a party to the contract")),
            ],
        );
        check(
            "party:0.3=who signs: one of two",
            &[("party", Some(0.3), Some("who signs: one of two"))],
        );
        check(" a , b c ", &[("a", None, None), ("b c", None, None)]);
    }

    #[test]
    fn a_backslash_takes_the_next_character_as_it_is() {
        check(
            r"a\,b,c\:d,e\=f,g\\h,\i",
            &[
                ("a,b", None, None),
                ("c:d", None, None),
                ("e=f", None, None),
                (r"g\h", None, None),
                ("i", None, None),
            ],
        );
        check(r"x=one\, two=three", &[("x", None, Some("one, two=three"))]);
    }

    #[test]
    fn quotes_around_an_item_protect_its_commas() {
        check(
            r#"a,"b=one, two",c"#,
            &[("a", None, None), ("b", None, Some("one, two")), ("c", None, None)],
        );
        check(r#"b=say "yes", c"#, &[("b", None, Some(r#"say "yes""#)), ("c", None, None)]);
    }

    #[test]
    fn says_what_is_wrong_with_which_label() {
        assert_eq!(
            refused("a,,b"),
            "label 2: the name is empty; expected NAME[:THRESHOLD][=DESCRIPTION]"
        );
        assert_eq!(refused(""), "the name is empty; expected NAME[:THRESHOLD][=DESCRIPTION]");
        assert_eq!(
            refused("a,b:high"),
            "label 2: `high` is no threshold: it is more than 0 and less than 1, such as 0.4 \
             (a colon in a name is written `\\:`)"
        );
        for wrong in ["a:0", "a:1", "a:-0.1", "a:nan", "a:inf", "a:"] {
            assert!(refused(wrong).contains("is no threshold"), "{wrong}");
        }
        assert!(refused("a=").starts_with("the description after `=` is empty"));
        assert_eq!(refused("a\\"), "ends with a backslash: write `\\\\` for one");
        assert_eq!(refused("\"a"), "a double quote is not closed");
    }

    #[test]
    fn debug_shows_lengths_only() {
        let shown = format!("{:?}", parse_labels("secret:0.5=hidden").unwrap());
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
    }
}
