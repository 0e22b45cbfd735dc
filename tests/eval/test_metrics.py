"""Scores of `gleand eval`, computed anew from its files of predictions by the programs that others score with.

`EVAL_OUTPUT` is a folder with pairs NAME.predictions.jsonl and NAME.report.json. Each score of each report must be
that of seqeval, of the metrics of SQuAD 2.0 in transformers, of rouge-score or of scikit-learn to 1e-6. Nothing here
uses what gleand computed, only what it predicted.
"""

import json
import os
import re
import unittest
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy
from rouge_score.rouge_scorer import RougeScorer
from seqeval.metrics import classification_report
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from transformers.data.metrics import squad_metrics

TASKS = {"entities", "questions", "summary", "relations", "relation_documents", "classify"}
normal = squad_metrics.normalize_answer
MEASURES = {"p": "precision", "r": "recall", "f1": "f1-score"}


def read(task):
    """Name, predictions and report of each pair of that task."""
    found = []
    for path in sorted(Path(os.environ["EVAL_OUTPUT"]).glob("*.report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["task"] == task:
            name = path.name.removesuffix(".report.json")
            lines = path.with_name(f"{name}.predictions.jsonl").read_text(encoding="utf-8").split("\n")
            found.append((name, [json.loads(line) for line in lines if line], report))
    return found


def place(span):
    return span["start"], span["end"]


def tag_rows(row):
    """Rows of IOB tags, one tag a byte, gold and predicted. Spans of one side that overlap go to rows of their own;
    a span that both sides have is in the same row of both."""
    sides = [{(*place(span), span["label"]) for span in row[side]} for side in ("gold", "predicted")]
    length = len(row["text"].encode())
    rows = []
    for span in sorted(sides[0] | sides[1]):
        start, end, label = span
        used = [side for side in (0, 1) if span in sides[side]]
        for tags in rows:
            if all(tag == "O" for side in used for tag in tags[side][start:end]):
                break
        else:
            tags = (["O"] * length, ["O"] * length)
            rows.append(tags)
        for side in used:
            tags[side][start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return rows or [(["O"] * length, ["O"] * length)]


def f1_of(counts):
    hits, predicted, gold = counts
    return 2 * hits / (predicted + gold) if predicted + gold else 0.0


class Metrics(unittest.TestCase):
    def close(self, ours, theirs, what):
        self.assertAlmostEqual(ours, theirs, delta=1e-6, msg=what)

    def each(self, task, check):
        pairs = read(task)
        self.assertTrue(pairs, f"no report of the task {task} in EVAL_OUTPUT")
        for name, rows, report in pairs:
            with self.subTest(name):
                check(rows, report)

    def sets_are_scored(self, report, sets):
        """`sets` holds gold and predicted of each text, as sets whose items end with their label."""
        gold, predicted, labels = [], [], []
        for mine, theirs in sets:
            for item in mine | theirs:
                gold.append(item in mine)
                predicted.append(item in theirs)
                labels.append(item[-1])

        def scores(which):
            chosen = [(g, p) for g, p, label in zip(gold, predicted, labels, strict=True) if which(label)]
            y_true, y_pred = zip(*chosen, strict=True) if chosen else ((), ())
            return precision_recall_fscore_support(y_true, y_pred, average="binary", zero_division=0)[:3]

        for measure, theirs in zip(MEASURES, scores(lambda _: True), strict=True):
            self.close(report["micro"][measure], theirs, measure)
        self.assertEqual([row["label"] for row in report["labels"]], sorted(set(labels), key=str.encode))
        for row in report["labels"]:
            for measure, theirs in zip(MEASURES, scores(lambda label, row=row: label == row["label"]), strict=True):
                self.close(row[measure], theirs, (row["label"], measure))
            support = sum(g for g, label in zip(gold, labels, strict=True) if label == row["label"])
            self.assertEqual(row["support"], support)
        self.close(report["macro_f1"], numpy.mean([row["f1"] for row in report["labels"]]), "macro F1")
        self.interval_is_that_of_another_generator(report, sets)

    def interval_is_that_of_another_generator(self, report, sets):
        counts = numpy.array([(len(mine & theirs), len(theirs), len(mine)) for mine, theirs in sets])
        generator = numpy.random.default_rng(1)
        draws = generator.integers(len(sets), size=(2000, len(sets)))
        values = [f1_of(counts[draw].sum(axis=0)) for draw in draws]
        low, high = numpy.percentile(values, [2.5, 97.5])
        width = high - low
        self.assertAlmostEqual(report["interval"]["low"], low, delta=0.2 * width + 1e-6)
        self.assertAlmostEqual(report["interval"]["high"], high, delta=0.2 * width + 1e-6)

    def test_every_task_is_there(self):
        self.assertEqual({task for task in TASKS if read(task)}, TASKS)

    def test_entities_score_as_in_seqeval(self):
        def check(rows, report):
            self.assertEqual(report["examples"], len(rows))
            tags = [pair for row in rows for pair in tag_rows(row)]
            gold, predicted = zip(*tags, strict=True)
            theirs = classification_report(list(gold), list(predicted), output_dict=True, zero_division=0)
            for ours, name in MEASURES.items():
                self.close(report["micro"][ours], theirs["micro avg"][name], name)
            self.close(report["macro_f1"], theirs["macro avg"]["f1-score"], "macro F1")
            labels = {row["label"]: row for row in report["labels"]}
            self.assertEqual(set(labels), {name for name in theirs if not name.endswith(" avg")})
            for label, row in labels.items():
                for ours, name in MEASURES.items():
                    self.close(row[ours], theirs[label][name], (label, name))
                self.assertEqual(row["support"], theirs[label]["support"])
            sets = [[{(*place(s), s["label"]) for s in row[side]} for side in ("gold", "predicted")] for row in rows]
            self.interval_is_that_of_another_generator(report, sets)

        self.each("entities", check)

    def part_is_close(self, part, theirs, prefix=""):
        self.close(part["em"], theirs[f"{prefix}exact"] / 100, f"{prefix}EM")
        self.close(part["f1"], theirs[f"{prefix}f1"] / 100, f"{prefix}F1")
        self.assertEqual(part["examples"], theirs[f"{prefix}total"])

    def scores_are_close(self, ours, theirs):
        self.part_is_close(ours, theirs)
        for part, prefix in (("has_answer", "HasAns_"), ("no_answer", "NoAns_")):
            if f"{prefix}total" in theirs:
                self.part_is_close(ours[part], theirs, prefix)
            else:
                self.assertEqual(ours[part], {"examples": 0, "em": 0.0, "f1": 0.0})

    def official(self, rows, no_answer, threshold=1.0):
        golds = ([{"text": text} for text in row["gold"]] for row in rows)
        questions = [SimpleNamespace(qas_id=row["id"], answers=gold) for row, gold in zip(rows, golds, strict=True)]
        answers = {row["id"]: row["predicted"] for row in rows}
        return squad_metrics.squad_evaluate(questions, answers, no_answer, no_answer_probability_threshold=threshold)

    def asked(self, rows, threshold):
        """The official scores, where answers of at most the threshold are dropped."""
        return self.official(rows, {row["id"]: float(row["score"] <= threshold) for row in rows}, 0.5)

    def best_f1(self, rows):
        return self.official(rows, {row["id"]: 1 - row["score"] for row in rows})["best_f1"] / 100

    def test_questions_score_as_in_the_script_of_squad_2(self):
        def check(rows, report):
            self.assertEqual(len({row["id"] for row in rows}), len(rows))
            self.scores_are_close(report, self.asked(rows, report["threshold"]))
            best, halves = report["best_threshold"], report["split_half"]
            self.scores_are_close(best, self.asked(rows, best["threshold"]))
            self.scores_are_close(halves["chosen_on"], self.asked(rows[::2], halves["threshold"]))
            self.scores_are_close(halves["reported_on"], self.asked(rows[1::2], halves["threshold"]))
            for ours, chosen_on in ((best["f1"], rows), (halves["chosen_on"]["f1"], rows[::2])):
                answered = [row for row in chosen_on if row["predicted"]]
                scores = {row["score"] for row in answered}
                texts = [row["predicted"] for row in answered] + [text for row in chosen_on for text in row["gold"]]
                # The script parts answers of equal score, which no threshold does, and counts an answer that is only
                # an article as none in one place and as wrong in another.
                if len(scores) == len(answered) and all(normal(text) for text in texts):
                    self.close(ours, self.best_f1(chosen_on), "best F1")

        self.each("questions", check)

    def test_summaries_score_as_in_rouge_score(self):
        class Splitter:
            def tokenize(self, text):
                return re.findall(r"\w+(?:[-_]\w+)*|\S", text.lower())

        names = ["rouge1", "rouge2", "rougeL"]
        tokenizers = {"": None, "splitter_words": Splitter()}

        def check(rows, report):
            self.assertEqual(report["examples"], len(rows))
            for field, part in (("predicted", report), ("first_sentence", report["first_sentence"])):
                for words, tokenizer in tokenizers.items():
                    scorer = RougeScorer(names, use_stemmer=False, tokenizer=tokenizer)
                    ours = part[words] if words else part
                    scores = [scorer.score_multi(row["gold"], row[field]) for row in rows]
                    for name in names:
                        theirs = numpy.mean([score[name].fmeasure for score in scores])
                        self.close(ours[name], theirs, (field, words, name))

        self.each("summary", check)

    def test_relations_of_sentences_score_as_binary_decisions(self):
        def check(rows, report):
            self.assertEqual(report["examples"], len(rows))
            sets = []
            for row in rows:
                gold, *predicted = [(*place(tail), row["relation"]) for tail in (row["gold"], *row["predicted"])]
                sets.append(({gold}, set(predicted)))
            self.sets_are_scored(report, sets)
            for group in report["groups"]:
                seen = group["label"] == "seen"
                chosen = [pair for pair, row in zip(sets, rows, strict=True) if row["seen"] == seen]
                hits = sum(len(gold & predicted) for gold, predicted in chosen)
                counts = hits, sum(len(predicted) for _, predicted in chosen), len(chosen)
                self.close(group["p"], hits / counts[1] if counts[1] else 0, group["label"])
                self.close(group["r"], hits / len(chosen) if chosen else 0, group["label"])
                self.close(group["f1"], f1_of(counts), group["label"])
                self.assertEqual(group["support"], len(chosen))

        self.each("relations", check)

    def test_relations_of_documents_score_as_binary_decisions(self):
        def by_place(triple, _):
            return *place(triple["head"]), *place(triple["tail"]), triple["relation"]

        def by_text(triple, text):
            def name(side):
                start, end = place(triple[side])
                return " ".join(text[start:end].decode().split()).lower()

            return name("head"), name("tail"), triple["relation"]

        def check(rows, report):
            self.assertEqual(report["examples"], len(rows))
            found = {}
            for key in (by_place, by_text):
                found[key] = [
                    [{key(triple, row["text"].encode()) for triple in row[side]} for side in ("gold", "predicted")]
                    for row in rows
                ]
            self.sets_are_scored(report, found[by_place])
            hits, predicted, gold = (
                sum(len(part(*pair)) for pair in found[by_text])
                for part in (lambda g, p: g & p, lambda _, p: p, lambda g, _: g)
            )
            self.close(report["by_text"]["p"], hits / predicted if predicted else 0, "P by text")
            self.close(report["by_text"]["r"], hits / gold if gold else 0, "R by text")
            self.close(report["by_text"]["f1"], f1_of((hits, predicted, gold)), "F1 by text")

        self.each("relation_documents", check)

    def test_classes_score_as_in_scikit_learn(self):
        def check(rows, report):
            sets = defaultdict(list)
            for row in rows:
                sets[row["set"]].append(row)
            self.assertEqual([part["set"] for part in report["sets"]], sorted(sets, key=str.encode))
            for part, chosen in [(report, rows), *((part, sets[part["set"]]) for part in report["sets"])]:
                gold = [row["gold"] for row in chosen]
                # No class is a wrong one, but none that macro F1 counts.
                none = "\0"
                predicted = [none if row["predicted"] is None else row["predicted"] for row in chosen]
                classes = sorted((set(gold) | set(predicted)) - {none})
                macro = f1_score(gold, predicted, labels=classes, average="macro", zero_division=0)
                self.close(part["accuracy"], accuracy_score(gold, predicted), "accuracy")
                self.close(part["macro_f1"], macro, "macro F1")
                self.assertEqual(part["examples"], len(chosen))

        self.each("classify", check)


if __name__ == "__main__":
    unittest.main()
