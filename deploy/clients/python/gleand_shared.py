"""What both Python clients have in common: nothing here waits, opens a connection or knows of threads and tasks.

`gleand_client` and `gleand_client_aio` import it; what a caller needs of it has its name there too.
"""

import codecs
import dataclasses
import os
import pathlib
import random
import threading
import time

import grpc
from google.rpc import error_details_pb2, status_pb2

from gleand.v1 import events_pb2, extraction_pb2

ATTEMPTS_MAX = 4
BACKOFF_FIRST, BACKOFF_MAX = 0.2, 10.0
# A told delay becomes longer by this part of it at most, so that clients that were told the same do not come at once.
TOLD_JITTER = 0.2
CHUNK_BYTES = 64 << 10
# A word whose end is not known yet is held back, so that a document may end wherever it was sent to; a longer one is not.
WORD_BYTES_MAX = 64
# Where an event has its results.
LISTS = {"mentions": "mentions", "relations": "relations", "answers": "answers", "summary": "spans", "classes": "classes"}
# Attempts are made here: the library knows nothing of ordinals.
CHANNEL_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection that died without a word is found also while nothing is written. By itself the library stops after two pings
    # and waits a minute for the answer to one, whatever the timeout of keepalive.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
]
# How long the status of a stream may come after what tells that the stream has ended.
STATUS_SECONDS = 1
STATUS_DETAILS = "grpc-status-details-bin"


@dataclasses.dataclass
class Attempts:
    """What it took. Give one to `extract` and look at it afterwards; it adds up over several documents."""

    attempts: int = 0  # streams opened
    restarts: int = 0  # of them, again after a failure
    refused: int = 0  # streams that failed before anything of the document was sent
    parts: int = 0  # further documents that sources which are read once became
    discards: int = 0  # restarts with another fingerprint

    def __post_init__(self):
        # Not a field: the fields are counts. Each server that accepted a stream, in order.
        self.instances = []

    def __str__(self):
        counts = [f"{name}={count}" for name, count in dataclasses.asdict(self).items()]
        return " ".join([*counts, f"instances={','.join(self.instances)}"])


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


class Cut(grpc.RpcError):
    """A stream that ended too early without an error of the library's."""

    status = grpc.StatusCode.UNAVAILABLE

    def code(self):
        return self.status

    def details(self):
        return str(self)

    def trailing_metadata(self):
        return ()


class Late(Cut):
    """The caller's timeout is over while no stream is open."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self):
        super().__init__("the timeout is over, and the source has told neither more nor its end")


def credentials(tls, ca, cert, key):
    """Of a channel with TLS, which each of the files asks for as well; None without."""
    ca, cert, key = (path and pathlib.Path(path).read_bytes() for path in (ca, cert, key))
    return grpc.ssl_channel_credentials(ca, key, cert) if tls or ca or cert or key else None


def call_options(api_key, deadline):
    """What a call is given beside its messages."""
    metadata = [("authorization", f"Bearer {api_key}")] if api_key else None
    return {"timeout": seconds_left(deadline), "metadata": metadata}


def seconds_left(deadline):
    """Until a time of `time.monotonic`; None where there is no end."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def results(event):
    """The results that an event tells, in order; none where it tells something else."""
    kind = event.WhichOneof("kind") if isinstance(event, events_pb2.Event) else None
    return list(getattr(getattr(event, kind), LISTS[kind])) if kind in LISTS else []


# --- attempts -------------------------------------------------------------------------------------------------------


def wait_before_next(error, number, source, deadline, stats):
    """Seconds until the attempt after this one, which failed; raises where there is none."""
    seconds = delay(error, number)
    if seconds is None:
        raise error
    stats.refused += not source.sent
    if not source.can_go_back():
        raise SourceLost("the stream was cut, and its source cannot be read twice") from error
    if number == ATTEMPTS_MAX:
        raise GaveUp(f"gave up after {ATTEMPTS_MAX} attempts: {error.details()}") from error
    if deadline is not None and time.monotonic() + seconds >= deadline:
        raise GaveUp(f"the timeout leaves no time for another attempt: {error.details()}") from error
    return seconds


