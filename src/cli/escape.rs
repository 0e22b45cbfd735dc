//! What a terminal must not get from a document: control characters and bidi overrides become visible escapes.
//!
//! Applies to everything that came from outside: text, labels, file names, messages of a server.

use std::fmt::Write as _;

/// What becomes of a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newlines {
    /// It stays; CR LF becomes one.
    Keep,
    /// It is shown as `\n`.
    Show,
}

/// Appends `text` with its controls as `\x1b` and its bidi overrides as `\u{202e}`. Tabs stay.
pub(super) fn push_escaped(out: &mut String, text: &str, newlines: Newlines) {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' if newlines == Newlines::Show => out.push_str("\\n"),
            '\n' | '\t' => out.push(letter),
            '\r' if newlines == Newlines::Keep && letters.peek() == Some(&'\n') => {}
            letter if letter.is_control() => {
                push(out, format_args!("\\x{:02x}", u32::from(letter)));
            }
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                push(out, format_args!("\\u{{{:x}}}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
}

/// `text` for one line of a terminal or a table: also line breaks and tabs are shown.
pub(super) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text, Newlines::Show);
    if out.contains('\t') { out.replace('\t', "\\t") } else { out }
}

fn push(out: &mut String, escape: std::fmt::Arguments<'_>) {
    out.write_fmt(escape).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kept: &str, shown: &str) {
        let mut out = String::new();
        push_escaped(&mut out, text, Newlines::Keep);
        assert_eq!(out, kept);
        out.clear();
        push_escaped(&mut out, text, Newlines::Show);
        assert_eq!(out, shown);
    }

    #[test]
    fn controls_become_escapes_but_newline_and_tab() {
        check("a\x1b[31mb\x07\x00\x7f", "a\\x1b[31mb\\x07\\x00\\x7f", "a\\x1b[31mb\\x07\\x00\\x7f");
        check("\u{9b}31m\u{85}", "\\x9b31m\\x85", "\\x9b31m\\x85");
        check("a\tb\nc", "a\tb\nc", "a\tb\\nc");
    }

    #[test]
    fn bidi_overrides_and_isolates_become_escapes_and_marks_stay() {
        check(
            "\u{202e}x\u{2066}\u{2069}",
            "\\u{202e}x\\u{2066}\\u{2069}",
            "\\u{202e}x\\u{2066}\\u{2069}",
        );
        check("\u{200f}ש\u{200d}", "\u{200f}ש\u{200d}", "\u{200f}ש\u{200d}");
    }

    #[test]
    fn a_carriage_return_is_part_of_a_line_break_or_an_escape() {
        check("a\r\nb\rc\r", "a\nb\\x0dc\\x0d", "a\\x0d\\nb\\x0dc\\x0d");
    }

    #[test]
    fn no_control_is_left_but_those_that_may_stay() {
        for letter in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = one_line(&letter.to_string());
            assert!(!shown.chars().any(char::is_control), "{letter:?}");
            assert!(!shown.contains(['\u{202e}', '\u{202d}', '\u{2067}']), "{letter:?}");
        }
    }
}
