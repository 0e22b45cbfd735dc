"""What the two command-line programs have in common: flags, lines of results, and how they end."""

import argparse
import os
import pathlib
import struct
import sys

import grpc

from gleand.v1 import config_pb2, tasks_pb2
from gleand_shared import CHUNK_BYTES, Discard, GaveUp, SourceLost, results


def options():
    """The flags."""
    parser = argparse.ArgumentParser(description="Prints one line a mention: task ordinal start end label_index score_bits.")
    parser.add_argument("--server", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--labels", required=True, metavar="NAME,...", help="entities of these types")
    parser.add_argument("--tls", action="store_true", help="with the authorities of the system")
    parser.add_argument("--ca", metavar="FILE", help="authorities of the server's certificate (PEM); implies --tls")
    parser.add_argument("--cert", metavar="FILE", help="certificate of this client (PEM)")
    parser.add_argument("--key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--api-key-file", metavar="FILE", type=pathlib.Path, help="the API key that the server asks for")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="ends all attempts")
    parser.add_argument("--stats", action="store_true", help="tell on stderr what it took")
    parser.add_argument("file", help="the document; - reads standard input, once")
    return parser.parse_args()


def config(given):
    """What to look for: one task, `entities`."""
    labels = [tasks_pb2.Label(name=name) for name in given.labels.split(",")]
    return config_pb2.Config(tasks=[tasks_pb2.Task(id="entities", entities=tasks_pb2.EntitiesTask(labels=labels))])


def source(given):
    """The path of the document; None for standard input."""
    return None if given.file == "-" else pathlib.Path(given.file)


def read_input():
    """The next piece of standard input, as it comes; none at the end. Not `sys.stdin`, whose lock may be held at the exit."""
    return os.read(0, CHUNK_BYTES)


def security(given):
    """For `connect`."""
    return {"tls": given.tls, "ca": given.ca, "cert": given.cert, "key": given.key}


def limits(given):
    """For `extract`."""
    return {"api_key": given.api_key_file and given.api_key_file.read_text().strip(), "timeout": given.timeout}


def show(event):
    """The lines of an event. Each is flushed: whoever reads them wants them as they come."""
    if isinstance(event, Discard):
        print("discard", flush=True)
    for found in results(event):
        score = struct.pack(">f", found.score).hex()
        place = f"{found.byte_range.start} {found.byte_range.end}"
        print(found.task_id, found.ordinal, place, found.label_index, score, flush=True)


def end(run, given, stats):
    """Runs the program, tells what went wrong and what it took, and exits."""
    failure = None
    try:
        run()
    except grpc.RpcError as error:
        failure = f"{error.code().name}: {error.details()}"
    except (GaveUp, SourceLost, OSError) as error:
        failure = str(error)
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
    if given.stats:
        print(stats, file=sys.stderr)
    sys.exit(failure is not None)
