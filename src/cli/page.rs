//! The terminal view: the text itself as it settles, mentions in colour with their `[label]`.
//!
//! Text before the watermark is final. A mention is printed with the text around it, so text that a later
//! part of a mention still belongs to waits with it. Nested mentions nest: the innermost gives the colour,
//! labels follow where their mention ends. Without colour a mention stands in `{…}[label]`.

use std::fmt::Write as _;
use std::rc::Rc;

use anstyle::{AnsiColor, Style};

use super::escape::{self, Newlines};
use super::event::Mention;
use super::held::HeldText;

/// Colours by label, in the order of the request.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// Whether escapes of colour are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Yes.
    Color,
    /// Not one.
    Plain,
}

impl Paint {
    /// The style of a label's mentions.
    pub(super) fn mention(self, label_index: usize) -> Style {
        match self {
            Self::Color => self.label(label_index).bold(),
            Self::Plain => Style::new(),
        }
    }

    /// The style of the label itself.
    pub(super) fn label(self, label_index: usize) -> Style {
        match (self, COLORS.get(label_index % COLORS.len())) {
            (Self::Color, Some(color)) => Style::new().fg_color(Some((*color).into())),
            _ => Style::new(),
        }
    }
}

/// One document on a terminal.
#[derive(Debug)]
pub(super) struct Page {
    paint: Paint,
    text: Rc<HeldText>,
    /// Mentions that are not printed yet, by start.
    waiting: Vec<Mention>,
    at_line_start: bool,
}

impl Page {
    /// A page that prints what the reading half puts into `text`.
    pub(super) fn new(paint: Paint, text: Rc<HeldText>) -> Self {
        Self { paint, text, waiting: Vec::new(), at_line_start: true }
    }

    /// Takes mentions in; they are printed when the text is.
    pub(super) fn add(&mut self, mentions: &[Mention]) {
        self.waiting.extend(mentions.iter().cloned());
    }

    /// What can be printed now that everything before `watermark` is final.
    pub(super) fn settle(&mut self, watermark: u64) -> String {
        let limit =
            self.waiting.iter().rev().fold(watermark, |limit, mention| match mention.bytes {
                [start, end] if start < limit && end > limit => start,
                _ => limit,
            });
        let (start, text) = self.text.take_before(limit);
        self.print(start, &text)
    }

    /// The rest, after the last result.
    pub(super) fn finish(&mut self) -> String {
        let (start, text) = self.text.take_rest();
        let mut out = self.print(start, &text);
        if !self.at_line_start {
            out.push('\n');
        }
        out
    }

    /// Whether what was printed ends in a line break.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.at_line_start
    }

    fn print(&mut self, start: u64, text: &[u8]) -> String {
        if text.is_empty() {
            return String::new();
        }
        let end = start + text.len() as u64;
        let (now, later) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|mention| mention.bytes[1] <= end);
        self.waiting = later;
        let mut out = String::with_capacity(text.len() + text.len() / 4);
        Passage { start, text, paint: self.paint }.render(&mut out, now);
        self.at_line_start = out.ends_with('\n');
        out
    }
}

/// A piece of the document that is printed at once.
struct Passage<'a> {
    start: u64,
    text: &'a [u8],
    paint: Paint,
}

impl Passage<'_> {
    fn render(&self, out: &mut String, mut mentions: Vec<Mention>) {
        // Outer mentions open first; of equal ones the better stays inside.
        mentions.sort_by(|a, b| {
            (a.bytes[0], std::cmp::Reverse(a.bytes[1]))
                .cmp(&(b.bytes[0], std::cmp::Reverse(b.bytes[1])))
        });
        let mut open: Vec<Mention> = Vec::new();
        let mut at = self.start;
        for mention in mentions {
            self.close_before(out, &mut open, &mut at, mention.bytes[0]);
            self.write(out, at, mention.bytes[0], open.last());
            at = at.max(mention.bytes[0]);
            if self.paint == Paint::Plain {
                out.push('{');
            }
            open.push(mention);
        }
        let end = self.start + self.text.len() as u64;
        self.close_before(out, &mut open, &mut at, end);
        self.write(out, at, end, None);
    }

    /// Writes text up to the end of each open mention that ends at or before `limit`, earliest end first.
    fn close_before(&self, out: &mut String, open: &mut Vec<Mention>, at: &mut u64, limit: u64) {
        while let Some((index, end)) = earliest_end(open).filter(|(_, end)| *end <= limit) {
            self.write(out, *at, end, open.last());
            *at = (*at).max(end);
            let mention = open.remove(index);
            let style = self.paint.label(mention.label_index);
            let brace = if self.paint == Paint::Plain { "}" } else { "" };
            push(
                out,
                format_args!("{brace}{style}[{}]{style:#}", escape::one_line(&mention.label)),
            );
        }
    }

    /// Writes the text from `from` to `to` as part of `within`.
    fn write(&self, out: &mut String, from: u64, to: u64, within: Option<&Mention>) {
        let index =
            |offset: u64| usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let Some(bytes) = self.text.get(index(from)..index(to)).filter(|bytes| !bytes.is_empty())
        else {
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let Some(mention) = within else {
            escape::push_escaped(out, &text, Newlines::Keep);
            return;
        };
        let style = self.paint.mention(mention.label_index);
        let mut shown = String::with_capacity(text.len());
        escape::push_escaped(&mut shown, &text, Newlines::Keep);
        for (number, line) in shown.split('\n').enumerate() {
            if number > 0 {
                // The mark says that the mention goes on; the line break keeps the shape of the text.
                push(out, format_args!("{style}\\n{style:#}\n"));
            }
            if !line.is_empty() {
                push(out, format_args!("{style}{line}{style:#}"));
            }
        }
    }
}

