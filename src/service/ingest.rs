//! Messages of a request stream to inputs of a document: order, offsets and sizes are checked here.

use bytes::Bytes;

use super::models::Limits;
use super::refusal::{Refusal, Unexpected};
use crate::pipeline::event::Input;
use crate::wire;
use crate::wire::chunk::OptionalOffsetBytes;
use crate::wire::extract_stream_request::Kind;
use crate::wire::finish::OptionalTotalBytes;

/// What was received of a document so far.
#[derive(Debug)]
pub struct Ingest {
    chunk_bytes_max: usize,
    document_bytes_max: Option<u64>,
    received_bytes: u64,
    finished: bool,
}

impl Ingest {
    /// Nothing was received.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            chunk_bytes_max: limits.chunk_bytes_max,
            document_bytes_max: limits.document_bytes_max,
            received_bytes: 0,
            finished: false,
        }
    }

    /// Whether the document is complete.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Bytes accepted so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Takes the next message; `None` for a chunk that holds nothing new.
    ///
    /// # Errors
    /// A [`Refusal`] for a message that makes no sense where it stands.
    pub fn take(&mut self, message: wire::ExtractStreamRequest) -> Result<Option<Input>, Refusal> {
        if self.finished {
            return Err(Refusal::UnexpectedMessage(Unexpected::AfterFinish));
        }
        match message.kind {
            None => Err(Refusal::UnexpectedMessage(Unexpected::WithoutKind)),
            Some(Kind::Config(_)) => Err(Refusal::ConfigRepeated),
            Some(Kind::Chunk(chunk)) => self.chunk(chunk),
            Some(Kind::Flush(_)) => Ok(Some(Input::Flush)),
            Some(Kind::Finish(finish)) => self.finish(&finish).map(Some),
        }
    }

    /// What the end of the request stream means.
    ///
    /// # Errors
    /// tonic shows a client's reset as a clean end, so only `finish` ends a document.
    pub fn end(&self) -> Result<(), Refusal> {
        if self.finished {
            Ok(())
        } else {
            Err(Refusal::InputIncomplete { received_bytes: self.received_bytes })
        }
    }

    fn chunk(&mut self, chunk: wire::Chunk) -> Result<Option<Input>, Refusal> {
        let (bytes, max) = (chunk.data.len(), self.chunk_bytes_max);
        if bytes > max {
            return Err(Refusal::ChunkTooLarge { bytes, max });
        }
        let mut data: Bytes = chunk.data;
        if let Some(OptionalOffsetBytes::OffsetBytes(value)) = chunk.optional_offset_bytes {
            let offset_bytes =
                u64::try_from(value).map_err(|_negative| Refusal::OffsetNegative { value })?;
            let received_bytes = self.received_bytes;
            let known = received_bytes
                .checked_sub(offset_bytes)
                .ok_or(Refusal::ChunkGap { received_bytes, offset_bytes })?;
            // What was received before is dropped; a chunk wholly before is dropped whole.
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(data.len());
            data = data.slice(known..);
        }
        if data.is_empty() {
            return Ok(None);
        }
        self.received_bytes += data.len() as u64;
        match self.document_bytes_max {
            Some(max) if self.received_bytes > max => Err(Refusal::DocumentTooLarge { max }),
            _ => Ok(Some(Input::Bytes(data))),
        }
    }

    fn finish(&mut self, finish: &wire::Finish) -> Result<Input, Refusal> {
        let received_bytes = self.received_bytes;
        if let Some(OptionalTotalBytes::TotalBytes(total_bytes)) = finish.optional_total_bytes
            && u64::try_from(total_bytes) != Ok(received_bytes)
        {
            return Err(Refusal::TotalMismatch { received_bytes, total_bytes });
        }
        self.finished = true;
        Ok(Input::Finish)
    }
}
