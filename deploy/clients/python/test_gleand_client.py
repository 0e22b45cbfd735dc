"""What `gleand_client` does when a server refuses, stops or breaks, seen against a server that finds the word "Ann".

    python -m unittest deploy/clients/python/test_gleand_client.py     (with the generated modules on the path)
"""

import concurrent.futures
import contextlib
import pathlib
import sys
import tempfile
import threading
import time
import unittest

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import gleand_client as client
from gleand.v1 import config_pb2, events_pb2, extraction_pb2, extraction_pb2_grpc, results_pb2

TEXT = ("😀 Ann and Bob met Ann. " + "Nobody was there, é, 漢字 or not. " * 12) * 500
WORD = b"Ann"


def event(**kind):
    return extraction_pb2.ExtractStreamResponse(event=events_pb2.Event(**kind))


class Server(extraction_pb2_grpc.ExtractionServiceServicer):
    """Each stream does what its turn says, the last turn for ever: (what, argument)."""

    def __init__(self, *turns):
        self.turns, self.streams, self.lock = turns, 0, threading.Lock()

    def ExtractStream(self, requests, context):
        with self.lock:
            what, argument = self.turns[min(self.streams, len(self.turns) - 1)]
            self.streams += 1
        assert next(requests).HasField("config")
        if what == "refuse":
            code, reason, seconds, pushback = argument
            self.abort(context, code, reason, seconds, pushback)
        if what == "stall":
            time.sleep(argument)
            return
        yield event(ready=events_pb2.Ready(fingerprint=argument if what == "other" else "00ff"))
        text, searched, found, draining, flushed = b"", 0, 0, False, False
        place = Place()
        for request in requests:
            kind = request.WhichOneof("kind")
            text += request.chunk.data
            flushed = flushed or kind == "flush"
            end = kind == "finish"
            limit = len(text) if end else len(text) - len(WORD)
            while (at := text.find(WORD, searched)) >= 0 and at <= limit:
                yield event(mentions=mentions(place.go(text, at), found))
                searched, found = at + len(WORD), found + 1
            if end:
                assert request.finish.total_bytes == len(text) and (draining or not flushed)
                text.decode()
                yield event(done=events_pb2.Done(received_bytes=len(text)))
                return
            if what == "cut" and len(text) >= argument:
                yield event(draining=events_pb2.Draining())
                self.abort(context, grpc.StatusCode.UNAVAILABLE, "DRAINING")
            if what == "drain" and len(text) >= argument and not draining:
                draining = True
                yield event(draining=events_pb2.Draining())
        raise AssertionError("no finish")

    def abort(self, context, code, reason, seconds=None, pushback=None):
        details = [error_details_pb2.ErrorInfo(reason=reason, domain="gleand.v1")] if reason else []
        if seconds is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(seconds * 1000))
            details.append(retry)
        status = status_pb2.Status(code=code.value[0], message="not now")
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        trailers = [("grpc-status-details-bin", status.SerializeToString())]
        if pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", pushback))
        context.set_trailing_metadata(trailers)
        context.abort(code, "not now")


