//! Reports of the tasks whose results are places: entities, relations in sentences, relations of documents.

use serde::{Deserialize, Serialize};

use super::table::{percent, table};
use super::{Row, row, rows};
use crate::eval::bootstrap::{Interval, interval};
use crate::eval::metric::counts::{Scores, Tally};
use crate::eval::metric::relations::{Document, Sentence, by_place, by_text, sentences};
use crate::eval::metric::spans;
use crate::eval::prediction;

/// Entities of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entities {
    /// `entities`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// Texts.
    pub examples: usize,
    /// Over all entities.
    pub micro: Scores,
    /// Where micro F1 lies in 95 % of the draws.
    pub interval: Interval,
    /// The mean F1 of the labels.
    pub macro_f1: f64,
    /// Each label that is in the gold or in a prediction, by name.
    pub labels: Vec<Row>,
}

/// Relations in sentences: the tail was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relations {
    /// `relations`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// Sentences.
    pub examples: usize,
    /// Over all sentences.
    pub micro: Scores,
    /// Where micro F1 lies in 95 % of the draws.
    pub interval: Interval,
    /// The mean F1 of the relations.
    pub macro_f1: f64,
    /// `seen` and `unseen`: whether other sentences of the relation were training rows of the default model.
    pub groups: Vec<Row>,
    /// Each relation, by name.
    pub labels: Vec<Row>,
}

/// Relations of documents: whole triples were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triples {
    /// `relation_documents`.
    pub task: String,
    /// Name of the file.
    pub data: String,
    /// Documents.
    pub examples: usize,
    /// Over all triples, by place.
    pub micro: Scores,
    /// Where micro F1 lies in 95 % of the draws.
    pub interval: Interval,
    /// The mean F1 of the relations, by place.
    pub macro_f1: f64,
    /// Over all triples, by text: another mention of the same name is right too.
    pub by_text: Scores,
    /// Each relation that is in the gold or in a prediction, by place, by name.
    pub labels: Vec<Row>,
}

/// The counts behind a report of entities, to compare two systems.
#[must_use]
pub fn entities_tally(predictions: &[prediction::Entities]) -> Tally {
    spans::score(
        predictions.iter().map(|text| (&text.gold, text.predicted.iter().map(|found| &found.span))),
    )
}

