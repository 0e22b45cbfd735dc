//! Longer documents from short examples, so that what is scored also crosses the borders of windows.
//!
//! Sentences are joined with one blank: the daemon takes a line break for wrapped text and a blank line for the end
//! of a paragraph, and a data set of single sentences has neither. Paragraphs are joined with a blank line.

use std::collections::BTreeMap;

use super::data::{entities, squad};
use super::text::{ByteRange, Span};

/// Paragraphs that are put around the one with the answer.
pub const OTHER_PARAGRAPHS: usize = 9;

const BETWEEN_SENTENCES: &str = " ";
const BETWEEN_PARAGRAPHS: &str = "\n\n";

/// Joins the texts of a file in their order into documents of at least `words` words of the data set. What is left at
/// the end, too short for a document of its own, goes to the last one; all of a short file is one document. Labels
/// are those of its texts, in the order in which they come.
#[must_use]
pub fn entities(examples: &[entities::Example], words: usize) -> Vec<entities::Example> {
    let mut documents: Vec<entities::Example> = Vec::new();
    let mut open: Option<entities::Example> = None;
    for example in examples {
        let document = match open.take() {
            Some(document) => joined(document, example),
            None => example.clone(),
        };
        if document.words.len() < words {
            open = Some(document);
        } else {
            documents.push(document);
        }
    }
    if let Some(rest) = open {
        let document = match documents.pop() {
            Some(last) => joined(last, &rest),
            None => rest,
        };
        documents.push(document);
    }
    documents
}

fn joined(mut document: entities::Example, next: &entities::Example) -> entities::Example {
    document.text.push_str(BETWEEN_SENTENCES);
    let before = document.text.len();
    document.text.push_str(&next.text);
    document.words.extend(next.words.iter().map(|word| word.shifted(before)));
    let shifted = |span: &Span| Span::new(span.range().shifted(before), span.label.clone());
    document.gold.extend(next.gold.iter().map(shifted));
    for label in &next.labels {
        if !document.labels.contains(label) {
            document.labels.push(label.clone());
        }
    }
    document
}

/// For each example the number of the document that it went into, and the byte at which it starts there.
#[must_use]
pub fn places(
    examples: &[entities::Example],
    documents: &[entities::Example],
) -> Vec<(usize, usize)> {
    let (mut document, mut at) = (0, 0);
    let place = |example: &entities::Example| {
        if documents.get(document).is_some_and(|document| at > document.text.len()) {
            document += 1;
            at = 0;
        }
        let place = (document, at);
        at += example.text.len() + BETWEEN_SENTENCES.len();
        place
    };
    examples.iter().map(place).collect()
}

/// A question on many paragraphs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongQuestion {
    /// The paragraphs.
    pub text: String,
    /// Where the question's own paragraph lies in them.
    pub own: ByteRange,
}

/// For each question its paragraph among [`OTHER_PARAGRAPHS`] others: those that follow it in the file, from the end
/// on to the start. The question's own is at place `question number % paragraphs`, so each place is as frequent as
/// any other. A file with fewer paragraphs gives all that it has.
///
/// Others come from the same file, so an answer may stand in one of them as well; that is rare in this sample and
/// the same for every model.
#[must_use]
pub fn questions(examples: &[squad::Example]) -> Vec<LongQuestion> {
    let contexts: BTreeMap<usize, &str> =
        examples.iter().map(|example| (example.paragraph, example.context.as_str())).collect();
    let around = |(number, example): (usize, &squad::Example)| {
        let own = example.paragraph;
        let following = contexts.range(own + 1..).chain(contexts.range(..own));
        let mut paragraphs: Vec<&str> =
            following.take(OTHER_PARAGRAPHS).map(|(_, &context)| context).collect();
        let place = number % (paragraphs.len() + 1);
        paragraphs.insert(place, &example.context);
        let before = paragraphs.iter().take(place);
        let start = before.map(|paragraph| paragraph.len() + BETWEEN_PARAGRAPHS.len()).sum();
        let own = ByteRange { start, end: start + example.context.len() };
        LongQuestion { text: paragraphs.join(BETWEEN_PARAGRAPHS), own }
    };
    examples.iter().enumerate().map(around).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::text::join;

    fn sentence(words: &[&str], gold: usize) -> entities::Example {
        let (text, words) = join(words);
        let gold = vec![Span::new(words[gold], "x".to_owned())];
        entities::Example { text, words, labels: vec!["x".to_owned()], gold }
    }

    #[test]
    fn every_sentence_has_its_place() {
        let sentences = [
            sentence(&["é", "b"], 1),
            sentence(&["c"], 0),
            sentence(&["d", "e"], 0),
            sentence(&["f"], 0),
        ];
        let documents = entities(&sentences, 3);
        assert_eq!(documents.len(), 2);
        assert_eq!(places(&sentences, &documents), [(0, 0), (0, 5), (1, 0), (1, 4)]);
    }

    #[test]
    fn every_document_has_enough_words_and_gold_moves_along() {
        let sentences = [sentence(&["é", "b"], 1), sentence(&["c", "d"], 0), sentence(&["e"], 0)];
        let documents = entities(&sentences, 3);
        assert_eq!(documents.len(), 1);
        let document = &documents[0];
        assert_eq!(document.text, "é b c d e");
        assert_eq!(document.words.len(), 5);
        let gold: Vec<_> =
            document.gold.iter().map(|span| span.range().of(&document.text)).collect();
        assert_eq!(gold, [Some("b"), Some("c"), Some("e")]);
        assert_eq!(document.labels, ["x"]);
        let words: Vec<_> = document.words.iter().map(|word| word.of(&document.text)).collect();
        assert_eq!(words.last(), Some(&Some("e")));
    }

    #[test]
    fn documents_end_as_soon_as_they_are_long_enough() {
        let sentences: Vec<_> = (0..4).map(|_| sentence(&["a", "b"], 0)).collect();
        assert_eq!(entities(&sentences, 4).len(), 2);
        assert_eq!(entities(&sentences, 1), sentences);
        assert_eq!(entities(&sentences, 100).len(), 1);
        assert_eq!(entities(&[], 4), []);
    }

    fn question(number: usize, paragraph: usize) -> squad::Example {
        squad::Example {
            id: number.to_string(),
            question: "?".to_owned(),
            context: format!("p{paragraph}"),
            paragraph,
            answers: Vec::new(),
        }
    }

    #[test]
    fn a_paragraph_stands_among_those_that_follow_it() {
        let examples: Vec<_> = (0..12).map(|number| question(number, number)).collect();
        let long = questions(&examples);
        assert_eq!(long[0].text.split("\n\n").next(), Some("p0"));
        let paragraphs: Vec<_> = long[11].text.split("\n\n").collect();
        assert_eq!(paragraphs, ["p0", "p11", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"]);
        for (long, example) in long.iter().zip(&examples) {
            assert_eq!(long.own.of(&long.text), Some(example.context.as_str()));
        }
    }

    #[test]
    fn a_file_with_few_paragraphs_gives_each_once() {
        let examples = [question(0, 0), question(1, 0), question(2, 1)];
        let long = questions(&examples);
        assert_eq!(long[0].text, "p0\n\np1");
        assert_eq!(long[1].text, "p1\n\np0");
        assert_eq!(long[2].text, "p1\n\np0");
    }
}
