//! Stage 2: text to words, each given out as soon as nothing can extend it.
//!
//! The words are those of gliner's default splitter, `\w+(?:[-_]\w+)*|\S` with Python's `\w`: a run of
//! word characters, joined by single hyphens to further runs, else any one character that is not
//! blank. Python's `\w` is exactly `[\p{L}\p{N}_]`, which is not Rust's;
//! Python's blank is Rust's white space and U+001C to U+001F.
//!
//! Two characters of look-ahead settle a word (`a-` may become `a-b`), so nothing here depends on how
//! the text was cut into chunks (P1).

use std::sync::LazyLock;

use super::offset::{Position, TextRange};

/// Blank text between two words that is kept: with it a mention's text has a bound, and so has what
/// an open mention holds.
const GAP_BYTES_MAX: u64 = 1 << 10;

/// A word as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "three facts about a word that do not exclude each other"
)]
pub struct SplitWord {
    /// Where it stands in the input.
    pub range: TextRange,
    /// Where it starts in the kept text, in bytes of that text.
    pub text_start: u64,
    /// Where it ends in the kept text.
    pub text_end: u64,
    /// More blank text stands before it than is kept.
    pub far: bool,
    /// A core likes to end before this word: a sentence or a paragraph ended.
    pub border_before: bool,
    /// The word was closed by its length, not by its text.
    pub cut: bool,
}

/// Splits text that arrives in pieces.
#[derive(Debug)]
pub struct WordSplitter {
    word_bytes_max: u64,
    /// Where the next character stands.
    here: Place,
    open: Option<OpenWord>,
    gap: Gap,
    sentence: Sentence,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    input: Position,
    text: u64,
}

#[derive(Clone, Copy, Debug)]
struct OpenWord {
    start: Place,
    /// Where the run of word characters ended, if a hyphen was read behind it.
    before_hyphen: Option<Place>,
}

/// The words of a whole text, however long; their ranges are those of `text`.
#[must_use]
pub fn split(text: &str) -> Vec<SplitWord> {
    let mut splitter = WordSplitter::new(u64::MAX);
    let mut words = Vec::new();
    splitter.push(text, &mut String::new(), &mut |word| words.push(word));
    splitter.close(&mut |word| words.push(word));
    words
}

impl WordSplitter {
    /// A splitter that closes a word after `word_bytes_max` bytes at a code point.
    #[must_use]
    pub fn new(word_bytes_max: u64) -> Self {
        Self {
            word_bytes_max,
            here: Place::default(),
            open: None,
            gap: Gap::default(),
            sentence: Sentence::Running,
        }
    }

