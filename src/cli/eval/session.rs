//! What every evaluation does: read a file, ask a daemon about its texts, several at a time, and print a report.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Common;
use crate::cli::client::{InvalidUtf8, Refusal, Request, Server, Task, TaskKind};
use crate::cli::event::{Extracted, Warning};
use crate::cli::exit::{Failure, Kind};
use crate::cli::notes::{Notes, Talk};
use crate::cli::{Composition, Daemon, extract, print};
use crate::eval::data::DataError;
use crate::eval::prediction;

/// Texts that are asked about at once: enough for every worker of a small machine, few enough for a large model.
const TEXTS_AT_ONCE: usize = 8;
/// A longer text goes through a stream.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A key that lets a window hold all that the checkpoint can read, whatever it says is best for a task.
pub(super) const WHOLE_WINDOW: (&str, &str) = ("window.words_max", "1048576");

/// A daemon that is asked, and where the rest is said.
pub(super) struct Session<'a> {
    common: &'a Common,
    server: Server,
    /// Keeps a daemon of this process alive.
    _daemon: Option<Daemon>,
    notes: Notes,
    /// Warnings that were told.
    warned: BTreeSet<String>,
}

/// One text, and what is asked about it.
pub(super) struct Question {
    pub(super) text: String,
    pub(super) request: Request,
}

/// What came back for all texts.
pub(super) struct Reply {
    /// In the order of the texts.
    pub(super) results: Vec<Extracted>,
    /// From the first question to the last answer.
    pub(super) took: Duration,
}

impl Reply {
    /// Words a second, of a text that has so many: what is read twice counts once.
    pub(super) fn rate(&self, words: u64) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { float(words) / seconds } else { 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn float(count: u64) -> f64 {
    count as f64
}

impl<'a> Session<'a> {
    /// Connects, or starts a daemon in this process with keys set on top of what the flags say.
    pub(super) async fn open(
        common: &'a Common,
        composition: &Composition,
        keys: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let mut notes = Notes::new(if common.quiet { Talk::Quiet } else { Talk::Normal });
        let (target, daemon) =
            extract::target(&common.connect, &common.config, composition, (&mut notes, keys))
                .await?;
        let server = target.connect().await;
        let server = server.map_err(|refusal| refusal.into_failure(target.url()))?;
        Ok(Self { common, server, _daemon: daemon, notes, warned: BTreeSet::new() })
    }

    /// The model's threshold of a task, which the flag overrides.
    pub(super) async fn threshold(&self, task: &str) -> Result<f32, Failure> {
        if let Some(threshold) = self.common.threshold {
            return Ok(threshold);
        }
        let models = self.server.models().await.map_err(|refusal| self.failure(refusal))?;
        let thresholds = models.first().map(|model| &model.thresholds);
        thresholds.and_then(|all| all.get(task)).copied().ok_or_else(|| {
            let message = format!("the server tells no threshold for {task}: give --threshold");
            Failure::new(Kind::Refused, message)
        })
    }

    /// Asks all questions; the first refusal ends it.
    pub(super) async fn ask(&mut self, questions: Vec<Question>) -> Result<Reply, Failure> {
        self.notes.open_count(questions.len() as u64, "texts");
        let mut waiting: VecDeque<_> = questions.into_iter().enumerate().collect();
        let mut results: Vec<Option<Extracted>> = Vec::new();
        results.resize_with(waiting.len(), || None);
        let mut asked = JoinSet::new();
        let started = Instant::now();
        loop {
            while asked.len() < TEXTS_AT_ONCE
                && let Some((at, question)) = waiting.pop_front()
            {
                let server = self.server.clone();
                asked.spawn(async move { (at, ask_one(&server, question).await) });
            }
            let Some(answer) = asked.join_next().await else { break };
            let (at, answer) = answer.map_err(|error| Failure::from(anyhow::Error::new(error)))?;
            let extracted = answer.map_err(|refusal| self.failure(refusal))?;
            self.warn(&extracted);
            if let Some(place) = results.get_mut(at) {
                *place = Some(extracted);
            }
            self.notes.count_one();
        }
        self.notes.clear();
        let took = started.elapsed();
        Ok(Reply { results: results.into_iter().flatten().collect(), took })
    }

    /// Says once what may lower the scores of a run.
    fn warn(&mut self, extracted: &Extracted) {
        for Warning { reason, message } in &extracted.warnings {
            if self.warned.insert(reason.clone()) {
                self.notes.warn(&format!("{message} ({reason}; told once)"));
            }
        }
    }

    fn failure(&self, refusal: Refusal) -> Failure {
        refusal.into_failure(self.server.url())
    }
}

impl Common {
    /// Prints the report, and writes the predictions where they are asked for.
    pub(super) fn finish<R: Serialize, P: Serialize>(
        &self,
        report: &R,
        table: &str,
        predictions: &[P],
    ) -> Result<(), Failure> {
        if let Some(path) = &self.predictions {
            let lines = prediction::write(predictions).map_err(anyhow::Error::new)?;
            std::fs::write(path, lines).map_err(|error| {
                Failure::new(Kind::Failed, format!("cannot write {}: {error}", path.display()))
            })?;
        }
        if self.json {
            let json = serde_json::to_string(report).map_err(anyhow::Error::new)?;
            return print(&format!("{json}\n"));
        }
        print(table)
    }
}

async fn ask_one(server: &Server, question: Question) -> Result<Extracted, Refusal> {
    let Question { text, request } = question;
    if text.len() > TEXT_BYTES_MAX {
        return server.extract_document(text.as_bytes(), &request).await;
    }
    server.extract_text(text, &request).await
}

/// A request with one task.
pub(super) fn request(kind: TaskKind) -> Request {
    let tasks = vec![Task { id: "eval".to_owned(), kind }];
    Request { tasks, invalid_utf8: InvalidUtf8::Reject, interim: false }
}

/// Reads a file and its examples, at most as many as asked for.
pub(super) fn read<E>(
    path: &Path,
    limit: Option<usize>,
    parse: impl FnOnce(&str) -> Result<Vec<E>, DataError>,
) -> Result<Vec<E>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Kind::Input, format!("cannot read {shown}: {error}")))?;
    let mut examples =
        parse(&text).map_err(|error| Failure::new(Kind::Input, format!("{shown}: {error}")))?;
    examples.truncate(limit.unwrap_or(usize::MAX));
    Ok(examples)
}

/// The name of a file without its folder.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A range of the wire as the scorers count it.
pub(super) fn place([start, end]: [u64; 2]) -> (usize, usize) {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    (index(start), index(end))
}
