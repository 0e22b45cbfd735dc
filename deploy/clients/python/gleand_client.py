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

Needs `gleand_shared.py` and the generated modules `gleand.v1.*` on the path; README.md says how to make them.
"""

import contextlib
import threading
import time

import grpc

import gleand_shared as shared
from gleand.v1 import extraction_pb2_grpc
from gleand_shared import Attempts, Discard, GaveUp, Part, SourceLost, results

__all__ = ["Attempts", "Discard", "GaveUp", "Part", "SourceLost", "connect", "extract", "results"]


def connect(server, *, tls=False, ca=None, cert=None, key=None):
    """A channel, with TLS where it is asked for or one of the PEM files `ca`, `cert` and `key` is given."""
    credentials = shared.credentials(tls, ca, cert, key)
    if credentials:
        return grpc.secure_channel(server, credentials, shared.CHANNEL_OPTIONS)
    return grpc.insecure_channel(server, shared.CHANNEL_OPTIONS)


def extract(channel, config, source, *, api_key=None, timeout=None, stats=None):
    """Yields the events of a document, and `Discard` and `Part` between them. Each part ends with its own `done`.

    `source` is a path, bytes, text, or an iterable of bytes that is read once. `timeout` (seconds) ends all attempts.
    """
    stats = Attempts() if stats is None else stats
    deadline = None if timeout is None else time.monotonic() + timeout

    def open_stream(requests):
        stub = extraction_pb2_grpc.ExtractionServiceStub(channel)
        return stub.ExtractStream(requests, **shared.call_options(api_key, deadline))

    source = shared.Again(source) if shared.is_read_again(source) else _Once(source)
    handed, number = shared.Handed(), 1
    try:
        while True:
            yield from _attempts(open_stream, config, source, handed, deadline, stats)
            place = source.next_part(deadline)
            if place is None:
                return
            number += 1
            handed.start_part(place, stats)
            yield Part(number, *place)
    finally:
        source.close()


def _attempts(open_stream, config, source, handed, deadline, stats):
    """One part, as often as it takes."""
    number = 1
    while True:
        stats.attempts += 1
        state = _Stream()
        try:
            yield from _attempt(open_stream, config, source, handed, state, stats)
            return
        except grpc.RpcError as error:
            if error is state.error:
                raise  # of the source, which may be another call
            seconds = shared.wait_before_next(error, number, source, deadline, stats)
        time.sleep(seconds)
        stats.restarts += 1
        number += 1
        source.go_back()


def _attempt(open_stream, config, source, handed, state, stats):
    """One stream. A thread of the library takes from the source while this one reads, so that neither waits for ever."""
    call = open_stream(_requests(config, source, state))
    try:
        for response in call:
            event, kind = response.event, response.event.WhichOneof("kind")
            if kind == "ready":
                if discard := handed.accept(event.ready, stats):
                    yield discard
                state.accepted.set()
            elif kind == "draining" and not source.drain(state):
                raise shared.Cut("the server stops, and was sent nothing yet")
            if kind == "done":
                _wait_for_status(call)
            event = handed.news(event)
            if event is not None:
                yield event
            if kind == "done":
                return
        raise shared.Cut("the server ended the stream before the document was done")
    except grpc.RpcError:
        if state.error is not None:
            raise state.error from None
        raise
    finally:
        # Also when the caller leaves this generator: nothing is taken from the source any more.
        source.leave(state)
        state.accepted.set()
        call.cancel()


def _wait_for_status(call):
    """What is cancelled before its status has come is a reset to the proxies between."""
    with contextlib.suppress(grpc.FutureTimeoutError, grpc.FutureCancelledError):
        call.exception(shared.STATUS_SECONDS)


def _requests(config, source, state):
    """The messages of one stream. Nothing is taken from the source before the server accepts the document."""
    yield state.first(config)
    state.accepted.wait()
    while chunk := _take(source, state):
        yield state.chunk(chunk)
    yield from state.last(source)


def _take(source, state):
    try:
        return source.take(state)
    except BaseException as error:
        # The library tells of an Exception only that there was one, and ends no stream for anything else.
        state.error = error
        raise RuntimeError("the source failed") from error


class _Stream(shared.Stream):
    def __init__(self):
        super().__init__()
        self.accepted = threading.Event()


class _Once(shared.Waiting):
    """An iterable of bytes. A thread of its own reads it a chunk ahead, so that `draining` need not wait for it."""

    def __init__(self, iterable):
        super().__init__()
        self.changed, self.is_closed = threading.Condition(), False
        threading.Thread(target=self._read, args=(iterable,), name="gleand-source", daemon=True).start()

    def _read(self, iterable):
        error = None
        try:
            for piece in iterable:
                with self.changed:
                    self.bytes += piece
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self.is_closed or len(self.bytes) < shared.CHUNK_BYTES)
                    if self.is_closed:
                        return
        except BaseException as raised:  # told by whoever takes next, who would wait for ever otherwise
            error = raised
        with self.changed:
            self.has_ended, self.error = True, error
            self.changed.notify_all()

    def take(self, state):
        with self.changed:
            self.changed.wait_for(lambda: self.may_take(state))
            chunk = super().take(state)
            self.changed.notify_all()
            return chunk

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

    def next_part(self, deadline):
        with self.changed:
            self.changed.wait_for(self.knows_next_part, shared.seconds_left(deadline))
            return super().next_part()

    def close(self):
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()


def main():
    """The command-line program."""
    import gleand_program as program  # which a copy of this module in another project does without

    options, stats = program.options(), Attempts()

    def run():
        source = program.source(options) or iter(program.read_input, b"")
        with connect(options.server, **program.security(options)) as channel:
            for event in extract(channel, program.config(options), source, **program.limits(options), stats=stats):
                program.show(event)

    program.end(run, options, stats)


if __name__ == "__main__":
    main()
