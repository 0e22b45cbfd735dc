"""What `gleand_client` does when a server refuses, stops or breaks. test_gleand_client_aio.py has the same for asyncio.

    deploy/clients/python/build && target/clients/python/test
"""

import asyncio
import contextlib
import pathlib
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import gleand_client as client
import gleand_shared
from gleand.v1 import config_pb2, events_pb2
from server_for_tests import FULL, TEXT, Relay, expected, serving


def pieces(size=999, pause=0.0):
    text = TEXT.encode()
    for start in range(0, len(text), size):
        time.sleep(pause)
        yield text[start : start + size]


class Reader:
    """Reads through one of the clients: this one."""

    def events(self, address, source, **options):
        with client.connect(address) as channel:
            yield from client.extract(channel, config_pb2.Config(), source, **options)

    def read(self, address, source, **options):
        """What a caller has at the end: places, and what came between them."""
        places, between = [], []
        with contextlib.closing(self.events(address, source, **options)) as events:
            for told in events:
                if isinstance(told, client.Discard):
                    places.clear()
                if isinstance(told, (client.Discard, client.Part)):
                    between.append(told)
                for found in client.results(told):
                    ranges = (found.byte_range, found.codepoint_range, found.utf16_range)
                    places.append((found.ordinal, *(place.start for place in ranges)))
        return places, between


class Restart(Reader, unittest.TestCase):
    def test_what_was_refused_or_cut_is_sent_again(self):
        for turns, counts, instances in [
            ([("find", None)], (1, 0, 0), [1]),
            ([FULL, FULL, ("find", None)], (3, 2, 2), [3]),
            ([("cut", 80_000), ("cut", 66_000), ("cut", 130_000), ("find", None)], (4, 3, 0), [1, 2, 3, 4]),
        ]:
            with serving(*turns) as (server, address), tempfile.NamedTemporaryFile() as file:
                file.write(TEXT.encode())
                file.flush()
                for source in (TEXT, TEXT.encode(), pathlib.Path(file.name)):
                    server.streams, stats = 0, client.Attempts()
                    self.assertEqual(self.read(address, source, stats=stats), (expected(TEXT), []))
                    self.assertEqual((stats.attempts, stats.restarts, stats.refused), counts)
                    self.assertEqual(stats.instances, [f"server{number}" for number in instances])

    def test_what_it_took_is_one_line(self):
        with serving(FULL, ("find", None)) as (_, address):
            stats = client.Attempts()
            self.read(address, "Ann", stats=stats)
        self.assertEqual(str(stats), "attempts=2 restarts=1 refused=1 parts=0 discards=0 instances=server2")

    def test_another_fingerprint_voids_what_was_yielded(self):
        with serving(("cut", 80_000), ("other", "abcd")) as (_, address):
            stats = client.Attempts()
            told = self.read(address, TEXT, stats=stats)
            self.assertEqual(told, (expected(TEXT), [client.Discard("abcd")]))
            self.assertEqual(stats.discards, 1)

    def test_four_attempts_and_the_timeout_are_the_end(self):
        with serving(FULL) as (server, address):
            with self.assertRaises(client.GaveUp):
                self.read(address, TEXT)
            self.assertEqual(server.streams, 4)
        with serving(("refuse", (grpc.StatusCode.UNAVAILABLE, "DRAINING", 60, None))) as (server, address):
            started = time.monotonic()
            with self.assertRaises(client.GaveUp):
                self.read(address, TEXT, timeout=30)
            self.assertEqual(server.streams, 1)
            self.assertLess(time.monotonic() - started, 25)
        with serving(("stall", 2)) as (server, address):
            with self.assertRaises(grpc.RpcError) as raised:
                self.read(address, TEXT, timeout=0.3)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_what_another_attempt_cannot_help_is_tried_once(self):
        for code, reason, pushback in [
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", None),
            (grpc.StatusCode.INVALID_ARGUMENT, "LABELS_EMPTY", None),
            (grpc.StatusCode.UNAVAILABLE, "DRAINING", "-1"),
            (grpc.StatusCode.INTERNAL, "WORKER_FAILED", None),
        ]:
            with serving(("refuse", (code, reason, 0.1, pushback))) as (server, address):
                with self.assertRaises(grpc.RpcError) as raised:
                    self.read(address, TEXT)
                self.assertEqual((raised.exception.code(), server.streams), (code, 1))

    def test_the_trailer_counts_where_there_is_no_retry_info(self):
        refused = ("refuse", (grpc.StatusCode.UNAVAILABLE, "DRAINING", None, "300"))
        with serving(refused, ("find", None)) as (_, address):
            started = time.monotonic()
            self.read(address, "Ann")
            self.assertGreater(time.monotonic() - started, 0.3)


