//! The state machine of one document: it joins the stages and knows nothing of tasks, clocks or sockets.
//!
//! One verb in, [`Document::handle`], one verb out, [`Document::poll`]. What comes out is a function of
//! the bytes, the flushes and the scores; when and in which order they were handed in changes nothing
//! (P1, P2). Memory is one chunk, the words of one window and what an open cluster needs (P7).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::decode::Candidate;
use super::intake::{Intake, IntakeCounts};
use super::line::{LineCounts, TaskLine};
use super::offset::{Position, TextRange};
use super::plan::{Plan, PlanWarning};
use super::scores::{Scores, ShapeError, WindowInput};
use super::window::Words;

/// Bytes that are read in one step, so that one step stays short.
const STEP_BYTES: usize = 4 << 10;
/// Words after which the share of unknown ones is judged, and the share that is worth a warning.
const VOCABULARY_WORDS: u64 = 1000;
const VOCABULARY_UNKNOWN_PERCENT: u64 = 20;

/// What can happen to a document.
#[derive(Debug)]
pub enum Input {
    /// The next bytes. Hand them in only while [`Document::wants_input`].
    Bytes(Bytes),
    /// Everything before this place is to be decided as if the text ended here.
    Flush,
    /// The text is complete.
    Finish,
    /// A window was scored.
    Scored(WindowId, Scores),
    /// Time passed: progress is to be told even if there is none.
    Tick,
}

/// What a document says.
#[derive(Debug)]
pub enum Event {
    /// A window wants to be scored.
    Window(WindowId, WindowInput),
    /// A result, final.
    Mention(Mention),
    /// Everything before the watermark is out.
    Progress(Progress),
    /// Something the client should know.
    Warning(Warning),
    /// The document cannot go on. Nothing follows.
    Failed(DocumentError),
    /// The document is complete. Nothing follows.
    Done(Summary),
}

/// Names a window that is being scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowId {
    task: usize,
    window: u64,
    group: usize,
}

/// A final result of an entities task.
#[derive(Clone, PartialEq)]
pub struct Mention {
    /// Index of the task in the plan.
    pub task: usize,
    /// Number among the task's results, from 0.
    pub ordinal: u64,
    /// Index of the label in the task's schema.
    pub label: u32,
    /// Probability-like score.
    pub score: f32,
    /// Where it stands.
    pub range: TextRange,
    /// Its text, if text is kept and no blank stretch without end stands in it.
    pub text: Option<String>,
}

impl std::fmt::Debug for Mention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mention")
            .field("task", &self.task)
            .field("ordinal", &self.ordinal)
            .field("label", &self.label)
            .field("score", &self.score)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// How far a document has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Everything that starts before this place is final, in all tasks.
    pub watermark: Position,
    /// Bytes handed in.
    pub received_bytes: u64,
}

/// Something a client should know, told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The plan says so.
    Plan {
        /// Index of the task.
        task: usize,
        /// Index in the task's list of warnings.
        index: usize,
    },
    /// The model's tokenizer knows little of this text.
    OutsideVocabulary {
        /// Unknown words among those looked at.
        unknown: u64,
        /// Words looked at.
        words: u64,
    },
    /// A word without end was closed.
    WordCut,
    /// A word gave the encoder fewer pieces than it has.
    WordPiecesCut,
    /// A window had more candidates than are held.
    CandidatesDropped,
    /// A cluster of overlapping candidates was decided early.
    ClusterForced,
}

/// Why a document cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The bytes are not UTF-8.
    #[error("the bytes are not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Offset of the first byte of the invalid part.
        at: u64,
    },
    /// A flush stands inside a code point.
    #[error("a flush stands inside a code point at byte {at}")]
    FlushInsideCodePoint {
        /// Bytes before the flush.
        at: u64,
    },
    /// The model returned something else than was asked for.
    #[error(transparent)]
    Scores(#[from] ShapeError),
}

/// What a complete document amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All of it.
    pub received: Position,
    /// Words read, every one of them scored.
    pub words: u64,
    /// What was met on the way.
    pub intake: IntakeCounts,
    /// What happened in each task.
    pub tasks: Vec<LineCounts>,
}

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
    mentions: VecDeque<(usize, Candidate)>,
    ordinals: Vec<u64>,
    warnings: VecDeque<Warning>,
    told: Told,
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
    /// The last event is out.
    Ended,
}

