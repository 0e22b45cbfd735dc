//! Text that was read and is not printed yet: the terminal view shows it once it is final.
//!
//! The reading half appends, the printing half takes from the front; both run in one task. At most
//! [`HELD_BYTES_MAX`] are held: past that reading waits until the server has decided about more.

use std::cell::RefCell;

use tokio::sync::Notify;

/// Far more than a server needs to decide about the oldest byte: a few windows, and its socket buffers.
const HELD_BYTES_MAX: usize = 16 << 20;

/// The held text of one document.
#[derive(Debug, Default)]
pub(super) struct HeldText {
    inner: RefCell<Inner>,
    taken: Notify,
}

#[derive(Default)]
struct Inner {
    /// Offset of the first held byte in the document.
    start: u64,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("start", &self.start)
            .field("held_bytes", &self.bytes.len())
            .finish()
    }
}

impl HeldText {
    /// Appends a chunk, once there is room. A document that is read again gives its text again: what is known is left out.
    pub(super) async fn push_at(&self, offset: u64, chunk: &[u8]) {
        while self.inner.borrow().bytes.len() >= HELD_BYTES_MAX {
            self.taken.notified().await;
        }
        let mut inner = self.inner.borrow_mut();
        let end = inner.start + inner.bytes.len() as u64;
        let known = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        inner.bytes.extend_from_slice(chunk.get(known..).unwrap_or_default());
    }

    /// Forgets everything: the document is shown anew from its start.
    pub(super) fn clear(&self) {
        *self.inner.borrow_mut() = Inner::default();
        self.taken.notify_one();
    }

    /// Takes the text before `limit`, a byte offset of the document, with the offset at which it starts.
    ///
    /// Never cuts a code point or a CR LF: then a few bytes less are taken.
    pub(super) fn take_before(&self, limit: u64) -> (u64, Vec<u8>) {
        let mut inner = self.inner.borrow_mut();
        let start = inner.start;
        let wanted = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
        let count = whole_prefix(&inner.bytes, wanted);
        let taken: Vec<u8> = inner.bytes.drain(..count).collect();
        inner.start += taken.len() as u64;
        self.taken.notify_one();
        (start, taken)
    }

    /// Takes all that is left.
    pub(super) fn take_rest(&self) -> (u64, Vec<u8>) {
        let mut inner = self.inner.borrow_mut();
        let start = inner.start;
        let taken = std::mem::take(&mut inner.bytes);
        inner.start += taken.len() as u64;
        (start, taken)
    }
}

/// The longest prefix of at most `wanted` bytes that ends between characters.
fn whole_prefix(bytes: &[u8], wanted: usize) -> usize {
    let mut count = wanted.min(bytes.len());
    let is_continuation =
        |at: usize| bytes.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    let floor = count.saturating_sub(3);
    while count > floor && is_continuation(count) {
        count -= 1;
    }
    let ends_in_return = count.checked_sub(1).is_some_and(|last| bytes.get(last) == Some(&b'\r'));
    count - usize::from(ends_in_return)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl HeldText {
        /// Appends a chunk behind everything.
        pub(in crate::cli) async fn push(&self, chunk: &[u8]) {
            let end = {
                let inner = self.inner.borrow();
                inner.start + inner.bytes.len() as u64
            };
            self.push_at(end, chunk).await;
        }
    }

    #[tokio::test]
    async fn text_that_is_read_again_is_held_once() {
        let held = HeldText::default();
        held.push_at(0, b"abcd").await;
        assert_eq!(held.take_before(2), (0, b"ab".to_vec()));
        for chunk in [(0, "abc"), (3, "de"), (5, ""), (0, "abcdef")] {
            held.push_at(chunk.0, chunk.1.as_bytes()).await;
        }
        assert_eq!(held.take_rest(), (2, b"cdef".to_vec()));
        held.clear();
        held.push_at(0, b"xy").await;
        assert_eq!(held.take_rest(), (0, b"xy".to_vec()));
    }

    #[tokio::test]
    async fn gives_back_what_was_read_and_cuts_no_character() {
        let held = HeldText::default();
        held.push("aé".as_bytes()).await;
        held.push("漢\r\nx".as_bytes()).await;
        assert_eq!(held.take_before(2), (0, b"a".to_vec()), "inside é");
        assert_eq!(held.take_before(7), (1, "é漢".as_bytes().to_vec()), "between CR and LF");
        assert_eq!(held.take_before(8), (6, b"\r\n".to_vec()));
        assert_eq!(held.take_before(8), (8, Vec::new()), "nothing new");
        assert_eq!(held.take_before(3), (8, Vec::new()), "already taken");
        assert_eq!(held.take_rest(), (8, b"x".to_vec()));
    }

    #[tokio::test]
    async fn a_full_store_makes_the_reader_wait_until_text_is_taken() {
        let held = HeldText::default();
        held.push(&vec![b'x'; HELD_BYTES_MAX]).await;
        let more = held.push(b"y");
        tokio::pin!(more);
        tokio::select! {
            biased;
            () = &mut more => panic!("there was no room"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(held.take_before(10).1.len(), 10);
        more.await;
        assert_eq!(held.take_rest().1.len(), HELD_BYTES_MAX - 9);
    }
}
