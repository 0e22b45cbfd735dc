//! What images, charts and init containers run.

use std::fs;

use super::command::{TempFile, run, run_with_input};
use super::stub::{Behaviour, Stub};

#[test]
fn too_few_mentions_are_a_failure_where_some_are_expected() {
    let stub = Stub::start(Behaviour::Find);
    let expecting = |number: &str| {
        let url = stub.url();
        run_with_input(
            &["extract", "--server", &url, "--labels", "Ann", "--expect-mentions", number, "-"],
            b"Ann and Ann.",
        )
    };
    assert_eq!(expecting("2").code, 0);
    let ended = expecting("3");
    assert_eq!(ended.code, 1);
    assert_eq!(ended.stdout.lines().count(), 2, "what was found is printed all the same");
    assert!(
        ended.stderr.contains("mentions found: 2; --expect-mentions wants at least 3"),
        "{}",
        ended.stderr
    );
}

#[test]
fn mentions_are_expected_only_of_a_task_that_has_some() {
    let ended = run_with_input(&["extract", "--summary", "--expect-mentions", "1", "-"], b"Ann.");
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("needs a task that finds some"), "{}", ended.stderr);
}

#[test]
fn the_terms_of_all_parts_are_printed() {
    let ended = run(&["licenses"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    for part in [
        "Apache License",
        "CC-BY-SA-4.0",
        "Mozilla Public License",
        "candle-core 0.",
        "aws-lc-sys 0.",
    ] {
        assert!(ended.stdout.contains(part), "{part} is missing");
    }
}

#[test]
fn the_schema_of_the_configuration_is_json() {
    let ended = run(&["config", "--schema"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(schema["properties"]["server"]["properties"]["streams_max"]["minimum"], 1);
}

#[test]
fn a_model_is_fetched_only_with_revision_hashes_and_place() {
    let ended = run(&["models", "fetch", "org/name"]);
    assert_eq!(ended.code, 2);
    for flag in ["--revision", "--sha256", "--to"] {
        assert!(ended.stderr.contains(flag), "{}", ended.stderr);
    }
    let ended =
        run(&["models", "fetch", "org/name", "--revision", "1", "--sha256", "a=1", "--to", "x"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("64 hex digits"), "{}", ended.stderr);
}

#[test]
fn a_hub_that_cannot_be_reached_is_4_and_a_directory_that_cannot_be_written_is_told() {
    let hash = "0".repeat(64);
    let fetch = |to: &str| {
        run(&[
            "models",
            "fetch",
            "http://127.0.0.1:1/org/name",
            "--revision",
            "1",
            "--sha256",
            &format!("model.safetensors={hash}"),
            "--to",
            to,
        ])
    };
    let place = TempFile::new("no-directory", b"");
    let ended = fetch(place.path());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write"), "{}", ended.stderr);
    let directory = std::env::temp_dir().join(format!("gleand-fetch-{}", std::process::id()));
    let ended = fetch(directory.to_str().unwrap());
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot fetch model.safetensors"), "{}", ended.stderr);
    fs::remove_dir_all(directory).unwrap();
}
