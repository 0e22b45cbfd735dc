//! What is printed when the output is not a terminal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use super::command::{TempFile, gleand, run, run_with_input};
use super::stub::{Behaviour, Stub};

const TEXT: &str = "😀 Ann met\nBob.";

fn extract(stub: &Stub, more: &[&str], input: &[u8]) -> super::command::Ended {
    let url = stub.url();
    let arguments =
        [&["extract", "--server", &url, "--labels", "Ann,pal:0.25=met\nBob", "-"], more].concat();
    run_with_input(&arguments, input)
}

#[test]
fn one_mention_a_line_with_byte_offsets() {
    let ended = extract(&Stub::start(Behaviour::Find), &[], TEXT.as_bytes());
    assert_eq!(ended.stdout, "5\t8\tAnn\t0.5000\tAnn\n9\t16\tpal\t0.2500\tmet\\nBob\n");
    assert_eq!((ended.stderr.as_str(), ended.code), ("", 0));
}

#[test]
fn json_lines_end_with_done_and_keep_the_order_of_their_keys() {
    let ended = extract(&Stub::start(Behaviour::Find), &["--format", "jsonl"], TEXT.as_bytes());
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"type":"mention","document":"-","task":"entities","ordinal":0,"label":"Ann","score":0.5,"bytes":[5,8],"chars":[2,5],"utf16":[3,6],"text":"Ann"}"#,
            r#"{"type":"mention","document":"-","task":"entities","ordinal":1,"label":"pal","score":0.25,"bytes":[9,16],"chars":[6,13],"utf16":[7,14],"text":"met\nBob"}"#,
            r#"{"type":"done","document":"-","received_bytes":17,"words":7,"windows":1,"results":2,"replaced_invalid":0,"limits":{},"total_ms":0,"compute_ms":0,"fingerprint":"00ff"}"#,
        ]
    );
    assert_eq!((ended.stderr.as_str(), ended.code), ("", 0));
}

#[test]
fn chunks_of_any_size_give_the_same_output() {
    let stub = Stub::start(Behaviour::Find);
    let whole = extract(&stub, &[], TEXT.as_bytes());
    for size in ["1", "2", "7"] {
        assert_eq!(
            extract(&stub, &["--chunk-bytes", size], TEXT.as_bytes()).stdout,
            whole.stdout,
            "{size}"
        );
    }
}

#[test]
fn a_file_is_named_in_json_lines() {
    let stub = Stub::start(Behaviour::Find);
    let file = TempFile::new("named.txt", b"Ann");
    let ended =
        run(&["extract", "-s", &stub.url(), "-l", "Ann", "-t", "0.75", "-f", "jsonl", file.path()]);
    let first: serde_json::Value =
        serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["document"], &first["score"]), (&file.path().into(), &0.75.into()));
}

#[test]
fn a_result_is_printed_while_the_input_is_still_open() {
    let stub = Stub::start(Behaviour::Find);
    let mut child = gleand(&["extract", "--server", &stub.url(), "--labels", "Ann", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for start in [0, 8, 16] {
        stdin.write_all(b"Ann and ").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{start}\t{}\tAnn\t0.5000\tAnn\n", start + 3));
    }
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_pipe_is_a_quiet_exit() {
    let stub = Stub::start(Behaviour::Find);
    let file = TempFile::new("long.txt", "Ann and Bob. ".repeat(5_000).as_bytes());
    for format in ["text", "jsonl"] {
        let mut child = gleand(&[
            "extract",
            "--server",
            &stub.url(),
            "--labels",
            "Ann",
            "--format",
            format,
            file.path(),
        ])
        .spawn()
        .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("Ann"), "{first}");
        let ended = super::command::ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{format}");
    }
}

#[test]
fn a_document_of_escape_sequences_is_shown_and_not_obeyed() {
    let stub = Stub::start(Behaviour::Find);
    let needle = "\x1b]0;owned\x07\u{9b}2J\u{202e}\t\u{2066}x";
    let labels = format!("e\x1b[1mvil={needle}");
    let url = stub.url();
    let ended =
        run_with_input(&["extract", "--server", &url, "--labels", &labels, "-"], needle.as_bytes());
    assert_eq!(
        ended.stdout,
        "0\t22\te\\x1b[1mvil\t0.5000\t\\x1b]0;owned\\x07\\x9b2J\\u{202e}\t\\u{2066}x\n"
    );
}

#[test]
fn colour_is_used_in_a_pipe_only_when_asked_for() {
    let stub = Stub::start(Behaviour::Find);
    let is_coloured = |more: &[&str]| extract(&stub, more, TEXT.as_bytes()).stdout.contains('\x1b');
    assert!(!is_coloured(&[]));
    assert!(!is_coloured(&["--color", "never"]));
    assert!(is_coloured(&["--color", "always"]));
    assert!(!is_coloured(&["--color", "always", "--format", "jsonl"]));
}

#[test]
fn a_warning_goes_to_stderr_or_into_the_json_lines() {
    let stub = Stub::start(Behaviour::Warn("slow\x1b[2J".to_owned()));
    let text = extract(&stub, &[], b"Ann");
    assert_eq!(
        (text.stderr.as_str(), text.stdout.as_str()),
        ("warning: slow\\x1b[2J\n", "0\t3\tAnn\t0.5000\tAnn\n")
    );
    assert_eq!(extract(&stub, &["--quiet"], b"Ann").stderr, "");
    let json = extract(&stub, &["--format", "jsonl"], b"Ann");
    assert_eq!(json.stderr, "");
    assert_eq!(
        json.stdout.lines().next().unwrap(),
        r#"{"type":"warning","document":"-","reason":"MANY_PASSES","message":"slow\u001b[2J"}"#
    );
}

#[test]
fn invalid_bytes_are_replaced_when_asked_for() {
    let ended =
        extract(&Stub::start(Behaviour::Find), &["--invalid-utf8", "replace"], b"\xff\xff Ann");
    assert_eq!((ended.stdout.as_str(), ended.code), ("3\t6\tAnn\t0.5000\tAnn\n", 0));
}

#[test]
fn the_configuration_is_printed_with_its_sources() {
    let ended = super::command::ended(
        gleand(&["config", "--set", "log.level=debug"])
            .env("GLEAND__SERVER__STREAMS_MAX", "200")
            .env("GLEAND_PORT", "tcp://10.0.0.1:50051")
            .output()
            .unwrap(),
    );
    let line =
        |start: &str| ended.stdout.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(
        line("streams_max = 200").ends_with("# environment variable GLEAND__SERVER__STREAMS_MAX")
    );
    assert!(line("level = \"debug\"").ends_with("# flag --set"));
    assert!(line("listen = \"127.0.0.1:50051\"").ends_with("# default"));
    assert_eq!((ended.stderr.as_str(), ended.code), ("", 0));
}
