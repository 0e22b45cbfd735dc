//! The rules of the house that no compiler checks. The tables here are the specification: a new edge between modules, a
//! new crate or a new lint exception is one line here, with its reason, or a failure. A line that nothing needs fails too.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test that reads source files may stop at the first one that it cannot read"
)]

#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tables.rs"]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use gleand::config::KEYS;
use source::{Names, Source};
use tables::{ALLOWED_HOSTS, EXCEPTIONS, LAYERS, USED_ELSEWHERE, WIRE_FILES};

const FILE_LINES_MAX: usize = 500;

#[test]
fn modules_use_what_the_table_of_layers_says_and_nothing_else() {
    let dependencies = crates("dependencies");
    let mut actual: BTreeMap<String, Names> = BTreeMap::new();
    for source in sources("src") {
        let module = module(&source.path);
        // A file at the top is a module of its own, also main.rs and lib.rs.
        let top = module.first().copied().unwrap_or_else(|| stem(&source.path));
        let names = source.names(&module, &dependencies);
        let sum = actual.entry(top.to_owned()).or_default();
        sum.modules.extend(names.modules.into_iter().filter(|other| other != top));
        sum.crates.extend(names.crates);
    }
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let table = |&(module, modules, crates): &tables::Layer| {
        (module.to_owned(), Names { modules: owned(modules), crates: owned(crates) })
    };
    let table: BTreeMap<String, Names> = LAYERS.iter().map(table).collect();
    let mut mistakes = Vec::new();
    for module in table.keys().chain(actual.keys()).collect::<BTreeSet<_>>() {
        let (Some(allowed), Some(used)) = (table.get(module), actual.get(module)) else {
            mistakes.push(format!("{module} is in the table or in the tree, but not in both"));
            continue;
        };
        let sides =
            [(&allowed.modules, &used.modules, "crate::"), (&allowed.crates, &used.crates, "")];
        for (allowed, used, prefix) in sides {
            mistakes.extend(
                used.difference(allowed).map(|name| format!("{module} may not use {prefix}{name}")),
            );
            mistakes.extend(
                allowed
                    .difference(used)
                    .map(|name| format!("{module} does not use {prefix}{name}")),
            );
        }
    }
    assert_none(&mistakes);
}

#[test]
fn messages_of_the_wire_stay_at_the_edge() {
    let crates = crates("dependencies");
    let names_wire = |source: &Source| {
        let names = source.names(&module(&source.path), &crates);
        let prost = names.crates.iter().any(|name| name.starts_with("prost"));
        prost || names.modules.contains("wire")
    };
    let inside = |source: &Source| source.path.starts_with("src/wire/");
    let files: Vec<_> =
        sources("src").into_iter().filter(|source| !inside(source) && names_wire(source)).collect();
    let paths: Vec<_> = files.iter().map(|source| source.path.as_str()).collect();
    assert_eq!(paths, WIRE_FILES);
}

#[test]
fn the_engine_uses_only_the_channels_of_tokio() {
    let others = |source: Source| {
        let tests = source.path.contains("/tests/");
        let paths = source.code.split("tokio::").skip(1).map(|path| path.starts_with("sync"));
        !tests && paths.into_iter().any(|sync| !sync)
    };
    assert!(!sources("src/engine").into_iter().any(others));
}

#[test]
fn every_dependency_is_used_by_the_code_it_is_there_for() {
    let used = |roots: &[&str], names: &BTreeSet<String>| -> BTreeSet<String> {
        let sources = roots.iter().flat_map(|root| sources(root));
        sources.flat_map(|source| source.names(&module(&source.path), names).crates).collect()
    };
    let elsewhere: BTreeSet<String> =
        USED_ELSEWHERE.iter().map(|&(name, _)| name.to_owned()).collect();
    let (normal, dev) = (crates("dependencies"), crates("dev-dependencies"));
    let unused: Vec<_> = normal.difference(&used(&["src"], &normal)).cloned().collect();
    assert_eq!(
        unused,
        elsewhere.into_iter().collect::<Vec<_>>(),
        "unused, or wrongly in the list of such crates"
    );
    assert_eq!(dev, used(&["src", "tests"], &dev), "development dependencies against those in use");
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    let mut lines = Vec::new();
    let mut mistakes = Vec::new();
    for source in
        sources("src").into_iter().chain(sources("tests")).chain(iter::once(source("build.rs")))
    {
        if source.lines() > FILE_LINES_MAX {
            mistakes.push(format!(
                "{} has {} lines, more than {FILE_LINES_MAX}",
                source.path,
                source.lines()
            ));
        }
        if !source.text.starts_with("//!") {
            mistakes.push(format!("{} does not open with its job", source.path));
        }
        if source
            .path
            .split(['/', '.'])
            .any(|part| ["util", "utils", "common", "helper", "helpers"].contains(&part))
        {
            mistakes.push(format!("{} has a name that says nothing", source.path));
        }
        if source.path.starts_with("src/") {
            lines.push(source.lines());
        }
    }
    lines.sort_unstable();
    let median = lines[lines.len() / 2];
    if !(100..=250).contains(&median) {
        mistakes.push(format!("half of the files in src have fewer than {median} lines"));
    }
    assert_none(&mistakes);
}

