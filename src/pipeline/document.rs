//! The state machine of one document: it joins the stages and knows nothing of tasks, clocks or sockets.
//!
//! One verb in, [`Document::handle`], one verb out, [`Document::poll`]. What comes out is a function of
//! the bytes, the flushes and the scores; when and in which order they were handed in changes nothing
//! (P1, P2). Memory is one chunk, the words of one window and what an open cluster needs (P7).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::event::{DocumentError, Event, Input, Progress, Summary, Warning, WindowId};
use super::finding::{Finding, Found, Place};
use super::intake::Intake;
use super::line::TaskLine;
use super::offset::Position;
use super::plan::{Interim, Plan, PlanWarning};
use super::scores::{Scores, WindowInput};
use super::window::Words;

/// Bytes that are read in one step, so that one step stays short.
const STEP_BYTES: usize = 4 << 10;
/// Words after which the share of unknown ones is judged, and the share that is worth a warning.
const VOCABULARY_WORDS: u64 = 1000;
const VOCABULARY_UNKNOWN_PERCENT: u64 = 20;

/// One document.
#[derive(Debug)]
pub struct Document {
    plan: Arc<Plan>,
    intake: Intake,
    lines: Vec<TaskLine>,
    inbox: VecDeque<Inbound>,
    received_bytes: u64,
    /// Windows that wait for a free place.
    ready: VecDeque<(WindowId, WindowInput)>,
    in_flight: usize,
    /// Results that wait to be polled, with their tasks.
    found: VecDeque<(usize, Finding<Place>)>,
    ordinals: Vec<u64>,
    warnings: VecDeque<Warning>,
    /// Warnings that are told once and were.
    told: Vec<Warning>,
    /// Whether the share of unknown words was judged.
    vocabulary_judged: bool,
    watermark: Position,
    progress_due: bool,
    failure: Option<DocumentError>,
    phase: Phase,
}

#[derive(Debug)]
enum Inbound {
    Bytes(Bytes),
    Flush { after_bytes: u64 },
    Finish,
}

/// How far a document's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Text may come.
    Open,
    /// The text is complete.
    Finished,
    /// The results that come last were handed out.
    Concluded,
    /// The last event is out.
    Ended,
}

