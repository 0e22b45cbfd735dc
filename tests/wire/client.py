"""Streams a document to gleand and prints one line a mention: task ordinal start end label_index score_bits_hex.

    tests/wire/client.py --server 127.0.0.1:50051 --labels person,location,date --chunk-bytes 65536 --offsets FILE
"""

import argparse
import pathlib
import struct

import grpc

from schema import extraction_grpc, v1


def entities_config(labels, task_id="entities", **config):
    """A config with one entities task; `labels` are names or messages."""
    labels = [v1.Label(name=label) if isinstance(label, str) else label for label in labels]
    task = v1.Task(id=task_id, entities=v1.EntitiesTask(labels=labels))
    return v1.Config(tasks=[task], **config)


def requests(config, document, chunk_bytes, offsets):
    """The messages that send `document` in chunks."""
    yield v1.ExtractStreamRequest(config=config)
    for start in range(0, len(document), chunk_bytes):
        chunk = v1.Chunk(data=document[start : start + chunk_bytes])
        if offsets:
            chunk.offset_bytes = start
        yield v1.ExtractStreamRequest(chunk=chunk)
    yield v1.ExtractStreamRequest(finish=v1.Finish(total_bytes=len(document)))


def stream(channel, config, document, chunk_bytes=65536, offsets=False, timeout=600):
    """All events of a document."""
    stub = extraction_grpc.ExtractionServiceStub(channel)
    call = stub.ExtractStream(requests(config, document, chunk_bytes, offsets), timeout=timeout)
    return [response.event for response in call]


def mentions(events):
    """The mentions of a list of events, in order."""
    return [mention for event in events for mention in event.mentions.mentions]


def line(mention):
    """What must be equal wherever the same text was read; the score bit by bit."""
    bits = struct.pack(">f", mention.score).hex()
    where = mention.byte_range
    return f"{mention.task_id} {mention.ordinal} {where.start} {where.end} {mention.label_index} {bits}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--labels", default="person,location,date")
    parser.add_argument("--chunk-bytes", type=int, default=65536)
    parser.add_argument("--offsets", action="store_true", help="send offset_bytes with every chunk")
    parser.add_argument("file", type=pathlib.Path)
    options = parser.parse_args()
    config = entities_config(options.labels.split(","))
    with grpc.insecure_channel(options.server) as channel:
        events = stream(channel, config, options.file.read_bytes(), options.chunk_bytes, options.offsets)
    for mention in mentions(events):
        print(line(mention))


if __name__ == "__main__":
    main()