def delay(error, number):
    """Seconds until the next attempt; None where it would be of no use."""
    trailers = dict(error.trailing_metadata() or ())
    reason, told = "", None
    for detail in status_pb2.Status.FromString(trailers.get(STATUS_DETAILS, b"")).details:
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


class Stream:
    """What the reader and the writer of a stream both know. The flags change under the lock of the source."""

    def __init__(self):
        self.is_draining = self.has_ended = False
        self.error = None  # of the source

    def first(self, config):
        """The message that opens the stream."""
        return extraction_pb2.ExtractStreamRequest(config=config)

    def chunk(self, data):
        """A message with bytes of the document."""
        return extraction_pb2.ExtractStreamRequest(chunk=extraction_pb2.Chunk(data=data))

    def last(self, source):
        """The messages that close the stream, once the source has given all it is to give."""
        if self.is_draining:
            yield extraction_pb2.ExtractStreamRequest(flush=extraction_pb2.Flush())
        if not self.has_ended:
            yield extraction_pb2.ExtractStreamRequest(finish=extraction_pb2.Finish(total_bytes=source.sent))


class Handed:
    """What the caller has: results that come again are dropped, those of a later part are moved to their place."""

    def __init__(self):
        self.fingerprint, self.place = None, (0, 0, 0)
        self.next, self.before = {}, {}

    def accept(self, ready, stats):
        """A server accepts the document. `Discard` where what the caller has is void."""
        is_other = self.fingerprint != ready.fingerprint
        discard = Discard(ready.fingerprint) if is_other and self.next else None
        if is_other:
            self.fingerprint, self.next = ready.fingerprint, {}
        stats.instances.append(ready.instance)
        stats.discards += discard is not None
        return discard

    def start_part(self, place, stats):
        """What comes from now on is of a document that starts at `place`."""
        for task, count in self.next.items():
            self.before[task] = self.before.get(task, 0) + count
        self.fingerprint, self.next, self.place = None, {}, place
        stats.parts += 1

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


# --- sources --------------------------------------------------------------------------------------------------------


def is_read_again(source):
    """Whether a source can be read twice."""
    return isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike))


class Again:
    """A path, bytes or text. Whoever reads it may be another thread than who leaves or goes back."""

    def __init__(self, source):
        source = source.encode() if isinstance(source, str) else source
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

    def next_part(self, deadline):
        """There is none: a document is sent whole."""
        return None

    def close(self):
        if self.file:
            self.file.close()


class Waiting:
    """What was read of a source that is read once and waits to be sent, and where in the whole input that is."""

    def __init__(self):
        self.bytes, self.sent, self.has_ended, self.error = bytearray(), 0, False, None
        self.place, self.decoder = (0, 0, 0), codecs.getincrementaldecoder("utf-8")("replace")

    def may_take(self, state):
        """Whether `take` need not wait."""
        return state.has_ended or state.is_draining or self.has_ended or self._words() > 0

    def take(self, state):
        """The next whole words; none at the end, or where the stream has ended or is to end."""
        if state.has_ended or state.is_draining:
            return b""
        if self.error is not None and not self.bytes:
            raise self.error
        chunk = bytes(self.bytes[: self._words()])
        del self.bytes[: len(chunk)]
        text = self.decoder.decode(chunk)
        self.sent += len(chunk)
        lengths = (len(chunk), len(text), len(text.encode("utf-16-le")) // 2)
        self.place = tuple(start + length for start, length in zip(self.place, lengths))
        return chunk

    def knows_next_part(self):
        """Whether `next_part` need not wait."""
        return self.has_ended or bool(self.bytes)

    def next_part(self):
        """Where the next part starts; None at the end."""
        if not self.knows_next_part():
            raise Late
        if self.error is not None and not self.bytes:
            raise self.error
        self.sent = 0
        return self.place if self.bytes else None

    def _words(self):
        """How many bytes may go, so that a document may end behind them."""
        text = bytes(self.bytes[:CHUNK_BYTES])
        if self.has_ended and len(text) == len(self.bytes):
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
