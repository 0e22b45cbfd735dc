//! Lines for a pipe: columns separated by tabs, offsets in bytes, everything from outside escaped.

use super::super::asked::Asked;
use super::super::escape::{self, one_line};
use super::super::event::{Answer, Class, Mention, Relation, Results, Span, SummarySpan};
use super::super::paint::Paint;

/// One line for each result.
pub(super) fn lines(paint: Paint, asked: &Asked, results: &Results) -> String {
    let mentions = results.mentions.iter().map(|found| mention(paint, asked, found));
    let relations = results.relations.iter().map(|found| relation(paint, asked, found));
    let answers = results.answers.iter().map(|found| answer(paint, asked, found));
    let summary = results.summary.iter().map(|found| summary(paint, found));
    let classes = results.classes.iter().map(|found| class(paint, asked, found));
    mentions.chain(relations).chain(answers).chain(summary).chain(classes).collect()
}

fn mention(paint: Paint, asked: &Asked, mention: &Mention) -> String {
    let label = one_line(asked.name(mention));
    let style = paint.label(asked.color(&mention.task, mention.label_index));
    line(&mention.span, &format!("{style}{label}{style:#}"), mention.score)
}

fn summary(paint: Paint, SummarySpan { score, span, .. }: &SummarySpan) -> String {
    let style = paint.strong();
    line(span, &format!("{style}summary{style:#}"), *score)
}

fn answer(paint: Paint, asked: &Asked, answer: &Answer) -> String {
    let Answer { task, question_index, score, span, .. } = answer;
    let style = paint.label(asked.color(task, *question_index));
    let label = format!("{style}answer:{}{style:#}", question_index + 1);
    match span {
        Some(span) => line(span, &label, *score),
        None => format!("-\t-\t{label}\t{score:.4}\t\n"),
    }
}

fn class(paint: Paint, asked: &Asked, class: &Class) -> String {
    let style = paint.label(asked.color(&class.task, class.label_index));
    line(&class.span, &format!("{style}class:{}{style:#}", one_line(&class.label)), class.score)
}

/// The texts stand between other columns, so that also their tabs are shown.
fn relation(paint: Paint, asked: &Asked, found: &Relation) -> String {
    let Relation { task, relation, relation_index, score, head, tail, .. } = found;
    let style = paint.label(asked.color(task, *relation_index));
    let ([head_start, head_end], [tail_start, tail_end]) = (head.span.bytes, tail.span.bytes);
    format!(
        "{head_start}\t{head_end}\t{style}relation:{}{style:#}\t{score:.4}\t{}\t\
         {tail_start}\t{tail_end}\t{}\t{}\t{}\n",
        one_line(relation),
        one_line(&head.span.text),
        one_line(&tail.span.text),
        one_line(&head.label),
        one_line(&tail.label),
    )
}

fn line(span: &Span, label: &str, score: f32) -> String {
    let [start, end] = span.bytes;
    let mut out = format!("{start}\t{end}\t{label}\t{score:.4}\t");
    escape::push_escaped(&mut out, &span.text, escape::Newlines::Show);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::asked::tests::asked;
    use super::super::tests::{answer, class, mention, no_answer, relation, summary};
    use super::*;

    fn check(paint: Paint, results: &Results, expected: &str) {
        let tasks = ["entities", "open-2", "questions", "summary", "relations", "classify"];
        assert_eq!(lines(paint, &asked(&tasks), results), expected);
    }

    #[test]
    fn a_mention_has_five_columns_and_shows_line_breaks() {
        let mentions = vec![mention("entities", "An\nn\x1b"), mention("open-2", "Ann")];
        check(
            Paint::Plain,
            &Results { mentions, ..Results::default() },
            "5\t9\tperson\t0.9876\tAn\\nn\\x1b\n5\t9\topen-2\t0.9876\tAnn\n",
        );
    }

    #[test]
    fn every_other_kind_has_its_columns() {
        let results = Results {
            mentions: Vec::new(),
            relations: vec![relation()],
            answers: vec![answer(0), no_answer(1)],
            summary: vec![summary([0, 9], "It\nwas")],
            classes: vec![class("fic\x1btion")],
        };
        check(
            Paint::Plain,
            &results,
            "5\t9\trelation:knows\t0.5000\tAn\\nn\t20\t23\tBo\\tb\tper\\x1bson\tperson\n\
             30\t37\tanswer:1\t0.7500\tGe\\nneva\n\
             -\t-\tanswer:2\t0.0000\t\n\
             0\t9\tsummary\t0.5000\tIt\\nwas\n\
             0\t99\tclass:fic\\x1btion\t0.2500\t\n",
        );
    }

    #[test]
    fn a_line_in_colour_colours_the_label() {
        let mentions = vec![mention("entities", "Ann")];
        check(
            Paint::Color,
            &Results { mentions, ..Results::default() },
            "5\t9\t\x1b[36mperson\x1b[0m\t0.9876\tAnn\n",
        );
        check(
            Paint::Color,
            &Results { summary: vec![summary([0, 9], "It was")], ..Results::default() },
            "0\t9\t\x1b[1msummary\x1b[0m\t0.5000\tIt was\n",
        );
    }
}
