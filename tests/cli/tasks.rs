//! Every task, as it is printed in lines, in JSON lines and on a terminal.

use super::command::{Ended, TempFile, run_with_input};
use super::stub::{Behaviour, Stub};
use super::terminal::on_a_terminal;

const TEXT: &str = "😀 Ann works at Acme.\nIn short, Ann\x1b is in Rome. Who?\nIn short: fun.\n";

fn extract(flags: &[&str]) -> Ended {
    let stub = Stub::start(Behaviour::Find);
    run_with_input(&[&["extract", "--server", &stub.url(), "-"], flags].concat(), TEXT.as_bytes())
}

fn check(flags: &[&str], expected: &str) {
    let ended = extract(flags);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), (expected, ""), "{flags:?}");
    assert_eq!(ended.code, 0);
}

/// JSON lines but for the last one.
fn check_json(flags: &[&str], expected: &[&str]) {
    let ended = extract(&[flags, &["--format", "jsonl"]].concat());
    assert_eq!((ended.stderr.as_str(), ended.code), ("", 0), "{flags:?}");
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    let done = lines.pop().unwrap();
    assert!(done.starts_with(r#"{"type":"done","document":"-","#), "{done}");
    assert_eq!(lines, expected, "{flags:?}");
}

/// What a terminal shows, without the line of figures and with it.
fn shown(name: &str, flags: &[&str], text: &str) -> (String, String) {
    let stub = Stub::start(Behaviour::Find);
    let file = TempFile::new(&format!("tasks-{name}.txt"), text.as_bytes());
    let url = stub.url();
    let arguments = [&["extract", "--server", &url, file.path()], flags].concat();
    let shown = on_a_terminal(&arguments, &[]);
    let (results, figures) = shown.trim_end().rsplit_once('\n').unwrap();
    (format!("{results}\n"), figures.to_owned())
}

#[test]
fn lines_of_every_task() {
    check(
        &["--open", "Ann", "--open", "Rome"],
        "5\t8\topen\t0.5000\tAnn\n34\t37\topen\t0.5000\tAnn\n45\t49\topen-2\t0.5000\tRome\n",
    );
    check(
        &["--ask", "Who?", "--ask", "Why?", "--ask", "Ann", "--answers", "2"],
        "51\t55\tanswer:1\t0.5000\tWho?\n\
         -\t-\tanswer:2\t0.0000\t\n\
         5\t8\tanswer:3\t0.5000\tAnn\n\
         34\t37\tanswer:3\t0.5000\tAnn\n",
    );
    check(&["--summary"], "24\t32\tsummary\t0.5000\tIn short\n56\t64\tsummary\t0.5000\tIn short\n");
    check(
        &["--summary", "--summary-words", "2", "--whole-sentences", "-t", "0.25"],
        "24\t50\tsummary\t0.2500\tIn short, Ann\\x1b is in Rome.\n",
    );
    check(&["--classify", "sad,gay=fun,f\u{7}=In short"], "0\t71\tclass:gay\t0.5000\t\n");
    check(
        &["--classify", "sad,gay=fun,f\u{7}=In short", "--multi-label"],
        "0\t71\tclass:gay\t0.5000\t\n0\t71\tclass:f\\x07\t0.5000\t\n",
    );
}

#[test]
fn lines_of_relations_name_both_arguments() {
    let both = "5\t8\trelation:works at\t0.2500\tAnn\t18\t22\tAcme\tperson\tfirm\n";
    check(&["--relations", "works at(person=Ann->firm=Acme):0.25"], both);
    check(&["--relations", "works at(person=Ann→firm=Acme)", "-t", "relations=0.25"], both);
    check(
        &["--relations", "near,works at(person=Ann->firm=Acme)", "--relation-distance", "2"],
        "5\t8\trelation:near\t0.5000\tAnn\t18\t22\tAcme\tperson\tfirm\n\
         5\t8\trelation:works at\t0.5000\tAnn\t18\t22\tAcme\tperson\tfirm\n",
    );
    check(&["--relations", "works at(Ann->Acme)", "--relation-distance", "1"], "");
}

#[test]
fn tasks_come_together_and_have_thresholds_of_their_own() {
    check(
        &["--labels", "Acme", "--classify", "fun", "--summary", "-t", "0.25", "-t", "summary=0.75"],
        "18\t22\tAcme\t0.2500\tAcme\n\
         24\t32\tsummary\t0.7500\tIn short\n56\t64\tsummary\t0.7500\tIn short\n\
         0\t71\tclass:fun\t0.2500\t\n",
    );
}

#[test]
fn json_lines_of_every_task() {
    check_json(
        &["--open", "Rome", "--ask", "Who?", "--ask", "Why?"],
        &[
            r#"{"type":"mention","document":"-","task":"open","ordinal":0,"label":"match","score":0.5,"bytes":[45,49],"chars":[42,46],"utf16":[43,47],"text":"Rome"}"#,
            r#"{"type":"answer","document":"-","task":"questions","ordinal":0,"question_index":0,"question":"Who?","rank":0,"no_answer":false,"score":0.5,"bytes":[51,55],"chars":[48,52],"utf16":[49,53],"text":"Who?"}"#,
            r#"{"type":"answer","document":"-","task":"questions","ordinal":1,"question_index":1,"question":"Why?","rank":0,"no_answer":true,"score":0.0,"bytes":null,"chars":null,"utf16":null,"text":null}"#,
        ],
    );
    check_json(
        &[
            "--summary",
            "--summary-words",
            "2",
            "--classify",
            "fun",
            "--relations",
            "at(Ann:0.75->Acme):0.25",
        ],
        &[
            r#"{"type":"summary","document":"-","task":"summary","ordinal":0,"score":0.5,"bytes":[24,32],"chars":[21,29],"utf16":[22,30],"text":"In short"}"#,
            concat!(
                r#"{"type":"relation","document":"-","task":"relations","ordinal":0,"relation":"at","score":0.25,"#,
                r#""head":{"label":"Ann","score":0.75,"bytes":[5,8],"chars":[2,5],"utf16":[3,6],"text":"Ann"},"#,
                r#""tail":{"label":"Acme","score":0.5,"bytes":[18,22],"chars":[15,19],"utf16":[16,20],"text":"Acme"}}"#
            ),
            r#"{"type":"class","document":"-","task":"classify","ordinal":0,"label":"fun","score":0.5,"bytes":[0,71],"chars":[0,68],"utf16":[0,69]}"#,
        ],
    );
}

#[test]
fn interims_are_json_lines_of_their_own() {
    let class = r#""label":"fun","score":0.5,"bytes":[0,71],"chars":[0,68],"utf16":[0,69]}"#;
    let interim = format!(
        r#"{{"type":"interim","document":"-","task":"classify","results":[{{"type":"class",{class}]}}"#
    );
    let result =
        format!(r#"{{"type":"class","document":"-","task":"classify","ordinal":0,{class}"#);
    check_json(&["--classify", "fun", "--interim"], &[&interim, &result]);
    check_json(&["--classify", "fun"], &[&result]);
}

#[test]
fn a_terminal_shows_the_text_with_its_spans_and_everything_else_behind_it() {
    let flags = [
        "--labels",
        "Ann",
        "--open",
        "Rome",
        "--summary",
        "--whole-sentences",
        "--ask",
        "Who?",
        "--ask",
        "Wh\x1by?",
        "--relations",
        "works at(Ann->Acme)",
        "--classify",
        "fun",
        "--color",
        "never",
    ];
    let (results, figures) = shown("all", &flags, TEXT);
    let expected = "\
😀 {Ann}[Ann] works at Acme.
{In short, {Ann}[Ann]\\x1b is in {Rome}[open].}[summary] Who?
{In short: fun.}[summary]

Relations
Ann[Ann] -works at-> Acme[Acme]  0.5000  5-8 18-22

Answers
1. Who?
   Who?  0.5000  51-55
2. Wh\\x1by?
   no answer

Classes
fun  0.5000
";
    assert_eq!(results, expected);
    assert!(
        figures.starts_with(
            "3 mentions, 1 answer, 2 summary spans, 1 relation, 1 class in 7 words, 1 window, "
        ),
        "{figures:?}"
    );
}

#[test]
fn the_summary_is_underlined_on_a_terminal() {
    let (results, _) = shown("underlined", &["--summary", "--labels", "short"], "So. In short.\n");
    let (outer, reset) = ("\x1b[1m\x1b[4m", "\x1b[0m");
    assert_eq!(
        results,
        format!(
            "So. {outer}In {reset}{outer}\x1b[36mshort{reset}\x1b[36m[short]{reset}\x1b[1m[summary]{reset}.\n"
        )
    );
}

#[test]
fn a_terminal_shows_no_text_when_nothing_is_looked_for_in_it() {
    let flags = ["--relations", "works at(Ann->Acme):0.25", "--color", "never"];
    let (results, figures) = shown("none", &flags, TEXT);
    assert_eq!(results, "Ann[Ann] -works at-> Acme[Acme]  0.2500  5-8 18-22\n");
    assert!(figures.starts_with("1 relation in 7 words"), "{figures:?}");
    let (results, _) = shown("class", &["--classify", "fun"], TEXT);
    assert_eq!(results, "\x1b[1m\x1b[36mfun\x1b[0m  \x1b[2m0.5000\x1b[0m\n");
    let flags = ["--summary", "--summary-words", "2", "--ask", "Who?", "--color", "never"];
    let (results, figures) = shown("short", &flags, TEXT);
    assert_eq!(
        results,
        "Answers\n1. Who?\n   Who?  0.5000  51-55\n\nSummary\nIn short  0.5000  24-32\n"
    );
    assert!(figures.starts_with("1 answer, 1 summary span in"), "{figures:?}");
}
