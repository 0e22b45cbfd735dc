//! What a person sees: the command on a pseudo terminal, which `script` of util-linux makes.

use std::process::{Command, Stdio};

use super::command::TempFile;
use super::stub::{Behaviour, Stub};

/// Runs `arguments` on a terminal, and gives what appeared there, line ends as the program wrote them.
pub(crate) fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let quoted = |argument: &&str| format!("'{}'", argument.replace('\'', r"'\''"));
    let line = arguments.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} {line}", env!("CARGO_BIN_EXE_gleand")))
        .arg("/dev/null")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

fn extract(stub: &Stub, text: &str, more: &[&str], variables: &[(&str, &str)]) -> String {
    let name = format!("terminal-{:?}.txt", std::thread::current().id());
    let file = TempFile::new(&name, text.as_bytes());
    let url = stub.url();
    let arguments =
        [&["extract", "--server", &url, "--labels", "Ann,pal=met\nBob", file.path()], more]
            .concat();
    on_a_terminal(&arguments, variables)
}

#[test]
fn the_text_appears_with_its_mentions_in_colour_and_a_line_of_figures() {
    let shown = extract(&Stub::start(Behaviour::Find), "😀 Ann met\nBob.", &[], &[]);
    let (text, figures) = shown.split_once(".\n").unwrap();
    assert_eq!(
        text,
        "😀 \x1b[1m\x1b[36mAnn\x1b[0m\x1b[36m[Ann]\x1b[0m \
         \x1b[1m\x1b[33mmet\x1b[0m\x1b[1m\x1b[33m\\n\x1b[0m\n\x1b[1m\x1b[33mBob\x1b[0m\x1b[33m[pal]\x1b[0m"
    );
    assert!(figures.starts_with("2 mentions in 7 words, 1 window, "), "{figures:?}");
}

#[test]
fn no_color_and_the_flag_leave_marks_only() {
    let stub = Stub::start(Behaviour::Find);
    let marked = "{Ann}[Ann] {met\\n\nBob}[pal].\n";
    let plain = |more: &[&str], variables: &[(&str, &str)]| {
        let shown = extract(&stub, "Ann met\nBob.", more, variables);
        assert!(shown.starts_with(marked), "{shown:?}");
        assert!(!shown.contains('\x1b'), "{shown:?}");
    };
    plain(&[], &[("NO_COLOR", "1")]);
    plain(&["--color", "never"], &[]);
    plain(&[], &[("TERM", "dumb")]);
    let asked_for = extract(&stub, "Ann.", &["--color", "always"], &[("NO_COLOR", "1")]);
    assert!(asked_for.contains("\x1b[36m"), "{asked_for:?}");
    let empty = extract(&stub, "Ann.", &[], &[("NO_COLOR", "")]);
    assert!(empty.contains("\x1b[36m"), "{empty:?}");
}

#[test]
fn a_document_of_escape_sequences_does_nothing_to_the_terminal() {
    let text = "\x1b]0;owned\x07\x1b[2J\u{9b}5m\u{202e}live\tAnn\rx\n";
    let shown = extract(&Stub::start(Behaviour::Find), text, &["--color", "never", "--quiet"], &[]);
    assert_eq!(shown, "\\x1b]0;owned\\x07\\x1b[2J\\x9b5m\\u{202e}live\t{Ann}[Ann]\\x0dx\n");
}

#[test]
fn an_error_starts_on_a_line_of_its_own() {
    let stub = Stub::start(Behaviour::Find);
    let file = TempFile::new("terminal-bad.txt", b"Ann and \xff");
    let arguments = [
        "extract",
        "--server",
        &stub.url(),
        "--labels",
        "Ann",
        "--chunk-bytes",
        "1",
        "--color",
        "never",
        file.path(),
    ];
    let shown = on_a_terminal(&arguments, &[]);
    assert!(shown.contains("{Ann}[Ann]"), "{shown:?}");
    assert!(shown.contains("\nerror: "), "{shown:?}");
}