class Place:
    """A position that only goes forward, in bytes, code points and UTF-16 units."""

    def __init__(self):
        self.counts = (0, 0, 0)

    def go(self, text, at):
        passed = text[self.counts[0] : at].decode()
        self.counts = (at, self.counts[1] + len(passed), self.counts[2] + len(passed.encode("utf-16-le")) // 2)
        return self.counts


def mentions(starts, ordinal):
    ranges = [results_pb2.Range(start=start, end=start + len(WORD)) for start in starts]
    places = dict(zip(("byte_range", "codepoint_range", "utf16_range"), ranges))
    return results_pb2.Mentions(mentions=[results_pb2.Mention(task_id="t", ordinal=ordinal, score=0.5, **places)])


@contextlib.contextmanager
def serving(*turns):
    servicer, server = Server(*turns), grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with client.connect(f"127.0.0.1:{port}") as channel:
            yield servicer, channel
    finally:
        server.stop(0).wait()


def read(channel, source, **options):
    """What a caller has at the end: places, and what came between them."""
    places, between = [], []
    for told in client.extract(channel, config_pb2.Config(), source, **options):
        if isinstance(told, client.Discard):
            places.clear()
        if isinstance(told, (client.Discard, client.Part)):
            between.append(told)
        for found in client.results(told):
            ranges = (found.byte_range, found.codepoint_range, found.utf16_range)
            places.append((found.ordinal, *(place.start for place in ranges)))
    return places, between


def expected(text):
    text, places, place, at = text.encode(), [], Place(), -1
    while (at := text.find(WORD, at + 1)) >= 0:
        places.append((len(places), *place.go(text, at)))
    return places


FULL = ("refuse", (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", 0.1, "1"))


class Restart(unittest.TestCase):
    def test_what_was_refused_or_cut_is_sent_again(self):
        for turns, counts in [
            ([("find", None)], (1, 0, 0)),
            ([FULL, FULL, ("find", None)], (3, 2, 2)),
            ([("cut", 80_000), ("cut", 66_000), ("cut", 130_000), ("find", None)], (4, 3, 0)),
        ]:
            with serving(*turns) as (server, channel), tempfile.NamedTemporaryFile() as file:
                file.write(TEXT.encode())
                file.flush()
                for source in (TEXT, TEXT.encode(), pathlib.Path(file.name)):
                    server.streams, stats = 0, client.Attempts()
                    self.assertEqual(read(channel, source, stats=stats), (expected(TEXT), []))
                    self.assertEqual((stats.attempts, stats.restarts, stats.refused), counts)

    def test_another_fingerprint_voids_what_was_yielded(self):
        with serving(("cut", 80_000), ("other", "abcd")) as (_, channel):
            stats = client.Attempts()
            told = read(channel, TEXT, stats=stats)
            self.assertEqual(told, (expected(TEXT), [client.Discard("abcd")]))
            self.assertEqual(stats.discards, 1)

    def test_four_attempts_and_the_timeout_are_the_end(self):
        with serving(FULL) as (server, channel):
            with self.assertRaises(client.GaveUp):
                read(channel, TEXT)
            self.assertEqual(server.streams, 4)
            with self.assertRaises(client.GaveUp):
                read(channel, TEXT, timeout=0.25)
            self.assertLess(server.streams, 8)
        with serving(("stall", 2)) as (server, channel):
            with self.assertRaises(grpc.RpcError) as raised:
                read(channel, TEXT, timeout=0.3)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_what_another_attempt_cannot_help_is_tried_once(self):
        for code, reason, pushback in [
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", None),
            (grpc.StatusCode.INVALID_ARGUMENT, "LABELS_EMPTY", None),
            (grpc.StatusCode.UNAVAILABLE, "DRAINING", "-1"),
        ]:
            with serving(("refuse", (code, reason, 0.1, pushback))) as (server, channel):
                with self.assertRaises(grpc.RpcError) as raised:
                    read(channel, TEXT)
                self.assertEqual((raised.exception.code(), server.streams), (code, 1))

    def test_the_trailer_counts_where_there_is_no_retry_info(self):
        refused = ("refuse", (grpc.StatusCode.UNAVAILABLE, "DRAINING", None, "300"))
        with serving(refused, ("find", None)) as (_, channel):
            started = time.monotonic()
            read(channel, "Ann")
            self.assertGreater(time.monotonic() - started, 0.3)


class Once(unittest.TestCase):
    def pieces(self, size=999, pause=0.0):
        text = TEXT.encode()
        for start in range(0, len(text), size):
            time.sleep(pause)
            yield text[start : start + size]

    def test_a_source_that_was_not_sent_waits_for_a_server(self):
        with serving(FULL, FULL, ("find", None)) as (_, channel):
            self.assertEqual(read(channel, self.pieces()), (expected(TEXT), []))

    def test_draining_ends_a_document_between_words_and_the_next_one_goes_on(self):
        with serving(("drain", 20_000), FULL, ("drain", 50_000), ("find", None)) as (_, channel):
            stats = client.Attempts()
            places, parts = read(channel, self.pieces(pause=0.002), stats=stats)
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

        with serving(("drain", 4), ("find", None)) as (server, channel):
            found = []
            for told in client.extract(channel, config_pb2.Config(), source()):
                if isinstance(told, events_pb2.Event) and told.WhichOneof("kind") == "done":
                    more.set()
                found += [result.byte_range.start for result in client.results(told)]
            self.assertEqual((found, server.streams), ([0, 4], 2))

    def test_a_cut_and_an_error_of_the_source_are_told(self):
        with serving(("cut", 20_000)) as (_, channel), self.assertRaises(client.SourceLost):
            read(channel, self.pieces())

        def broken():
            yield b"Ann "
            raise ValueError("the disk")

        with serving(("find", None)) as (_, channel), self.assertRaisesRegex(ValueError, "the disk"):
            read(channel, broken())

    def test_a_caller_may_leave_at_any_time(self):
        with serving(("find", None)) as (_, channel):
            events = client.extract(channel, config_pb2.Config(), self.pieces())
            next(events)
            events.close()


class Words(unittest.TestCase):
    def test_no_code_point_and_no_short_word_is_cut(self):
        once = client._Once(iter(()))
        once.has_ended = False
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
            once.waiting = bytearray(waiting)
            self.assertEqual(once._words(), count, waiting)


if __name__ == "__main__":
    unittest.main()