impl Document {
    /// A document at its start.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let warnings = plan
            .tasks
            .iter()
            .enumerate()
            .flat_map(|(task, p)| {
                (0..p.warnings.len()).map(move |index| Warning::Plan { task, index })
            })
            .collect();
        Self {
            intake: Intake::new(&plan),
            lines: plan.tasks.iter().map(TaskLine::new).collect(),
            inbox: VecDeque::new(),
            received_bytes: 0,
            ready: VecDeque::new(),
            in_flight: 0,
            found: VecDeque::new(),
            ordinals: vec![0; plan.tasks.len()],
            warnings,
            told: Vec::new(),
            vocabulary_judged: false,
            watermark: Position::default(),
            progress_due: false,
            failure: None,
            phase: Phase::Open,
            plan,
        }
    }

    /// Whether more text can be used now. True whenever nothing is in flight and the text goes on, once
    /// [`Self::poll`] has nothing to say.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.inbox.is_empty()
            && self.ready.is_empty()
            && self.phase == Phase::Open
            && self.failure.is_none()
    }

    /// Whether the last event is out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended || self.failure.is_some()
    }

    /// Bytes handed in so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Words that were read so far.
    #[must_use]
    pub fn words(&self) -> u64 {
        self.intake.settled()
    }

    /// The warning of a plan in full.
    #[must_use]
    pub fn plan_warning(&self, task: usize, index: usize) -> &PlanWarning {
        &self.plan.tasks[task].warnings[index]
    }

    /// Takes note of what happened.
    ///
    /// # Panics
    /// When text follows the finish, or a window is handed in that is not in flight.
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Bytes(bytes) => {
                assert!(self.phase == Phase::Open, "no text follows the finish");
                self.received_bytes += bytes.len() as u64;
                self.inbox.push_back(Inbound::Bytes(bytes));
            }
            Input::Flush => {
                self.inbox.push_back(Inbound::Flush { after_bytes: self.received_bytes });
            }
            Input::Finish => {
                self.phase = Phase::Finished;
                self.inbox.push_back(Inbound::Finish);
            }
            Input::Scored(id, scores) => self.resolve(id, &scores),
            Input::Tick => self.progress_due = true,
        }
    }

    /// What the document has to say next; `None` until something else happens to it.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            if self.phase == Phase::Ended {
                return None;
            }
            if let Some(event) = self.poll_outbox() {
                return Some(event);
            }
            if let Some(failure) = self.failure {
                self.phase = Phase::Ended;
                return Some(Event::Failed(failure));
            }
            if self.in_flight < self.plan.policy.windows_in_flight_max.max(1)
                && let Some((id, input)) = self.ready.pop_front()
            {
                self.in_flight += 1;
                return Some(Event::Window(id, input));
            }
            // Input is read only once every window that it decides is cut, so that neither polling nor
            // a full pool decides where a flush takes effect.
            if !self.ready.is_empty() {
                return None;
            }
            if !self.cut_window() && !self.read_step() {
                return self.poll_end();
            }
        }
    }

    fn poll_outbox(&mut self) -> Option<Event> {
        if let Some(warning) = self.warnings.pop_front() {
            return Some(Event::Warning(warning));
        }
        if let Some((task, finding)) = self.found.pop_front() {
            let ordinal = self.ordinals[task];
            self.ordinals[task] += 1;
            let finding = finding.map(|place| self.intake.span(place));
            return Some(Event::Found(Found { task, ordinal, finding }));
        }
        if let Some(interim) = self.poll_interim() {
            return Some(interim);
        }
        let watermark = self.lines.iter().map(|line| line.watermark(&self.intake)).min();
        let watermark = watermark.unwrap_or_default();
        if std::mem::take(&mut self.progress_due) || watermark > self.watermark {
            self.watermark = watermark;
            let received_bytes = self.received_bytes;
            return Some(Event::Progress(Progress { watermark, received_bytes }));
        }
        None
    }

    /// How the results of a task stand that come last, if that changed and somebody wants to know.
    fn poll_interim(&mut self) -> Option<Event> {
        if self.plan.interim == Interim::Silent || self.phase == Phase::Concluded {
            return None;
        }
        let tasks = self.lines.iter_mut().zip(&self.plan.tasks).enumerate();
        for (task, (line, plan)) in tasks {
            let mut findings: Vec<Finding<Place>> = Vec::new();
            if line.tell_changed(plan, &self.intake, &mut |finding| findings.push(finding)) {
                let span = |place| self.intake.span(place);
                let findings = findings.into_iter().map(|finding| finding.map(span)).collect();
                return Some(Event::Interim { task, findings });
            }
        }
        None
    }

    fn poll_end(&mut self) -> Option<Event> {
        if self.phase == Phase::Open || self.lines.iter().any(|line| !line.is_idle()) {
            return None;
        }
        if self.phase == Phase::Finished {
            self.phase = Phase::Concluded;
            self.conclude();
            self.warn_about_vocabulary(1);
            if let Some(event) = self.poll_outbox() {
                return Some(event);
            }
        }
        self.phase = Phase::Ended;
        Some(Event::Done(Summary {
            received: self.intake.position(),
            words: self.intake.settled(),
            intake: self.intake.counts(),
            tasks: self.lines.iter().map(TaskLine::counts).collect(),
        }))
    }

    fn conclude(&mut self) {
        let found = &mut self.found;
        for (task, (line, plan)) in self.lines.iter_mut().zip(&self.plan.tasks).enumerate() {
            line.settle(&self.intake, &mut |finding| found.push_back((task, finding)));
            line.conclude(plan, &self.intake, &mut |finding| found.push_back((task, finding)));
        }
    }

    fn cut_window(&mut self) -> bool {
        for task in 0..self.lines.len() {
            let (line, plan) = (&mut self.lines[task], &self.plan.tasks[task]);
            if let Some(cut) = line.cut(plan, &*self.plan.encoder, &self.intake) {
                let named = cut.into_iter().map(|(pass, input)| (WindowId { task, pass }, input));
                self.ready.extend(named);
                // A window that needs no pass is decided already.
                self.merge(task);
                return true;
            }
        }
        false
    }

    /// Reads one step of what was handed in; false when there is nothing to read.
    fn read_step(&mut self) -> bool {
        // Results that wait were polled before, so nothing but the lines needs old words.
        let needed = self.lines.iter().map(TaskLine::needed_from).min().unwrap_or(u64::MAX);
        self.intake.forget_before(needed.min(self.intake.settled()));
        let Some(front) = self.inbox.front_mut() else { return false };
        let read = match front {
            Inbound::Bytes(bytes) => {
                let step = bytes.split_to(bytes.len().min(STEP_BYTES));
                if bytes.is_empty() {
                    self.inbox.pop_front();
                }
                self.intake.read(&step).map_err(|at| DocumentError::InvalidUtf8 { at })
            }
            Inbound::Flush { after_bytes } => {
                let at = *after_bytes;
                if self.intake.is_inside_code_point() {
                    Err(DocumentError::FlushInsideCodePoint { at })
                } else {
                    self.close_text(TaskLine::flush)
                }
            }
            Inbound::Finish => match self.intake.finish() {
                Err(at) => Err(DocumentError::InvalidUtf8 { at }),
                Ok(()) => self.close_text(TaskLine::finish),
            },
        };
        self.failure = self.failure.or(read.err());
        self.warn_about_intake();
        true
    }

    /// Closes the open word; once the windows that it completes are cut, tells the lines with `stop`.
    fn close_text(&mut self, stop: fn(&mut TaskLine, u64) -> bool) -> Result<(), DocumentError> {
        let before = self.intake.settled();
        self.intake.close_word();
        // The word just closed may complete windows; they are cut first, and this is called again.
        if self.intake.settled() == before {
            self.inbox.pop_front();
            let mut held = false;
            for (task, line) in self.lines.iter_mut().enumerate() {
                held |= stop(line, before);
                line.settle(&self.intake, &mut |finding| self.found.push_back((task, finding)));
            }
            self.warn_once(u64::from(held), Warning::FlushHeld);
        }
        Ok(())
    }

    fn resolve(&mut self, id: WindowId, scores: &Scores) {
        self.in_flight -= 1;
        if self.is_over() {
            return;
        }
        let (line, plan) = (&mut self.lines[id.task], &self.plan.tasks[id.task]);
        if let Err(error) = line.resolve(plan, id.pass, scores) {
            self.failure = Some(error.into());
            return;
        }
        self.merge(id.task);
        self.warn_about_limits(id.task);
    }

    /// Takes the windows of a task that are scored, in order.
    fn merge(&mut self, task: usize) {
        let (line, found) = (&mut self.lines[task], &mut self.found);
        while line.merge_next(&self.intake, &mut |finding| found.push_back((task, finding))) {}
    }

    /// Tells that a bound of a task was reached, once a document or a task.
    fn warn_about_limits(&mut self, task: usize) {
        let counts = self.lines[task].counts();
        self.warn_once(counts.candidates_dropped, Warning::CandidatesDropped);
        self.warn_once(counts.clusters_forced, Warning::ClusterForced);
        self.warn_once(counts.relations_limited, Warning::RelationsLimited { task });
    }

    /// Tells a warning once there is something to count.
    fn warn_once(&mut self, count: u64, warning: Warning) {
        if count > 0 && !self.told.contains(&warning) {
            self.told.push(warning);
            self.warnings.push_back(warning);
        }
    }

    fn warn_about_intake(&mut self) {
        let counts = self.intake.counts();
        self.warn_once(counts.words_cut, Warning::WordCut);
        self.warn_once(counts.words_with_pieces_cut, Warning::WordPiecesCut);
        self.warn_once(counts.invalid_parts, Warning::InvalidReplaced);
        self.warn_about_vocabulary(VOCABULARY_WORDS);
    }

    /// Judges the vocabulary once, as soon as `words_min` words are there.
    fn warn_about_vocabulary(&mut self, words_min: u64) {
        let words = self.intake.settled();
        if self.vocabulary_judged || words < words_min {
            return;
        }
        self.vocabulary_judged = true;
        let unknown = self.intake.counts().unknown_words;
        if unknown * 100 > words * VOCABULARY_UNKNOWN_PERCENT {
            self.warnings.push_back(Warning::OutsideVocabulary { unknown, words });
        }
    }
}
