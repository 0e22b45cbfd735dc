#!/usr/bin/env python3
"""Writes the goldens of the default model with the reference, PyPI gliner 0.2.29 (fp32, CPU, one thread, eval mode).

Run as `tests/run goldens` does, with Python 3.11 (its Unicode tables decide what a word is):

    python3.11 -m venv DIR && DIR/bin/pip install -r tests/parity/requirements.txt
    DIR/bin/python tests/parity/make_golden.py --model models/default --out tests/parity/goldens --check

Without `--check` the two files are written anew; with it they are computed again and compared with the committed ones:
integers, text and order exactly, scores and probabilities within 1e-5 (torch without vector instructions moves them by
2e-6; the same machine gives equal files), other tensors within 1e-5 of their largest value.

The reference is asked for one text and one label set at a time, so nothing is padded. The script fails, and names the
case, when a text is not read whole (320 words, 512 pieces), when a probability cell lies within 2e-4 of a threshold, or
when two overlapping candidates have different smallest cells that are closer than 2e-4: a port whose scores are within the
promised 1e-4 may then answer otherwise, so change the text.

`default.json` (one line a case)
- `model_sha256` of the weights, versions, `thresholds`, `settings` (16: threshold x flat/nested x single/multi-label), `stats`
- a case: `texts` (one), `labels`, `label_sets`; `words` with `word_start`, `word_end` in code points, end exclusive;
  `input_ids`, `attention_mask`, `words_mask` (1-based word number at a word's first piece, else 0), `text_lengths`
- `rows[0].spans`: every distinct kept span [first word, last word (inclusive), label number, score `min`];
  `rows[0].kept[s]`: the answer under `settings[s]` as positions in `spans`, in output order
- where a word has no pieces (marks, format and control characters) the reference counts only words that have some, so each
  later word takes its neighbour's vector: `rows` says what it answers. `word_exact_rows`, `words_without_pieces`,
  `words_mask_exact` and `expected_word_exact` say what is right: the tokenizer's own word numbers, and a word without
  pieces is a zero vector before the BiLSTM. gleand gives the latter.

`default.safetensors`: `caseN.logits` [1, words, labels, 3] (start, end, inside) of every case, `caseN.exact0.logits`
[words, labels, 3] for word-exact rows; for the cases in STAGED also `caseN.encoder` [1, pieces, 384], `words_before_rnn`
and `word_states` [1, words, 384] (after the BiLSTM), `label_vectors` [1, labels, 384], and, word-exact,
`caseN.exact0.words_before_rnn` and `caseN.exact0.word_states` [words, 384].
"""
import argparse
import hashlib
import json
import os
import pathlib
import platform
import sys
import warnings