    /// How much of the document was read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.here.input
    }

    /// Where the text starts that a word still to come may contain, in bytes of the kept text.
    #[must_use]
    pub fn text_needed_from(&self) -> u64 {
        self.open.map_or(self.here.text, |open| open.start.text)
    }

    /// Reads `text`, adds what is kept of it to `kept`, and hands every settled word to `sink`.
    pub fn push(&mut self, text: &str, kept: &mut String, sink: &mut impl FnMut(SplitWord)) {
        for c in text.chars() {
            if self.read(c, Position::of(c), sink) == Kept::Yes {
                kept.push(c);
            }
        }
    }

    /// Reads one replaced invalid part of `bytes` bytes: a U+FFFD, which is a word of its own.
    pub fn push_replacement(
        &mut self,
        bytes: u64,
        kept: &mut String,
        sink: &mut impl FnMut(SplitWord),
    ) {
        let c = char::REPLACEMENT_CHARACTER;
        self.read(c, Position::of_replacement(bytes), sink);
        kept.push(c);
    }

    /// Closes the open word: the text ends here, or a flush says so.
    pub fn close(&mut self, sink: &mut impl FnMut(SplitWord)) {
        if let Some(open) = self.open.take() {
            match open.before_hyphen {
                Some(run_end) => self.emit_run_and_hyphen(open.start, run_end, Kind::Run, sink),
                None => self.emit(open.start, self.here, Kind::Run, sink),
            }
        }
    }

    fn read(&mut self, c: char, size: Position, sink: &mut impl FnMut(SplitWord)) -> Kept {
        let in_word = is_word_char(c);
        if let Some(open) = self.open {
            let fits =
                self.here.input.bytes + size.bytes - open.start.input.bytes <= self.word_bytes_max;
            match (open.before_hyphen, in_word) {
                (_, true) if fits => {
                    self.open = Some(OpenWord { start: open.start, before_hyphen: None });
                    return self.step(c, size);
                }
                (None, false) if c == '-' && fits => {
                    self.open =
                        Some(OpenWord { start: open.start, before_hyphen: Some(self.here) });
                    return self.step(c, size);
                }
                (Some(run_end), _) => {
                    self.emit_run_and_hyphen(open.start, run_end, run_kind(in_word), sink);
                }
                (None, _) => {
                    let kind = run_kind(in_word);
                    self.emit(open.start, self.here, kind, sink);
                }
            }
            self.open = None;
        }
        let start = self.here;
        if in_word {
            self.open = Some(OpenWord { start, before_hyphen: None });
            self.step(c, size);
        } else if is_blank(c) {
            self.gap.read(c);
            if self.gap.is_far() {
                self.here.input += size;
                return Kept::No;
            }
            self.step(c, size);
        } else {
            self.step(c, size);
            self.emit(start, self.here, Kind::Mark(c), sink);
        }
        Kept::Yes
    }

    fn step(&mut self, c: char, size: Position) -> Kept {
        self.here.input += size;
        self.here.text += c.len_utf8() as u64;
        Kept::Yes
    }

    fn emit_run_and_hyphen(
        &mut self,
        start: Place,
        run_end: Place,
        run: Kind,
        sink: &mut impl FnMut(SplitWord),
    ) {
        self.emit(start, run_end, run, sink);
        // Nothing was read behind the hyphen, so it ends here.
        self.emit(run_end, self.here, Kind::Mark('-'), sink);
    }

    fn emit(&mut self, start: Place, end: Place, kind: Kind, sink: &mut impl FnMut(SplitWord)) {
        // A closing quote right behind the mark that ended a sentence still belongs to it.
        let closes = matches!(kind, Kind::Mark(c) if is_closing(c))
            && self.gap.is_empty()
            && self.sentence != Sentence::Running;
        let border_before =
            !closes && (self.gap.is_paragraph() || self.sentence.ends_before(self.gap));
        if !closes {
            self.sentence = match kind {
                Kind::Mark(c) => Sentence::of(c),
                Kind::Run | Kind::CutRun => Sentence::Running,
            };
        }
        let far = std::mem::take(&mut self.gap).is_far();
        sink(SplitWord {
            range: TextRange { start: start.input, end: end.input },
            text_start: start.text,
            text_end: end.text,
            far,
            border_before,
            cut: kind == Kind::CutRun,
        });
    }
}

/// Whether a character belongs to the kept text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// What kind of word was settled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Runs of word characters, closed by the text.
    Run,
    /// The same, closed by the length limit.
    CutRun,
    /// One character that is neither a word character nor blank.
    Mark(char),
}

/// What closed a run: the length, if a further word character would have gone on with it.
fn run_kind(goes_on: bool) -> Kind {
    if goes_on { Kind::CutRun } else { Kind::Run }
}

/// The blank stretch before the next word.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    /// Bytes of its text.
    bytes: u64,
    lines: u8,
    paragraph: bool,
    after_cr: bool,
}

impl Gap {
    fn read(&mut self, c: char) {
        let ends_line = match c {
            '\n' => !self.after_cr,
            '\r' | '\u{85}' | '\u{2028}' => true,
            _ => false,
        };
        self.lines = self.lines.saturating_add(u8::from(ends_line));
        self.paragraph |= matches!(c, '\u{c}' | '\u{2029}');
        self.after_cr = c == '\r';
        self.bytes += c.len_utf8() as u64;
    }

    fn is_empty(self) -> bool {
        self.bytes == 0
    }

    fn is_far(self) -> bool {
        self.bytes > GAP_BYTES_MAX
    }

    /// A blank line, a form feed or a paragraph separator; one line break is none (wrapped text).
    fn is_paragraph(self) -> bool {
        self.paragraph || self.lines >= 2
    }
}

/// Whether a sentence ended before the next word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sentence {
    Running,
    /// Ended, if a blank follows (`3.14` and `U.S.` do not end one inside).
    Ended,
    /// Ended by a mark that is written without a blank behind it.
    EndedWithoutBlank,
}

impl Sentence {
    /// The state after a word that is the one character `c`.
    fn of(c: char) -> Self {
        match c {
            '.' | '!' | '?' | '…' | '؟' | '।' | '॥' => Self::Ended,
            '。' | '！' | '？' => Self::EndedWithoutBlank,
            _ => Self::Running,
        }
    }

