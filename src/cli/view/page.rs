//! The terminal view: the text itself as it settles, spans in colour with their `[label]`.
//!
//! Text before the watermark is final. A span is printed with the text around it, so text that a later
//! part of a span still belongs to waits with it. Nested spans nest: the innermost gives the colour, labels
//! follow where their span ends, and what belongs to the summary is underlined as well. Spans of different
//! tasks may cross. Without colour a span stands in `{…}[label]`.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::rc::Rc;

use anstyle::Style;

use super::super::escape::{self, Newlines};
use super::super::held::HeldText;
use super::super::paint::Paint;

/// A span to mark in the text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Half-open range in bytes.
    pub(super) bytes: [u64; 2],
    /// What stands behind it.
    pub(super) label: String,
    /// Its colour; `None` for the summary.
    pub(super) color: Option<usize>,
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mark")
            .field("bytes", &self.bytes)
            .field("color", &self.color)
            .finish_non_exhaustive()
    }
}

impl Mark {
    fn style(&self, paint: Paint) -> Style {
        self.color.map_or_else(|| paint.summary(), |color| paint.mention(color))
    }

    fn label_style(&self, paint: Paint) -> Style {
        self.color.map_or_else(|| paint.strong(), |color| paint.label(color))
    }
}

/// One document on a terminal.
#[derive(Debug)]
pub(super) struct Page {
    paint: Paint,
    text: Rc<HeldText>,
    /// Marks that are not printed yet, by start.
    waiting: Vec<Mark>,
    at_line_start: bool,
    is_blank: bool,
}

impl Page {
    /// A page that prints what the reading half puts into `text`.
    pub(super) fn new(paint: Paint, text: Rc<HeldText>) -> Self {
        Self { paint, text, waiting: Vec::new(), at_line_start: true, is_blank: true }
    }

    /// Takes marks in; they are printed when the text is.
    pub(super) fn add(&mut self, marks: Vec<Mark>) {
        self.waiting.extend(marks);
        // Each task's come by start, those of several do not.
        self.waiting.sort_by_key(|mark| mark.bytes[0]);
    }

