//! What the caller sees of one input: results on stdout, everything else on stderr.

use std::io::Write;

use super::asked::Tally;
use super::client::{Download, Refusal};
use super::event::{Done, Event, Warning};
use super::exit::Failure;
use super::handed::Handed;
use super::notes::Notes;
use super::place::Place;
use super::run::{News, Stop};
use super::view::View;

const DRAINING: &str = "the server is about to stop; it goes on with open documents for a while";

/// Where results and notes go.
#[derive(Debug)]
pub(super) struct Screen<W> {
    /// How results are shown.
    pub(super) view: View,
    /// Where they go.
    pub(super) out: W,
    /// Where everything else goes.
    pub(super) notes: Notes,
    /// Results so far.
    pub(super) tally: Tally,
    handed: Handed,
    /// The part of the input that is read, from 1.
    part: u32,
}

impl<W: Write> Screen<W> {
    /// Shows nothing yet.
    pub(super) fn new(view: View, out: W, notes: Notes, tally: Tally) -> Self {
        Self { view, out, notes, tally, handed: Handed::default(), part: 1 }
    }

    /// Shows what comes until the document is done, and tells the reading half what it must know.
    pub(super) async fn follow(&mut self, mut events: Download, news: &News) -> Result<Done, Stop> {
        while let Some(event) = events.next().await? {
            match &event {
                Event::Ready { fingerprint } => {
                    self.start(fingerprint)?;
                    news.accepted();
                }
                Event::Draining => news.draining(),
                _ => {}
            }
            if let Event::Done(done) = event {
                return Ok(done);
            }
            if let Some(event) = self.handed.news(event) {
                self.show(event)?;
            }
        }
        Err(Refusal::ended_early().into())
    }

    fn show(&mut self, event: Event) -> Result<(), Failure> {
        let event = match event {
            Event::Draining => Event::Warning(Warning {
                reason: "DRAINING".to_owned(),
                message: DRAINING.to_owned(),
            }),
            event => event,
        };
        let text = self.view.show(&event);
        self.write(&text)?;
        match event {
            Event::Results(results) => self.tally.add(&results),
            Event::Progress { watermark } => self.notes.progress(watermark, &self.tally),
            Event::Warning(Warning { message, .. }) if !self.view.shows_warnings() => {
                self.notes.warn(&message);
            }
            _ => {}
        }
        Ok(())
    }

    /// A server with this fingerprint reads the document from its start.
    fn start(&mut self, fingerprint: &str) -> Result<(), Failure> {
        let is_known = self.handed.knows(fingerprint);
        // A further part is sent anew only as long as nothing of it was sent.
        let is_seen = self.part == 1 && (self.handed.has_results() || self.view.has_shown_text());
        if self.handed.is_void(fingerprint) && is_seen {
            let text = self.view.discard();
            self.write(&text)?;
            self.tally.clear();
            // Also for who wants to hear nothing: the output is wrong without this.
            self.notes.line(
                "discard what was printed until now: another server goes on, whose results may \
                 differ; the document is printed anew",
            );
        }
        self.handed.go_on(fingerprint);
        if self.part > 1 && !is_known {
            let text = self.view.part(self.part, self.handed.start(), fingerprint);
            self.write(&text)?;
        }
        Ok(())
    }

    /// What follows is a document of its own.
    pub(super) fn start_part(&mut self, start: Place) {
        self.part += 1;
        self.handed.start_part(start);
        self.notes.warn(&format!(
            "the server stopped: what follows from byte {} on is read as a document of its own",
            start.bytes
        ));
    }

    /// Where the part that is read starts.
    pub(super) fn part_start(&self) -> Place {
        self.handed.start()
    }

    /// Shows the end.
    pub(super) fn finish(&mut self, done: Done) -> Result<Done, Failure> {
        let event = Event::Done(done.clone());
        let text = self.view.show(&event);
        self.write(&text)?;
        Ok(done)
    }

    /// Shows what was found, before an error message on a line of its own.
    pub(super) fn break_off(&mut self) {
        let text = self.view.break_off();
        // When this cannot be written, nor can the rest.
        drop(self.write(&text));
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|error| Failure::of_output(&error))
    }
}
