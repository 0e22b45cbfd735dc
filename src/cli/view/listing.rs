//! Results for people that do not lie in the text: one a line, with score and position.
//!
//! They come after the text, under headings, or alone as they come. Text and labels are escaped.

use std::fmt::Write as _;
use std::rc::Rc;

use super::super::asked::{Asked, ResultKind};
use super::super::escape::one_line;
use super::super::event::{Answer, Argument, Class, Relation, Results, Span, SummarySpan};
use super::super::paint::Paint;

/// Relations that wait for the end of the text at most.
const RELATIONS_HELD_MAX: usize = 10_000;

/// What was printed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    Kind(ResultKind),
    AnswerTo(usize),
}

/// Writes results one a line.
#[derive(Debug)]
pub(in crate::cli) struct Listing {
    paint: Paint,
    asked: Rc<Asked>,
    has_headings: bool,
    last: Last,
}

impl Listing {
    /// Results alone: headings only where there are several kinds.
    pub(super) fn alone(paint: Paint, asked: Rc<Asked>) -> Self {
        let has_headings = asked.kinds().len() > 1;
        Self { paint, asked, has_headings, last: Last::Nothing }
    }

    /// Results after a text, of which headings set them off.
    pub(super) fn after_text(paint: Paint, asked: Rc<Asked>) -> Self {
        Self { paint, asked, has_headings: true, last: Last::Nothing }
    }

    /// Starts anew.
    pub(super) fn clear(&mut self) {
        self.last = Last::Nothing;
    }

    /// The lines of all results but mentions.
    pub(super) fn show(&mut self, results: &Results) -> String {
        let mut out = String::new();
        for relation in &results.relations {
            self.head(&mut out, ResultKind::Relation, "Relations");
            self.relation(&mut out, relation);
        }
        for answer in &results.answers {
            self.head(&mut out, ResultKind::Answer, "Answers");
            self.answer(&mut out, answer);
        }
        for span in &results.summary {
            self.head(&mut out, ResultKind::Summary, "Summary");
            self.summary(&mut out, span);
        }
        for class in &results.classes {
            self.head(&mut out, ResultKind::Class, "Classes");
            self.class(&mut out, class);
        }
        out
    }

    fn head(&mut self, out: &mut String, kind: ResultKind, heading: &str) {
        let is_same = match self.last {
            Last::Nothing => false,
            Last::Kind(last) => last == kind,
            Last::AnswerTo(_) => kind == ResultKind::Answer,
        };
        if is_same {
            return;
        }
        if self.has_headings {
            let blank = if self.last == Last::Nothing { "" } else { "\n" };
            let strong = self.paint.strong();
            push(out, format_args!("{blank}{strong}{heading}{strong:#}\n"));
        }
        self.last = Last::Kind(kind);
    }

    fn relation(&self, out: &mut String, relation: &Relation) {
        let color = self.paint.label(self.asked.color(&relation.task, relation.relation_index));
        self.argument(out, &relation.head);
        push(out, format_args!(" {color}-{}->{color:#} ", one_line(&relation.relation)));
        self.argument(out, &relation.tail);
        let (faint, score) = (self.paint.faint(), relation.score);
        let places = [&relation.head, &relation.tail].map(|argument| place(&argument.span));
        push(out, format_args!("  {faint}{score:.4}  {} {}{faint:#}\n", places[0], places[1]));
    }

    fn argument(&self, out: &mut String, argument: &Argument) {
        let (strong, faint) = (self.paint.strong(), self.paint.faint());
        let (text, label) = (one_line(&argument.span.text), one_line(&argument.label));
        push(out, format_args!("{strong}{text}{strong:#}{faint}[{label}]{faint:#}"));
    }

    fn answer(&mut self, out: &mut String, answer: &Answer) {
        let (strong, faint) = (self.paint.strong(), self.paint.faint());
        let index = answer.question_index;
        if self.last != Last::AnswerTo(index) {
            self.last = Last::AnswerTo(index);
            let question = one_line(self.asked.question(index));
            push(out, format_args!("{strong}{}. {question}{strong:#}\n", index + 1));
        }
        match &answer.span {
            Some(span) => {
                let style = self.paint.mention(self.asked.color(&answer.task, index));
                let (text, score) = (one_line(&span.text), answer.score);
                push(
                    out,
                    format_args!(
                        "   {style}{text}{style:#}  {faint}{score:.4}  {}{faint:#}\n",
                        place(span)
                    ),
                );
            }
            None => push(out, format_args!("   {faint}no answer{faint:#}\n")),
        }
    }

    fn summary(&self, out: &mut String, summary: &SummarySpan) {
        let (faint, SummarySpan { score, span, .. }) = (self.paint.faint(), summary);
        let (text, place) = (one_line(&span.text), place(span));
        push(out, format_args!("{text}  {faint}{score:.4}  {place}{faint:#}\n"));
    }