#[test]
fn lint_exceptions_are_those_of_the_list() {
    let mut actual = Vec::new();
    let mut mistakes = Vec::new();
    for source in
        sources("src").into_iter().chain(sources("tests")).chain(iter::once(source("build.rs")))
    {
        for open in ["#[expect(", "#![expect("] {
            actual.extend(
                source.attributes(open).into_iter().map(|text| exception(&source.path, &text)),
            );
        }
        for open in ["#[allow(", "#![allow(", "#[ignore", "#[cfg_attr("] {
            let found = source.attributes(open).into_iter();
            mistakes.extend(found.map(|text| format!("{} has {text}", source.path)));
        }
    }
    actual.sort();
    let owned = |&(path, lints, reason): &(&str, &str, &str)| {
        (path.to_owned(), lints.to_owned(), reason.to_owned())
    };
    let mut listed: Vec<_> = EXCEPTIONS.iter().map(owned).collect();
    listed.sort();
    mistakes.extend(
        actual.iter().filter(|one| !listed.contains(one)).map(|one| format!("not listed: {one:?}")),
    );
    mistakes.extend(
        listed.iter().filter(|one| !actual.contains(one)).map(|one| format!("not there: {one:?}")),
    );
    assert_none(&mistakes);
    assert_eq!(actual, listed, "one line for each exception");
}

#[test]
fn nothing_is_left_for_later() {
    let mut mistakes = Vec::new();
    for source in
        sources("src").into_iter().chain(sources("tests")).chain(iter::once(source("build.rs")))
    {
        let words = |text: &str, word: &str| {
            text.split(|c: char| !c.is_alphanumeric()).any(|part| part == word)
        };
        let later = ["TODO", "FIXME", "XXX", "HACK"]
            .into_iter()
            .filter(|word| words(&source.comments, word));
        mistakes.extend(later.map(|word| format!("{} has a {word}", source.path)));
        let stubs = ["todo!", "unimplemented!", "dbg!"]
            .into_iter()
            .filter(|stub| source.code.contains(stub));
        mistakes.extend(stubs.map(|stub| format!("{} calls {stub}", source.path)));
    }
    assert_none(&mistakes);
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let explained = |text: &str| text.len() > 1 && text.ends_with('.');
    let silent =
        KEYS.iter().filter(|key| ![key.what, key.reason, key.cost].into_iter().all(explained));
    let silent: Vec<_> = silent.map(|key| format!("{} is not explained", key.name)).collect();
    assert_none(&silent);
}

#[test]
fn no_file_names_a_machine_or_an_unknown_host() {
    let machine = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("../sha", "red"),
    ];
    let mut mistakes = Vec::new();
    for path in texts() {
        let text = read(&path);
        let found = machine.iter().filter(|place| text.contains(**place));
        mistakes.extend(found.map(|place| format!("{path} names {place}")));
        for scheme in ["http://", "https://"] {
            let urls = text.split(scheme).skip(1);
            let hosts = urls.filter_map(|url| {
                url.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '.').next()
            });
            let unknown = hosts.filter(|host| host.contains('.') && !ALLOWED_HOSTS.contains(host));
            mistakes.extend(unknown.map(|host| format!("{path} names {host}")));
        }
    }
    assert_none(&mistakes);
}

/// Every figure of quality that README.md gives is a line of the file that the measurement wrote.
#[test]
fn the_readme_quotes_what_was_measured() {
    let (readme, results) = (read("README.md"), read("tests/bench/RESULTS.md"));
    let measured: BTreeSet<&str> = results.lines().filter(|line| line.starts_with("| ")).collect();
    let quoted = readme.split("<!-- quoted from tests/bench/RESULTS.md -->").nth(1);
    let quoted = quoted.and_then(|rest| rest.split("<!-- end of the quotation -->").next());
    let rows: Vec<&str> =
        quoted.unwrap_or_default().lines().filter(|l| l.starts_with("| ")).collect();
    let other = rows.iter().filter(|row| !measured.contains(**row));
    let other = other.map(|row| format!("README.md: not in tests/bench/RESULTS.md: {row}"));
    let tasks = ["entities", "questions", "summary", "relations", "classify"];
    let has = |task: &str| rows.iter().any(|row| row.starts_with(&format!("| {task} ")));
    let missing =
        tasks.iter().filter(|task| !has(task)).map(|task| format!("README.md: no {task}"));
    assert_none(&other.chain(missing).collect::<Vec<_>>());
}

