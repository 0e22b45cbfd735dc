//! Relations: tails of given heads in sentences, or whole triples of documents. The file says which.

use std::path::PathBuf;

use super::Common;
use super::session::{Question, Session, WHOLE_WINDOW, name, place, read, request};
use crate::cli::Composition;
use crate::cli::client::{Overlap, TaskKind};
use crate::cli::event::Extracted;
use crate::cli::exit::{Failure, Kind};
use crate::cli::labels::Label;
use crate::cli::relations::RelationType;
use crate::eval::data::{relation_documents, relations};
use crate::eval::metric::relations::Triple;
use crate::eval::prediction::{Tail, Triples};
use crate::eval::report::spans;
use crate::eval::text::ByteRange;

/// What the daemon puts before the text when heads ask for their tails; the task itself has no field for a given head.
const PREFIX: &str = "Extract relationships between entities from the text:  \n ";

/// Relations: F1 of tails whose head and relation are given (sentences), or of whole triples (documents).
#[derive(Debug, clap::Args)]
pub(super) struct RelationsArgs {
    /// JSON lines with `head`, `tail` and `relation`, or with `triples`.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Least score of an argument of a triple, between 0 and 1 [default: the model's].
    #[arg(long, value_name = "SCORE", value_parser = crate::cli::labels::parse_threshold)]
    argument_threshold: Option<f32>,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) async fn run(args: RelationsArgs, composition: &Composition) -> Result<(), Failure> {
    let shown = args.data.display();
    let text = std::fs::read_to_string(&args.data)
        .map_err(|error| Failure::new(Kind::Input, format!("cannot read {shown}: {error}")))?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    if first.is_some_and(|line| line.contains("\"triples\"")) {
        return documents(args, composition).await;
    }
    if args.argument_threshold.is_some() {
        let message = "--argument-threshold has no effect on sentences whose heads are given";
        return Err(Failure::new(Kind::Usage, message));
    }
    sentences(args, composition).await
}

async fn sentences(args: RelationsArgs, composition: &Composition) -> Result<(), Failure> {
    let examples = read(&args.data, args.common.limit, relations::parse)?;
    // The second stage of relations reads whole windows; with --server they are those that it has for entities.
    let keys = [WHOLE_WINDOW].map(|(key, value)| (key, value.to_owned()));
    let mut session = Session::open(&args.common, composition, &keys).await?;
    let threshold = session.threshold("relations").await?;
    let questions = examples.iter().map(|example| Question {
        text: format!("{PREFIX}{}", example.text),
        request: request(TaskKind::Entities {
            labels: vec![label(format!(
                "{} <> {}",
                example.head.of(&example.text).unwrap_or_default(),
                example.relation
            ))],
            threshold: Some(threshold),
            overlap: Overlap::Flat,
            multi_label: false,
        }),
    });
    let reply = session.ask(questions.collect()).await?;
    let tails: Vec<Tail> = examples
        .iter()
        .zip(&reply.results)
        .map(|(example, extracted)| Tail::new(example, tails(extracted)))
        .collect();
    let report = spans::Relations::new(&name(&args.data), &tails);
    args.common.finish(&report, &report.table(), &tails)
}

/// Spans behind the words before the text, where they stand in the text.
fn tails(extracted: &Extracted) -> Vec<ByteRange> {
    let within = |[start, end]: [u64; 2]| {
        let (start, end) = place([start, end]);
        Some(ByteRange { start: start.checked_sub(PREFIX.len())?, end: end - PREFIX.len() })
    };
    extracted.results.mentions.iter().filter_map(|mention| within(mention.span.bytes)).collect()
}

async fn documents(args: RelationsArgs, composition: &Composition) -> Result<(), Failure> {
    let examples = read(&args.data, args.common.limit, relation_documents::parse)?;
    let mut session = Session::open(&args.common, composition, &[]).await?;
    let types = relation_documents::types(&examples);
    let labels: Vec<Label> = types.into_iter().map(|name| label(name.to_owned())).collect();
    let relation = |name: &str| RelationType {
        relation: label(name.to_owned()),
        heads: labels.clone(),
        tails: labels.clone(),
    };
    let relations: Vec<_> =
        relation_documents::relations(&examples).into_iter().map(relation).collect();
    let questions = examples.iter().map(|example| Question {
        text: example.text.clone(),
        request: request(TaskKind::Relations {
            relations: relations.clone(),
            threshold: args.common.threshold,
            argument_threshold: args.argument_threshold,
            distance_words_max: None,
            overlap: Overlap::Flat,
        }),
    });
    let reply = session.ask(questions.collect()).await?;
    let range = |bytes| {
        let (start, end) = place(bytes);
        ByteRange { start, end }
    };
    let triples: Vec<Triples> = examples
        .iter()
        .zip(&reply.results)
        .map(|(example, extracted)| {
            let found = extracted.results.relations.iter().map(|found| Triple {
                head: range(found.head.span.bytes),
                relation: found.relation.clone(),
                tail: range(found.tail.span.bytes),
            });
            Triples::new(example, found.collect())
        })
        .collect();
    let report = spans::Triples::new(&name(&args.data), &triples);
    args.common.finish(&report, &report.table(), &triples)
}

fn label(name: String) -> Label {
    Label { name, threshold: None, description: None }
}
