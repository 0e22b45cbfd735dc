//! Scores as they are shown: JSON with fractions from 0 to 1, and tables for people with percent.
//!
//! A report is made of predictions alone, so that reading them again gives the same one. Fields of the JSON are only
//! added, never renamed: others read it.

pub mod table;
pub mod spans;
pub mod texts;
pub mod files;
pub mod sweep;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::counts::{Counts, Scores};

/// One label, relation or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
    /// How many there are in the gold.
    pub support: u64,
}

/// The rows by name.
fn rows(labels: &BTreeMap<String, Counts>) -> Vec<Row> {
    let row = |(label, counts): (&String, &Counts)| row(label, *counts);
    labels.iter().map(row).collect()
}

fn row(label: &str, counts: Counts) -> Row {
    Row { label: label.to_owned(), scores: counts.scores(), support: counts.support() }
}
