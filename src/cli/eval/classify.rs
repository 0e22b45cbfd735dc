//! Classification: accuracy and macro F1 of the best class.

use std::path::PathBuf;

use super::Common;
use super::session::{Question, Session, name, read, request};
use crate::cli::Composition;
use crate::cli::client::TaskKind;
use crate::cli::exit::Failure;
use crate::cli::labels::Label;
use crate::eval::data::classification::parse;
use crate::eval::prediction::Class;
use crate::eval::report::texts::Classes;

/// Classification: accuracy and macro F1 of the best class of each text.
#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// JSON lines with `text`, `label` and `labels`.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) async fn run(args: ClassifyArgs, composition: &Composition) -> Result<(), Failure> {
    let examples = read(&args.data, args.common.limit, parse)?;
    let mut session = Session::open(&args.common, composition, &[]).await?;
    let label = |name: &String| Label { name: name.clone(), threshold: None, description: None };
    let questions = examples.iter().map(|example| Question {
        text: example.text.clone(),
        request: request(TaskKind::Classify {
            labels: example.labels.iter().map(label).collect(),
            threshold: args.common.threshold,
            multi_label: false,
        }),
    });
    let reply = session.ask(questions.collect()).await?;
    let classes: Vec<Class> = examples
        .iter()
        .zip(&reply.results)
        .map(|(example, extracted)| {
            let best = extracted.results.classes.first();
            Class::new(example, best.map(|class| class.label.clone()))
        })
        .collect();
    let report = Classes::new(&name(&args.data), &classes);
    args.common.finish(&report, &report.table(), &classes)
}
