//! One document through one stream: reads, sends, receives and prints at the same time.
//!
//! Both halves run in one task. The reading half sends what a read gave, without waiting for a full buffer;
//! the printing half writes each event out at once. Neither holds more than a few messages, but for the text
//! of the terminal view (see [`super::held`]).

use std::io::Write;
use std::rc::Rc;

use super::asked::Tally;
use super::client::{Download, Refusal, Request, Server, Upload};
use super::event::{Done, Event, Warning};
use super::exit::{Failure, Kind};
use super::held::HeldText;
use super::input::Input;
use super::notes::Notes;
use super::view::View;

/// Everything that one document needs on this side.
#[derive(Debug)]
pub(super) struct Run<W> {
    /// The document.
    pub(super) input: Input,
    /// Bytes of one read, and of one chunk, at most.
    pub(super) chunk_bytes: usize,
    /// How results are shown.
    pub(super) view: View,
    /// Text that the view prints later.
    pub(super) held: Option<Rc<HeldText>>,
    /// Where results go.
    pub(super) out: W,
    /// Where everything else goes.
    pub(super) notes: Notes,
    /// Results so far.
    pub(super) tally: Tally,
}

/// Why a half stopped early.
enum Stop {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<W: Write> Run<W> {
    /// Reads the document to its end.
    pub(super) async fn through(
        &mut self,
        server: &Server,
        request: &Request,
    ) -> Result<Done, Failure> {
        let (upload, download) = server.extract(request);
        let feeding = feed(&mut self.input, upload, self.chunk_bytes, self.held.as_deref());
        let showing = show(download, &mut self.view, &mut self.out, &self.notes, &mut self.tally);
        let end = tokio::try_join!(feeding, showing);
        self.notes.clear();
        match end {
            Ok(((), done)) => Ok(done),
            Err(stop) => {
                // An error message starts on a line of its own; when this cannot be written, nor can the rest.
                drop(
                    self.out
                        .write_all(self.view.break_off().as_bytes())
                        .and_then(|()| self.out.flush()),
                );
                Err(self.explain(stop, server))
            }
        }
    }

    fn explain(&self, stop: Stop, server: &Server) -> Failure {
        let refusal = match stop {
            Stop::Failed(failure) => return failure,
            Stop::Refused(refusal) => refusal,
        };
        let is_invalid_utf8 = refusal.reason == "INVALID_UTF8";
        match refusal.into_failure(server.url()) {
            Failure::Told { kind: Kind::Input, message } if is_invalid_utf8 => {
                let advice = self.input.how_to_convert();
                // After the colon the server tells what a program would do.
                let message = message.split(": ").next().unwrap_or_default();
                Failure::new(Kind::Input, format!("{}: {message}\n{advice}", self.input.name))
            }
            Failure::Told { kind: Kind::Input, message } => {
                Failure::new(Kind::Input, format!("{}: {message}", self.input.name))
            }
            failure => failure,
        }
    }
}

async fn feed(
    input: &mut Input,
    upload: Upload,
    chunk_bytes: usize,
    held: Option<&HeldText>,
) -> Result<(), Stop> {
    let mut buffer = vec![0; chunk_bytes];
    let mut total_bytes = 0;
    loop {
        let chunk = input.read(&mut buffer).await?;
        if chunk.is_empty() {
            upload.finish(total_bytes).await;
            return Ok(());
        }
        total_bytes += chunk.len() as u64;
        if let Some(held) = held {
            held.push(chunk).await;
        }
        // A server that takes no more says why in its answer, which the other half reads.
        if !upload.chunk(chunk.to_vec()).await {
            return Ok(());
        }
    }
}

async fn show(
    mut download: Download,
    view: &mut View,
    out: &mut impl Write,
    notes: &Notes,
    tally: &mut Tally,
) -> Result<Done, Stop> {
    while let Some(event) = download.next().await? {
        let text = view.show(&event);
        if !text.is_empty() {
            out.write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .map_err(|error| Failure::of_output(&error))?;
        }
        match event {
            Event::Results(results) => tally.add(&results),
            Event::Progress { watermark } => notes.progress(watermark, tally),
            Event::Warning(Warning { message, .. }) if !view.shows_warnings() => {
                notes.warn(&message);
            }
            Event::Ready | Event::Warning(_) | Event::Interim { .. } => {}
            Event::Done(done) => return Ok(done),
        }
    }
    Err(Failure::new(Kind::Refused, "the server ended the stream before the document was done")
        .into())
}
