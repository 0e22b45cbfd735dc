"""Streams a document to gleand and prints one line a result, as soon as it comes.

    tests/wire/client.py --server 127.0.0.1:50051 --labels person,location,date --chunk-bytes 65536 --offsets FILE
    tests/wire/client.py --ask "Who wrote the letters?" --ask "Where did he arrive?" --summary FILE
    tests/wire/client.py --relations "sister of(person->person),lives in(person->location|country)" FILE
    tests/wire/client.py --classify "novel,news,contract" --open "Find all ships" FILE

A line holds the task, the number of the result in it, positions in bytes, indices of the request and scores as f32 bits:

    entities, open  task ordinal start end label_index score
    relations       task ordinal head_start head_end tail_start tail_end relation_index score
                    head_label_index head_score tail_label_index tail_score        (on the same line)
    questions       task ordinal start end question_index rank score               (start and end are - for no answer)
    summary         task ordinal start end score
    classify        task ordinal start end label_index score
"""

import argparse
import pathlib
import re
import struct

import grpc

from schema import extraction_grpc, v1

# Where an event has its results.
LISTS = {"mentions": "mentions", "relations": "relations", "answers": "answers", "summary": "spans", "classes": "classes"}

RELATION = r"([^,()]+)(?:\(([^()]*)->([^()]*)\))?"


def labels(names):
    """Labels from names or messages."""
    return [v1.Label(name=name) if isinstance(name, str) else name for name in names]


def entities_config(names, task_id="entities", **config):
    """A config with one entities task; `names` are names or messages."""
    task = v1.Task(id=task_id, entities=v1.EntitiesTask(labels=labels(names)))
    return v1.Config(tasks=[task], **config)


def relation_types(text):
    """Relations from `sister of(person->person),lives in(person->location|country)`."""
    if not re.fullmatch(f"{RELATION}(?:,{RELATION})*", text):
        raise ValueError("write NAME(HEAD->TAIL),...")
    relations = []
    for name, heads, tails in re.findall(RELATION, text):
        head_labels, tail_labels = (labels(filter(None, side.split("|"))) for side in (heads, tails))
        relations.append(v1.RelationType(name=name, head_labels=head_labels, tail_labels=tail_labels))
    return relations


def requests(config, document, chunk_bytes, offsets):
    """The messages that send `document` in chunks."""
    yield v1.ExtractStreamRequest(config=config)
    for start in range(0, len(document), chunk_bytes):
        chunk = v1.Chunk(data=document[start : start + chunk_bytes])
        if offsets:
            chunk.offset_bytes = start
        yield v1.ExtractStreamRequest(chunk=chunk)
    yield v1.ExtractStreamRequest(finish=v1.Finish(total_bytes=len(document)))


def arriving(channel, config, document, chunk_bytes=65536, offsets=False, timeout=600):
    """The events of a document, as they come."""
    stub = extraction_grpc.ExtractionServiceStub(channel)
    for response in stub.ExtractStream(requests(config, document, chunk_bytes, offsets), timeout=timeout):
        yield response.event


def stream(channel, config, document, chunk_bytes=65536, offsets=False, timeout=600):
    """All events of a document."""
    return list(arriving(channel, config, document, chunk_bytes, offsets, timeout))


def event_results(event):
    """The results that an event tells, in order; none where it tells something else."""
    kind = event.WhichOneof("kind")
    return list(getattr(getattr(event, kind), LISTS[kind])) if kind in LISTS else []


def results(events):
    """The results of each task, by its id, in the order of their arrival."""
    found = {}
    for event in events:
        for result in event_results(event):
            found.setdefault(result.task_id, []).append(result)
    return found


def unary_results(answer):
    """The same of a `Results` message, as `Extract` answers."""
    found = {}
    for field in ("mentions", "relations", "answers", "summary_spans", "classes"):
        for result in getattr(answer, field):
            found.setdefault(result.task_id, []).append(result)
    return found


