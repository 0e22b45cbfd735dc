"""Streams documents to gleand and goes on when a server is full, stops or breaks.

    with connect("gleand:443", ca="ca.pem") as channel:
        for event in extract(channel, config, pathlib.Path("book.txt"), timeout=600):
            for result in results(event):
                print(result.task_id, result.byte_range.start, result.byte_range.end)

A source that can be read twice (a path, bytes, text) is sent anew from byte 0 where the server is UNAVAILABLE or refuses
with QUEUE_FULL, four times at most. What was yielded is not yielded again as long as the server that goes on has the same
fingerprint; with another one a `Discard` comes first: everything yielded before it is void.

A source that is read once (any other iterable of bytes) is sent once. A server that stops in order says so while it still
reads: the document ends there, and the rest goes to the next server as a document of its own. A `Part` comes before its
events; offsets and ordinals go on. Where the stream is cut instead, `SourceLost` is raised.

The generated modules `gleand.v1.*` must be on the path; README.md says how to make them.
"""

import argparse
import codecs
import dataclasses
import os
import pathlib
import random
import struct
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2

from gleand.v1 import config_pb2, events_pb2, extraction_pb2, extraction_pb2_grpc, tasks_pb2

ATTEMPTS_MAX = 4
BACKOFF_FIRST, BACKOFF_MAX = 0.2, 10.0
# A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
TOLD_JITTER = 0.2
CHUNK_BYTES = 64 << 10
# A word whose end is not known yet is held back, so that a document may end wherever it was sent to; a longer one is not.
WORD_BYTES_MAX = 64
# Where an event has its results.
LISTS = {"mentions": "mentions", "relations": "relations", "answers": "answers", "summary": "spans", "classes": "classes"}


@dataclasses.dataclass
class Attempts:
    """What it took. Give one to `extract` and look at it afterwards; it adds up over several documents."""

    attempts: int = 0  # streams opened
    restarts: int = 0  # of them, again after a failure
    refused: int = 0  # streams that failed before anything of the document was sent
    parts: int = 0  # further documents that sources which are read once became
    discards: int = 0  # restarts with another fingerprint


@dataclasses.dataclass(frozen=True)
class Discard:
    """Everything yielded before is void: a server with another fingerprint goes on, from the start of the document."""

    fingerprint: str


@dataclasses.dataclass(frozen=True)
class Part:
    """What follows was read as a document of its own, which starts there in the whole input."""

    number: int
    bytes: int
    codepoints: int
    utf16: int


class SourceLost(Exception):
    """The stream was cut, and what was sent cannot be read again. The cause is the `grpc.RpcError`."""


class GaveUp(Exception):
    """There is no attempt left, or no time for one. The cause is the last `grpc.RpcError`."""