    fn class(&self, out: &mut String, class: &Class) {
        let style = self.paint.mention(self.asked.color(&class.task, class.label_index));
        let (faint, label, score) = (self.paint.faint(), one_line(&class.label), class.score);
        push(out, format_args!("{style}{label}{style:#}  {faint}{score:.4}{faint:#}\n"));
    }
}

/// Results that wait for the end of the text.
#[derive(Debug, Default)]
pub(super) struct Held {
    results: Results,
    /// Relations that are not held, because there are too many.
    dropped: u64,
}

impl Held {
    /// Keeps what does not lie in the text: all but mentions, and with `summary` also its spans.
    pub(super) fn add(&mut self, results: &Results, summary: bool) {
        let room = RELATIONS_HELD_MAX.saturating_sub(self.results.relations.len());
        self.results.relations.extend(results.relations.iter().take(room).cloned());
        self.dropped += results.relations.len().saturating_sub(room) as u64;
        // The server bounds all of these.
        self.results.answers.extend(results.answers.iter().cloned());
        self.results.summary.extend(results.summary.iter().filter(|_| summary).cloned());
        self.results.classes.extend(results.classes.iter().cloned());
    }

    /// Everything that was held, once.
    pub(super) fn take(&mut self, listing: &mut Listing) -> String {
        let Self { mut results, dropped } = std::mem::take(self);
        let relations = std::mem::take(&mut results.relations);
        let mut out = listing.show(&Results { relations, ..Results::default() });
        if dropped > 0 {
            push(
                &mut out,
                format_args!("and {dropped} more relations; --format jsonl prints all of them\n"),
            );
        }
        out.push_str(&listing.show(&results));
        out
    }
}

fn place(span: &Span) -> String {
    let [start, end] = span.bytes;
    format!("{start}-{end}")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::super::super::asked::tests::asked;
    use super::super::tests::{answer, class, no_answer, relation, summary};
    use super::*;

    fn results() -> Results {
        Results {
            relations: vec![relation()],
            answers: vec![answer(0), no_answer(1)],
            classes: vec![class("fic\x1btion")],
            ..Results::default()
        }
    }

    const ALL: [&str; 3] = ["relations", "questions", "classify"];

    #[test]
    fn kinds_stand_under_headings_and_answers_under_their_questions() {
        let mut listing = Listing::alone(Paint::Plain, Rc::new(asked(&ALL)));
        let expected = "\
Relations
An\\nn[per\\x1bson] -knows-> Bo\\tb[person]  0.5000  5-9 20-23

Answers
1. Who?
   Ge\\nneva  0.7500  30-37
2. Wh\\x1bere?
   no answer

Classes
fic\\x1btion  0.2500
";
        assert_eq!(listing.show(&results()), expected);
        assert!(listing.show(&results()).starts_with("\nRelations\n"));
    }

    #[test]
    fn one_kind_alone_needs_no_heading() {
        let check = |task: &str, results: Results, expected: &str| {
            let mut listing = Listing::alone(Paint::Plain, Rc::new(asked(&[task])));
            assert_eq!(listing.show(&results), expected);
        };
        let classes = vec![class("fact"), class("fiction")];
        check(
            "classify",
            Results { classes, ..Results::default() },
            "fact  0.2500\nfiction  0.2500\n",
        );
        let spans = vec![summary([0, 9], "It\nwas")];
        check("short", Results { summary: spans, ..Results::default() }, "It\\nwas  0.5000  0-9\n");
        let answers = vec![answer(1), answer(1)];
        check(
            "questions",
            Results { answers, ..Results::default() },
            "2. Wh\\x1bere?\n   Ge\\nneva  0.7500  30-37\n   Ge\\nneva  0.7500  30-37\n",
        );
    }

    #[test]
    fn colours_follow_the_request() {
        let mut listing = Listing::alone(Paint::Color, Rc::new(asked(&["classify"])));
        let shown = listing.show(&Results { classes: vec![class("fact")], ..Results::default() });
        assert_eq!(shown, "\x1b[1m\x1b[36mfact\x1b[0m  \x1b[2m0.2500\x1b[0m\n");
    }

    #[test]
    fn relations_past_the_bound_are_counted() {
        let mut held = Held::default();
        for _ in 0..=RELATIONS_HELD_MAX {
            held.add(&results(), true);
        }
        held.add(&results(), true);
        let mut listing = Listing::after_text(Paint::Plain, Rc::new(asked(&ALL)));
        let shown = held.take(&mut listing);
        assert_eq!(shown.matches("-knows->").count(), RELATIONS_HELD_MAX);
        let note = "\nand 2 more relations; --format jsonl prints all of them\n\nAnswers\n";
        assert!(shown.contains(note));
        assert_eq!(held.take(&mut listing), "", "everything is told once");
    }
}
