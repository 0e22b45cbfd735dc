//! How results are written: a page for a terminal, lines for a pipe, JSON lines for programs.

mod json;
mod lines;
mod listing;
mod page;

use std::rc::Rc;

use super::asked::Asked;
use super::event::{Event, Results};
use super::held::HeldText;
use super::paint::Paint;
use super::place::Place;
use listing::{Held, Listing};
use page::{Mark, Page};

/// One way to show a document's results.
#[derive(Debug)]
pub(super) enum View {
    /// The text with what lies in it, and everything else behind it.
    Page(Box<TextView>),
    /// Results that do not lie in the text, for people, as they come.
    List(Listing),
    /// One result a line, its columns separated by tabs.
    Lines(Paint, Rc<Asked>),
    /// One JSON object a line; the last one is `done`.
    Json {
        /// Name of the document in each line.
        document: String,
        /// What was asked for.
        asked: Rc<Asked>,
    },
}

/// A page, and what will stand behind it.
#[derive(Debug)]
pub(super) struct TextView {
    page: Page,
    held: Held,
    listing: Listing,
    asked: Rc<Asked>,
}

impl View {
    /// For a terminal; `text` is where the document waits to be printed, if it is.
    pub(super) fn for_people(paint: Paint, asked: Asked) -> (Self, Option<Rc<HeldText>>) {
        let asked = Rc::new(asked);
        if asked.tasks_in_text() == 0 {
            return (Self::List(Listing::alone(paint, asked)), None);
        }
        let text = Rc::new(HeldText::default());
        let view = TextView {
            page: Page::new(paint, Rc::clone(&text)),
            held: Held::default(),
            listing: Listing::after_text(paint, Rc::clone(&asked)),
            asked,
        };
        (Self::Page(Box::new(view)), Some(text))
    }

    /// What to write for an event; possibly nothing.
    pub(super) fn show(&mut self, event: &Event) -> String {
        match self {
            Self::Page(view) => match event {
                Event::Results(results) => view.add(results),
                Event::Progress { watermark } => view.page.settle(*watermark),
                Event::Done(_) => {
                    let text = view.page.finish();
                    text + &view.rest()
                }
                _ => String::new(),
            },
            Self::List(listing) => match event {
                Event::Results(results) => listing.show(results),
                _ => String::new(),
            },
            Self::Lines(paint, asked) => match event {
                Event::Results(results) => lines::lines(*paint, asked, results),
                _ => String::new(),
            },
            Self::Json { document, asked } => match event {
                Event::Results(results) => json::results(document, asked, results),
                Event::Interim { task, results } => json::interim(document, asked, task, results),
                Event::Warning(warning) => json::warning(document, warning),
                Event::Done(done) => json::done(document, done),
                _ => String::new(),
            },
        }
    }

    /// What to write before an error message that ends the document early: what was found until then.
    pub(super) fn break_off(&mut self) -> String {
        match self {
            Self::Page(view) => {
                let line_break = if view.page.is_at_line_start() { "" } else { "\n" };
                line_break.to_owned() + &view.rest()
            }
            Self::List(_) | Self::Lines(..) | Self::Json { .. } => String::new(),
        }
    }

    /// What to write when everything written so far is void: the document is shown anew.
    pub(super) fn discard(&mut self) -> String {
        match self {
            Self::Page(view) => {
                let line_break = if view.page.is_at_line_start() { "" } else { "\n" };
                view.page.clear();
                view.held = Held::default();
                view.listing.clear();
                line_break.to_owned()
            }
            Self::List(listing) => {
                listing.clear();
                String::new()
            }
            Self::Lines(..) => String::new(),
            Self::Json { document, .. } => json::discard(document),
        }
    }

    /// What to write before a further part of the input, which was read as a document of its own.
    pub(super) fn part(&self, number: u32, start: Place, fingerprint: &str) -> String {
        match self {
            Self::Json { document, .. } => json::part(document, number, start, fingerprint),
            Self::Page(_) | Self::List(_) | Self::Lines(..) => String::new(),
        }
    }

