"""Every limit of size and number: at it a call is served, one over and far over it the call ends as documented.

| limit | at | over | far over | where |
|---|---|---|---|---|
| server.streams_max, extract_max, backlog_pieces_max | served | RESOURCE_EXHAUSTED/QUEUE_FULL | the same | Counts |
| server.connections_max | served | closed at once, counted as CONNECTIONS_FULL | the same | Counts |
| server.streams_per_connection_max | served | waits at the client | waits | Counts |
| server.header_bytes_max | served | HTTP 431 (the library below tonic) | 431, or the connection ends | Sizes |
| server.message_bytes_max | served | OUT_OF_RANGE/MESSAGE_TOO_LARGE | 300 MB: the same | Sizes |
| server.chunk_bytes_max | served | INVALID_ARGUMENT/CHUNK_TOO_LARGE | the same | Sizes |
| server.text_bytes_max, document_bytes_max | served | OUT_OF_RANGE/DOCUMENT_TOO_LARGE | the same | Sizes |
| server.extract_result_bytes_max | served | RESOURCE_EXHAUSTED/RESULT_TOO_LARGE | the same | Sizes |
| limits.tasks_max | served | INVALID_ARGUMENT/TOO_MANY_TASKS | the same | Sizes |
| limits.labels_max, questions_max | served | INVALID_ARGUMENT/TOO_MANY_LABELS | the same | Sizes |
| limits.label_bytes_max | served | INVALID_ARGUMENT/LABEL_TOO_LONG | the same | Sizes |
| ids of 256 bytes, of a task 64 | served | INVALID_ARGUMENT/CONFIG_INVALID | the same | Sizes |
| server.input_idle_ms, input_slow_ms, write_stall_ms, heartbeat_ms, deadlines | | | | test_clocks.py |
| server.handshake_ms, certificates, keys | | | | test_security.py |
| server.lame_duck_ms, drain_ms, connection_age_ms | | | | test_drain.py |
| mistakes of configs, tasks and input | | | | tests/wire/test_bad_clients.py |
"""

import unittest

import client
import documents
import grpc
import process
from failure import failure
from frames import HEADERS, STATUS_200, Frames, call_headers, header_list_bytes, message
from refusal import assert_retry_is_told, refusal
from schema import extraction_grpc, v1

Code = grpc.StatusCode
EXTRACT = "/gleand.v1.ExtractionService/Extract"
STREAM = "/gleand.v1.ExtractionService/ExtractStream"


