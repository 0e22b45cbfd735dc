//! Windows, margins and rules of merging on long documents, against sentence by sentence.

use serde::Serialize;

use super::table::{percent, table};
use crate::eval::bootstrap::Difference;
use crate::eval::metric::counts::Scores;

/// How windows of one setting are made and merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// As the daemon does: cores that partition the words, with margins.
    Core,
    /// Windows side by side, without overlap.
    Cut,
    /// Windows that overlap by the margin; of mentions that share words the best stays.
    Best,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// How windows are merged.
    pub rule: Rule,
    /// Words of a window.
    pub window: usize,
    /// Words of both margins, or of the overlap.
    pub margin: usize,
    /// Over all entities of all files.
    pub micro: Scores,
    /// Against sentence by sentence, sentences drawn in pairs.
    pub difference: Difference,
    /// Words read in a second, those read twice counted once.
    pub words_per_second: f64,
}

/// Recall of entities by their distance to the nearer edge of a window without overlap.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Words of a window.
    pub window: usize,
    /// Words to the edge, from here …
    pub from: usize,
    /// … up to here, not included.
    pub to: usize,
    /// Entities there.
    pub entities: u64,
    /// How many of them were found.
    pub recall: f64,
    /// How many of them were found sentence by sentence.
    pub recall_by_sentence: f64,
}

/// A whole sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// `entities_sweep`.
    pub task: String,
    /// Names of the files.
    pub data: Vec<String>,
    /// Sentences, and the documents that they were joined to.
    pub sentences: usize,
    /// Documents of all files.
    pub documents: usize,
    /// Words of the splitter in all of them.
    pub words: u64,
    /// Sentence by sentence.
    pub by_sentence: Scores,
    /// The same, words in a second.
    pub by_sentence_words_per_second: f64,
    /// The settings in the order in which they were tried.
    pub settings: Vec<Setting>,
    /// Where entities are lost.
    pub edges: Vec<Edge>,
}

impl Sweep {
    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let Scores { p, r, f1 } = self.by_sentence;
        let rate = |words: f64| format!("{words:.0}");
        let mut rows = vec![vec![
            "sentence".to_owned(),
            String::new(),
            String::new(),
            percent(p),
            percent(r),
            percent(f1),
            String::new(),
            String::new(),
            rate(self.by_sentence_words_per_second),
        ]];
        rows.extend(self.settings.iter().map(|setting| {
            let Setting { rule, window, margin, micro, difference, words_per_second } = setting;
            let Difference { f1, interval, .. } = difference;
            vec![
                format!("{rule:?}").to_lowercase(),
                window.to_string(),
                margin.to_string(),
                percent(micro.p),
                percent(micro.r),
                percent(micro.f1),
                format!("{:+.1}", f1 * 100.0),
                format!("{:+.1} … {:+.1}", interval.low * 100.0, interval.high * 100.0),
                rate(*words_per_second),
            ]
        }));
        let header = ["rule", "window", "margin", "P", "R", "F1", "diff", "95 %", "words/s"];
        let mut text = table(&header, &rows);
        if !self.edges.is_empty() {
            let rows: Vec<_> = self.edges.iter().map(Edge::cells).collect();
            let header = ["window", "words to the edge", "entities", "recall", "by sentence"];
            text.push('\n');
            text.push_str(&table(&header, &rows));
        }
        text
    }
}

impl Edge {
    fn cells(&self) -> Vec<String> {
        vec![
            self.window.to_string(),
            format!("{} to {}", self.from, self.to - 1),
            self.entities.to_string(),
            percent(self.recall),
            percent(self.recall_by_sentence),
        ]
    }
}