    /// Whether some of the document itself was shown.
    pub(super) fn has_shown_text(&self) -> bool {
        matches!(self, Self::Page(view) if !view.page.is_blank())
    }

    /// Whether warnings are part of the output, so that stderr need not repeat them.
    pub(super) fn shows_warnings(&self) -> bool {
        matches!(self, Self::Json { .. })
    }
}

impl TextView {
    /// Takes results in, and gives what can be printed with them.
    fn add(&mut self, results: &Results) -> String {
        let mentions = results.mentions.iter().map(|mention| Mark {
            bytes: mention.span.bytes,
            label: self.asked.name(mention).to_owned(),
            color: Some(self.asked.color(&mention.task, mention.label_index)),
        });
        let is_marked = self.asked.has_summary_in_text();
        let summary = results.summary.iter().filter(|_| is_marked).map(|summary| Mark {
            bytes: summary.span.bytes,
            label: "summary".to_owned(),
            color: None,
        });
        let marks: Vec<Mark> = mentions.chain(summary).collect();
        let last_start = marks.last().map_or(0, |mark| mark.bytes[0]);
        self.page.add(marks);
        self.held.add(results, !is_marked);
        // Spans of one task come by start, so that nothing more can start before the last one; those of
        // another task may.
        if self.asked.tasks_in_text() == 1 { self.page.settle(last_start) } else { String::new() }
    }