os.environ.update(TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
warnings.filterwarnings("ignore")

import gliner
import numpy as np
import tokenizers
import torch
import transformers
from gliner import GLiNER
from safetensors.numpy import load_file, save_file

from texts import LABEL_SETS, TEXTS

THRESHOLDS = [0.3, 0.5, 0.7, 0.9]
SETTINGS = [{"threshold": t, "flat_ner": flat, "multi_label": multi}
            for t in THRESHOLDS for flat, multi in ((True, False), (False, False), (True, True), (False, True))]
STAGED = [("plain", "common"), ("controls", "odd_case")]
CELL_MARGIN, RANK_MARGIN = 2e-4, 2e-4
CHECK_WITHIN = 1e-5
WORDS_MAX, PIECES_MAX = 320, 512


class Reference:
    """The model, with its stages caught on the way and a choice of how words are counted."""

    def __init__(self, path):
        self.model = GLiNER.from_pretrained(path, local_files_only=True).eval()
        assert next(self.model.parameters()).dtype == torch.float32
        assert self.model.config.max_len == WORDS_MAX and self.model.config.subtoken_pooling == "first"
        self.collator = self.model.create_collator()
        self.counted = self.model.data_processor.prepare_word_mask
        self.stages = {}
        inner = self.model.model
        inner.token_rep_layer.register_forward_hook(lambda _m, _i, out: self.stages.update(encoder=out))
        inner.rnn.register_forward_hook(lambda _m, args, out: self.stages.update(words_before_rnn=args[0], word_states=out))
        inner.scorer.register_forward_hook(lambda _m, args, _o: self.stages.update(label_vectors=args[1]))

    def __call__(self, text, labels, exact=False):
        self.model.data_processor.prepare_word_mask = word_exact_mask if exact else self.counted
        prepared = self.model.prepare_batch([text], labels)
        batch = self.model.collate_batch(prepared["input_x"], prepared["entity_types"], self.collator)
        output = self.model.run_batch(batch)
        return prepared, batch, output

    def answers(self, batch, output):
        """What the reference keeps: distinct spans, and per setting their positions in output order."""
        spans, places, kept = [], {}, []
        for setting in SETTINGS:
            row = []
            for span in self.model.decode_batch(output, batch, **setting)[0]:
                key = (span.start, span.end, span.class_index)
                if key not in places:
                    places[key] = len(spans)
                    spans.append([*key, round(span.score, 7)])
                assert spans[places[key]][3] == round(span.score, 7)
                row.append(places[key])
            kept.append(row)
        return {"spans": spans, "kept": kept}


def word_exact_mask(texts, tokenized, skip_first_words=None, token_level=False):
    """As the reference's, but by the tokenizer's word number, so that a word without pieces keeps its place."""
    rows = []
    for i in range(len(texts)):
        before, row = None, []
        for word in tokenized.word_ids(i):
            first = word is not None and word != before
            row.append(word - skip_first_words[i] + 1 if first and word >= skip_first_words[i] else 0)
            before = word
        rows.append(row)
    return rows


def candidates(cells, threshold):
    """Spans over the threshold as (first, last, label, score, number of the smallest cell)."""
    found = []
    words, labels, _ = cells.shape
    for label in range(labels):
        for first in np.flatnonzero(cells[:, label, 0] > threshold):
            smallest = (cells[first, label, 0], (int(first), label, 0))
            for last in range(first, words):
                smallest = min(smallest, (cells[last, label, 2], (last, label, 2)))
                if smallest[0] < threshold:
                    break
                if cells[last, label, 1] > threshold:
                    score, cell = min(smallest, (cells[last, label, 1], (last, label, 1)))
                    found.append((int(first), last, label, float(score), cell))
    return found


def margins(cells):
    """(distance of the nearest cell to a threshold, least score gap of overlapping candidates with other smallest cells)"""
    near = min(float(np.abs(cells - t).min()) for t in THRESHOLDS)
    gap, spans = 1.0, candidates(cells, THRESHOLDS[0])
    for i, a in enumerate(spans):
        for b in spans[:i]:
            if a[0] <= b[1] and b[0] <= a[1] and a[4] != b[4]:
                gap = min(gap, abs(a[3] - b[3]))
    return near, gap


def make_case(reference, name, text, labels, tensors, number):
    prepared, batch, output = reference(text, labels)
    stages = dict(reference.stages)
    words = prepared["tokens"][0]
    pieces = batch["input_ids"].shape[1]
    assert words == batch["tokens"][0] and len(words) <= WORDS_MAX, f"{name}: {len(words)} words"
    whole = reference.model.data_processor.transformer_tokenizer(
        [reference.model.data_processor.prepare_inputs([words], [labels])[0][0]], is_split_into_words=True, truncation=False)
    assert len(whole["input_ids"][0]) == pieces <= PIECES_MAX, f"{name}: {len(whole['input_ids'][0])} pieces"
    case = {"name": name, "texts": [text], "labels": labels, "label_sets": [labels], "words": [words],
            "word_start": prepared["start_token_map"], "word_end": prepared["end_token_map"], "words_used": [len(words)]}
    for key in ("input_ids", "attention_mask", "words_mask", "text_lengths"):
        case[key] = batch[key].int().tolist()
    case["rows"] = [reference.answers(batch, output)]
    tensors[f"case{number}.logits"] = output.logits
    if tuple(name.split("/")) in STAGED:
        for stage, value in stages.items():
            tensors[f"case{number}.{stage}"] = value
    checked = [torch.sigmoid(output.logits[0]).numpy()]
    row, half = case["rows"][0], SETTINGS.index({"threshold": 0.5, "flat_ner": True, "multi_label": False})
    public = [(e["start"], e["end"], e["label"]) for e in reference.model.inference([text], labels, threshold=0.5)[0]]
    assert public == [(case["word_start"][0][a], case["word_end"][0][z], labels[n])
                      for a, z, n, _ in (row["spans"][i] for i in row["kept"][half])], f"{name}: inference() answers otherwise"

    _, batch_exact, output_exact = reference(text, labels, exact=True)
    mask = batch_exact["words_mask"].int().tolist()[0]
    if mask != case["words_mask"][0]:
        case["word_exact_rows"] = [0]
        case["words_without_pieces"] = {"0": sorted(set(range(len(words))) - {m - 1 for m in mask})}
        case["words_mask_exact"] = {"0": mask}
        case["expected_word_exact"] = {"0": reference.answers(batch_exact, output_exact)}
        tensors[f"case{number}.exact0.logits"] = output_exact.logits[0]
        if tuple(name.split("/")) in STAGED:
            for stage in ("words_before_rnn", "word_states"):
                tensors[f"case{number}.exact0.{stage}"] = reference.stages[stage][0]
        checked.append(torch.sigmoid(output_exact.logits[0]).numpy())
    near, gap = (min(x) for x in zip(*map(margins, checked)))
    return case, pieces, near, gap


def compute(path):
    reference = Reference(path)
    cases, tensors, nears, gaps, kept, pieces_most, bad = [], {}, [], [], np.zeros(len(SETTINGS), int), 0, []
    for text_name, text in TEXTS:
        for set_name, labels in LABEL_SETS.items():
            name = f"{text_name}/{set_name}"
            case, pieces, near, gap = make_case(reference, name, text, labels, tensors, len(cases))
            if near < CELL_MARGIN or gap < RANK_MARGIN:
                bad.append(f"{name}: nearest cell to a threshold {near:.1e}, least gap of overlapping candidates {gap:.1e}")
            cases.append(case)
            nears.append(near)
            gaps.append(gap)
            kept += [len(k) for k in case["rows"][0]["kept"]]
            pieces_most = max(pieces_most, pieces)
    weights = pathlib.Path(path, "model.safetensors").read_bytes()
    exact = [c for c in cases if "expected_word_exact" in c]
    changed = sum(c["expected_word_exact"]["0"] != c["rows"][0] for c in exact)
    head = {
        "name": "default", "gliner": gliner.__version__, "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
        "python": platform.python_version(), "model_sha256": hashlib.sha256(weights).hexdigest(),
        "thresholds": THRESHOLDS, "settings": SETTINGS,
        "stats": {"cases": len(cases), "words_most": max(c["words_used"][0] for c in cases), "pieces_most": pieces_most,
                  "min_cell_to_threshold": round(min(nears), 6), "min_overlap_gap": round(min(gaps), 6),
                  "kept": kept.tolist(), "word_exact": len(exact), "word_exact_changes": changed},
    }
    arrays = {k: np.ascontiguousarray(v.detach().float().numpy()) for k, v in tensors.items()}
    return head, cases, arrays, bad


def dump(head, cases):
    line = lambda value: json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    body = line(head)[:-1] + ',"cases":[\n' + ",\n".join(map(line, cases)) + "\n]}\n"
    assert json.loads(body)["cases"] == cases
    return body


def differences(path, old, new, found):
    """Appends where two JSON values differ: floats by more than CHECK_WITHIN, anything else at all."""
    if isinstance(old, float) and isinstance(new, float):
        if abs(old - new) > CHECK_WITHIN:
            found.append(f"{path}: {old} became {new}")
    elif isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            differences(f"{path}.{key}", old[key], new[key], found)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new)):
            differences(f"{path}[{i}]", a, b, found)
    elif old != new:
        found.append(f"{path}: differs")


