"""The cases of test_gleand_client.py once more with `gleand_client_aio`, and what is asyncio's own.

    deploy/clients/python/build && target/clients/python/test
"""

import asyncio
import contextlib
import pathlib
import sys
import time
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import gleand_client_aio as client
import test_gleand_client as cases
from gleand.v1 import config_pb2
from gleand_shared import is_read_again
from server_for_tests import TEXT, WORD, expected, serving

# One for all tests: grpc.aio has one queue of events a process, and one that comes late to a closed loop disturbs the next.
LOOP = asyncio.new_event_loop()


def in_loop(test):
    """A test that is a coroutine."""
    return lambda self: LOOP.run_until_complete(test(self))


async def asynchronous(source):
    """A source of the cases, which may wait, as asyncio wants it."""
    pieces, end = iter(source), object()
    while (piece := await asyncio.to_thread(next, pieces, end)) is not end:
        yield piece


class Reader(cases.Reader):
    """Reads through the asyncio client; the cases need not know."""

    def events(self, address, source, **options):
        async def events():
            given = source if is_read_again(source) else asynchronous(source)
            async with client.connect(address) as channel:
                extracting = client.extract(channel, config_pb2.Config(), given, **options)
                async with contextlib.aclosing(extracting):
                    async for event in extracting:
                        yield event

        iterator = events()
        try:
            while True:
                yield LOOP.run_until_complete(anext(iterator))
        except StopAsyncIteration:
            return
        finally:
            LOOP.run_until_complete(iterator.aclose())


class Restart(Reader, cases.Restart):
    pass


class Connection(Reader, cases.Connection):
    pass


class Once(Reader, cases.Once):
    pass


class Own(unittest.TestCase):
    async def read(self, channel, source):
        found = [client.results(event) async for event in client.extract(channel, config_pb2.Config(), source)]
        return [(one.ordinal, one.byte_range.start) for results in found for one in results]

    @in_loop
    async def test_many_streams_of_one_channel_in_one_thread(self):
        with serving(("find", None), workers=8) as (server, address):
            async with client.connect(address) as channel:
                read = await asyncio.gather(*(self.read(channel, TEXT) for _ in range(8)))
        places = [(ordinal, start) for ordinal, start, *_ in expected(TEXT)]
        self.assertEqual(read, [places] * 8)

    @in_loop
    async def test_a_refusal_that_overtakes_the_writes_keeps_its_name(self):
        # grpc.aio alone tells INTERNAL for a part of these, and such a one is tried again.
        refused = ("abort", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_UTF8"))
        with serving(refused) as (server, address):
            async with client.connect(address) as channel:
                for _ in range(100):
                    with self.assertRaises(grpc.RpcError) as raised:
                        await self.read(channel, b"nobody " * 100_000)
                    self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(server.streams, 100)

    @in_loop
    async def test_a_cancelled_task_leaves_no_stream_and_no_task(self):
        async def source():
            while True:
                yield WORD + b" "
                await asyncio.sleep(0.01)

        with serving(("find", None)) as (server, address):
            async with client.connect(address) as channel:
                task = asyncio.create_task(self.read(channel, source()))
                while not server.open:
                    await asyncio.sleep(0.01)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                deadline = time.monotonic() + 10
                while server.open or len(asyncio.all_tasks()) > 1:
                    self.assertLess(time.monotonic(), deadline)
                    await asyncio.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
