//! One input through as many streams as it takes: reads, sends, receives and prints at the same time.
//!
//! Both halves of a stream run in one task. The reading half sends what a read gave, without waiting for a full buffer;
//! the printing half writes each event out at once. Neither holds more than a few messages, but for the text
//! of the terminal view (see [`super::held`]).
//!
//! A stream that a passing trouble ends is opened anew, and the document is sent from its start. A source that is read
//! once is not sent before the server accepts it. When that server is about to stop, its document ends between two words
//! and the rest is a further part: a document of its own.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Refusal, Request, Target, Upload};
use super::event::Done;
use super::exit::{Failure, Kind};
use super::held::HeldText;
use super::input::Input;
use super::retry::{ATTEMPTS_MAX, Attempts, GaveUp, dice};
use super::screen::Screen;

/// Everything that one input needs on this side.
#[derive(Debug)]
pub(super) struct Run<W> {
    /// The document.
    pub(super) input: Input,
    /// Text that the view prints later.
    pub(super) held: Option<Rc<HeldText>>,
    /// Where results and notes go.
    pub(super) screen: Screen<W>,
    /// When all attempts end, and how long that was at the start.
    pub(super) deadline: Option<(Instant, Duration)>,
}

/// Why a stream stopped early.
pub(super) enum Stop {
    /// It was refused, or broke.
    Refused(Refusal),
    /// This side cannot go on.
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

/// What the printing half hears and the reading half must know.
#[derive(Debug, Default)]
pub(super) struct News {
    is_accepted: Cell<bool>,
    is_draining: Cell<bool>,
    changed: Notify,
}

impl News {
    /// The server reads this document.
    pub(super) fn accepted(&self) {
        self.is_accepted.set(true);
        self.changed.notify_one();
    }

    /// The server is about to stop.
    pub(super) fn draining(&self) {
        self.is_draining.set(true);
        self.changed.notify_one();
    }

    async fn wait(&self, what: &Cell<bool>) {
        while !what.get() {
            self.changed.notified().await;
        }
    }
}

impl<W: Write> Run<W> {
    /// Reads the input to its end, or until the deadline.
    pub(super) async fn through(
        &mut self,
        target: &Target,
        request: &Request,
    ) -> Result<Done, Failure> {
        let end = match self.deadline {
            Some((at, timeout)) => timeout_at(at, self.parts(target, request))
                .await
                .unwrap_or_else(|_elapsed| Err(too_late(timeout))),
            None => self.parts(target, request).await,
        };
        self.screen.notes.clear();
        if end.is_err() {
            self.screen.break_off();
        }
        end
    }

    /// All parts: one, unless a source that is read once outlives its server.
    async fn parts(&mut self, target: &Target, request: &Request) -> Result<Done, Failure> {
        let mut total = Done::default();
        loop {
            let done = self.attempts(target, request).await?;
            total.add(done);
            let Some(start) = self.input.next_part().await? else {
                return self.screen.finish(total);
            };
            self.screen.start_part(start);
        }
    }

    /// One part, as often as it takes.
    async fn attempts(&mut self, target: &Target, request: &Request) -> Result<Done, Failure> {
        let mut attempts = Attempts::first(self.deadline.map(|(at, _)| at));
        loop {
            let refusal = match self.attempt(target, request).await {
                Ok(done) => return Ok(done),
                Err(Stop::Failed(failure)) => return Err(failure),
                Err(Stop::Refused(refusal)) => refusal,
            };
            let delay = self.delay(refusal, &mut attempts, target.url())?;
            sleep(delay).await;
            self.input.go_back().await?;
        }
    }

    /// One stream.
    async fn attempt(&mut self, target: &Target, request: &Request) -> Result<Done, Stop> {
        let server = target.connect().await?;
        let left = self.deadline.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let (upload, download) = server.extract(request, left);
        let news = News::default();
        let held = self.held.as_deref().map(|held| (held, self.screen.part_start().bytes));
        let feeding = feed(&mut self.input, upload, held, &news);
        let showing = self.screen.follow(download, &news);
        tokio::try_join!(feeding, showing).map(|((), done)| done)
    }

    /// How long to wait before another attempt; or why there is none.
    fn delay(
        &self,
        refusal: Refusal,
        attempts: &mut Attempts,
        url: &str,
    ) -> Result<Duration, Failure> {
        let now = Instant::now();
        if let Some((at, timeout)) = self.deadline
            && (now >= at || refusal.is_too_late())
        {
            return Err(too_late(timeout));
        }
        let next = attempts.next(refusal.advice(), now, dice());
        if matches!(next, Ok(_) | Err(GaveUp::Attempts)) && !self.input.can_go_back() {
            let name = &self.input.name;
            return Err(self.explain(refusal.without_delay(), url).and(&format!(
                "; a part of {name} was sent and cannot be read twice: put it into a file"
            )));
        }
        match next {
            Ok(delay) => {
                let failure = self.explain(refusal.without_delay(), url);
                let (number, seconds) = (attempts.number(), delay.as_secs_f64());
                self.screen.notes.warn(&format!(
                    "{failure}; attempt {number} of {ATTEMPTS_MAX} in {seconds:.1} s"
                ));
                Ok(delay)
            }
            Err(GaveUp::Useless) => Err(self.explain(refusal, url)),
            Err(GaveUp::Attempts) => Err(self
                .explain(refusal, url)
                .and(&format!("; gave up after {ATTEMPTS_MAX} attempts"))),
            Err(GaveUp::Deadline) => {
                let failure = self.explain(refusal, url);
                Err(failure.and("; --timeout leaves no time for another attempt"))
            }
        }
    }

    fn explain(&self, refusal: Refusal, url: &str) -> Failure {
        let is_invalid_utf8 = refusal.reason == "INVALID_UTF8";
        let name = &self.input.name;
        match refusal.into_failure(url) {
            Failure::Told { kind: Kind::Input, message } if is_invalid_utf8 => {
                let advice = self.input.how_to_convert();
                // After the colon the server tells what a program would do.
                let message = message.split(": ").next().unwrap_or_default();
                let counted = match self.screen.part_start().bytes {
                    0 => String::new(),
                    start => format!(", counted from byte {start}"),
                };
                Failure::new(Kind::Input, format!("{name}: {message}{counted}\n{advice}"))
            }
            Failure::Told { kind: Kind::Input, message } => {
                Failure::new(Kind::Input, format!("{name}: {message}"))
            }
            failure => failure,
        }
    }
}

fn too_late(timeout: Duration) -> Failure {
    let seconds = timeout.as_secs_f64();
    Failure::new(Kind::Refused, format!("the document was not done within {seconds} s (--timeout)"))
}

/// Sends the document once it is accepted; up to a word's end where the server is about to stop and the rest can wait.
async fn feed(
    input: &mut Input,
    upload: Upload,
    held: Option<(&HeldText, u64)>,
    news: &News,
) -> Result<(), Stop> {
    news.wait(&news.is_accepted).await;
    loop {
        let offset = input.given();
        let chunk = tokio::select! {
            biased;
            () = news.wait(&news.is_draining), if input.may_end_here() => {
                if offset == 0 {
                    return Err(Refusal::draining().into());
                }
                upload.flush().await;
                Vec::new()
            }
            chunk = input.chunk() => chunk?,
        };
        if chunk.is_empty() {
            upload.finish(input.given()).await;
            return Ok(());
        }
        if let Some((held, start)) = held {
            held.push_at(start + offset, &chunk).await;
        }
        // A server that takes no more says why in its answer, which the other half reads.
        if !upload.chunk(chunk).await {
            return Ok(());
        }
    }
}
