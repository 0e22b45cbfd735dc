//! What a stream of results says, in plain types: the only form in which the rest of the command line sees the wire.

use std::fmt;
use std::time::Duration;

/// One final mention.
#[derive(Clone, PartialEq)]
pub(super) struct Mention {
    /// Task that asked.
    pub(super) task: String,
    /// Number within the task, from 0.
    pub(super) ordinal: u64,
    /// Label as asked for.
    pub(super) label: String,
    /// First index of the label in the request.
    pub(super) label_index: usize,
    /// Probability.
    pub(super) score: f32,
    /// Half-open range in bytes.
    pub(super) bytes: [u64; 2],
    /// Half-open range in code points.
    pub(super) chars: [u64; 2],
    /// Half-open range in UTF-16 code units; the server fills it when asked.
    pub(super) utf16: Option<[u64; 2]>,
    /// The text between.
    pub(super) text: String,
}

impl fmt::Debug for Mention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mention")
            .field("ordinal", &self.ordinal)
            .field("label_index", &self.label_index)
            .field("score", &self.score)
            .field("bytes", &self.bytes)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// The end of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// Bytes read.
    pub(super) received_bytes: u64,
    /// Words scored.
    pub(super) words: u64,
    /// Windows scored.
    pub(super) windows: u64,
    /// Results of all tasks.
    pub(super) results: u64,
    /// Invalid parts of the input that became U+FFFD.
    pub(super) replaced_invalid: u64,
    /// Limits that were reached, and how often.
    pub(super) limits: Vec<(String, u64)>,
    /// From the config to the end.
    pub(super) total: Duration,
    /// Time of the model alone, over all windows.
    pub(super) compute: Duration,
    /// What makes results comparable.
    pub(super) fingerprint: String,
}

/// One thing that the server said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The stream is accepted.
    Ready,
    /// Results, in order.
    Mentions(Vec<Mention>),
    /// Everything before this byte is final.
    Progress {
        /// Byte offset in the document.
        watermark: u64,
    },
    /// Something the caller should know.
    Warning {
        /// Stable word.
        reason: String,
        /// For people.
        message: String,
    },
    /// The end.
    Done(Done),
}
