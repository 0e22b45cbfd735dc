//! A server that is full, stops or breaks: what is sent anew, what is printed then, and when it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::ops::RangeInclusive;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::command::{Ended, TempFile, gleand, run, run_with_input};
use super::stub::{Behaviour, Stub};
use super::terminal::on_a_terminal;

const FULL: Behaviour = Behaviour::RefuseFor(
    Code::ResourceExhausted,
    "QUEUE_FULL",
    Some(Duration::from_millis(150)),
    Some("1"),
);

fn text() -> String {
    "😀 Ann and Bob met. ".repeat(40)
}

/// Runs on a file with the text, in small chunks.
fn extract(stub: &Stub, name: &str, more: &[&str]) -> Ended {
    let file = TempFile::new(name, text().as_bytes());
    let url = stub.url();
    let arguments =
        [&["extract", "--server", &url, "--labels", "Ann,Bob", "--chunk-bytes", "16"], more]
            .concat();
    run(&[arguments.as_slice(), &[file.path()]].concat())
}

fn undisturbed(name: &str, more: &[&str]) -> String {
    let ended = extract(&Stub::start(Behaviour::Find), name, more);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    ended.stdout
}

#[test]
fn what_was_refused_is_sent_again_when_the_server_says() {
    let expected = undisturbed("refused.txt", &[]);
    let stub = Stub::in_turn(&[FULL, FULL, Behaviour::Find]);
    let started = Instant::now();
    let ended = extract(&stub, "refused.txt", &[]);
    assert_eq!((ended.code, &ended.stdout), (0, &expected), "{ended:?}");
    assert!(started.elapsed() >= Duration::from_millis(300), "RetryInfo goes before the trailer");
    assert_eq!(stub.streams(), 3);
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{ended:?}");
    assert!(told[0].contains("not now (QUEUE_FULL); attempt 2 of 4 in 0."), "{ended:?}");
    assert!(told[1].contains("attempt 3 of 4"), "{ended:?}");
    let quiet = Stub::in_turn(&[FULL, Behaviour::Find]);
    assert_eq!(extract(&quiet, "refused.txt", &["--quiet"]).stderr, "");
}

#[test]
fn a_document_that_is_cut_goes_on_without_a_result_twice_or_missing() {
    for format in ["text", "jsonl"] {
        let more = ["--format", format];
        let expected = undisturbed("cut.txt", &more);
        for reason in ["DRAINING", "WARMING_UP"] {
            let stub = Stub::in_turn(&[
                Behaviour::Cut(100, reason),
                Behaviour::Cut(60, reason),
                Behaviour::Cut(300, reason),
                Behaviour::Find,
            ]);
            let ended = extract(&stub, "cut.txt", &more);
            let lines = ended.stdout.lines().filter(|line| !line.contains("\"warning\""));
            let found: String = lines.map(|line| format!("{line}\n")).collect();
            assert_eq!((ended.code, &found), (0, &expected), "{reason}: {ended:?}");
            assert_eq!(stub.streams(), 4);
        }
    }
}

