//! One-shot extraction, written as plainly as possible: the whole text at once, no window, no cluster.

use std::sync::LazyLock;

use gleand::pipeline::schema::{LabelsPerSpan, Overlap};
use regex::Regex;

use crate::generate::{Ask, FAR, Script, WORD_BYTES_MAX};
use crate::toy::{ToyEncoder, cell, hash};
use gleand::pipeline::ports::Encoder;
use gleand::pipeline::words::{SplitWord, WordSplitter};

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+(?:[-_][\p{L}\p{N}_]+)*|[^\s\x1c-\x1f]").unwrap());

/// A mention as the oracle finds it: byte range in the input, label, score.
pub(crate) type Found = (u64, u64, u32, f32);

/// The words of one text: byte range in the input and the word.
pub(crate) fn split(bytes: &[u8]) -> Vec<(u64, u64, String)> {
    let mut text = String::new();
    // Where each byte of `text` stands in the input; an invalid part is one U+FFFD.
    let mut place = Vec::new();
    let mut at = 0u64;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        place.extend(at..at + chunk.valid().len() as u64);
        at += chunk.valid().len() as u64;
        if !chunk.invalid().is_empty() {
            text.push('\u{fffd}');
            place.extend([at; 3]);
            at += chunk.invalid().len() as u64;
        }
    }
    place.push(at);
    let mut words = Vec::new();
    for found in WORD.find_iter(&text) {
        let mut rest = found.as_str();
        let mut from = found.start();
        while !rest.is_empty() {
            let fit = (1..=rest.len().min(WORD_BYTES_MAX))
                .rev()
                .filter(|&n| rest.is_char_boundary(n))
                .find(|&n| WORD.find(&rest[..n]).is_some_and(|m| m.len() == n))
                .unwrap_or(rest.len());
            words.push((place[from], place[from + fit], rest[..fit].to_owned()));
            rest = &rest[fit..];
            from += fit;
        }
    }
    words
}

pub(crate) struct Truth {
    pub(crate) words: usize,
    pub(crate) mentions: Vec<Found>,
}

pub(crate) fn extract(script: &Script, ask: &Ask) -> Truth {
    extract_labels(script, ask, &["person", "date", "ship", "river"][..ask.labels])
}

/// The same for other names.
pub(crate) fn extract_labels(script: &Script, ask: &Ask, names: &[&str]) -> Truth {
    let mut truth = Truth { words: 0, mentions: Vec::new() };
    let mut from = 0;
    for &to in script.flushes.iter().chain([&script.bytes.len()]) {
        let words: Vec<_> = split(&script.bytes[from..to])
            .into_iter()
            .map(|(start, end, word)| (start + from as u64, end + from as u64, word))
            .collect();
        truth.words += words.len();
        truth.mentions.extend(select(candidates(&words, names), ask));
        from = to;
    }
    truth
}

fn candidates(words: &[(u64, u64, String)], names: &[&str]) -> Vec<(usize, usize, u32, f32)> {
    let cells: Vec<Vec<[f32; 3]>> = words
        .iter()
        .map(|(_, _, word)| {
            let pieces = ToyEncoder.pieces(word);
            (0..names.len())
                .map(|label| {
                    let name =
                        hash(ToyEncoder.pieces(names[label]).iter().flat_map(|p| p.to_le_bytes()));
                    cell(&pieces, name, 0)
                })
                .collect()
        })
        .collect();
    let mut found = Vec::new();
    for start in 0..words.len() {
        for label in 0..names.len() {
            for end in start..words.len() {
                let inside = cells[start..=end].iter().map(|c| c[label][2]).fold(1.0, f32::min);
                if inside < 0.5 {
                    break;
                }
                let (s, e) = (cells[start][label][0], cells[end][label][1]);
                if s > 0.5 && e > 0.5 {
                    found.push((start, end, label as u32, inside.min(s).min(e)));
                }
            }
        }
    }
    found
        .into_iter()
        .map(|(start, end, label, score)| {
            (words[start].0 as usize, words[end].1 as usize, label, score)
        })
        .collect()
}

/// The reference's greedy selection over everything at once; ranges are bytes.
fn select(mut found: Vec<(usize, usize, u32, f32)>, ask: &Ask) -> Vec<Found> {
    found.sort_by(|a, b| b.3.total_cmp(&a.3));
    let mut kept: Vec<(usize, usize, u32, f32)> = Vec::new();
    for c in found {
        let conflict = kept.iter().any(|k| {
            let equal = (k.0, k.1) == (c.0, c.1);
            let apart = k.1 <= c.0 || c.1 <= k.0;
            let inside = k.0 <= c.0 && c.1 <= k.1 || c.0 <= k.0 && k.1 <= c.1;
            match (ask.overlap, ask.labels_per_span) {
                (_, LabelsPerSpan::Many) if equal => false,
                (_, LabelsPerSpan::One) if equal => true,
                (Overlap::Flat, _) => !apart,
                (Overlap::Nested, _) => !apart && !inside,
            }
        });
        if !conflict {
            kept.push(c);
        }
    }
    kept.sort_by_key(|k| k.0);
    kept.into_iter().map(|(s, e, label, score)| (s as u64, e as u64, label, score)).collect()
}

/// An argument as the oracle finds it: byte range in the input, label.
pub(crate) type Argument = (u64, u64, u32);