def check(out, head, cases, arrays):
    committed = json.loads((out / "default.json").read_text())
    found = []
    for key in ("gliner", "model_sha256", "thresholds", "settings"):
        differences(key, committed[key], head[key], found)
    for i, case in enumerate(cases):
        differences(case["name"], committed["cases"][i] if i < len(committed["cases"]) else None, case, found)
    kept = load_file(out / "default.safetensors")
    if kept.keys() != arrays.keys():
        found.append("default.safetensors: other tensors")
    worst = 0.0
    for name in kept.keys() & arrays.keys():
        old, new = kept[name], arrays[name]
        if old.shape != new.shape:
            found.append(f"{name}: shape {old.shape} became {new.shape}")
            continue
        if name.endswith("logits"):
            gap, limit = float(np.abs(1 / (1 + np.exp(-old)) - 1 / (1 + np.exp(-new))).max()), CHECK_WITHIN
            worst = max(worst, gap)
        else:
            gap, limit = float(np.abs(old - new).max()), CHECK_WITHIN * float(np.abs(old).max())
        if gap > limit:
            found.append(f"{name}: differs by {gap:.1e}")
    print(f"{len(cases)} cases compared, probabilities differ by at most {worst:.1e}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="directory of the default model")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="directory of default.json and default.safetensors")
    parser.add_argument("--check", action="store_true", help="compare with the files in --out, write nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    head, cases, arrays, bad = compute(args.model)
    print(json.dumps(head["stats"]))
    if args.check:
        bad += check(args.out, head, cases, arrays)
    elif not bad:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "default.json").write_text(dump(head, cases), encoding="ascii")
        save_file(arrays, args.out / "default.safetensors")
    print("\n".join(bad[:50]) if bad else "OK")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