    /// What can be printed now that everything before `watermark` is final.
    pub(super) fn settle(&mut self, watermark: u64) -> String {
        let limit = self.waiting.iter().rev().fold(watermark, |limit, mark| match mark.bytes {
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

    /// Forgets everything: the document is shown anew from its start.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.waiting.clear();
        self.at_line_start = true;
        self.is_blank = true;
    }

    /// Whether what was printed ends in a line break.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.at_line_start
    }

    /// Whether nothing was printed.
    pub(super) fn is_blank(&self) -> bool {
        self.is_blank
    }

    fn print(&mut self, start: u64, text: &[u8]) -> String {
        if text.is_empty() {
            return String::new();
        }
        let end = start + text.len() as u64;
        let (now, later) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|mark: &Mark| mark.bytes[1] <= end);
        self.waiting = later;
        let mut out = String::with_capacity(text.len() + text.len() / 4);
        Passage { start, text, paint: self.paint }.render(&mut out, now);
        self.at_line_start = out.ends_with('\n');
        self.is_blank = false;
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
    fn render(&self, out: &mut String, mut marks: Vec<Mark>) {
        // Outer spans open first; of equal ones the summary, and then the better stays inside.
        marks.sort_by_key(|mark| (mark.bytes[0], Reverse(mark.bytes[1]), mark.color.is_some()));
        let mut open: Vec<Mark> = Vec::new();
        let mut at = self.start;
        for mark in marks {
            self.close_before(out, &mut open, &mut at, mark.bytes[0]);
            self.write(out, at, mark.bytes[0], self.style(&open));
            at = at.max(mark.bytes[0]);
            if self.paint == Paint::Plain {
                out.push('{');
            }
            open.push(mark);
        }
        let end = self.start + self.text.len() as u64;
        self.close_before(out, &mut open, &mut at, end);
        self.write(out, at, end, None);
    }

    /// Writes text up to the end of each open span that ends at or before `limit`, earliest end first.
    fn close_before(&self, out: &mut String, open: &mut Vec<Mark>, at: &mut u64, limit: u64) {
        while let Some((index, end)) = earliest_end(open).filter(|(_, end)| *end <= limit) {
            self.write(out, *at, end, self.style(open));
            *at = (*at).max(end);
            let mark = open.remove(index);
            let style = mark.label_style(self.paint);
            let brace = if self.paint == Paint::Plain { "}" } else { "" };
            push(out, format_args!("{brace}{style}[{}]{style:#}", escape::one_line(&mark.label)));
        }
    }

    /// The style of text inside of these spans; `None` outside of all.
    fn style(&self, open: &[Mark]) -> Option<Style> {
        let style = open.last()?.style(self.paint);
        let is_summary = open.iter().any(|mark| mark.color.is_none());
        Some(if is_summary { self.paint.underlined(style) } else { style })
    }

    /// Writes the text from `from` to `to` in the style of the spans around it.
    fn write(&self, out: &mut String, from: u64, to: u64, within: Option<Style>) {
        let index =
            |offset: u64| usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let Some(bytes) = self.text.get(index(from)..index(to)).filter(|bytes| !bytes.is_empty())
        else {
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let Some(style) = within else {
            escape::push_escaped(out, &text, Newlines::Keep);
            return;
        };
        let mut shown = String::with_capacity(text.len());
        escape::push_escaped(&mut shown, &text, Newlines::Keep);
        for (number, line) in shown.split('\n').enumerate() {
            if number > 0 {
                // The mark says that the span goes on; the line break keeps the shape of the text.
                push(out, format_args!("{style}\\n{style:#}\n"));
            }
            if !line.is_empty() {
                push(out, format_args!("{style}{line}{style:#}"));
            }
        }
    }
}

/// The open span that ends first, the innermost of several.
fn earliest_end(open: &[Mark]) -> Option<(usize, u64)> {
    open.iter()
        .enumerate()
        .map(|(index, mark)| (index, mark.bytes[1]))
        .min_by_key(|(index, end)| (*end, Reverse(*index)))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [&str; 3] = ["person", "place", "group"];

    fn mention(bytes: [u64; 2], label_index: usize) -> Mark {
        Mark { bytes, label: LABELS[label_index].to_owned(), color: Some(label_index) }
    }

    fn summary(bytes: [u64; 2]) -> Mark {
        Mark { bytes, label: "summary".to_owned(), color: None }
    }

    async fn page(paint: Paint, text: &str) -> Page {
        let held = Rc::new(HeldText::default());
        held.push(text.as_bytes()).await;
        Page::new(paint, held)
    }

    async fn check(text: &str, mentions: &[([u64; 2], usize)], expected: &str) {
        let mut page = page(Paint::Plain, text).await;
        page.add(mentions.iter().map(|(range, label)| mention(*range, *label)).collect());
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
    async fn the_summary_nests_and_crosses_like_any_span() {
        let check = async |marks: Vec<Mark>, expected: &str| {
            let mut page = page(Paint::Plain, "abcdef").await;
            page.add(marks);
            assert_eq!(page.finish(), format!("{expected}\n"));
        };
        check(vec![mention([2, 6], 0), summary([0, 4])], "{ab{cd}[summary]ef}[person]").await;
        check(vec![mention([0, 4], 0), summary([2, 6])], "{ab{cd}[person]ef}[summary]").await;
        check(vec![mention([0, 6], 0), summary([0, 6])], "{{abcdef}[person]}[summary]").await;
    }

    #[tokio::test]
    async fn a_mention_in_the_summary_is_coloured_and_underlined() {
        let mut page = page(Paint::Color, "abc d").await;
        page.add(vec![summary([0, 3]), mention([1, 2], 0)]);
        let (strong, reset) = ("\x1b[1m", "\x1b[0m");
        let (outer, inner, label) = ("\x1b[1m\x1b[4m", "\x1b[1m\x1b[4m\x1b[36m", "\x1b[36m");
        assert_eq!(
            page.finish(),
            format!(
                "{outer}a{reset}{inner}b{reset}{label}[person]{reset}{outer}c{reset}\
                 {strong}[summary]{reset} d\n"
            )
        );
    }

    #[tokio::test]
    async fn marks_of_several_tasks_wait_for_each_other() {
        let mut page = page(Paint::Plain, "one Ann Lee two").await;
        page.add(vec![mention([8, 11], 0)]);
        page.add(vec![summary([4, 9])]);
        assert_eq!(page.settle(10), "one ", "both cross, one through the other");
        assert_eq!(page.settle(11), "{Ann {L}[summary]ee}[person]");
    }

    #[tokio::test]
    async fn prints_only_what_is_final_and_never_half_a_mention() {
        let mut page = page(Paint::Plain, "one Ann Lee two").await;
        assert_eq!(page.settle(2), "on");
        page.add(vec![mention([4, 11], 0)]);
        assert_eq!(page.settle(6), "e ", "the mention crosses the watermark");
        assert_eq!(page.settle(11), "{Ann Lee}[person]");
        assert_eq!(page.settle(11), "");
        assert_eq!(page.finish(), " two\n");
    }

    #[tokio::test]
    async fn colours_are_closed_before_each_line_break() {
        let mut page = page(Paint::Color, "Ann\r\nLee\n").await;
        page.add(vec![mention([0, 8], 0)]);
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
        page.add(vec![mention([2, 10], 0)]);
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
