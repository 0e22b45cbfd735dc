//! P2 and P3 through the whole daemon: neither the number of workers nor other streams change a bit of a result.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::process::{Daemon, Extraction};

const FIXTURE: &str = "token_bert";
const LABELS: &str = "person,location,date:0.3";

/// The first pages of a book, cut at a line.
fn book() -> String {
    let book = std::fs::read_to_string("tests/data/frankenstein.txt").unwrap();
    let pages = book.get(..24_000).unwrap_or(&book);
    pages.rsplit_once('\n').unwrap().0.to_owned()
}

/// The results; the last line is left out, because it tells how long they took.
fn results(daemon: &Daemon) -> Vec<String> {
    let mut lines = daemon.extract(LABELS, |out| out.write_all(book().as_bytes()).unwrap()).lines();
    lines.retain(|line| line.starts_with(r#"{"type":"mention""#));
    lines
}

/// Streams of other text and labels, which go on until they are told to stop.
struct Traffic {
    is_over: Arc<AtomicBool>,
    streams: Vec<Extraction>,
}

impl Traffic {
    fn start(daemon: &Daemon) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let streams = ["ship", "river,mountain", "animal,animal name,feeling,weather"]
            .iter()
            .enumerate()
            .map(|(number, labels)| {
                let is_over = Arc::clone(&is_over);
                daemon.extract(labels, move |out| write_until(out, number, &is_over))
            })
            .collect();
        Self { is_over, streams }
    }

    /// Ends the streams and says how many results each had.
    fn stop(self) -> Vec<usize> {
        self.is_over.store(true, Ordering::Relaxed);
        self.streams.into_iter().map(|stream| stream.lines().len()).collect()
    }
}

fn write_until(out: &mut dyn Write, number: usize, is_over: &AtomicBool) {
    // Each from another place, so that windows of many lengths stand beside each other.
    let book = book();
    for line in book.lines().cycle().skip(97 * number) {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        out.write_all(line.as_bytes()).unwrap();
        out.write_all(b"\n").unwrap();
    }
}

#[test]
fn neither_workers_nor_other_streams_change_a_bit_of_a_result() {
    let cores = "compute.cores=2";
    let one = Daemon::start(FIXTURE, &[cores, "compute.workers=1"]);
    let alone = results(&one);
    assert!(alone.len() > 100, "{} results say little", alone.len());

    let traffic = Traffic::start(&one);
    assert_eq!(results(&one), alone, "one worker, beside other streams");
    assert!(traffic.stop().iter().all(|&results| results > 0));

    let two = Daemon::start(FIXTURE, &[cores, "compute.workers=2"]);
    assert_eq!(results(&two), alone, "two workers");
    let traffic = Traffic::start(&two);
    assert_eq!(results(&two), alone, "two workers, beside other streams");
    assert!(traffic.stop().iter().all(|&results| results > 0));
}
