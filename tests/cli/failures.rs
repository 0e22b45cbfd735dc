//! Exit codes: 0 done, 1 failed, 2 usage, 3 input, 4 refused or unreachable; and what is said.

use std::net::{Ipv4Addr, TcpListener};

use tonic::Code;

use super::command::{TempFile, gleand, run, run_with_input};
use super::stub::{Behaviour, Stub};

fn check(arguments: &[&str], code: i32, said: &[&str]) {
    let ended = run(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
    for part in said {
        assert!(ended.stderr.contains(part), "{arguments:?}: {part:?} is not in {}", ended.stderr);
    }
}

/// A port that nobody listens on.
fn unreachable_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn help_and_version_are_no_failures() {
    for arguments in [&["--help"][..], &["--version"], &["extract", "--help"], &["serve", "-h"]] {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
    }
    for command in ["extract", "serve", "models", "config", "healthcheck"] {
        assert!(run(&[command, "--help"]).stdout.contains("Examples:"), "{command}");
    }
}

#[test]
fn usage_is_2() {
    check(&[], 2, &["Usage: gleand"]);
    let tasks = ["--labels", "--open", "--ask", "--summary", "--relations", "--classify"];
    check(&["extract", "book.txt"], 2, &tasks);
    check(&["extract", "--labels", "a", "--flat", "--nested", "-"], 2, &["--flat", "--nested"]);
    check(&["extract", "--labels", "a,b:2", "-"], 2, &["label 2: `2` is no threshold"]);
    check(&["extract", "--labels", "a", "--threshold", "1", "-"], 2, &["is no threshold"]);
    check(&["extract", "--labels", "a", "--chunk-bytes", "0", "-"], 2, &["--chunk-bytes"]);
    check(&["extract", "--relations", "a(b)", "-"], 2, &["`b` has no arrow", "a", "person->"]);
    check(
        &["extract", "--relations", "a,b", "-"],
        2,
        &["no relation says what its head or tail is"],
    );
    check(&["extract", "--summary", "--answers", "2", "-"], 2, &["--ask"]);
    check(&["extract", "--classify", "a", "--nested", "-"], 2, &["--labels", "--relations"]);
    check(&["extract", "--summary", "-t", "open=0.5", "-"], 2, &["no effect without --open"]);
    check(&["extract", "--summary", "-t", "x=0.5", "-"], 2, &["`x` is no task", "classify"]);
    check(&["extract", "--summary", "--interim", "-"], 2, &["--format jsonl"]);
    check(
        &["extract", "--labels", "a", "--server", "ftp://localhost", "-"],
        2,
        &["only http:// and https:// are understood"],
    );
    check(
        &["extract", "--labels", "a", "--server", "http://x", "--model", "m", "-"],
        2,
        &["--model has no effect"],
    );
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let file = TempFile::new(
        "mistakes.toml",
        b"[server]\nstreams_max = 0\nlisen = 1\n[log]\nlevel = \"loud\"\n",
    );
    let ended = super::command::ended(
        gleand(&["config", "--config", file.path()])
            .env("GLEAND__COMPUTE__CORES", "many")
            .output()
            .unwrap(),
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    for part in [
        "error: the configuration has 4 mistakes:",
        "server.lisen is not a key; did you mean server.listen?",
        "server.streams_max is out of bounds; allowed: 1 to 65536",
        "log.level is not one of off, error, warn, info, debug, trace",
        "environment variable GLEAND__COMPUTE__CORES: compute.cores is not a whole number",
    ] {
        assert!(ended.stderr.contains(part), "{part:?} is not in {}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches(file.path()).count(), 3, "{}", ended.stderr);
}

#[test]
fn an_unreadable_document_is_3() {
    let stub = Stub::start(Behaviour::Find);
    let extract = |file: &str, said: &[&str]| {
        check(&["extract", "--server", &stub.url(), "--labels", "Ann", file], 3, said);
    };
    extract("no/such/file.txt", &["error: no/such/file.txt: "]);
    extract("src", &["error: src: is a directory"]);
    let latin = TempFile::new("café.txt", b"Ann at the caf\xe9.");
    extract(
        latin.path(),
        &[
            &format!("error: {}: byte 14 is not UTF-8\n", latin.path()),
            &format!("iconv -f WINDOWS-1252 -t UTF-8 '{}' | gleand extract", latin.path()),
            "--invalid-utf8 replace",
        ],
    );
    let wide = TempFile::new("wide.txt", b"\xff\xfeA\0n\0n\0");
    extract(wide.path(), &[&format!("iconv -f UTF-16 -t UTF-8 {}", wide.path())]);
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_4() {
    let extract = |url: &str, said: &[&str]| {
        check(&["extract", "--server", url, "--labels", "Ann", "Cargo.toml"], 4, said);
    };
    let nobody = unreachable_url();
    extract(&nobody, &[&format!("error: cannot reach {nobody}"), "refused"]);
    let full = Stub::start(Behaviour::Refuse(
        Code::ResourceExhausted,
        "QUEUE_FULL",
        "too many\x1b[2J streams",
    ));
    extract(&full.url(), &["refuses: too many\\x1b[2J streams (QUEUE_FULL)"]);
    extract(
        &Stub::start(Behaviour::Forget).url(),
        &["ended the stream before the document was done"],
    );
}

#[test]
fn what_the_server_does_not_understand_is_2_and_what_it_breaks_is_1() {
    let extract = |behaviour: Behaviour, code: i32, said: &str| {
        let stub = Stub::start(behaviour);
        check(
            &["extract", "--server", &stub.url(), "--labels", "Ann", "Cargo.toml"],
            code,
            &[said],
        );
    };
    extract(
        Behaviour::Refuse(
            Code::InvalidArgument,
            "LABEL_SPECIAL_TOKEN",
            "config.tasks[0].entities.labels[0].name: contains [SEP]",
        ),
        2,
        "error: --labels: labels[0].name: contains [SEP]",
    );
    let stub = Stub::start(Behaviour::Refuse(
        Code::InvalidArgument,
        "QUESTION_EMPTY",
        "config.tasks[1].questions.questions[0].text: is too long",
    ));
    let arguments = [
        "extract",
        "--server",
        &stub.url(),
        "--ask",
        "Who?",
        "--summary",
        "--open",
        "x",
        "Cargo.toml",
    ];
    check(&arguments, 2, &["error: --ask: questions[0].text: is too long"]);
    extract(
        Behaviour::Refuse(Code::Internal, "WORKER_FAILED", "it broke"),
        1,
        "error: it broke (WORKER_FAILED)",
    );
}

#[test]
fn a_refusal_comes_through_while_the_input_is_open() {
    let stub = Stub::start(Behaviour::Refuse(Code::Unavailable, "DRAINING", "stopping"));
    let mut child = gleand(&["extract", "--server", &stub.url(), "--labels", "Ann", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The write end stays open: only the server ends this.
    let stdin = child.stdin.take();
    let ended = super::command::ended(child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(ended.code, 4, "{ended:?}");
}

#[test]
fn a_long_input_that_is_refused_does_not_hide_the_reason() {
    let stub = Stub::start(Behaviour::Find);
    let mut input = b"\xff".to_vec();
    input.resize(4 << 20, b'x');
    let ended =
        run_with_input(&["extract", "--server", &stub.url(), "--labels", "Ann", "-"], &input);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("error: -: byte 0 is not UTF-8"), "{ended:?}");
}

#[test]
fn healthcheck_is_0_when_serving_and_4_when_not() {
    let serving = Stub::start(Behaviour::Find);
    let ended = run(&["healthcheck", "--server", &serving.url()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "serving\n"));
    let address = serving.url().replace("http://", "");
    let by_key = run(&["healthcheck", "--set", &format!("server.listen={address}")]);
    assert_eq!((by_key.code, by_key.stdout.as_str()), (0, "serving\n"));
    let other = Stub::start(Behaviour::Forget);
    check(&["healthcheck", "--server", &other.url()], 4, &["is not serving"]);
    check(&["healthcheck", "--server", &unreachable_url()], 4, &["cannot reach"]);
    check(
        &["healthcheck", "--server", &serving.url(), "--service", "no.such.Service"],
        4,
        &["refuses"],
    );
}