/// Every pair of a head of label 0 and a tail in one relation, by the start of the pair, the head and the tail: the head
/// is the nearest of its text, and at most `distance` words lie between.
pub(crate) fn relations(
    script: &Script,
    ask: &Ask,
    names: &[&str],
    relation: &str,
    distance: usize,
) -> Vec<[Argument; 2]> {
    let words = split(&script.bytes);
    let place = |byte: u64, at: fn(&(u64, u64, String)) -> u64| {
        words.iter().position(|word| at(word) == byte).unwrap()
    };
    let arguments = extract_labels(script, ask, names).mentions;
    // First word, the word after the last one, text, and the argument.
    let arguments: Vec<(usize, usize, String, Argument)> = arguments
        .iter()
        .map(|&(start, end, label, _)| {
            let text =
                String::from_utf8_lossy(&script.bytes[start as usize..end as usize]).into_owned();
            let (first, end_word) = (place(start, |w| w.0), place(end, |w| w.1) + 1);
            // Blanks that are not kept are one blank to the model.
            let spelled = words[first..end_word].iter().map(|word| word.2.as_str());
            let text =
                if text.contains(FAR) { spelled.collect::<Vec<_>>().join(" ") } else { text };
            (first, end_word, text, (start, end, label))
        })
        .collect();
    let gap = |a: (usize, usize), b: (usize, usize)| a.0.checked_sub(b.1).or(b.0.checked_sub(a.1));
    let mut pairs = Vec::new();
    for tail in &arguments {
        let mut texts: Vec<&String> = arguments.iter().map(|argument| &argument.2).collect();
        texts.sort();
        texts.dedup();
        for text in texts {
            let heads = arguments.iter().filter(|head| head.3.2 == 0 && head.2 == *text);
            let near = heads
                .filter_map(|head| Some((gap((head.0, head.1), (tail.0, tail.1))?, head.0, head)));
            let Some((gap, _, head)) = near.min_by_key(|(gap, start, _)| (*gap, *start)) else {
                continue;
            };
            let label = format!("{text} <> {relation}");
            let name = hash(ToyEncoder.pieces(&label).iter().flat_map(|p| p.to_le_bytes()));
            let cells =
                words[tail.0..tail.1].iter().map(|word| cell(&ToyEncoder.pieces(&word.2), name, 0));
            let cells: Vec<[f32; 3]> = cells.collect();
            let over = cells[0][0] > 0.5 && cells[cells.len() - 1][1] > 0.5;
            if gap <= distance && over && cells.iter().all(|cell| cell[2] >= 0.5) {
                pairs.push((head.0.min(tail.0), [head.3, tail.3]));
            }
        }
    }
    pairs.sort();
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// A span of a summary: byte range in the input, score.
pub(crate) type Summed = (u64, u64, f32);

/// The summary of the whole text: spans of the label `summary`, widened to the sentences that they touch, and of those
/// the best that have at most `words_max` words together.
pub(crate) fn summary(
    script: &Script,
    ask: &Ask,
    whole_sentences: bool,
    words_max: usize,
) -> Vec<Summed> {
    let mut summed: Vec<(Summed, usize)> = Vec::new();
    let mut from = 0;
    for &to in script.flushes.iter().chain([&script.bytes.len()]) {
        let words = borders(&script.bytes[from..to]);
        let part = Script { bytes: script.bytes[from..to].to_vec(), flushes: Vec::new() };
        let mut spans: Vec<(usize, usize, f32)> = Vec::new();
        for (start, end, _, score) in extract_labels(&part, ask, &["summary"]).mentions {
            let mut first = words.iter().position(|word| word.0 == start).unwrap();
            let mut last = words.iter().position(|word| word.1 == end).unwrap() + 1;
            if whole_sentences {
                while first > 0 && !words[first].2 {
                    first -= 1;
                }
                while last < words.len() && !words[last].2 {
                    last += 1;
                }
            }
            match spans.last_mut() {
                Some(open) if first < open.1 => *open = (open.0, last, open.2.max(score)),
                _ => spans.push((first, last, score)),
            }
        }
        summed.extend(spans.into_iter().map(|(first, last, score)| {
            let range = (words[first].0 + from as u64, words[last - 1].1 + from as u64);
            ((range.0, range.1, score), last - first)
        }));
        from = to;
    }
    if words_max == 0 {
        return summed.into_iter().map(|(span, _)| span).collect();
    }
    summed.retain(|(_, words)| *words <= words_max);
    summed.sort_by(|a, b| b.0.2.total_cmp(&a.0.2));
    let mut room = words_max;
    let fit = summed.iter().take_while(|(_, words)| match room.checked_sub(*words) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    let mut kept: Vec<Summed> = fit.map(|(span, _)| *span).collect();
    kept.sort_by_key(|span| span.0);
    kept
}

/// Words of a text as the pipeline's splitter sees all of it at once: byte range, and whether a sentence ends before.
fn borders(bytes: &[u8]) -> Vec<(u64, u64, bool)> {
    let mut splitter = WordSplitter::new(WORD_BYTES_MAX as u64);
    let (mut kept, mut words) = (String::new(), Vec::new());
    for chunk in bytes.utf8_chunks() {
        splitter.push(chunk.valid(), &mut kept, &mut |word| words.push(word));
        if !chunk.invalid().is_empty() {
            let invalid = chunk.invalid().len() as u64;
            splitter.push_replacement(invalid, &mut kept, &mut |word| words.push(word));
        }
    }
    splitter.close(&mut |word| words.push(word));
    let place =
        |word: &SplitWord| (word.range.start.bytes, word.range.end.bytes, word.border_before);
    words.iter().map(place).collect()
}