    fn ends_before(self, gap: Gap) -> bool {
        match self {
            Self::Running => false,
            Self::Ended => !gap.is_empty(),
            Self::EndedWithoutBlank => true,
        }
    }
}

/// Quotes and brackets that close what a sentence end stands in.
fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | '”' | '’' | '»' | '›' | ')' | ']' | '」' | '』' | '）' | '】')
}

/// Python's `\w` for text.
#[must_use]
pub fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    WORD_CHARS
        .binary_search_by(|&(first, last)| {
            if last < c {
                std::cmp::Ordering::Less
            } else if first > c {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// Python's `\s` for text.
#[must_use]
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Letters and numbers as sorted, disjoint ranges.
static WORD_CHARS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let class = regex_syntax::parse(r"[\p{L}\p{N}_]").expect("a constant pattern");
    let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) =
        class.into_kind()
    else {
        unreachable!("the pattern is one Unicode class");
    };
    class.ranges().iter().map(|range| (range.start(), range.end())).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, word_bytes_max: u64) -> Vec<SplitWord> {
        let mut splitter = WordSplitter::new(word_bytes_max);
        let mut words = Vec::new();
        splitter.push(text, &mut String::new(), &mut |word| words.push(word));
        splitter.close(&mut |word| words.push(word));
        words
    }

    fn texts(text: &str) -> Vec<String> {
        split(text, 4096)
            .iter()
            .map(|word| {
                let bytes = text.as_bytes();
                let place = |bytes| usize::try_from(bytes).unwrap();
                let (from, to) = (place(word.range.start.bytes), place(word.range.end.bytes));
                String::from_utf8(bytes[from..to].to_vec()).unwrap()
            })
            .collect()
    }

    /// Words joined by `|`, a border before a word shown as `‖`.
    fn borders(text: &str) -> String {
        let words = split(text, 4096);
        let mut shown = String::new();
        for (word, text) in words.iter().zip(texts(text)) {
            shown.push(if word.border_before { '‖' } else { '|' });
            shown.push_str(&text);
        }
        shown
    }

    #[test]
    fn equals_the_pattern_of_the_reference() {
        let pattern =
            regex::Regex::new(r"[\p{L}\p{N}_]+(?:[-_][\p{L}\p{N}_]+)*|[^\s\x1c-\x1f]").unwrap();
        for text in [
            "state-of-the-art, a- -b a--b a-_b -x x- don't U.S. x² ½ ①",
            "हिन्दी नमस्ते école café عَرَبِيّ 日本語。テスト 👩‍👩‍👧 a\u{200b}b \u{1c}x\u{1f}y",
            "a\u{85}b\u{a0}c\u{2028}d e\u{feff}f",
            "",
            "-",
        ] {
            let expected: Vec<_> = pattern.find_iter(text).map(|m| m.as_str().to_owned()).collect();
            assert_eq!(texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn counts_bytes_code_points_and_utf16_units() {
        let words = split("é😀 x", 4096);
        let last = words.last().unwrap().range;
        assert_eq!(last.start, Position { bytes: 7, chars: 3, utf16: 4 });
        assert_eq!(last.end, Position { bytes: 8, chars: 4, utf16: 5 });
    }

    #[test]
    fn closes_an_endless_word_at_a_code_point() {
        let words = split(&"é".repeat(10), 7);
        let lengths: Vec<_> =
            words.iter().map(|w| (w.range.end.bytes - w.range.start.bytes, w.cut)).collect();
        assert_eq!(lengths, [(6, true), (6, true), (6, true), (2, false)]);
    }

    #[test]
    fn counts_a_word_that_its_length_closed_at_a_hyphen() {
        let words = split("abcd-ef", 5);
        let cut: Vec<_> = words.iter().map(|word| word.cut).collect();
        assert_eq!(cut, [true, false, false]);
    }

    #[test]
    fn ends_sentences_after_marks_and_their_closing_quotes() {
        assert_eq!(borders("He left.” Then 3.14 came"), "|He|left|.|”‖Then|3|.|14|came");
        assert_eq!(borders("行く。」次"), "|行く|。|」‖次");
        assert_eq!(borders("Go! (Now) \"He\""), "|Go|!‖(|Now|)|\"|He|\"");
    }

    #[test]
    fn takes_blank_lines_and_form_feeds_for_borders_but_not_single_breaks() {
        assert_eq!(borders("a\nb\r\nc\r\n\r\nd\n \ne\x0cf\r\rg"), "|a|b|c‖d‖e‖f‖g");
    }
}