/// Counts when they were last looked at for warnings.
#[derive(Debug, Default)]
struct Told {
    intake: IntakeCounts,
    candidates_dropped: u64,
    clusters_forced: u64,
    vocabulary: bool,
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
            mentions: VecDeque::new(),
            ordinals: vec![0; plan.tasks.len()],
            warnings,
            told: Told::default(),
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
        if let Some((task, candidate)) = self.mentions.pop_front() {
            return Some(Event::Mention(self.mention(task, candidate)));
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

    fn poll_end(&mut self) -> Option<Event> {
        if self.phase == Phase::Open || self.lines.iter().any(|line| !line.is_idle()) {
            return None;
        }
        if self.warn_about_vocabulary(1) {
            return self.poll_outbox();
        }
        self.phase = Phase::Ended;
        Some(Event::Done(Summary {
            received: self.intake.position(),
            words: self.intake.settled(),
            intake: self.intake.counts(),
            tasks: self.lines.iter().map(TaskLine::counts).collect(),
        }))
    }

    fn mention(&mut self, task: usize, candidate: Candidate) -> Mention {
        let ordinal = self.ordinals[task];
        self.ordinals[task] += 1;
        Mention {
            task,
            ordinal,
            label: candidate.label,
            score: candidate.score,
            range: self.intake.range(candidate.start, candidate.end),
            text: self.intake.text(candidate.start, candidate.end),
        }
    }

    fn cut_window(&mut self) -> bool {
        for (task, line) in self.lines.iter_mut().enumerate() {
            if let Some(cut) = line.cut(&self.plan.tasks[task], &self.intake) {
                let window = cut.number;
                self.ready.extend(
                    cut.inputs
                        .into_iter()
                        .enumerate()
                        .map(|(group, input)| (WindowId { task, window, group }, input)),
                );
                return true;
            }
        }
        false
    }

    /// Reads one step of what was handed in; false when there is nothing to read.
    fn read_step(&mut self) -> bool {
        // Mentions that wait were polled before, so nothing but the lines needs old words.
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
    fn close_text(&mut self, stop: fn(&mut TaskLine, u64)) -> Result<(), DocumentError> {
        let before = self.intake.settled();
        self.intake.close_word();
        // The word just closed may complete windows; they are cut first, and this is called again.
        if self.intake.settled() == before {
            self.inbox.pop_front();
            for line in &mut self.lines {
                stop(line, before);
            }
        }
        Ok(())
    }

    fn resolve(&mut self, id: WindowId, scores: &Scores) {
        self.in_flight -= 1;
        if self.is_over() {
            return;
        }
        let line = &mut self.lines[id.task];
        let plan = &self.plan.tasks[id.task];
        if let Err(error) = line.resolve(plan, (id.window, id.group), scores) {
            self.failure = Some(error.into());
            return;
        }
        let mentions = &mut self.mentions;
        while line.merge_next(&self.intake, &mut |mention| mentions.push_back((id.task, mention))) {
        }
        let counts = line.counts();
        if counts.candidates_dropped > 0 && self.told.candidates_dropped == 0 {
            self.warnings.push_back(Warning::CandidatesDropped);
        }
        if counts.clusters_forced > 0 && self.told.clusters_forced == 0 {
            self.warnings.push_back(Warning::ClusterForced);
        }
        // Summed over the tasks, so that each is told once a document.
        self.told.candidates_dropped += counts.candidates_dropped;
        self.told.clusters_forced += counts.clusters_forced;
    }

    fn warn_about_intake(&mut self) {
        let counts = self.intake.counts();
        if counts.words_cut > 0 && self.told.intake.words_cut == 0 {
            self.warnings.push_back(Warning::WordCut);
        }
        if counts.words_with_pieces_cut > 0 && self.told.intake.words_with_pieces_cut == 0 {
            self.warnings.push_back(Warning::WordPiecesCut);
        }
        self.told.intake = counts;
        self.warn_about_vocabulary(VOCABULARY_WORDS);
    }

    /// Judges the vocabulary once, as soon as `words_min` words are there.
    fn warn_about_vocabulary(&mut self, words_min: u64) -> bool {
        let words = self.intake.settled();
        if self.told.vocabulary || words < words_min {
            return false;
        }
        self.told.vocabulary = true;
        let unknown = self.intake.counts().unknown_words;
        let many = unknown * 100 > words * VOCABULARY_UNKNOWN_PERCENT;
        if many {
            self.warnings.push_back(Warning::OutsideVocabulary { unknown, words });
        }
        many
    }
}
