//! How results are written: a page for a terminal, lines for a pipe, JSON lines for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::escape;
use super::event::{Done, Event, Mention};
use super::page::{Page, Paint};

/// One way to show a document's results.
#[derive(Debug)]
pub(super) enum View {
    /// The text with its mentions.
    Page(Page),
    /// One mention a line: `start⇥end⇥label⇥score⇥text`, offsets in bytes.
    Lines(Paint),
    /// One JSON object a line, in the order of [`MentionLine`]; the last one is `done`.
    Json {
        /// Name of the document in each line.
        document: String,
    },
}

impl View {
    /// What to write for an event; possibly nothing.
    pub(super) fn show(&mut self, event: &Event) -> String {
        match self {
            Self::Page(page) => match event {
                Event::Mentions(mentions) => {
                    page.add(mentions);
                    // Mentions come by start, so that nothing more can start before the last one.
                    page.settle(mentions.last().map_or(0, |mention| mention.bytes[0]))
                }
                Event::Progress { watermark } => page.settle(*watermark),
                Event::Done(_) => page.finish(),
                Event::Ready | Event::Warning { .. } => String::new(),
            },
            Self::Lines(paint) => match event {
                Event::Mentions(mentions) => {
                    mentions.iter().map(|mention| line(*paint, mention)).collect()
                }
                Event::Ready | Event::Progress { .. } | Event::Warning { .. } | Event::Done(_) => {
                    String::new()
                }
            },
            Self::Json { document } => match event {
                Event::Mentions(mentions) => mentions
                    .iter()
                    .map(|mention| json(&MentionLine::new(document, mention)))
                    .collect(),
                Event::Warning { reason, message } => {
                    json(&WarningLine { r#type: "warning", document, reason, message })
                }
                Event::Done(done) => json(&DoneLine::new(document, done)),
                Event::Ready | Event::Progress { .. } => String::new(),
            },
        }
    }

    /// What to write before an error message that ends the document early.
    pub(super) fn break_off(&mut self) -> &'static str {
        match self {
            Self::Page(page) if !page.is_at_line_start() => "\n",
            Self::Page(_) | Self::Lines(_) | Self::Json { .. } => "",
        }
    }

    /// Whether warnings are part of the output, so that stderr need not repeat them.
    pub(super) fn shows_warnings(&self) -> bool {
        matches!(self, Self::Json { .. })
    }
}

fn line(paint: Paint, mention: &Mention) -> String {
    let Mention { bytes: [start, end], score, .. } = mention;
    let label = escape::one_line(&mention.label);
    let style = paint.label(mention.label_index);
    let mut out = format!("{start}\t{end}\t{style}{label}{style:#}\t{score:.4}\t");
    escape::push_escaped(&mut out, &mention.text, escape::Newlines::Show);
    out.push('\n');
    out
}

fn json(line: &impl Serialize) -> String {
    let mut out = String::new();
    let text = serde_json::to_string(line).expect("plain fields and string keys serialise");
    out.write_fmt(format_args!("{text}\n")).expect("writing to a string does not fail");
    out
}

/// Keys and their order are part of the interface.
#[derive(Serialize)]
struct MentionLine<'a> {
    r#type: &'static str,
    document: &'a str,
    task: &'a str,
    ordinal: u64,
    label: &'a str,
    score: f32,
    bytes: [u64; 2],
    chars: [u64; 2],
    utf16: Option<[u64; 2]>,
    text: &'a str,
}

impl<'a> MentionLine<'a> {
    fn new(document: &'a str, mention: &'a Mention) -> Self {
        let Mention { task, ordinal, label, score, bytes, chars, utf16, text, .. } = mention;
        Self {
            r#type: "mention",
            document,
            task,
            ordinal: *ordinal,
            label,
            score: *score,
            bytes: *bytes,
            chars: *chars,
            utf16: *utf16,
            text,
        }
    }
}

#[derive(Serialize)]
struct WarningLine<'a> {
    r#type: &'static str,
    document: &'a str,
    reason: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct DoneLine<'a> {
    r#type: &'static str,
    document: &'a str,
    received_bytes: u64,
    words: u64,
    windows: u64,
    results: u64,
    replaced_invalid: u64,
    limits: BTreeMap<&'a str, u64>,
    total_ms: u64,
    compute_ms: u64,
    fingerprint: &'a str,
}

impl<'a> DoneLine<'a> {
    fn new(document: &'a str, done: &'a Done) -> Self {
        Self {
            r#type: "done",
            document,
            received_bytes: done.received_bytes,
            words: done.words,
            windows: done.windows,
            results: done.results,
            replaced_invalid: done.replaced_invalid,
            limits: done.limits.iter().map(|(name, count)| (name.as_str(), *count)).collect(),
            total_ms: millis(done.total),
            compute_ms: millis(done.compute),
            fingerprint: &done.fingerprint,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mention(text: &str) -> Event {
        Event::Mentions(vec![Mention {
            task: "entities".to_owned(),
            ordinal: 3,
            label: "person".to_owned(),
            label_index: 0,
            score: 0.98765,
            bytes: [5, 9],
            chars: [4, 8],
            utf16: Some([4, 8]),
            text: text.to_owned(),
        }])
    }

    #[test]
    fn a_line_has_five_columns_and_shows_line_breaks() {
        let mut view = View::Lines(Paint::Plain);
        assert_eq!(view.show(&mention("An\nn\x1b")), "5\t9\tperson\t0.9876\tAn\\nn\\x1b\n");
        assert_eq!(view.show(&Event::Progress { watermark: 9 }), "");
    }

    #[test]
    fn a_line_in_colour_colours_the_label() {
        let mut view = View::Lines(Paint::Color);
        assert_eq!(view.show(&mention("Ann")), "5\t9\t\x1b[36mperson\x1b[0m\t0.9876\tAnn\n");
    }

    #[test]
    fn json_lines_have_stable_keys_in_a_stable_order() {
        let mut view = View::Json { document: "a \"b\".txt".to_owned() };
        assert_eq!(
            view.show(&mention("An\nn\x1b")),
            concat!(
                r#"{"type":"mention","document":"a \"b\".txt","task":"entities","ordinal":3,"label":"person","#,
                r#""score":0.98765,"bytes":[5,9],"chars":[4,8],"utf16":[4,8],"text":"An\nn\u001b"}"#,
                "\n"
            )
        );
        assert_eq!(
            view.show(&Event::Warning { reason: "TEXT".to_owned(), message: "m".to_owned() }),
            "{\"type\":\"warning\",\"document\":\"a \\\"b\\\".txt\",\"reason\":\"TEXT\",\"message\":\"m\"}\n"
        );
        let done =
            Done { received_bytes: 1, limits: vec![("words".to_owned(), 2)], ..Done::default() };
        assert_eq!(
            view.show(&Event::Done(done)),
            concat!(
                r#"{"type":"done","document":"a \"b\".txt","received_bytes":1,"words":0,"windows":0,"results":0,"replaced_invalid":0,"#,
                r#""limits":{"words":2},"total_ms":0,"compute_ms":0,"fingerprint":""}"#,
                "\n"
            )
        );
    }
}