impl Entities {
    /// Scores the predictions for the file `data`.
    #[must_use]
    pub fn new(data: &str, predictions: &[prediction::Entities]) -> Self {
        let tally = entities_tally(predictions);
        Self {
            task: "entities".to_owned(),
            data: data.to_owned(),
            examples: predictions.len(),
            micro: tally.all.scores(),
            interval: interval(&tally.texts),
            macro_f1: tally.macro_f1(),
            labels: rows(&tally.labels),
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let all = [summary("all", self.micro, &self.labels)];
        let rows: Vec<_> = self.labels.iter().map(cells).chain(all).collect();
        table(&HEADER, &rows) + &last_line(self.interval, self.macro_f1)
    }
}

impl Relations {
    /// Scores the predictions for the file `data`.
    #[must_use]
    pub fn new(data: &str, predictions: &[prediction::Tail]) -> Self {
        let of = |which: &dyn Fn(bool) -> bool| {
            sentences(predictions.iter().filter(|tail| which(tail.seen)).map(sentence))
        };
        let tally = of(&|_| true);
        Self {
            task: "relations".to_owned(),
            data: data.to_owned(),
            examples: predictions.len(),
            micro: tally.all.scores(),
            interval: interval(&tally.texts),
            macro_f1: tally.macro_f1(),
            groups: vec![row("seen", of(&|seen| seen).all), row("unseen", of(&|seen| !seen).all)],
            labels: rows(&tally.labels),
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let all = [summary("all", self.micro, &self.labels)];
        let groups = self.groups.iter().map(cells);
        let rows: Vec<_> = self.labels.iter().map(cells).chain(groups).chain(all).collect();
        table(&HEADER, &rows) + &last_line(self.interval, self.macro_f1)
    }
}

impl Triples {
    /// Scores the predictions for the file `data`.
    #[must_use]
    pub fn new(data: &str, predictions: &[prediction::Triples]) -> Self {
        let documents = || {
            predictions.iter().map(|prediction| Document {
                text: &prediction.text,
                gold: &prediction.gold,
                predicted: &prediction.predicted,
            })
        };
        let tally = by_place(documents());
        Self {
            task: "relation_documents".to_owned(),
            data: data.to_owned(),
            examples: predictions.len(),
            micro: tally.all.scores(),
            interval: interval(&tally.texts),
            macro_f1: tally.macro_f1(),
            by_text: by_text(documents()).all.scores(),
            labels: rows(&tally.labels),
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let all = summary("all, by place", self.micro, &self.labels);
        let by_text = numbers("all, by text", self.by_text);
        let rows: Vec<_> = self.labels.iter().map(cells).chain([all, by_text]).collect();
        table(&HEADER, &rows) + &last_line(self.interval, self.macro_f1)
    }
}

fn sentence(tail: &prediction::Tail) -> Sentence<'_> {
    let prediction::Tail { relation, gold, predicted, .. } = tail;
    Sentence { relation, gold: *gold, predicted }
}

const HEADER: [&str; 5] = ["label", "P", "R", "F1", "gold"];

fn cells(row: &Row) -> Vec<String> {
    let mut cells = numbers(&row.label, row.scores);
    cells.push(row.support.to_string());
    cells
}

fn summary(name: &str, scores: Scores, labels: &[Row]) -> Vec<String> {
    let mut cells = numbers(name, scores);
    let support: u64 = labels.iter().map(|row| row.support).sum();
    cells.push(support.to_string());
    cells
}

fn numbers(name: &str, Scores { p, r, f1 }: Scores) -> Vec<String> {
    vec![name.to_owned(), percent(p), percent(r), percent(f1)]
}

fn last_line(Interval { low, high }: Interval, macro_f1: f64) -> String {
    let (low, high, macro_f1) = (percent(low), percent(high), percent(macro_f1));
    format!(
        "F1 of all: 95 % between {low} and {high} (bootstrap over texts); mean F1 of the labels: {macro_f1}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::text::{ByteRange, Span};

    fn one() -> Entities {
        let span = |start, end| Span::new(ByteRange { start, end }, "town".to_owned());
        let predicted = vec![prediction::Found { span: span(0, 4), score: 0.9 }];
        let gold = vec![span(0, 4), span(5, 9)];
        let text = "Rome Bonn".to_owned();
        Entities::new("towns", &[prediction::Entities { text, gold, predicted }])
    }

    #[test]
    fn json_has_fractions_under_the_documented_names() {
        let json = serde_json::to_string(&one()).unwrap();
        let f1 = 2.0 / 3.0;
        assert_eq!(
            json,
            format!(
                "{{\"task\":\"entities\",\"data\":\"towns\",\"examples\":1,\
                 \"micro\":{{\"p\":1.0,\"r\":0.5,\"f1\":{f1}}},\
                 \"interval\":{{\"low\":{f1},\"high\":{f1}}},\"macro_f1\":{f1},\
                 \"labels\":[{{\"label\":\"town\",\"p\":1.0,\"r\":0.5,\"f1\":{f1},\"support\":2}}]}}"
            )
        );
    }

    #[test]
    fn the_table_has_percent() {
        let table = one().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "label      P     R    F1  gold");
        assert_eq!(lines[2], "town   100.0  50.0  66.7     2");
        assert_eq!(lines[3], "all    100.0  50.0  66.7     2");
    }

    #[test]
    fn seen_and_unseen_relations_are_groups_of_their_own() {
        let range = |start, end| ByteRange { start, end };
        let tail = |seen, predicted| prediction::Tail {
            text: "Ann met Bo".to_owned(),
            head: range(0, 3),
            relation: "met".to_owned(),
            seen,
            gold: range(8, 10),
            predicted,
        };
        let report = Relations::new("x", &[tail(true, vec![range(8, 10)]), tail(false, vec![])]);
        assert_eq!(report.groups[0].scores, Scores { p: 1.0, r: 1.0, f1: 1.0 });
        assert_eq!(report.groups[1].scores, Scores::default());
        assert_eq!(report.groups[1].support, 1);
    }
}
