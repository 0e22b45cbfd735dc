"""The client of `gleand_client` for asyncio: the same names, the same behaviour, over `grpc.aio`.

    async with connect("gleand:443", ca="ca.pem") as channel:
        async for event in extract(channel, config, pathlib.Path("book.txt"), timeout=600):
            for result in results(event):
                print(result.task_id, result.byte_range.start, result.byte_range.end)

A source that is read once is an asynchronous iterable of bytes. Who leaves the loop early puts `extract` into
`contextlib.aclosing`, so that the stream ends then and not when the generator is collected.

Needs `gleand_shared.py` and the generated modules `gleand.v1.*` on the path; README.md says how to make them.
"""

import asyncio
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
        return grpc.aio.secure_channel(server, credentials, shared.CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(server, shared.CHANNEL_OPTIONS)


async def extract(channel, config, source, *, api_key=None, timeout=None, stats=None):
    """Yields the events of a document, and `Discard` and `Part` between them. Each part ends with its own `done`.

    `source` is a path, bytes, text, or an asynchronous iterable of bytes that is read once. `timeout` (seconds) ends all
    attempts.
    """
    stats = Attempts() if stats is None else stats
    deadline = None if timeout is None else time.monotonic() + timeout

    def open_stream():
        return extraction_pb2_grpc.ExtractionServiceStub(channel).ExtractStream(**shared.call_options(api_key, deadline))

    source = _Again(source) if shared.is_read_again(source) else _Once(source)
    handed, number = shared.Handed(), 1
    try:
        while True:
            async with contextlib.aclosing(_attempts(open_stream, config, source, handed, deadline, stats)) as events:
                async for event in events:
                    yield event
            place = await source.next_part(deadline)
            if place is None:
                return
            number += 1
            handed.start_part(place, stats)
            yield Part(number, *place)
    finally:
        await source.close()


async def _attempts(open_stream, config, source, handed, deadline, stats):
    """One part, as often as it takes."""
    number = 1
    while True:
        stats.attempts += 1
        state = _Stream()
        try:
            async with contextlib.aclosing(_attempt(open_stream, config, source, handed, state, stats)) as events:
                async for event in events:
                    yield event
            return
        except grpc.RpcError as error:
            if error is state.error:
                raise  # of the source, which may be another call
            seconds = shared.wait_before_next(error, number, source, deadline, stats)
        await asyncio.sleep(seconds)
        stats.restarts += 1
        number += 1
        source.go_back()


async def _attempt(open_stream, config, source, handed, state, stats):
    """One stream. A task takes from the source while this one reads, so that neither waits for ever."""
    call = open_stream()
    ending = _Ending(call)
    writer = asyncio.create_task(_write(call, config, source, state))
    try:
        async for response in call:
            event, kind = response.event, response.event.WhichOneof("kind")
            if kind == "ready":
                if discard := handed.accept(event.ready, stats):
                    yield discard
                state.accepted.set()
            elif kind == "draining" and not source.drain(state):
                raise shared.Cut("the server stops, and was sent nothing yet")
            if kind == "done":
                await _wait_for_status(call)
            event = handed.news(event)
            if event is not None:
                yield event
            if kind == "done":
                return
        raise shared.Cut("the server ended the stream before the document was done")
    except grpc.aio.AioRpcError as error:
        raise await ending.error(error) from None
    except asyncio.CancelledError:
        # The writer cancels the call where the source fails.
        if state.error is not None:
            raise state.error from None
        raise
    finally:
        # Also when the caller leaves this generator: nothing is taken from the source any more.
        source.leave(state)
        writer.cancel()
        call.cancel()
        await asyncio.wait([writer])


async def _write(call, config, source, state):
    """Sends one stream. Nothing is taken from the source before the server accepts the document."""
    try:
        await call.write(state.first(config))
        await state.accepted.wait()
        while chunk := await _take(source, state):
            await call.write(state.chunk(chunk))
        if state.error is not None:
            call.cancel()
            return
        for message in state.last(source):
            await call.write(message)
        await call.done_writing()
    except (grpc.RpcError, asyncio.InvalidStateError):
        """The stream has ended. Whoever reads it is told why."""


async def _take(source, state):
    try:
        return await source.take(state)
    except BaseException as error:  # CancelledError too, which may be the source's own
        state.error = error
        return b""


async def _wait_for_status(call):
    """What is cancelled before its status has come is a reset to the proxies between."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(call.code(), shared.STATUS_SECONDS)


class _Stream(shared.Stream):
    def __init__(self):
        super().__init__()
        self.accepted = asyncio.Event()


class _Ending:
    """How the server ended a stream.

    Where a write fails because of that, grpc.aio tells INTERNAL instead, before the server's status comes or in its place
    (https://github.com/grpc/grpc/issues/36066). So the server's is kept here as it comes.
    """

    def __init__(self, call):
        self._told = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._keep)

    def _keep(self, call):
        # The status may be another one when a task runs next, so it is taken now.
        code, details, trailers = (_at_once(part()) for part in (call.code, call.details, call.trailing_metadata))
        if not self._told.done() and (code != grpc.StatusCode.INTERNAL or shared.STATUS_DETAILS in trailers):
            self._told.set_result(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details))

    async def error(self, error):
        """The error to raise for the one that the library raised."""
        try:
            told = await asyncio.wait_for(self._told, shared.STATUS_SECONDS)
        except asyncio.TimeoutError:
            return error  # the server's own words, or the connection broke
        return told if told.code() != grpc.StatusCode.OK else shared.Cut("the server ended the stream before it was written")


def _at_once(coroutine):
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        return returned.value
    raise RuntimeError("the status of a stream that has ended is not there")


class _Again(shared.Again):
    """A path, bytes or text. Files are read in a thread, because a disk may be slow."""

    async def take(self, state):
        if self.file is None:
            return super().take(state)
        return await asyncio.to_thread(super().take, state)

    async def next_part(self, deadline):
        return super().next_part(deadline)

    async def close(self):
        super().close()


class _Once(shared.Waiting):
    """An asynchronous iterable of bytes. A task reads it a chunk ahead, so that `draining` need not wait for it."""

    def __init__(self, iterable):
        super().__init__()
        self.changed = asyncio.Event()
        self.reader = asyncio.create_task(self._read(iterable))

    async def _read(self, iterable):
        try:
            async for piece in iterable:
                self.bytes += piece
                self.changed.set()
                await self._wait_for(lambda: len(self.bytes) < shared.CHUNK_BYTES)
        except BaseException as error:  # told by whoever takes next, who would wait for ever otherwise
            self.error = error
        self.has_ended = True
        self.changed.set()

    async def _wait_for(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def take(self, state):
        await self._wait_for(lambda: self.may_take(state))
        chunk = super().take(state)
        self.changed.set()
        return chunk

    def drain(self, state):
        """Ends the document where it was sent to. False where nothing was sent yet: then another stream may have all."""
        state.is_draining = True
        self.changed.set()
        return self.sent > 0

    def leave(self, state):
        state.has_ended = True
        self.changed.set()

    def can_go_back(self):
        return not self.sent

    def go_back(self):
        """Nothing was sent: all of it still waits."""

    async def next_part(self, deadline):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait_for(self.knows_next_part), shared.seconds_left(deadline))
        return super().next_part()

    async def close(self):
        self.reader.cancel()
        await asyncio.wait([self.reader])


async def _in_threads(read):
    """Pieces as `read` gives them, which may wait. Daemon threads: the program may end while one of them waits."""
    loop = asyncio.get_running_loop()

    def run(piece):
        data = read()
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(lambda: piece.done() or piece.set_result(data))

    while True:
        piece = loop.create_future()
        threading.Thread(target=run, args=(piece,), daemon=True).start()
        if not (data := await piece):
            return
        yield data


def main():
    """The command-line program."""
    import gleand_program as program  # which a copy of this module in another project does without

    options, stats = program.options(), Attempts()

    async def run():
        source = program.source(options) or _in_threads(program.read_input)
        async with connect(options.server, **program.security(options)) as channel:
            async for event in extract(channel, program.config(options), source, **program.limits(options), stats=stats):
                program.show(event)

    program.end(lambda: asyncio.run(run()), options, stats)


if __name__ == "__main__":
    main()
