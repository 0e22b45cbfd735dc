"""A document gives the same lines however it is cut, and its positions slice back to its text."""

import unittest

import client
from daemon import Daemon
from schema import ROOT, extraction_grpc, v1

LABELS = ["person", "location", "date"]
BOOK = (ROOT / "tests/data/frankenstein.txt").read_bytes()
# Whole code points, so that it is a document of its own.
BEGINNING = BOOK[:40_000].decode(errors="ignore").encode()


class Streaming(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.stop)
        cls.channel = cls.daemon.channel()
        cls.addClassCleanup(cls.channel.close)

    def stream(self, document, chunk_bytes, offsets):
        config = client.entities_config(
            LABELS, offset_encodings=[v1.OFFSET_ENCODING_UTF16], include_text=True, request_id="test"
        )
        return client.stream(self.channel, config, document, chunk_bytes, offsets)

    def lines(self, document, chunk_bytes, offsets):
        return [client.line(mention) for mention in client.mentions(self.stream(document, chunk_bytes, offsets))]

    def assert_slices_back(self, document, mentions):
        for mention in mentions:
            self.assertEqual(client.slices(document, mention), [mention.text] * 3)
            self.assertEqual(mention.label, LABELS[mention.label_index])

    def test_one_byte_and_seven_byte_chunks_give_the_lines_of_one_chunk(self):
        expected = self.lines(BEGINNING, len(BEGINNING), offsets=False)
        self.assertGreater(len(expected), 20)
        for chunk_bytes in (1, 7):
            for offsets in (False, True):
                with self.subTest(chunk_bytes=chunk_bytes, offsets=offsets):
                    self.assertEqual(self.lines(BEGINNING, chunk_bytes, offsets), expected)

    def test_the_whole_book_gives_the_same_lines_in_chunks_and_as_one(self):
        events = self.stream(BOOK, 65536, offsets=True)
        mentions = client.mentions(events)
        self.assertGreater(len(mentions), 300)
        self.assertEqual(self.lines(BOOK, len(BOOK), offsets=False), [client.line(mention) for mention in mentions])
        self.assert_slices_back(BOOK, mentions)
        self.assertEqual([mention.ordinal for mention in mentions], list(range(len(mentions))))

    def test_a_stream_starts_with_ready_and_ends_with_a_done_that_counts(self):
        events = self.stream(BEGINNING, 65536, offsets=False)
        self.assertEqual(events[0].WhichOneof("kind"), "ready")
        self.assertEqual(events[-1].WhichOneof("kind"), "done")
        ready, done = events[0].ready, events[-1].done
        self.assertEqual(ready.tasks[0].task_id, "entities")
        self.assertGreaterEqual(ready.tasks[0].passes_per_window, 1)
        self.assertGreater(ready.tasks[0].mention_words_max, 0)
        self.assertEqual(ready.fingerprint, done.fingerprint)
        self.assertEqual(done.received_bytes, len(BEGINNING))
        self.assertEqual(done.codepoints, len(BEGINNING.decode()))
        self.assertEqual([count.results for count in done.results], [len(client.mentions(events))])
        self.assertGreater(done.words, 5_000)
        self.assertGreater(done.windows, 10)

    def test_the_watermark_never_goes_back_and_results_lie_behind_it(self):
        events = self.stream(BEGINNING, 1000, offsets=False)
        watermark = 0
        for event in events:
            if event.WhichOneof("kind") == "progress":
                self.assertGreaterEqual(event.progress.watermark_bytes, watermark)
                self.assertLessEqual(event.progress.watermark_bytes, event.progress.received_bytes)
                watermark = event.progress.watermark_bytes
            for mention in event.mentions.mentions:
                self.assertGreaterEqual(mention.byte_range.start, watermark)
        self.assertGreater(watermark, 0)

    def test_bytes_that_come_again_are_ignored(self):
        document = BEGINNING[:4000].decode(errors="ignore").encode()

        def requests():
            yield v1.ExtractStreamRequest(config=client.entities_config(LABELS))
            for start in range(0, len(document), 500):
                # Overlaps the chunk before by half.
                begin = max(0, start - 250)
                yield v1.ExtractStreamRequest(chunk=v1.Chunk(offset_bytes=begin, data=document[begin : start + 500]))
            yield v1.ExtractStreamRequest(chunk=v1.Chunk(offset_bytes=0, data=document[:100]))
            yield v1.ExtractStreamRequest(finish=v1.Finish(total_bytes=len(document)))

        stub = extraction_grpc.ExtractionServiceStub(self.channel)
        events = [response.event for response in stub.ExtractStream(requests(), timeout=60)]
        lines = [client.line(mention) for mention in client.mentions(events)]
        self.assertEqual(lines, self.lines(document, 4000, offsets=False))

    def test_extract_answers_what_the_stream_does(self):
        document = BEGINNING[:8000].decode(errors="ignore")
        stub = extraction_grpc.ExtractionServiceStub(self.channel)
        request = v1.ExtractRequest(config=client.entities_config(LABELS), text=document)
        response = stub.Extract(request, timeout=60)
        lines = [client.line(mention) for mention in response.results.mentions]
        self.assertEqual(lines, self.lines(document.encode(), 1000, offsets=True))
        self.assertEqual(response.done.results[0].results, len(lines))

    def test_positions_hold_beyond_the_basic_plane(self):
        document = "😀 Mary Shelley wrote 𝔉rankenstein in Geneva 🏔️, naïve Ada Lovelace in London.".encode()
        events = self.stream(document, 3, offsets=False)
        mentions = client.mentions(events)
        self.assertGreaterEqual(len(mentions), 2)
        self.assert_slices_back(document, mentions)

    def test_an_empty_document_is_done_at_once(self):
        events = self.stream(b"", 1, offsets=False)
        self.assertEqual(events[-1].done.words, 0)
        self.assertEqual(client.mentions(events), [])

    def test_invalid_bytes_are_replaced_where_asked(self):
        document = b"Mary Shelley\xff lived in Geneva \xe2\x82 and London."
        config = client.entities_config(LABELS, invalid_utf8=v1.INVALID_UTF8_REPLACE, include_text=True)
        events = client.stream(self.channel, config, document, 1)
        self.assertEqual(events[-1].done.replaced_invalid, 2)
        mentions = client.mentions(events)
        self.assertGreater(len(mentions), 0)
        for mention in mentions:
            if "\ufffd" not in mention.text:
                where = mention.byte_range
                self.assertEqual(document[where.start : where.end].decode(), mention.text)
