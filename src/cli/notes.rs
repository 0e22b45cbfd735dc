//! What is said beside the results, on stderr: warnings, a progress bar, a last line with figures.
//!
//! The bar is drawn only where it disturbs nothing: stderr is a terminal, stdout is not.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::asked::Tally;
use super::escape::{self, Newlines};
use super::event::Done;

/// A shorter document is read before a bar would help.
const LONG_BYTES: u64 = 32 << 10;

/// The side channel of one command.
#[derive(Debug)]
pub(super) struct Notes {
    talk: Talk,
    bar: Option<ProgressBar>,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// Errors only.
    Quiet,
    /// Warnings too; progress and figures where a person sees them.
    Normal,
}

impl Notes {
    /// Nothing is shown yet.
    pub(super) fn new(talk: Talk) -> Self {
        Self { talk, bar: None }
    }

    /// Says what is waited for, until the next call that shows something.
    pub(super) fn waiting_for(&mut self, what: &'static str) {
        if self.is_watched() {
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.tick();
            self.bar = Some(bar);
        }
    }

    /// Ends what is shown.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Shows a bar for a long document, or for one of unknown length, unless stdout is a terminal.
    pub(super) fn open_bar(&mut self, length: Option<u64>, tally: &Tally) {
        self.clear();
        if !self.is_watched()
            || io::stdout().is_terminal()
            || length.is_some_and(|length| length < LONG_BYTES)
        {
            return;
        }
        let (bar, template) = match length {
            Some(length) => {
                (ProgressBar::new(length), "{bar:32} {bytes} of {total_bytes}, {eta} left, {msg}")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {bytes} read, {elapsed}, {msg}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let bar = bar.with_style(style).with_message(tally.to_string());
        bar.tick();
        self.bar = Some(bar);
    }

    /// Shows a bar for a number of things, unless nobody watches.
    pub(super) fn open_count(&mut self, count: u64, what: &'static str) {
        self.clear();
        if self.is_watched() {
            let style = ProgressStyle::with_template("{bar:32} {pos} of {len} {msg}, {eta} left")
                .expect("the template is well-formed");
            let bar = ProgressBar::new(count).with_style(style).with_message(what);
            bar.tick();
            self.bar = Some(bar);
        }
    }

    /// One of them is done.
    pub(super) fn count_one(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Figures of a part of the work, for a person who waits.
    pub(super) fn figures(&self, text: &str) {
        if self.talk == Talk::Normal {
            self.line(text);
        }
    }

    /// Moves the bar.
    pub(super) fn progress(&self, watermark: u64, tally: &Tally) {
        if let Some(bar) = &self.bar {
            bar.set_message(tally.to_string());
            bar.set_position(watermark);
        }
    }

    /// Says something that is no result.
    pub(super) fn warn(&self, message: &str) {
        if self.talk == Talk::Normal {
            self.line(&format!("warning: {message}"));
        }
    }

    /// Says why the command did not do its work.
    pub(super) fn error(&self, message: &str) {
        self.line(&format!("error: {message}"));
    }

    /// Figures of a document that was read, for a person.
    pub(super) fn summary(&self, tally: &Tally, done: &Done, elapsed: Duration) {
        if self.is_watched() {
            self.line(&summary(tally, done, elapsed));
        }
    }

    /// One or more lines, above the bar.
    pub(super) fn line(&self, text: &str) {
        let mut safe = String::with_capacity(text.len() + 1);
        escape::push_escaped(&mut safe, text, Newlines::Keep);
        safe.push('\n');
        // When stderr is gone there is nobody left to tell.
        let write = || drop(io::stderr().lock().write_all(safe.as_bytes()));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn is_watched(&self) -> bool {
        self.talk == Talk::Normal && io::stderr().is_terminal()
    }
}

fn summary(tally: &Tally, done: &Done, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let words_per_second = if seconds > 0.0 { float(done.words) / seconds } else { 0.0 };
    let counted = |count: u64, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let mut line = format!(
        "{tally} in {}, {}, {seconds:.1} s ({words_per_second:.0} words/s)",
        counted(done.words, "word", "words"),
        counted(done.windows, "window", "windows"),
    );
    if done.replaced_invalid > 0 {
        let parts = counted(done.replaced_invalid, "invalid part", "invalid parts");
        line.push_str(&format!("; {parts} read as U+FFFD"));
    }
    for (limit, count) in &done.limits {
        line.push_str(&format!("; limit {limit} reached {}", counted(*count, "time", "times")));
    }
    line
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::asked;
    use super::super::event::{Mention, Results, Span};
    use super::*;

    #[test]
    fn the_last_line_counts_and_tells_limits() {
        let done = Done {
            words: 300,
            windows: 2,
            replaced_invalid: 3,
            limits: vec![("word_bytes".to_owned(), 1)],
            ..Done::default()
        };
        let mut tally = Tally::new(&asked(&["entities", "relations"]));
        let mention = Mention {
            task: "entities".to_owned(),
            ordinal: 0,
            label: "person".to_owned(),
            label_index: 0,
            score: 0.5,
            span: Span::default(),
        };
        tally.add(&Results { mentions: vec![mention], ..Results::default() });
        assert_eq!(
            summary(&tally, &done, Duration::from_secs(2)),
            "1 mention, 0 relations in 300 words, 2 windows, 2.0 s (150 words/s); 3 invalid parts read as U+FFFD; \
             limit word_bytes reached 1 time"
        );
        assert_eq!(
            summary(&Tally::new(&asked(&["questions"])), &Done::default(), Duration::ZERO),
            "0 answers in 0 words, 0 windows, 0.0 s (0 words/s)"
        );
    }
}
