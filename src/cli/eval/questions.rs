//! Questions: exact match and F1 of SQuAD 2.0, each question on its own paragraph or among nine others.

use std::path::PathBuf;

use super::Common;
use super::session::{Question, Session, name, read, request};
use crate::cli::Composition;
use crate::cli::client::TaskKind;
use crate::cli::event::Extracted;
use crate::cli::exit::Failure;
use crate::eval::data::squad::{Example, parse};
use crate::eval::long;
use crate::eval::prediction::Answer;
use crate::eval::report::texts::Questions;

/// Answers are asked for with this threshold, so that every higher one can be judged afterwards: with the score of a
/// span that is its smallest probability, the best answer over a threshold is the best of all or none.
const ASKED_WITH: f32 = 0.01;

/// Questions: exact match and F1 as SQuAD 2.0 counts them, "no answer" included.
#[derive(Debug, clap::Args)]
pub(super) struct QuestionsArgs {
    /// A file in the shape of SQuAD 2.0.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Asks each question over its paragraph and nine others of the file.
    #[arg(long)]
    paragraphs: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) async fn run(args: QuestionsArgs, composition: &Composition) -> Result<(), Failure> {
    // Others come from the whole file, also where only some questions are asked.
    let examples = read(&args.data, None, parse)?;
    let texts: Vec<String> = match args.paragraphs {
        true => long::questions(&examples).into_iter().map(|long| long.text).collect(),
        false => examples.iter().map(|example| example.context.clone()).collect(),
    };
    let limit = args.common.limit.unwrap_or(usize::MAX);
    let mut session = Session::open(&args.common, composition, &[]).await?;
    let threshold = session.threshold("questions").await?;
    let questions = examples.iter().zip(texts).take(limit).map(|(example, text)| Question {
        text,
        request: request(TaskKind::Questions {
            questions: vec![example.question.clone()],
            threshold: Some(ASKED_WITH.min(threshold)),
            answers_max: None,
        }),
    });
    let reply = session.ask(questions.collect()).await?;
    let pairs = examples.iter().zip(&reply.results);
    let answers: Vec<_> = pairs.map(|(example, extracted)| answer(example, extracted)).collect();
    let report = Questions::new(&name(&args.data), &answers, f64::from(threshold));
    args.common.finish(&report, &report.table(), &answers)
}

fn answer(example: &Example, extracted: &Extracted) -> Answer {
    let best = extracted.results.answers.first();
    let best = best.and_then(|answer| Some((answer.span.as_ref()?.text.clone(), answer.score)));
    Answer::new(example, best)
}