class Limits(unittest.TestCase):
    """Each test has a connection of its own, and its end sees that the next client is served."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.daemon = process.Process(**cls.settings)
        cls.addClassCleanup(cls.daemon.stop)

    def setUp(self):
        self.addCleanup(self.assert_next_client_is_served)
        self.channel = self.new_channel()
        self.stub = extraction_grpc.ExtractionServiceStub(self.channel)

    def new_channel(self):
        channel = self.daemon.channel()
        self.addCleanup(channel.close)
        return channel

    def open_stream(self, channel=None):
        stream = documents.Open(channel or self.channel)
        self.addCleanup(stream.close)
        stream.read_until("ready")
        return stream

    def assert_next_client_is_served(self):
        def served():
            # Whoever was closed just now may still be on the way out.
            try:
                with self.daemon.channel() as channel:
                    return documents.small(channel, include_text=True).results.mentions
            except grpc.RpcError:
                return None

        self.daemon.wait_for(served, 10, "the next client is not served")

    def assert_failure(self, actual, code, reason, field=None):
        self.assertEqual((actual.code, actual.reason), (code, reason), actual.message)
        if field is not None:
            self.assertEqual(actual.fields, [field])


class Counts(Limits):
    settings = {
        "server__streams_max": 4,
        "server__streams_per_connection_max": 3,
        "server__extract_max": 1,
        "server__connections_max": 12,
    }

    def assert_full(self, call):
        actual = refusal(call)
        self.assert_failure(actual, Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert_retry_is_told(self, actual)

    def extract(self, channel=None):
        return documents.extract(channel or self.new_channel(), documents.TEXT.encode())

    def test_streams(self):
        channels = [self.channel, self.new_channel()]
        streams = [self.open_stream(channels[number % 2]) for number in range(4)]
        self.assertEqual(self.daemon.metrics().value("gleand_streams_active"), 4)
        before = self.daemon.metrics().value("gleand_rejected_total", reason="QUEUE_FULL")
        channel = self.new_channel()
        for _ in range(1 + 40):
            self.assert_full(lambda: self.extract(channel))
        self.assert_full(lambda: documents.small(channel))
        self.assertEqual(self.daemon.metrics().value("gleand_rejected_total", reason="QUEUE_FULL") - before, 42)
        streams.pop().finish()
        self.daemon.wait_for_metric("gleand_streams_active", 3)
        self.assertEqual(self.extract(channel)[-1].WhichOneof("kind"), "done")
        for stream in streams:
            stream.send(documents.TEXT.encode())
            self.assertEqual(stream.finish()[-1].WhichOneof("kind"), "done")

    def test_texts_sent_whole(self):
        text = documents.BOOK[:30_000].decode(errors="ignore")
        request = v1.ExtractRequest(config=documents.config(), text=text)
        running = self.stub.Extract.future(request, timeout=60)
        self.daemon.wait_for_metric("gleand_streams_active", 1)
        for _ in range(1 + 10):
            self.assert_full(lambda: documents.small(self.channel))
        # A document in chunks is another matter.
        self.assertEqual(self.extract()[-1].WhichOneof("kind"), "done")
        self.assertGreater(running.result().done.words, 1000)

    def test_connections(self):
        self.channel.close()
        self.daemon.wait_for_metric("gleand_connections_active", 0)
        held = [Frames(self.daemon.address) for _ in range(12)]
        for one in held:
            self.addCleanup(one.close)
        self.daemon.wait_for_metric("gleand_connections_active", 12)
        before = self.daemon.metrics().value("gleand_rejected_total", reason="CONNECTIONS_FULL")
        for _ in range(1 + 30):
            extra = Frames(self.daemon.address, silent=True)
            self.assertLess(extra.wait_for_end(5), 1)
            extra.close()
        after = self.daemon.metrics().value("gleand_rejected_total", reason="CONNECTIONS_FULL")
        self.assertEqual(after - before, 31)
        held.pop().close()
        self.daemon.wait_for_metric("gleand_connections_active", 11)
        self.extract()

    def test_streams_of_one_connection(self):
        streams = [self.open_stream() for _ in range(3)]
        more = [documents.Open(self.channel) for _ in range(4)]
        for stream in more:
            self.addCleanup(stream.close)
        # They wait at the client; another connection is served at once.
        self.extract()
        self.assertEqual(self.daemon.metrics().value("gleand_streams_active"), 3)
        for stream in streams:
            stream.finish()
        for stream in more[:3]:
            stream.read_until("ready")
        for stream in more[:3]:
            stream.finish()
        self.assertEqual(more[3].finish()[-1].WhichOneof("kind"), "done")


class Backlog(Counts):
    """The smallest backlog there is: what one stream may have under way fills it."""

    # What is expected of a new stream is forgotten at its first heartbeat.
    settings = {"server__backlog_pieces_max": 512, "server__heartbeat_ms": 200}

    test_streams = test_texts_sent_whole = test_connections = test_streams_of_one_connection = None

    def test_pieces_that_wait(self):
        # With nothing under way a stream is let in, whatever it may need.
        self.assertEqual(self.daemon.metrics().value("gleand_backlog_pieces"), 0)
        busy = self.open_stream()
        busy.send(documents.BOOK[:40_000])
        self.daemon.wait_for_metric("gleand_backlog_pieces", lambda pieces: pieces > 0)
        for _ in range(1 + 20):
            self.assert_full(self.extract)
        self.assertEqual(busy.finish()[-1].WhichOneof("kind"), "done")
        self.daemon.wait_for_metric("gleand_backlog_pieces", 0)
        self.assertEqual(self.extract()[-1].WhichOneof("kind"), "done")

    def test_a_stream_that_waits_for_its_client_keeps_nobody_out(self):
        quiet = []
        for _ in range(3):
            quiet.append(self.open_stream())
            self.daemon.wait_for_metric("gleand_backlog_pieces", 0)
        for stream in quiet:
            self.assertEqual(stream.finish()[-1].WhichOneof("kind"), "done")


class Sizes(Limits):
    settings = {
        "server__message_bytes_max": 131_072,
        "server__text_bytes_max": 65_536,
        "server__chunk_bytes_max": 65_536,
        "server__document_bytes_max": 200_000,
        "server__header_bytes_max": 4096,
        "server__extract_result_bytes_max": 2048,
        "limits__tasks_max": 3,
        "limits__labels_max": 5,
        "limits__questions_max": 2,
        "limits__label_bytes_max": 64,
    }

    def stream_of(self, *chunks, asked=None):
        messages = [v1.ExtractStreamRequest(config=asked or documents.config()), *(documents.chunk(data) for data in chunks)]
        return list(self.stub.ExtractStream(iter([*messages, v1.ExtractStreamRequest(finish=v1.Finish())]), timeout=60))

    def test_metadata(self):
        limit = self.settings["server__header_bytes_max"]
        body = message(v1.ExtractRequest(config=documents.config(), text="").SerializeToString())
        for total, served in ((limit, True), (limit + 1, False), (3 * limit, False)):
            with self.subTest(total=total):
                room = total - header_list_bytes(call_headers(EXTRACT, ("x-large", "")))
                headers = call_headers(EXTRACT, ("x-large", "a" * room))
                self.assertEqual(header_list_bytes(headers), total)
                bare = Frames(self.daemon.address)
                bare.call(headers, body)
                self.assertEqual(bare.wait_for(HEADERS, 10)[0] == STATUS_200, served)
                bare.close()
        metadata = (("x-large", "a" * 1_000_000),)
        with self.assertRaises(grpc.RpcError) as raised:
            documents.small(self.channel, metadata=metadata, timeout=10)
        self.assertIn(raised.exception.code(), (Code.UNAVAILABLE, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED))

    def test_messages(self):
        limit = self.settings["server__message_bytes_max"]
        unary, streamed = self.channel.unary_unary(EXTRACT), self.channel.stream_stream(STREAM)
        request = v1.ExtractRequest(config=documents.config(), text=documents.TEXT).SerializeToString()
        config = v1.ExtractStreamRequest(config=documents.config()).SerializeToString()
        rest = [v1.ExtractStreamRequest(finish=v1.Finish()).SerializeToString()]
        self.assertTrue(unary(padded(request, limit), timeout=60))
        self.assertTrue(list(streamed(iter([padded(config, limit), *rest]), timeout=60)))
        before = self.daemon.rss_bytes()
        for size in (limit + 1, 300_000_000):
            for call in (
                lambda size=size: unary(padded(request, size), timeout=60),
                lambda size=size: list(streamed(iter([config, padded(b"", size), *rest]), timeout=60)),
            ):
                self.assert_failure(failure(call), Code.OUT_OF_RANGE, "MESSAGE_TOO_LARGE")
        self.assertLess(self.daemon.rss_bytes() - before, 100_000_000)

    def test_chunks(self):
        limit = self.settings["server__chunk_bytes_max"]
        self.assertEqual(self.stream_of(b" " * limit)[-1].event.done.received_bytes, limit)
        for size in (limit + 1, limit + 60_000):
            actual = failure(lambda size=size: self.stream_of(b" " * size))
            self.assert_failure(actual, Code.INVALID_ARGUMENT, "CHUNK_TOO_LARGE", "chunk.data")

    def test_texts(self):
        limit = self.settings["server__text_bytes_max"]
        self.assertEqual(documents.small(self.channel, " " * limit).done.received_bytes, limit)
        for size in (limit + 1, limit + 60_000):
            actual = failure(lambda size=size: documents.small(self.channel, " " * size))
            self.assert_failure(actual, Code.OUT_OF_RANGE, "DOCUMENT_TOO_LARGE")

    def test_documents(self):
        limit, piece = self.settings["server__document_bytes_max"], b" " * 50_000
        self.assertEqual(self.stream_of(*[piece] * 4)[-1].event.done.received_bytes, limit)
        for chunks in ([*[piece] * 4, b" "], [piece] * 200):
            actual = failure(lambda chunks=chunks: self.stream_of(*chunks))
            self.assert_failure(actual, Code.OUT_OF_RANGE, "DOCUMENT_TOO_LARGE")

    def test_answers(self):
        beginning, some = documents.BOOK[3000:60_000].decode(errors="ignore"), 200
        small = documents.small(self.channel, beginning[:some])
        self.assertLess(small.results.ByteSize(), 2048)
        for size in (12_000, 40_000):
            asked = client.entities_config(["person", "location", "date"], include_text=True)
            asked.tasks[0].entities.threshold = 0.05
            request = v1.ExtractRequest(config=asked, text=beginning[:size])
            actual = failure(lambda request=request: self.stub.Extract(request, timeout=60))
            self.assert_failure(actual, Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE")

    def assert_config_limit(self, limit, make, reason, field):
        """`make` gives a config with so many or so long parts; `field` says where the mistake is, from their number."""
        self.assertEqual(self.stream_of(b"", asked=make(limit))[-1].event.WhichOneof("kind"), "done")
        for number in (limit + 1, 20 * limit):
            asked = make(number)
            request = v1.ExtractRequest(config=asked, text="")
            for call in (
                lambda request=request: self.stub.Extract(request, timeout=60),
                lambda asked=asked: self.stream_of(b"", asked=asked),
            ):
                self.assert_failure(failure(call), Code.INVALID_ARGUMENT, reason, field)

    def test_tasks(self):
        def make(number):
            tasks = [
                v1.Task(id=str(index), entities=v1.EntitiesTask(labels=client.labels(["person"]))) for index in range(number)
            ]
            return v1.Config(tasks=tasks)

        self.assert_config_limit(3, make, "TOO_MANY_TASKS", "config.tasks")

    def test_labels(self):
        def make(number):
            return client.entities_config([f"label {index}" for index in range(number)])

        self.assert_config_limit(5, make, "TOO_MANY_LABELS", "config.tasks[0].entities.labels")

    def test_questions(self):
        def make(number):
            questions = [v1.Question(text=f"Who is number {index}?") for index in range(number)]
            return v1.Config(tasks=[v1.Task(questions=v1.QuestionsTask(questions=questions))])

        self.assert_config_limit(2, make, "TOO_MANY_LABELS", "config.tasks[0].questions.questions")

    def test_the_length_of_a_label(self):
        self.assert_config_limit(
            64, lambda size: client.entities_config(["x" * size]), "LABEL_TOO_LONG", "config.tasks[0].entities.labels[0].name"
        )

    def test_the_length_of_ids(self):
        self.assert_config_limit(
            256, lambda size: documents.config(request_id="x" * size), "CONFIG_INVALID", "config.request_id"
        )
        self.assert_config_limit(
            256, lambda size: documents.config(document_id="x" * size), "CONFIG_INVALID", "config.document_id"
        )
        self.assert_config_limit(
            64, lambda size: client.entities_config(["person"], task_id="x" * size), "CONFIG_INVALID", "config.tasks[0].id"
        )


def padded(request, size):
    """A message of exactly `size` bytes: with a field that the schema does not know, which is skipped."""
    # Field 1000, bytes; its length as a varint of five bytes, whatever it is.
    tag, room = b"\xc2\x3e", size - len(request) - 7
    length = bytes([*((room >> shift) & 127 | 128 for shift in (0, 7, 14, 21)), room >> 28])
    return request + tag + length + bytes(room)


# A base for others, not a test of its own.
del Limits

if __name__ == "__main__":
    unittest.main()
