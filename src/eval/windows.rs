//! Windows that are made outside of the daemon, to compare its rule with what others do.

use super::prediction::Found;
use super::text::ByteRange;
use crate::pipeline::words::{SplitWord, split};

/// The words of a text as the daemon splits it.
#[must_use]
pub fn words(text: &str) -> Vec<ByteRange> {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let range = |word: SplitWord| ByteRange {
        start: index(word.range.start.bytes),
        end: index(word.range.end.bytes),
    };
    split(text).into_iter().map(range).collect()
}

/// Windows of `window` words, each starting `window - overlap` words behind the one before; the last is shorter.
#[must_use]
pub fn cut(words: &[ByteRange], window: usize, overlap: usize) -> Vec<ByteRange> {
    let step = window.saturating_sub(overlap).max(1);
    let mut windows = Vec::new();
    for start in (0..words.len()).step_by(step) {
        let end = words.len().min(start + window.max(1));
        if let (Some(first), Some(last)) = (words.get(start), words.get(end - 1)) {
            windows.push(ByteRange { start: first.start, end: last.end });
        }
        if end == words.len() {
            break;
        }
    }
    windows
}

/// Joins what was found in overlapping windows: by falling score, each stays unless it shares a byte with one before.
#[must_use]
pub fn best(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.span.cmp(&b.span)));
    let mut kept: Vec<Found> = Vec::new();
    // By start: only neighbours can share a byte with a new one, since those kept share none.
    for found in found {
        let at = kept.partition_point(|kept| kept.span.start < found.span.start);
        let before = at.checked_sub(1).and_then(|at| kept.get(at));
        let clear_before = before.is_none_or(|kept| kept.span.end <= found.span.start);
        let clear_after = kept.get(at).is_none_or(|kept| kept.span.start >= found.span.end);
        if clear_before && clear_after {
            kept.insert(at, found);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::text::Span;

    #[test]
    fn windows_cover_all_words_and_overlap_as_asked() {
        let text = "a b c, d e";
        let words = words(text);
        let shown = |overlap| {
            let windows = cut(&words, 3, overlap);
            windows.iter().filter_map(|window| window.of(text)).collect::<Vec<_>>()
        };
        assert_eq!(shown(0), ["a b c", ", d e"]);
        assert_eq!(shown(1), ["a b c", "c, d", "d e"]);
        assert!(cut(&[], 3, 0).is_empty());
    }

    #[test]
    fn the_best_of_what_shares_bytes_stays() {
        let found = |start, end, score| Found {
            span: Span::new(ByteRange { start, end }, "x".to_owned()),
            score,
        };
        let kept =
            best(vec![found(0, 4, 0.5), found(2, 6, 0.9), found(6, 8, 0.6), found(2, 6, 0.8)]);
        assert_eq!(kept, [found(2, 6, 0.9), found(6, 8, 0.6)]);
    }
}