/// The open mention that ends first, the innermost of several.
fn earliest_end(open: &[Mention]) -> Option<(usize, u64)> {
    open.iter()
        .enumerate()
        .map(|(index, mention)| (index, mention.bytes[1]))
        .min_by_key(|(index, end)| (*end, std::cmp::Reverse(*index)))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 3] = ["person", "place", "group"];

    fn mention(range: [u64; 2], label_index: usize) -> Mention {
        Mention {
            task: "entities".to_owned(),
            ordinal: 0,
            label: LABELS[label_index].to_owned(),
            label_index,
            score: 0.9,
            bytes: range,
            chars: range,
            utf16: None,
            text: String::new(),
        }
    }

    async fn page(paint: Paint, text: &str) -> Page {
        let held = Rc::new(HeldText::default());
        held.push(text.as_bytes()).await;
        Page::new(paint, held)
    }

    async fn check(text: &str, mentions: &[([u64; 2], usize)], expected: &str) {
        let mut page = page(Paint::Plain, text).await;
        page.add(
            &mentions.iter().map(|(range, label)| mention(*range, *label)).collect::<Vec<_>>(),
        );
        assert_eq!(page.finish(), format!("{expected}\n"));
    }

    #[tokio::test]
    async fn marks_mentions_with_their_labels() {
        check("Ann met Bob", &[([0, 3], 0), ([8, 11], 0)], "{Ann}[person] met {Bob}[person]").await;
        check("AnnBob", &[([0, 3], 0), ([3, 6], 1)], "{Ann}[person]{Bob}[place]").await;
    }

    #[tokio::test]
    async fn nested_mentions_nest_and_several_labels_of_one_span_follow_each_other() {
        check("Bank of Rome", &[([0, 12], 2), ([8, 12], 1)], "{Bank of {Rome}[place]}[group]")
            .await;
        check("Rome", &[([0, 4], 1), ([0, 4], 2)], "{{Rome}[group]}[place]").await;
    }

    #[tokio::test]
    async fn crossing_mentions_lose_no_text() {
        check("abcdef", &[([0, 4], 0), ([2, 6], 1)], "{ab{cd}[person]ef}[place]").await;
    }

    #[tokio::test]
    async fn prints_only_what_is_final_and_never_half_a_mention() {
        let mut page = page(Paint::Plain, "one Ann Lee two").await;
        assert_eq!(page.settle(2), "on");
        page.add(&[mention([4, 11], 0)]);
        assert_eq!(page.settle(6), "e ", "the mention crosses the watermark");
        assert_eq!(page.settle(11), "{Ann Lee}[person]");
        assert_eq!(page.settle(11), "");
        assert_eq!(page.finish(), " two\n");
    }

    #[tokio::test]
    async fn colours_are_closed_before_each_line_break() {
        let mut page = page(Paint::Color, "Ann\r\nLee\n").await;
        page.add(&[mention([0, 8], 0)]);
        let (bold, plain, reset) = ("\x1b[1m\x1b[36m", "\x1b[36m", "\x1b[0m");
        assert_eq!(
            page.finish(),
            format!("{bold}Ann{reset}{bold}\\n{reset}\n{bold}Lee{reset}{plain}[person]{reset}\n")
        );
    }

    #[tokio::test]
    async fn a_document_of_escape_sequences_does_nothing_to_the_terminal() {
        let text = "\x1b]0;owned\x07\x1b[2J\u{9b}5m\u{202e}evil";
        let mut page = page(Paint::Plain, text).await;
        page.add(&[mention([2, 10], 0)]);
        let out = page.finish();
        assert!(out.chars().all(|letter| letter == '\n' || !letter.is_control()), "{out:?}");
        assert!(!out.contains('\u{202e}'), "{out:?}");
    }

    #[tokio::test]
    async fn invalid_bytes_are_shown_as_the_server_read_them() {
        let held = Rc::new(HeldText::default());
        held.push(b"a\xffb").await;
        assert_eq!(Page::new(Paint::Plain, held).finish(), "a\u{fffd}b\n");
    }
}
