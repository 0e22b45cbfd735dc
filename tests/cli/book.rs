//! A real book through the whole line: the command with its own daemon and the model in the binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::command::{TempFile, gleand, run};

const BOOK: &[u8] = include_bytes!("../data/frankenstein.txt");
const PART_BYTES: usize = 40_000;
/// Fits one window of the model.
const WINDOW_BYTES: usize = 300;
const BYTES_PER_SECOND: usize = 2_000;
/// A chunk every tenth of a second.
const CHUNKS_PER_SECOND: usize = 10;

/// The tests of this file measure time or use every core: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn extract_from_a_pipe() -> (Child, ChildStdin) {
    let mut child =
        gleand(&["extract", "--labels", "person,location,date", "--format", "jsonl", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// What a reader of the output saw.
struct Seen {
    /// Bytes that were written when the first mention came.
    written_at_first: usize,
    last_mention: Instant,
    mentions: usize,
    done: serde_json::Value,
}

/// How long a document of one nearly full window takes.
fn window_time() -> Duration {
    let file = TempFile::new("window.txt", &BOOK[PART_BYTES..PART_BYTES + WINDOW_BYTES]);
    let ended =
        run(&["extract", "--labels", "person,location,date", "--format", "jsonl", file.path()]);
    let done: serde_json::Value =
        serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(done["windows"], 1, "{done}");
    Duration::from_millis(done["total_ms"].as_u64().unwrap())
}

fn watch(child: &mut Child, written: &AtomicUsize) -> Seen {
    let mut seen = Seen {
        written_at_first: usize::MAX,
        last_mention: Instant::now(),
        mentions: 0,
        done: serde_json::Value::Null,
    };
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["type"] == "mention" {
            seen.written_at_first = seen.written_at_first.min(written.load(Ordering::SeqCst));
            seen.last_mention = Instant::now();
            seen.mentions += 1;
        }
        seen.done = line;
    }
    seen
}

#[test]
fn a_slow_pipe_gets_its_first_mention_early_and_its_last_one_at_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let window_time = window_time();
    let (mut child, mut stdin) = extract_from_a_pipe();
    let written = AtomicUsize::new(0);
    let (ended, seen) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for chunk in BOOK[..PART_BYTES].chunks(BYTES_PER_SECOND / CHUNKS_PER_SECOND) {
                stdin.write_all(chunk).unwrap();
                written.fetch_add(chunk.len(), Ordering::SeqCst);
                // The pace of the input, not a wait for something to happen.
                std::thread::sleep(
                    Duration::from_secs(1) / u32::try_from(CHUNKS_PER_SECOND).unwrap(),
                );
            }
            drop(stdin);
            Instant::now()
        });
        let seen = watch(&mut child, &written);
        (writer.join().unwrap(), seen)
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(
        (&seen.done["type"], &seen.done["received_bytes"]),
        (&"done".into(), &PART_BYTES.into())
    );
    assert!(seen.written_at_first < 8_000, "first mention after {} bytes", seen.written_at_first);
    let delay = seen.last_mention.saturating_duration_since(ended);
    let figures = format!(
        "{} mentions; a window takes {window_time:?}; first after {} bytes, last {delay:?} after the end",
        seen.mentions, seen.written_at_first
    );
    // Figures for the log of the run, also when they are good.
    writeln!(std::io::stderr(), "{figures}").unwrap();
    // A window of few words takes less than a busy machine may keep a process waiting.
    assert!(delay <= 2 * window_time.max(Duration::from_millis(150)), "{figures}");
}

#[test]
fn known_people_and_places_of_the_book_are_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let file = TempFile::new("part.txt", &BOOK[..PART_BYTES]);
    let ended = run(&["extract", "--labels", "person,location,date", file.path()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    for line in ended.stdout.lines() {
        let columns: Vec<&str> = line.splitn(5, '\t').collect();
        let (start, end): (usize, usize) =
            (columns[0].parse().unwrap(), columns[1].parse().unwrap());
        let text = std::str::from_utf8(&BOOK[start..end])
            .unwrap()
            .replace("\r\n", "\n")
            .replace('\n', "\\n");
        assert_eq!(columns[4], text);
    }
    for found in ["\tperson\t", "\tlocation\t", "\tdate\t", "\tSt. Petersburgh"] {
        assert!(ended.stdout.contains(found), "{found}");
    }
}