def connect(server, *, tls=False, ca=None, cert=None, key=None):
    """A channel, with TLS where it is asked for or one of the PEM files `ca`, `cert` and `key` is given."""
    ca, cert, key = (path and pathlib.Path(path).read_bytes() for path in (ca, cert, key))
    # Attempts are made here: the library knows nothing of ordinals.
    options = [("grpc.enable_retries", 0), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
    if tls or ca or cert or key:
        return grpc.secure_channel(server, grpc.ssl_channel_credentials(ca, key, cert), options)
    return grpc.insecure_channel(server, options)


def results(event):
    """The results that an event tells, in order; none where it tells something else."""
    kind = event.WhichOneof("kind") if isinstance(event, events_pb2.Event) else None
    return list(getattr(getattr(event, kind), LISTS[kind])) if kind in LISTS else []


def extract(channel, config, source, *, api_key=None, timeout=None, stats=None):
    """Yields the events of a document, and `Discard` and `Part` between them. Each part ends with its own `done`.

    `source` is a path, bytes, text, or an iterable of bytes that is read once. `timeout` (seconds) ends all attempts.
    """
    stats = Attempts() if stats is None else stats
    deadline = None if timeout is None else time.monotonic() + timeout
    metadata = [("authorization", f"Bearer {api_key}")] if api_key else None

    def open_stream(requests):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        stub = extraction_pb2_grpc.ExtractionServiceStub(channel)
        return stub.ExtractStream(requests, timeout=left, metadata=metadata)

    source, handed, number = _source(source), _Handed(), 1
    while True:
        yield from _attempts(open_stream, config, source, handed, deadline, stats)
        place = source.next_part()
        if place is None:
            return
        number, stats.parts = number + 1, stats.parts + 1
        handed.start_part(place)
        yield Part(number, *place)


def _attempts(open_stream, config, source, handed, deadline, stats):
    """One part, as often as it takes."""
    for number in range(1, ATTEMPTS_MAX + 1):
        stats.attempts += 1
        try:
            yield from _attempt(open_stream, config, source, handed, stats)
            return
        except grpc.RpcError as error:
            delay = _delay(error, number)
            if delay is None:
                raise
            stats.refused += not source.sent
            if not source.can_go_back():
                raise SourceLost("the stream was cut, and its source cannot be read twice") from error
            if number == ATTEMPTS_MAX:
                raise GaveUp(f"gave up after {ATTEMPTS_MAX} attempts: {error.details()}") from error
            if deadline is not None and time.monotonic() + delay >= deadline:
                raise GaveUp(f"the timeout leaves no time for another attempt: {error.details()}") from error
        time.sleep(delay)
        stats.restarts += 1
        source.go_back()


def _attempt(open_stream, config, source, handed, stats):
    """One stream. A thread of the library takes from the source while this one reads, so that neither waits for ever."""
    state = _Stream()
    call = open_stream(_requests(config, source, state))
    try:
        for response in call:
            event, kind = response.event, response.event.WhichOneof("kind")
            if kind == "ready":
                if handed.is_void(event.ready.fingerprint):
                    stats.discards += 1
                    yield Discard(event.ready.fingerprint)
                handed.go_on(event.ready.fingerprint)
                state.accepted.set()
            elif kind == "draining" and not source.drain(state):
                raise _Cut("the server stops, and was sent nothing yet")
            event = handed.news(event)
            if event is not None:
                yield event
            if kind == "done":
                return
        raise _Cut("the server ended the stream before the document was done")
    except grpc.RpcError:
        if state.error is not None:
            raise state.error from None
        raise
    finally:
        # Also when the caller leaves this generator: nothing is taken from the source any more.
        source.leave(state)
        state.accepted.set()
        call.cancel()


def _requests(config, source, state):
    """The messages of one stream. Nothing is taken from the source before the server accepts the document."""
    yield extraction_pb2.ExtractStreamRequest(config=config)
    state.accepted.wait()
    try:
        while chunk := source.take(state):
            yield extraction_pb2.ExtractStreamRequest(chunk=extraction_pb2.Chunk(data=chunk))
    except Exception as error:  # of the source; the library would only tell that the iterator failed
        state.error = error
        raise
    if state.is_draining:
        yield extraction_pb2.ExtractStreamRequest(flush=extraction_pb2.Flush())
    if not state.has_ended:
        yield extraction_pb2.ExtractStreamRequest(finish=extraction_pb2.Finish(total_bytes=source.sent))


class _Stream:
    """What both threads of a stream know. The flags change under the lock of the source."""

    def __init__(self):
        self.accepted = threading.Event()
        self.is_draining = self.has_ended = False
        self.error = None


class _Cut(grpc.RpcError):
    """A stream that ended too early without an error of the library's."""

    def __init__(self, details):
        super().__init__(details)

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return str(self)

    def trailing_metadata(self):
        return ()


def _delay(error, number):
    """Seconds until the next attempt; None where it would be of no use."""
    trailers = {key: value for key, value in error.trailing_metadata() or ()}
    reason, told = "", None
    for detail in status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b"")).details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            told = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    code = error.code()
    passes = code == grpc.StatusCode.UNAVAILABLE or (code == grpc.StatusCode.RESOURCE_EXHAUSTED and reason == "QUEUE_FULL")
    # Every error of the server has a reason: without one the connection broke.
    passes = passes or (code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL) and not reason)
    pushback = trailers.get("grpc-retry-pushback-ms")
    if not passes or (pushback is not None and not pushback.isdigit()):
        return None
    if told is None and pushback is not None:
        told = int(pushback) / 1000
    if told is not None:
        return told * (1 + TOLD_JITTER * random.random())
    return min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** (number - 1)) * random.random()


