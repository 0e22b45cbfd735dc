//! Summaries: ROUGE of the spans that were found.

use std::path::PathBuf;

use super::Common;
use super::session::{Question, Session, name, place, read, request};
use crate::cli::Composition;
use crate::cli::client::TaskKind;
use crate::cli::exit::Failure;
use crate::eval::data::summaries::parse;
use crate::eval::prediction::Summary;
use crate::eval::report::texts::Summaries;
use crate::eval::text::ByteRange;

/// Summaries: ROUGE-1, ROUGE-2 and ROUGE-L of the spans found, beside those of the first sentence.
#[derive(Debug, clap::Args)]
pub(super) struct SummaryArgs {
    /// JSON lines with `sents` and `target`.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Widens the spans to whole sentences.
    #[arg(long)]
    whole_sentences: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) async fn run(args: SummaryArgs, composition: &Composition) -> Result<(), Failure> {
    let examples = read(&args.data, args.common.limit, parse)?;
    let mut session = Session::open(&args.common, composition, &[]).await?;
    let questions = examples.iter().map(|example| Question {
        text: example.text.clone(),
        request: request(TaskKind::Summary {
            threshold: args.common.threshold,
            words_max: None,
            whole_sentences: args.whole_sentences,
        }),
    });
    let reply = session.ask(questions.collect()).await?;
    let summaries: Vec<Summary> = examples
        .iter()
        .zip(&reply.results)
        .map(|(example, extracted)| {
            let ranges = extracted.results.summary.iter().map(|found| {
                let (start, end) = place(found.span.bytes);
                ByteRange { start, end }
            });
            Summary::new(example, &ranges.collect::<Vec<_>>())
        })
        .collect();
    let report = Summaries::new(&name(&args.data), &summaries);
    args.common.finish(&report, &report.table(), &summaries)
}
