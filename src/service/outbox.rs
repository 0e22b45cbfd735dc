//! Events that wait for their reader, grouped into messages and bounded in bytes.

use std::collections::VecDeque;
use std::mem;

use prost::Message as _;

use super::convert::event;
use crate::wire;
use crate::wire::event::Kind;

/// Messages to send, in order.
#[derive(Debug)]
pub struct Outbox {
    message_bytes_max: usize,
    held_bytes_max: usize,
    messages: VecDeque<wire::ExtractStreamResponse>,
    held_bytes: usize,
    /// Mentions that will share a message.
    group: Vec<wire::Mention>,
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
            group: Vec::new(),
            group_bytes: 0,
        }
    }

    /// Whether so much waits that nothing more is to be made.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held_bytes + self.group_bytes >= self.held_bytes_max
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.group.is_empty()
    }

    /// Adds a mention to the message that is being filled.
    pub fn mention(&mut self, mention: wire::Mention) {
        let bytes = mention.encoded_len() + 4;
        if self.group_bytes + bytes > self.message_bytes_max {
            self.close_group();
        }
        self.group_bytes += bytes;
        self.group.push(mention);
    }

    /// Adds any other event, behind the mentions before it.
    pub fn event(&mut self, kind: Kind) {
        self.close_group();
        let message = event(kind);
        self.held_bytes += message.encoded_len();
        self.messages.push_back(message);
    }

    /// Lets the mentions so far go as one message.
    pub fn close_group(&mut self) {
        if !self.group.is_empty() {
            self.held_bytes += mem::take(&mut self.group_bytes);
            let mentions = mem::take(&mut self.group);
            self.messages.push_back(event(Kind::Mentions(wire::Mentions { mentions })));
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
