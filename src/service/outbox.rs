//! Events that wait for their reader, grouped into messages and bounded in bytes.

use std::collections::VecDeque;
use std::mem;

use prost::Message as _;

use super::convert::event;
use super::results::Outcome;
use crate::wire;
use crate::wire::event::Kind;

/// Messages to send, in order.
#[derive(Debug)]
pub struct Outbox {
    message_bytes_max: usize,
    held_bytes_max: usize,
    messages: VecDeque<wire::ExtractStreamResponse>,
    held_bytes: usize,
    /// Results of one kind that will share a message.
    group: Option<Kind>,
    group_bytes: usize,
}

impl Outbox {
    /// Nothing waits.
    #[must_use]
    pub fn new(message_bytes_max: usize, held_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            held_bytes_max,
            messages: VecDeque::new(),
            held_bytes: 0,
            group: None,
            group_bytes: 0,
        }
    }

    /// Whether so much waits that nothing more is to be made.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held_bytes + self.group_bytes >= self.held_bytes_max
    }

    /// Bytes of results in one message at most.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.group.is_none()
    }

    /// Adds a result to the message that is being filled.
    pub fn result(&mut self, outcome: Outcome) {
        let bytes = outcome.encoded_len() + 4;
        if self.group_bytes + bytes > self.message_bytes_max {
            self.close_group();
        }
        let other = match &mut self.group {
            Some(group) => outcome.join(group),
            None => Some(outcome),
        };
        if let Some(outcome) = other {
            self.close_group();
            self.group = Some(outcome.into());
        }
        self.group_bytes += bytes;
    }

    /// Adds any other event, behind the results before it.
    pub fn event(&mut self, kind: Kind) {
        self.close_group();
        let message = event(kind);
        self.held_bytes += message.encoded_len();
        self.messages.push_back(message);
    }

    /// Lets the results so far go as one message.
    pub fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.held_bytes += mem::take(&mut self.group_bytes);
            self.messages.push_back(event(group));
        }
    }

    /// The next message to send.
    pub fn pop(&mut self) -> Option<wire::ExtractStreamResponse> {
        let message = self.messages.pop_front()?;
        // A group's size was estimated a few bytes off, which must not add up.
        self.held_bytes = if self.messages.is_empty() {
            0
        } else {
            self.held_bytes.saturating_sub(message.encoded_len())
        };
        Some(message)
    }
}