#[test]
fn what_another_model_found_is_discarded() {
    let stub = || Stub::in_turn(&[Behaviour::Cut(100, "DRAINING"), Behaviour::FindAs("abcd")]);
    let expected = undisturbed("other.txt", &[]);
    let ended = extract(&stub(), "other.txt", &["--quiet"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.starts_with("discard what was printed until now"), "{ended:?}");
    let void = ended.stdout.strip_suffix(&expected).unwrap();
    assert!(!void.is_empty() && expected.starts_with(void), "{ended:?}");

    let json = extract(&stub(), "other.txt", &["--format", "jsonl"]);
    let (void, valid) = json.stdout.split_once("\"discard\":true}\n").unwrap();
    assert!(void.contains("\"ordinal\":0") && valid.contains("\"ordinal\":0"), "{json:?}");
    let expected = undisturbed("other.txt", &["--format", "jsonl"]).replace("00ff", "abcd");
    assert_eq!(valid, expected);

    let unseen = Stub::in_turn(&[Behaviour::Cut(1, "DRAINING"), Behaviour::FindAs("abcd")]);
    let file = TempFile::new("unseen.txt", b"nobody is here, but then comes Ann");
    let url = unseen.url();
    let ended = run(&["extract", "-s", &url, "-l", "Ann", "--chunk-bytes", "8", file.path()]);
    assert_eq!((ended.code, unseen.streams()), (0, 2), "{ended:?}");
    assert!(!ended.stderr.contains("discard"), "nothing was printed: {ended:?}");
}

#[test]
fn a_page_starts_again_with_another_model_and_goes_on_with_the_same() {
    let file = TempFile::new("page.txt", "Ann met Bob. ".repeat(20).as_bytes());
    let page = |second: Behaviour| {
        let stub = Stub::in_turn(&[Behaviour::Cut(100, "DRAINING"), second]);
        let url = stub.url();
        let arguments =
            ["extract", "--server", &url, "--labels", "Ann", "--chunk-bytes", "16", "--quiet"];
        let arguments = [&arguments[..], &["--color", "never", file.path()]].concat();
        on_a_terminal(&arguments, &[])
    };
    let whole = format!("{}\n", "{Ann}[Ann] met Bob. ".repeat(20));
    assert_eq!(page(Behaviour::Find), whole);
    let anew = page(Behaviour::FindAs("abcd"));
    assert!(anew.contains("\ndiscard what was printed until now"), "{anew}");
    assert!(anew.starts_with("{Ann}[Ann] met") && anew.ends_with(&format!("\n{whole}")), "{anew}");
}

#[test]
fn four_attempts_are_enough() {
    let stub = Stub::start(FULL);
    let ended = extract(&stub, "full.txt", &[]);
    assert_eq!((ended.code, stub.streams()), (4, 4), "{ended:?}");
    assert!(ended.stderr.ends_with("; gave up after 4 attempts\n"), "{ended:?}");
    let nobody = format!("http://127.0.0.1:{}", stub.port());
    drop(stub);
    let ended = run(&["extract", "--server", &nobody, "--labels", "Ann", "Cargo.toml"]);
    assert_eq!(ended.code, 4);
    assert_eq!(ended.stderr.matches("warning: cannot reach").count(), 3, "{ended:?}");
    assert!(
        ended.stderr.contains("error: cannot reach") && ended.stderr.contains("gave up"),
        "{ended:?}"
    );
}

#[test]
fn what_another_attempt_cannot_help_is_tried_once() {
    let refuse = |code, reason, pushback| Behaviour::RefuseFor(code, reason, None, pushback);
    for (behaviour, code) in [
        (refuse(Code::ResourceExhausted, "RESULT_TOO_LARGE", None), 4),
        (refuse(Code::InvalidArgument, "LABELS_EMPTY", None), 2),
        (refuse(Code::Aborted, "IDLE_TIMEOUT", None), 1),
        (refuse(Code::Unavailable, "DRAINING", Some("-1")), 4),
    ] {
        let stub = Stub::start(behaviour.clone());
        let ended = extract(&stub, "once.txt", &[]);
        assert_eq!((ended.code, stub.streams()), (code, 1), "{behaviour:?}: {ended:?}");
        assert!(!ended.stderr.contains("attempt"), "{ended:?}");
    }
}

#[test]
fn a_pipe_that_was_not_sent_yet_waits_for_a_server() {
    let stub = Stub::in_turn(&[FULL, FULL, Behaviour::Find]);
    let url = stub.url();
    let ended = run_with_input(&["extract", "--server", &url, "--labels", "Ann", "-"], b"an Ann");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "3\t6\tAnn\t0.5000\tAnn\n"), "{ended:?}");
    assert_eq!(stub.streams(), 3);
}

#[test]
fn a_file_on_standard_input_is_sent_again() {
    let stub = Stub::in_turn(&[Behaviour::Cut(4, "DRAINING"), Behaviour::Find]);
    let file = TempFile::new("stdin.txt", b"Ann and Ann");
    let url = stub.url();
    let mut command =
        gleand(&["extract", "--server", &url, "-l", "Ann", "--chunk-bytes", "4", "-"]);
    let input = std::fs::File::open(file.path()).unwrap();
    let ended = super::command::ended(command.stdin(input).output().unwrap());
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "0\t3\tAnn\t0.5000\tAnn\n8\t11\tAnn\t0.5000\tAnn\n"),
        "{ended:?}"
    );
}

/// Types what a pipe gives one write at a time, so that each is read alone: after each come the lines that it makes, so
/// many on stdout and so many on stderr.
fn type_into(stub: &Stub, more: &[&str], writes: &[(&str, usize, usize)]) -> Ended {
    let url = stub.url();
    let arguments =
        [&["extract", "--server", &url, "--labels", "Ann,Bo=Bo"], more, &["-"]].concat();
    let mut child = gleand(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut told, mut said) = (String::new(), String::new());
    for (text, results, notes) in writes {
        stdin.write_all(text.as_bytes()).unwrap();
        for _ in 0..*results {
            stdout.read_line(&mut told).unwrap();
        }
        for _ in 0..*notes {
            stderr.read_line(&mut said).unwrap();
        }
    }
    drop(stdin);
    stdout.read_to_string(&mut told).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let ended = super::command::ended(child.wait_with_output().unwrap());
    Ended { stdout: told, stderr: said, ..ended }
}

