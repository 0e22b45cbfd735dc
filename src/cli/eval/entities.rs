//! Entities: exact spans with the right label, sentence by sentence or joined to long documents.

use std::path::PathBuf;

use super::session::{Question, Session, name, place, read, request};
use super::{Common, sweep};
use crate::cli::Composition;
use crate::cli::client::{Overlap, Request, TaskKind};
use crate::cli::event::Mention;
use crate::cli::exit::{Failure, Kind};
use crate::cli::labels::Label;
use crate::eval::data::entities::{Example, parse};
use crate::eval::long;
use crate::eval::prediction::{Entities, Found};
use crate::eval::report::files::Files;
use crate::eval::text::{ByteRange, Span};

/// Entities, zero-shot: micro and macro F1 on exact spans.
#[derive(Debug, clap::Args)]
pub(super) struct EntitiesArgs {
    /// JSON lines with `tokenized_text`, `ner` and `labels`; several files are scored one by one and together.
    #[arg(long, required = true, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Joins the sentences of a file into documents of at least so many words.
    #[arg(long, value_name = "WORDS")]
    words: Option<usize>,
    /// Tries windows, margins and rules of merging on the long documents, beside sentence by sentence.
    #[arg(long, requires = "words", conflicts_with_all = ["server", "predictions"])]
    sweep: bool,
    #[command(flatten)]
    common: Common,
}

/// A file and its examples.
pub(super) struct Data {
    pub(super) name: String,
    pub(super) examples: Vec<Example>,
}

/// Runs the command.
pub(super) async fn run(args: EntitiesArgs, composition: &Composition) -> Result<(), Failure> {
    let mut files = Vec::with_capacity(args.data.len());
    for path in &args.data {
        files.push(Data { name: name(path), examples: read(path, args.common.limit, parse)? });
    }
    if args.sweep {
        let words = args.words.unwrap_or_default();
        return sweep::run(&args.common, composition, &files, words).await;
    }
    let files: Vec<Data> = files
        .into_iter()
        .map(|file| match args.words {
            Some(words) => Data { examples: long::entities(&file.examples, words), ..file },
            None => file,
        })
        .collect();
    let mut session = Session::open(&args.common, composition, &[]).await?;
    let mut predicted: Vec<(String, Vec<Entities>)> = Vec::new();
    for file in files {
        let questions = file.examples.iter().map(|e| question(e, args.common.threshold)).collect();
        let reply = session.ask(questions).await?;
        let pairs = file.examples.iter().zip(&reply.results);
        let texts = pairs.map(|(example, extracted)| {
            let found = extracted.results.mentions.iter().map(found);
            Entities::new(example, found.collect())
        });
        predicted.push((file.name, texts.collect()));
    }
    let report = Files::new(&predicted);
    let all: Vec<Entities> = predicted.into_iter().flat_map(|(_, texts)| texts).collect();
    match report.single() {
        Some(one) => args.common.finish(one, &one.table(), &all),
        None => args.common.finish(&report, &report.table(), &all),
    }
}

/// What is asked about one text: the labels of its file.
pub(super) fn question(example: &Example, threshold: Option<f32>) -> Question {
    Question { text: example.text.clone(), request: ask(&example.labels, threshold) }
}

/// A request for these labels.
pub(super) fn ask(labels: &[String], threshold: Option<f32>) -> Request {
    let label = |name: &String| Label { name: name.clone(), threshold: None, description: None };
    request(TaskKind::Entities {
        labels: labels.iter().map(label).collect(),
        threshold,
        overlap: Overlap::Flat,
        multi_label: false,
    })
}

/// A mention as a prediction.
pub(super) fn found(mention: &Mention) -> Found {
    let (start, end) = place(mention.span.bytes);
    let span = Span::new(ByteRange { start, end }, mention.label.clone());
    Found { span, score: mention.score }
}

/// Says why a sweep cannot be made of these files.
pub(super) fn nothing_to_join() -> Failure {
    Failure::new(Kind::Input, "the files hold no sentence to join into documents")
}
