"""Scores a model on every evaluation set and writes tests/bench/RESULTS.md, which README.md quotes.

    tests/bench/quality.py --sweep SWEEP.json --sweep-commit COMMIT [--write]

Runs `gleand eval` (target/release/gleand) once for each row. A sweep takes half an hour, so its JSON is made before, by
the command that the section names, and says nothing of its commit. Without --write the file is printed.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests/bench/RESULTS.md"
GLEAND = pathlib.Path(os.environ.get("GLEAND_BIN", ROOT / "target/x86_64-unknown-linux-gnu/release/gleand"))
DATA = "tests/data/eval"
SETS = [f"crossner_{name}_dev.jsonl" for name in ("ai", "literature", "music", "politics", "science")]
ALL_SETS = " ".join(f"--data {DATA}/{name}" for name in SETS)
SWEEP = f"gleand eval entities {ALL_SETS} --words 3000 --sweep --json"


def percent(fraction):
    return f"{fraction * 100:.1f}"


def evaluate(arguments):
    """The report of one run, and its command as a reader would type it."""
    report = subprocess.run([GLEAND, "eval", *arguments.split(), "--json", "--quiet"], check=True, capture_output=True, cwd=ROOT)
    return json.loads(report.stdout), f"gleand eval {arguments}"


def rows():
    """Task, set, measure, score, command: one run gives one or several rows."""
    for name in SETS:
        report, command = evaluate(f"entities --data {DATA}/{name}")
        micro = report["micro"]
        score = f"{percent(micro['f1'])} ({percent(micro['p'])} / {percent(micro['r'])})"
        yield "entities", f"CrossNER {name.split('_')[1]}, dev, zero-shot", "F1 (P / R)", score, command
    report, _ = evaluate(f"entities {ALL_SETS}")
    score = f"{percent(report['mean_f1'])} ({percent(report['micro']['f1'])})"
    short = "gleand eval entities --data … (the five files)"
    yield "entities", "the five CrossNER dev sets, zero-shot, sentence by sentence", "mean F1 (F1 of all)", score, short
    for setting in ("", " --set window.words_max=320"):
        report, _ = evaluate(f"entities {ALL_SETS} --words 3000{setting}")
        score = f"{percent(report['mean_f1'])} ({percent(report['micro']['f1'])})"
        what = "the five CrossNER dev sets, zero-shot, documents of 3 000 words"
        yield "entities", what, "mean F1 (F1 of all)", score, f"{short} --words 3000{setting}"
    for long, what in (
        ("", "SQuAD 2.0, one paragraph"),
        (" --paragraphs", "SQuAD 2.0, ten paragraphs"),
        (" --set window.words_max=64", "SQuAD 2.0, one paragraph, windows of 64 words"),
    ):
        report, command = evaluate(f"qa --data {DATA}/squad2_sample.json{long}")
        half = report["split_half"]
        for part, measure in (
            (report, "EM / F1"),
            (report["has_answer"], "with an answer: EM / F1"),
            (report["no_answer"], "without: EM / F1"),
            (half["reported_on"], f"odd questions, threshold {half['threshold']:.2f} of the even: EM / F1"),
        ):
            yield "questions", what, measure, f"{percent(part['em'])} / {percent(part['f1'])}", command
    report, command = evaluate(f"summary --data {DATA}/scitldr_sample.jsonl")
    first = report["first_sentence"]
    for part, base, words in ((report, first, ""), (report["splitter_words"], first["splitter_words"], ", words of the splitter")):
        score = " / ".join(f"{percent(part[name])} ({percent(base[name])})" for name in ("rouge1", "rouge2", "rougeL"))
        yield "summary", "SciTLDR abstracts", f"ROUGE-1 / 2 / L{words} (first sentence)", score, command
    report, command = evaluate(f"summary --data {DATA}/scitldr_sample.jsonl --set window.words_max=64")
    score = " / ".join(percent(report[name]) for name in ("rouge1", "rouge2", "rougeL"))
    yield "summary", "SciTLDR abstracts, windows of 64 words", "ROUGE-1 / 2 / L", score, command
    report, command = evaluate(f"relations --data {DATA}/relations_sample.jsonl")
    unseen = next(row for row in report["groups"] if row["label"] == "unseen")
    score = f"{percent(report['micro']['f1'])} ({percent(unseen['f1'])})"
    yield "relations", "head and relation given, tail asked", "F1 (relations unseen in training)", score, command
    report, command = evaluate(f"relations --data {DATA}/relations_documents.jsonl")
    score = f"{percent(report['micro']['f1'])} ({percent(report['by_text']['f1'])})"
    yield "relations", "re3d documents, whole triples", "F1 by place (by text)", score, command
    report, command = evaluate(f"classify --data {DATA}/classification_sample.jsonl")
    score = f"{percent(report['accuracy'])} / {percent(report['macro_f1'])}"
    yield "classify", "six sets, 3-15 classes", "accuracy / macro F1", score, command


def sweep_section(sweep, commit):
    yield "## Long documents"
    yield ""
    yield (
        f"The five CrossNER dev sets, {sweep['sentences']} sentences joined to {sweep['documents']} documents of at least 3 000 "
        f"words ({sweep['words']} words in all), pooled. `core` is the daemon's rule, `cut` has no overlap, `best` overlaps and of "
        "mentions that share a word keeps the one with the best score; the last two are made outside of the daemon. "
        "`diff` is F1 against sentence by sentence, in points, with the middle 95 % of 2 000 paired draws of sentences. "
        "Both give the daemon parts of so many words; one with too many pieces for a window is cut there once more. "
        f"Commit {commit}, no other load."
    )
    yield ""
    yield f"`{SWEEP}`"
    yield ""
    yield "| rule | window | margin | P | R | F1 | diff | 95 % | words/s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    base = sweep["by_sentence"]
    speed = sweep["by_sentence_words_per_second"]
    yield f"| sentence by sentence | | | {percent(base['p'])} | {percent(base['r'])} | {percent(base['f1'])} | | | {speed:.0f} |"
    for row in sweep["settings"]:
        micro, difference = row["micro"], row["difference"]
        low, high = (difference["interval"][end] * 100 for end in ("low", "high"))
        yield (
            f"| {row['rule']} | {row['window']} | {row['margin']} | {percent(micro['p'])} | {percent(micro['r'])} | {percent(micro['f1'])} "
            f"| {difference['f1'] * 100:+.1f} | {low:+.1f} … {high:+.1f} | {row['words_per_second']:.0f} |"
        )
    yield ""
    yield "Recall of entities by their distance to the nearer edge of a window without overlap (`cut`):"
    yield ""
    yield "| window | words to the edge | entities | recall | the same, sentence by sentence |"
    yield "|---|---|---|---|---|"
    for row in sweep["edges"]:
        until = f"{row['from']} and more" if row["to"] >= 1000 else f"{row['from']} to {row['to'] - 1}"
        yield f"| {row['window']} | {until} | {row['entities']} | {percent(row['recall'])} | {percent(row['recall_by_sentence'])} |"
    yield ""


def page(sweep, sweep_commit):
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "an unnamed processor")
    yield "# Results"
    yield ""
    yield f"{datetime.date.today()}, commit {commit}, {os.cpu_count()} cores of {cpu}; the default model, fp32. Made by `tests/bench/quality.py --write`."
    yield ""
    yield "## Quality"
    yield ""
    yield "| task | set | measure | score | command |"
    yield "|---|---|---|---|---|"
    for task, what, measure, score, command in rows():
        yield f"| {task} | {what} | {measure} | {score} | `{command}` |"
    yield ""
    yield from sweep_section(json.loads(sweep.read_text(encoding="utf-8")), sweep_commit)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", type=pathlib.Path, metavar="SWEEP.json", required=True)
    parser.add_argument("--sweep-commit", metavar="COMMIT", required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = "\n".join(page(options.sweep, options.sweep_commit)).rstrip() + "\n"
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