class _Handed:
    """What the caller has: results that come again are dropped, those of a later part are moved to their place."""

    def __init__(self):
        self.fingerprint, self.place = None, (0, 0, 0)
        self.next, self.before = {}, {}

    def is_void(self, fingerprint):
        return bool(self.next) and self.fingerprint != fingerprint

    def go_on(self, fingerprint):
        if self.fingerprint != fingerprint:
            self.next = {}
        self.fingerprint = fingerprint

    def start_part(self, place):
        for task, count in self.next.items():
            self.before[task] = self.before.get(task, 0) + count
        self.fingerprint, self.next, self.place = None, {}, place

    def news(self, event):
        """The event as the caller wants it; None where there is nothing new in it."""
        kind = event.WhichOneof("kind")
        if kind in LISTS:
            found = [result for result in results(event) if self._is_new(result)]
            if not found:
                return None
            event = events_pb2.Event()
            getattr(getattr(event, kind), LISTS[kind]).extend(found)
        elif kind == "interim":
            for _, listed in event.interim.results.ListFields():
                for result in listed:
                    self._move(result)
        elif kind == "progress":
            event.progress.watermark_bytes += self.place[0]
            event.progress.watermark_codepoints += self.place[1]
            event.progress.received_bytes += self.place[0]
        return event

    def _is_new(self, result):
        task = result.task_id
        if result.ordinal < self.next.get(task, 0):
            return False
        self.next[task] = result.ordinal + 1
        result.ordinal += self.before.get(task, 0)
        self._move(result)
        return True

    def _move(self, result):
        if result.DESCRIPTOR.name == "Relation":
            self._move(result.head)
            self._move(result.tail)
            return
        for field, start in zip(("byte_range", "codepoint_range", "utf16_range"), self.place):
            if result.HasField(field):
                getattr(result, field).start += start
                getattr(result, field).end += start


def _source(source):
    if isinstance(source, str):
        source = source.encode()
    return _Again(source) if isinstance(source, (bytes, bytearray, memoryview, os.PathLike)) else _Once(source)


class _Again:
    """A path or bytes."""

    def __init__(self, source):
        self.lock, self.sent = threading.Lock(), 0
        self.data = None if isinstance(source, os.PathLike) else memoryview(source)
        self.file = open(source, "rb") if self.data is None else None
        self.state = self._state()

    def _state(self):
        stat = self.file and os.fstat(self.file.fileno())
        return stat and (stat.st_size, stat.st_mtime_ns)

    def take(self, state):
        """The next bytes; none at the end, or where the stream has ended."""
        with self.lock:
            if state.has_ended:
                return b""
            file, start = self.file, self.sent
            chunk = file.read(CHUNK_BYTES) if file else bytes(self.data[start : start + CHUNK_BYTES])
            self.sent += len(chunk)
            return chunk

    def drain(self, state):
        """Nothing to do: the document goes on here, or is sent anew elsewhere."""
        return True

    def leave(self, state):
        with self.lock:
            state.has_ended = True

    def can_go_back(self):
        return True

    def go_back(self):
        self.sent = 0
        if self.file:
            self.file.seek(0)
            if self._state() != self.state:
                raise OSError("the file has changed since it was read first")

    def next_part(self):
        if self.file:
            self.file.close()