#[test]
fn the_scanner_sees_paths_and_not_comments_or_strings() {
    let text = r##"
        //! crate::service is in a comment
        use crate::{config::Key, wire};
        use super::super::model::load; /* tower::x /* nested */ bytes::y */
        fn f<'a>(x: &'a str) -> half::f16 { let _ = ('"', "tower::z", r#"rayon::"#, b'\''); tracing::info!("{x}"); g.http::<u8>() }
        mod inside { use super::sibling; use super::super::super::engine; #[derive(thiserror::Error)] struct E; }
        use tonic;
    "##;
    let crates = ["tower", "bytes", "half", "rayon", "tracing", "http", "thiserror", "tonic"]
        .map(str::to_owned)
        .into();
    let names = Source::new("src/a/b.rs", text.to_owned()).names(&["a", "b"], &crates);
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let modules: BTreeSet<String> = owned(&["config", "engine", "model", "wire"]);
    assert_eq!(names, Names { modules, crates: owned(&["half", "thiserror", "tonic", "tracing"]) });
}

/// Path, lints and reason of an `expect` attribute.
fn exception(path: &str, attribute: &str) -> (String, String, String) {
    let inside = attribute.split_once('(').map_or("", |(_, inside)| inside);
    let (lints, rest) =
        inside.split_once("reason = \"").expect("a lint makes sure that there is a reason");
    let reason = rest.split('"').next().unwrap_or_default();
    (path.to_owned(), lints.trim().trim_end_matches(',').to_owned(), reason.to_owned())
}

/// The names under `[section]` of Cargo.toml, as code writes them.
fn crates(section: &str) -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let lines = manifest.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let rows = lines.take_while(|line| !line.starts_with('['));
    let names =
        rows.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

/// The module that a file of src is, from the top of the crate; empty for main.rs, lib.rs and files outside src.
fn module(path: &str) -> Vec<&str> {
    let Some(inside) = path.strip_prefix("src/") else { return Vec::new() };
    let mut parts: Vec<_> = inside.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "main" | "lib"))) {
        parts.pop();
    }
    parts
}

fn stem(path: &str) -> &str {
    path.trim_start_matches("src/").trim_end_matches(".rs")
}

/// `gleand licenses` has the terms of every crate in the binary, and of no other.
#[test]
fn the_licences_are_those_of_the_crates_in_the_binary() {
    let flags = ["-e", "normal", "--prefix", "none", "--format", "{p}", "--locked", "--offline"];
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--target", "x86_64-unknown-linux-gnu"])
        .args(flags)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let first_two = |line: &str| -> Option<String> {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.trim_start_matches('v')))
    };
    let tree = String::from_utf8(tree.stdout).unwrap();
    // gleand itself has no address there; its own terms are printed before.
    let others = tree.lines().filter(|line| !line.starts_with("gleand "));
    let there: BTreeSet<String> = others.filter_map(first_two).collect();
    let licences = read("LICENSES-CRATES.txt");
    let crates = licences.lines().filter(|line| line.starts_with("  ") && line.contains("  http"));
    let told: BTreeSet<String> = crates.filter_map(first_two).collect();
    let missing = there.difference(&told).map(|name| format!("{name} has no licence"));
    let spare = told.difference(&there).map(|name| format!("{name} is not in the binary"));
    assert_none(&missing.chain(spare).collect::<Vec<_>>());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn source(path: &str) -> Source {
    Source::new(path, read(path))
}

fn sources(folder: &str) -> Vec<Source> {
    let files = files(&root().join(folder)).into_iter();
    files.filter(|path| path.ends_with(".rs")).map(|path| source(&path)).collect()
}

/// Every text that people write: no data, no generated file, nothing that git ignores.
fn texts() -> Vec<String> {
    let kinds = ["rs", "toml", "proto", "md", "py", "sh", "yaml", "txt"];
    let written = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        !path.starts_with("tests/data/")
            && path != "LICENSES-CRATES.txt"
            && kind.is_none_or(|kind| kinds.contains(&kind))
    };
    files(root()).into_iter().filter(written).collect()
}

/// Paths from the root of the repository, in order.
fn files(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let skipped = [".git", "target", "__pycache__", ".venv"];
    let kept = paths.into_iter().filter(|path| !skipped.iter().any(|name| path.ends_with(name)));
    kept.flat_map(|path| if path.is_dir() { files(&path) } else { vec![relative(&path)] }).collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n  {}\n", mistakes.join("\n  "));
}