#[test]
fn a_pipe_goes_on_with_another_server_where_the_first_one_stops() {
    let stub = Stub::in_turn(&[Behaviour::Drain(12), FULL, Behaviour::Drain(7), Behaviour::Find]);
    // The last word of each write is held back, until it is known where it ends.
    let writes = [("😀é Ann A", 1, 0), ("nn 😀 B", 1, 1), ("o Ann ", 2, 3), ("Bo\n", 1, 1)];
    let ended = type_into(&stub, &[], &writes);
    let line = |start: u64, label: &str| {
        format!("{start}\t{}\t{label}\t0.5000\t{label}\n", start + label.len() as u64)
    };
    let expected: String = [(7, "Ann"), (11, "Ann"), (20, "Bo"), (23, "Ann"), (27, "Bo")]
        .map(|(at, label)| line(at, label))
        .concat();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, expected.as_str()), "{ended:?}");
    assert_eq!(ended.stderr.matches("is read as a document of its own").count(), 2, "{ended:?}");
    assert_eq!(stub.streams(), 4);
}

#[test]
fn parts_are_told_in_json_lines_and_end_once() {
    let stub = Stub::in_turn(&[Behaviour::Drain(7), Behaviour::FindAs("abcd")]);
    let ended = type_into(&stub, &["--format", "jsonl"], &[("😀 Ann ", 2, 0), ("Ann", 0, 0)]);
    let lines: Vec<&str> =
        ended.stdout.lines().filter(|line| !line.contains("\"warning\"")).collect();
    assert_eq!(
        lines,
        [
            r#"{"type":"mention","document":"-","task":"entities","ordinal":0,"label":"Ann","score":0.5,"bytes":[5,8],"chars":[2,5],"utf16":[3,6],"text":"Ann"}"#,
            r#"{"type":"part","document":"-","part":2,"bytes":9,"chars":6,"utf16":7,"fingerprint":"abcd"}"#,
            r#"{"type":"mention","document":"-","task":"entities","ordinal":1,"label":"Ann","score":0.5,"bytes":[9,12],"chars":[6,9],"utf16":[7,10],"text":"Ann"}"#,
            r#"{"type":"done","document":"-","received_bytes":12,"words":14,"windows":2,"results":2,"replaced_invalid":0,"limits":{},"total_ms":0,"fingerprint":"abcd"}"#,
        ],
        "{ended:?}"
    );
    assert_eq!(ended.code, 0);
}

#[test]
fn a_pipe_that_is_cut_is_an_error_that_says_so() {
    let stub = Stub::in_turn(&[Behaviour::Cut(4, "WARMING_UP"), Behaviour::Find]);
    let url = stub.url();
    let ended =
        run_with_input(&["extract", "--server", &url, "--labels", "Ann", "-"], b"Ann Ann Ann");
    assert_eq!((ended.code, stub.streams()), (4, 1), "{ended:?}");
    assert!(ended.stderr.contains("was sent and cannot be read twice"), "{ended:?}");
}

#[test]
fn the_timeout_ends_all_attempts() {
    let check = |behaviour: Behaviour, streams: RangeInclusive<usize>, said: &str| {
        let stub = Stub::start(behaviour);
        let started = Instant::now();
        let ended = extract(&stub, "late.txt", &["--timeout", "0.4"]);
        assert!(ended.code == 4 && streams.contains(&stub.streams()), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    };
    check(Behaviour::Stall, 1..=1, "the document was not done within 0.4 s (--timeout)");
    // The time may end while an attempt waits or while it runs.
    check(FULL, 1..=3, "--timeout");
    let late = Some(Duration::from_secs(60));
    let busy = Behaviour::RefuseFor(Code::Unavailable, "DRAINING", late, None);
    check(busy, 1..=1, "--timeout leaves no time for another attempt");
    for bad in ["0", "-1", "x", "inf"] {
        let flag = format!("--timeout={bad}");
        let ended = run(&["extract", "--labels", "a", &flag, "-"]);
        assert_eq!(ended.code, 2, "{bad}: {ended:?}");
    }
}