class _Once:
    """An iterable of bytes. A thread of its own reads it a chunk ahead, so that `draining` need not wait for it."""

    def __init__(self, iterable):
        self.changed, self.sent = threading.Condition(), 0
        self.waiting, self.has_ended, self.error = bytearray(), False, None
        self.place, self.decoder = [0, 0, 0], codecs.getincrementaldecoder("utf-8")("replace")
        threading.Thread(target=self._read, args=(iterable,), name="gleand-source", daemon=True).start()

    def _read(self, iterable):
        try:
            for piece in iterable:
                with self.changed:
                    self.waiting += piece
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: len(self.waiting) < CHUNK_BYTES)
        except Exception as error:  # told by whoever takes next
            self.error = error
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def take(self, state):
        """The next whole words; none at the end, or where the stream has ended or is to end."""
        with self.changed:
            self.changed.wait_for(lambda: state.has_ended or state.is_draining or self.has_ended or self._words())
            if state.has_ended or state.is_draining:
                return b""
            if self.error and not self.waiting:
                raise self.error
            count = self._words()
            chunk = bytes(self.waiting[:count])
            del self.waiting[:count]
            self.changed.notify_all()
            text = self.decoder.decode(chunk)
            self.sent += count
            self.place = [self.place[0] + count, self.place[1] + len(text), self.place[2] + len(text.encode("utf-16-le")) // 2]
            return chunk

    def _words(self):
        """How many bytes may go, so that a document may end behind them."""
        text = bytes(self.waiting[:CHUNK_BYTES])
        if self.has_ended and len(text) == len(self.waiting):
            return len(text)
        for after, byte in enumerate(reversed(text[-WORD_BYTES_MAX:])):
            if byte in b" \t\n\r\f":
                return len(text) - after
        if len(text) < WORD_BYTES_MAX:
            return 0
        # A code point that is not whole yet: one to three bytes from its lead byte on.
        for count in (1, 2, 3):
            lead = text[-count]
            if lead >= 0xC0:
                return len(text) - (count if (lead >= 0xF0) + (lead >= 0xE0) + 2 > count else 0)
        return len(text)

    def drain(self, state):
        """Ends the document where it was sent to. False where nothing was sent yet: then another stream may have all."""
        with self.changed:
            state.is_draining = True
            self.changed.notify_all()
            return self.sent > 0

    def leave(self, state):
        with self.changed:
            state.has_ended = True
            self.changed.notify_all()

    def can_go_back(self):
        return not self.sent

    def go_back(self):
        """Nothing was sent: all of it still waits."""

    def next_part(self):
        """Where the next part starts, once there is anything of it; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.has_ended)
            if not self.waiting and self.error:
                raise self.error
            self.sent = 0
            return tuple(self.place) if self.waiting else None


def main():
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
    options = parser.parse_args()

    labels = [tasks_pb2.Label(name=name) for name in options.labels.split(",")]
    task = tasks_pb2.Task(id="entities", entities=tasks_pb2.EntitiesTask(labels=labels))
    config = config_pb2.Config(tasks=[task])
    source = pathlib.Path(options.file)
    if options.file == "-":
        source = iter(lambda: sys.stdin.buffer.read1(CHUNK_BYTES), b"")
    api_key = options.api_key_file and options.api_key_file.read_text().strip()
    stats = Attempts()
    try:
        with connect(options.server, tls=options.tls, ca=options.ca, cert=options.cert, key=options.key) as channel:
            for event in extract(channel, config, source, api_key=api_key, timeout=options.timeout, stats=stats):
                if isinstance(event, Discard):
                    print("discard", flush=True)
                for found in results(event):
                    score = struct.pack(">f", found.score).hex()
                    place = f"{found.byte_range.start} {found.byte_range.end}"
                    print(found.task_id, found.ordinal, place, found.label_index, score, flush=True)
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
    except (GaveUp, SourceLost, OSError) as error:
        sys.exit(f"error: {error}")
    finally:
        if options.stats:
            print(" ".join(f"{name}={count}" for name, count in dataclasses.asdict(stats).items()), file=sys.stderr)


if __name__ == "__main__":
    main()