def mentions(events):
    """The mentions of a list of events, in order."""
    return [mention for event in events for mention in event.mentions.mentions]


def slices(document, part):
    """What stands at the positions of a result or argument: by bytes, by code points and, if asked for, by UTF-16 units."""
    texts = [document[part.byte_range.start : part.byte_range.end].decode()]
    texts.append(document.decode()[part.codepoint_range.start : part.codepoint_range.end])
    if part.HasField("utf16_range"):
        units = document.decode().encode("utf-16-le")
        texts.append(units[2 * part.utf16_range.start : 2 * part.utf16_range.end].decode("utf-16-le"))
    return texts


def bits(score):
    """A score bit by bit."""
    return struct.pack(">f", score).hex()


def line(result):
    """What must be equal wherever the same text was read; the score bit by bit."""

    def where(part):
        return f"{part.byte_range.start} {part.byte_range.end}"

    kind = result.DESCRIPTOR.name
    start, score = f"{result.task_id} {result.ordinal}", bits(result.score)
    if kind == "Relation":
        head, tail = result.head, result.tail
        arguments = " ".join(f"{argument.label_index} {bits(argument.score)}" for argument in (head, tail))
        return f"{start} {where(head)} {where(tail)} {result.relation_index} {score} {arguments}"
    if kind == "Answer":
        return f"{start} {'- -' if result.no_answer else where(result)} {result.question_index} {result.rank} {score}"
    if kind == "SummarySpan":
        return f"{start} {where(result)} {score}"
    return f"{start} {where(result)} {result.label_index} {score}"


def asked_tasks(options):
    """The tasks that the flags ask for."""
    tasks = []
    if options.labels:
        tasks.append(v1.Task(id="entities", entities=v1.EntitiesTask(labels=labels(options.labels.split(",")))))
    for number, instruction in enumerate(options.open):
        tasks.append(v1.Task(id=f"open{number or ''}", open=v1.OpenTask(instruction=instruction)))
    if options.ask:
        questions = [v1.Question(text=question) for question in options.ask]
        tasks.append(v1.Task(id="questions", questions=v1.QuestionsTask(questions=questions)))
    if options.summary:
        tasks.append(v1.Task(id="summary", summary=v1.SummaryTask(whole_sentences=True)))
    if options.relations:
        tasks.append(v1.Task(id="relations", relations=v1.RelationsTask(relations=options.relations)))
    if options.classify:
        tasks.append(v1.Task(id="classify", classify=v1.ClassifyTask(labels=labels(options.classify.split(",")))))
    return tasks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--labels", metavar="NAME,...", help="entities of these types")
    parser.add_argument("--open", metavar="INSTRUCTION", action="append", default=[], help="spans of its kind; repeatable")
    parser.add_argument("--ask", metavar="QUESTION", action="append", default=[], help="the best answer; repeatable")
    parser.add_argument("--summary", action="store_true", help="the sentences that sum the document up")
    parser.add_argument(
        "--relations", metavar="NAME(HEAD->TAIL),...", type=relation_types, help="pairs of spans; several labels as a|b"
    )
    parser.add_argument("--classify", metavar="NAME,...", help="the best of these classes")
    parser.add_argument("--chunk-bytes", type=int, default=65536)
    parser.add_argument("--offsets", action="store_true", help="send offset_bytes with every chunk")
    parser.add_argument("file", type=pathlib.Path)
    options = parser.parse_args()
    tasks = asked_tasks(options)
    if not tasks:
        parser.error("say what to look for: --labels, --open, --ask, --summary, --relations or --classify")
    with grpc.insecure_channel(options.server) as channel:
        document = options.file.read_bytes()
        for event in arriving(channel, v1.Config(tasks=tasks), document, options.chunk_bytes, options.offsets):
            for result in event_results(event):
                print(line(result), flush=True)


if __name__ == "__main__":
    main()