class Connection(Reader, unittest.TestCase):
    def test_the_status_is_read_after_done_but_not_waited_for_for_ever(self):
        for seconds, is_there in ((0.3, True), (3, False)):
            with serving(("linger", seconds)) as (server, address):
                started = time.monotonic()
                self.assertEqual(self.read(address, b"Ann"), ([(0, 0, 0, 0)], []))
                self.assertLess(time.monotonic() - started, 2.5)
                while not server.lingered:
                    self.assertLess(time.monotonic() - started, 20)
                    time.sleep(0.05)
                self.assertEqual(server.lingered, [is_there])

    def test_a_connection_that_died_without_a_word_is_found_while_nothing_is_written(self):
        # The shipped options, a hundred times faster.
        scales = {name: 100 for name, _ in gleand_shared.CHANNEL_OPTIONS if "keepalive" in name or "ping_timeout" in name}
        quick = [(name, value // scales.get(name, 1)) for name, value in gleand_shared.CHANNEL_OPTIONS]
        self.enterContext(unittest.mock.patch.object(gleand_shared, "CHANNEL_OPTIONS", quick))
        more = threading.Event()
        self.addCleanup(more.set)

        def source():
            yield b"Ann "
            more.wait(60)

        with serving(("find", None)) as (_, address), contextlib.closing(Relay(address)) as relay:
            events = self.events(relay.address, source(), timeout=30)
            with self.assertRaises(client.SourceLost) as raised:
                for told in events:
                    if client.results(told):
                        # Longer than the library sends pings without data of its own accord.
                        time.sleep(2)
                        relay.silence()
            self.assertEqual(raised.exception.__cause__.code(), grpc.StatusCode.UNAVAILABLE)


class Foreign(grpc.RpcError):
    """An error of a call to another service."""

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "another service"

    def trailing_metadata(self):
        return ()


class Stop(BaseException):
    """What is no Exception."""


class Once(Reader, unittest.TestCase):
    def test_a_source_that_was_not_sent_waits_for_a_server(self):
        with serving(FULL, FULL, ("find", None)) as (_, address):
            self.assertEqual(self.read(address, pieces()), (expected(TEXT), []))

    def test_draining_ends_a_document_between_words_and_the_next_one_goes_on(self):
        with serving(("drain", 20_000), FULL, ("drain", 50_000), ("find", None)) as (_, address):
            stats = client.Attempts()
            places, parts = self.read(address, pieces(pause=0.002), stats=stats)
            self.assertEqual(places, expected(TEXT))
            self.assertEqual([part.number for part in parts], [2, 3])
            self.assertTrue(all(TEXT.encode()[part.bytes - 1] in b" \n" for part in parts), parts)
            self.assertEqual((stats.attempts, stats.parts), (4, 2))

    def test_draining_need_not_wait_for_the_source(self):
        more = threading.Event()

        def source():
            yield b"Ann "
            more.wait(10)
            yield b"Ann"

        with serving(("drain", 4), ("find", None)) as (server, address):
            found = []
            for told in self.events(address, source()):
                if isinstance(told, events_pb2.Event) and told.WhichOneof("kind") == "done":
                    more.set()
                found += [result.byte_range.start for result in client.results(told)]
            self.assertEqual((found, server.streams), ([0, 4], 2))

    def test_a_cut_and_an_error_of_the_source_are_told(self):
        with serving(("cut", 20_000)) as (_, address), self.assertRaises(client.SourceLost):
            self.read(address, pieces())

        def broken():
            yield b"Ann "
            raise ValueError("the disk")

        with serving(("find", None)) as (_, address), self.assertRaisesRegex(ValueError, "the disk"):
            self.read(address, broken())

    def test_an_error_of_the_source_comes_out_as_it_is(self):
        def broken(error, *first):
            yield from first
            raise error

        for error in (Foreign(), Stop(), asyncio.CancelledError()):
            for first in ((), (b"Ann ",)):
                with serving(("find", None)) as (server, address):
                    with self.subTest(error=error, first=first), self.assertRaises(type(error)) as raised:
                        self.read(address, broken(error, *first), timeout=20)
                    self.assertIs(raised.exception, error)
                    self.assertEqual(server.streams, 1)

    def test_the_timeout_counts_between_parts(self):
        more = threading.Event()
        self.addCleanup(more.set)

        def silent():
            yield b"Ann "
            more.wait(60)

        with serving(("drain", 4), ("find", None)) as (server, address):
            started = time.monotonic()
            with self.assertRaises(grpc.RpcError) as raised:
                self.read(address, silent(), timeout=1.5)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            self.assertRegex(raised.exception.details(), "source")
            self.assertLess(time.monotonic() - started, 10)
            self.assertEqual(server.streams, 1)

    def test_a_caller_may_leave_at_any_time(self):
        with serving(("find", None)) as (_, address):
            events = self.events(address, pieces())
            next(events)
            events.close()
            for _ in range(100):
                if not any(thread.name == "gleand-source" for thread in threading.enumerate()):
                    return
                time.sleep(0.1)
            self.fail("a source is read for nobody")


class Words(unittest.TestCase):
    def test_no_code_point_and_no_short_word_is_cut(self):
        for waiting, count in [
            (b"short", 0),
            (b"one two", 4),
            (b"x" * 64, 64),
            (b"x" * 64 + "é".encode()[:1], 64),
            (b"x" * 64 + "漢".encode()[:2], 64),
            (b"x" * 64 + "😀".encode()[:3], 64),
            (b"x" * 64 + "😀".encode(), 68),
            (b"x" * 64 + "é漢".encode(), 69),
        ]:
            source = gleand_shared.Waiting()
            source.bytes += waiting
            self.assertEqual(len(source.take(gleand_shared.Stream())), count, waiting)


if __name__ == "__main__":
    unittest.main()
