//! Entities of several files: each by itself, their mean, and all texts together.

use std::collections::BTreeMap;

use serde::Serialize;

use super::spans::{Entities, entities_tally};
use super::table::{percent, table};
use super::{Row, rows};
use crate::eval::bootstrap::{Interval, interval};
use crate::eval::metric::counts::{Counts, Scores, Tally, mean};
use crate::eval::prediction;

/// Entities of several files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Files {
    /// `entities`.
    pub task: String,
    /// Texts of all files.
    pub examples: usize,
    /// Over all entities of all files.
    pub micro: Scores,
    /// Where micro F1 lies in 95 % of the draws.
    pub interval: Interval,
    /// The mean of the files' micro F1, as tables of CrossNER have it.
    pub mean_f1: f64,
    /// Each label over all files, by name.
    pub labels: Vec<Row>,
    /// Each file.
    pub files: Vec<Entities>,
}

impl Files {
    /// Scores the predictions of each file.
    #[must_use]
    pub fn new(files: &[(String, Vec<prediction::Entities>)]) -> Self {
        let tallies: Vec<Tally> = files.iter().map(|(_, texts)| entities_tally(texts)).collect();
        let texts: Vec<Counts> = tallies.iter().flat_map(|tally| tally.texts.clone()).collect();
        let mut all = Counts::default();
        let mut labels: BTreeMap<String, Counts> = BTreeMap::new();
        for tally in &tallies {
            all += tally.all;
            for (label, counts) in &tally.labels {
                *labels.entry(label.clone()).or_default() += *counts;
            }
        }
        let files: Vec<_> = files.iter().map(|(name, texts)| Entities::new(name, texts)).collect();
        Self {
            task: "entities".to_owned(),
            examples: texts.len(),
            micro: all.scores(),
            interval: interval(&texts),
            mean_f1: mean(files.iter().map(|file| file.micro.f1)),
            labels: rows(&labels),
            files,
        }
    }

    /// The report of the only file, if there is one.
    #[must_use]
    pub fn single(&self) -> Option<&Entities> {
        match self.files.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let row = |name: &str, Scores { p, r, f1 }: Scores, count: String| {
            vec![name.to_owned(), percent(p), percent(r), percent(f1), count]
        };
        let labels = self.labels.iter().map(|of| row(&of.label, of.scores, of.support.to_string()));
        let labels = table(&["label", "P", "R", "F1", "gold"], &labels.collect::<Vec<_>>());
        let files =
            self.files.iter().map(|file| row(&file.data, file.micro, file.examples.to_string()));
        let rows: Vec<_> =
            files.chain([row("all", self.micro, self.examples.to_string())]).collect();
        let Interval { low, high } = self.interval;
        labels
            + "\n"
            + &table(&["file", "P", "R", "F1", "texts"], &rows)
            + &format!(
                "mean F1 of the files {}; 95 % of F1 of all between {} and {}\n",
                percent(self.mean_f1),
                percent(low),
                percent(high)
            )
    }
}
