//! P7 with a real model: what a daemon holds does not grow with a document.

use std::io::Write;

use crate::process::Daemon;

const MIB: usize = 1 << 20;
/// How much more a long document may cost than one of a megabyte.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// Words that the vocabulary of the fixtures has as one piece.
const WORDS: [&str; 8] = [
    "character",
    "perennial",
    "southern",
    "language",
    "something",
    "mountain",
    "consisting",
    "computer",
];

/// Writes `bytes` of mail with attachments: a fifth is prose, and the rest encoded lines. The fixtures read 28
/// words at once, so that much prose alone would take many minutes.
fn write_mail(out: &mut dyn Write, bytes: usize) {
    let attachment = "iVBORw0KGgoAAAANSUhEUgAAAmQAAAHrCAYAAACnaKmk".repeat(46);
    let mut written = 0;
    let mut number = 0;
    while written < bytes {
        let mut block = String::new();
        while block.len() < 2000 {
            number += 1;
            block.push_str(WORDS[number * number / 7 % WORDS.len()]);
            block.push_str(if number % 12 == 0 { ".\n" } else { " " });
        }
        // Letters and digits alone are one word, and no two of these are the same.
        for line in 0..4 {
            block.push_str(&format!("{attachment}{number}x{line}\n"));
        }
        out.write_all(block.as_bytes()).unwrap();
        written += block.len();
    }
}

/// The peak with a long document must be that with a short one, but for the allowance.
fn check(fixture: &str, long_bytes: usize) {
    let daemon = Daemon::start(fixture, &[]);
    let extract = |bytes: usize| {
        let lines = daemon.extract("person,location", move |out| write_mail(out, bytes)).lines();
        assert!(lines.last().is_some_and(|line| line.contains("\"done\"")), "no last line");
        daemon.peak_bytes()
    };
    let short = extract(MIB);
    let long = extract(long_bytes);
    assert!(
        long.saturating_sub(short) < GROWTH_BYTES_MAX,
        "{fixture}: {short} bytes with 1 MiB of text, {long} with {long_bytes} bytes"
    );
}

#[test]
fn twenty_megabytes_cost_no_more_memory_than_one() {
    check("token_bert_nornn", 20 * MIB);
}

#[test]
fn two_megabytes_through_a_recurrent_layer_cost_no_more_memory_than_one() {
    check("token_bert", 2 * MIB);
}