    /// What stands behind the text, once.
    fn rest(&mut self) -> String {
        let list = self.held.take(&mut self.listing);
        if list.is_empty() || self.page.is_blank() { list } else { format!("\n{list}") }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::asked::tests::asked;
    use super::super::event::{
        Answer, Argument, Class, Done, Mention, Relation, Span, SummarySpan, Warning,
    };
    use super::*;

    fn span(bytes: [u64; 2], text: &str) -> Span {
        let chars = bytes.map(|at| at - 1);
        Span { bytes, chars, utf16: Some(chars), text: text.to_owned() }
    }

    pub(super) fn mention(task: &str, text: &str) -> Mention {
        Mention {
            task: task.to_owned(),
            ordinal: 3,
            label: "person".to_owned(),
            label_index: 0,
            score: 0.98765,
            span: span([5, 9], text),
        }
    }

    pub(super) fn relation() -> Relation {
        let argument = |label: &str, bytes, text: &str| Argument {
            label: label.to_owned(),
            label_index: 0,
            score: 0.75,
            span: span(bytes, text),
        };
        Relation {
            task: "relations".to_owned(),
            ordinal: 7,
            relation: "knows".to_owned(),
            relation_index: 0,
            score: 0.5,
            head: argument("per\x1bson", [5, 9], "An\nn"),
            tail: argument("person", [20, 23], "Bo\tb"),
        }
    }

    pub(super) fn answer(question_index: usize) -> Answer {
        Answer { score: 0.75, span: Some(span([30, 37], "Ge\nneva")), ..no_answer(question_index) }
    }

    pub(super) fn no_answer(question_index: usize) -> Answer {
        Answer {
            task: "questions".to_owned(),
            ordinal: question_index as u64,
            question_index,
            rank: 0,
            score: 0.0,
            span: None,
        }
    }

    pub(super) fn summary(bytes: [u64; 2], text: &str) -> SummarySpan {
        SummarySpan {
            task: "summary".to_owned(),
            ordinal: 0,
            score: 0.5,
            span: Span { bytes, chars: bytes, utf16: None, text: text.to_owned() },
        }
    }

    pub(super) fn class(label: &str) -> Class {
        Class {
            task: "classify".to_owned(),
            ordinal: 0,
            label: label.to_owned(),
            label_index: 0,
            score: 0.25,
            span: Span { bytes: [0, 99], chars: [0, 98], ..Span::default() },
        }
    }

    fn mentioned(bytes: [u64; 2]) -> Results {
        let mention = Mention { span: span(bytes, ""), ..mention("entities", "") };
        Results { mentions: vec![mention], ..Results::default() }
    }

    async fn page(tasks: &[&str], text: &str) -> View {
        let (view, held) = View::for_people(Paint::Plain, asked(tasks));
        held.expect("the text is printed").push(text.as_bytes()).await;
        view
    }

    #[tokio::test]
    async fn spans_of_one_task_are_printed_as_they_come_and_those_of_several_with_the_watermark() {
        let mut one = page(&["entities"], "one Ann two").await;
        assert_eq!(one.show(&Event::Results(mentioned([4, 7]))), "one ");
        assert_eq!(one.show(&Event::Progress { watermark: 8 }), "{Ann}[person] ");
        let mut two = page(&["entities", "summary"], "one Ann two").await;
        assert_eq!(two.show(&Event::Results(mentioned([4, 7]))), "");
        let spans = vec![summary([0, 7], "one Ann")];
        assert_eq!(two.show(&Event::Results(Results { summary: spans, ..Results::default() })), "");
        assert_eq!(
            two.show(&Event::Progress { watermark: 8 }),
            "{one {Ann}[person]}[summary] ",
            "the summary came later and starts before"
        );
        assert_eq!(two.show(&Event::Done(Done::default())), "two\n");
    }

    #[tokio::test]
    async fn what_does_not_lie_in_the_text_comes_behind_it_also_after_an_error() {
        let results = Results {
            relations: vec![relation()],
            summary: vec![summary([0, 3], "one")],
            ..mentioned([4, 7])
        };
        let rest = "\nRelations\nAn\\nn[per\\x1bson] -knows-> Bo\\tb[person]  0.5000  5-9 20-23\n\
                    \nSummary\none  0.5000  0-3\n";
        let tasks = ["entities", "short", "relations"];
        let mut view = page(&tasks, "one Ann two").await;
        assert_eq!(view.show(&Event::Results(results.clone())), "one ");
        let end = view.show(&Event::Done(Done::default()));
        assert_eq!(end, format!("{{Ann}}[person] two\n{rest}"));
        let mut broken = page(&tasks, "one Ann two").await;
        broken.show(&Event::Results(results));
        assert_eq!(broken.break_off(), format!("\n{rest}"));
        assert_eq!(broken.break_off(), "\n", "once");
    }

    #[tokio::test]
    async fn a_page_that_is_void_starts_again() {
        let (mut view, held) = View::for_people(Paint::Plain, asked(&["entities", "relations"]));
        let held = held.expect("the text is printed");
        held.push_at(0, b"one Ann two").await;
        assert!(!view.has_shown_text());
        let results = Results { relations: vec![relation()], ..mentioned([4, 7]) };
        assert_eq!(view.show(&Event::Results(results)), "one ");
        assert!(view.has_shown_text());
        assert_eq!((view.discard().as_str(), view.has_shown_text()), ("\n", false));
        held.push_at(0, b"one Ann two").await;
        assert_eq!(view.show(&Event::Done(Done::default())), "one Ann two\n");
    }

    #[test]
    fn without_a_task_in_the_text_the_text_is_not_held() {
        let (mut view, held) = View::for_people(Paint::Plain, asked(&["classify"]));
        assert!(held.is_none());
        let classes = Results { classes: vec![class("fact")], ..Results::default() };
        assert_eq!(view.show(&Event::Results(classes)), "fact  0.2500\n");
        assert_eq!(view.show(&Event::Done(Done::default())), "");
        assert_eq!(view.break_off(), "");
    }

    #[test]
    fn only_json_lines_show_interims_and_warnings() {
        let told = Warning { reason: "R".to_owned(), message: "m".to_owned() };
        let interim = Event::Interim { task: "classify".to_owned(), results: Results::default() };
        let warning = Event::Warning(told);
        let asked = || Rc::new(asked(&["classify"]));
        let mut lines = View::Lines(Paint::Plain, asked());
        assert_eq!((lines.show(&interim), lines.show(&warning)), (String::new(), String::new()));
        assert!(!lines.shows_warnings());
        let mut json = View::Json { document: "a".to_owned(), asked: asked() };
        assert_eq!(
            json.show(&interim),
            "{\"type\":\"interim\",\"document\":\"a\",\"task\":\"classify\",\"results\":[]}\n"
        );
        assert!(json.show(&warning).contains("\"warning\"") && json.shows_warnings());
    }
}
