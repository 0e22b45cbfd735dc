"""The clocks of a stream: each ends what it is there for, and runs only while it should. `test_limits.py` has the table."""

import concurrent.futures
import time
import unittest

import client
import documents
import grpc
import process
from failure import Failure, failure
from frames import HEADERS, Frames, call_headers, message

Code = grpc.StatusCode
STREAM = "/gleand.v1.ExtractionService/ExtractStream"
IDLE, SLOW, STALL, HEARTBEAT = 0.8, 2.0, 1.0, 0.25


class Clocks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = process.Process(
            server__input_idle_ms=int(1000 * IDLE),
            server__input_slow_ms=int(1000 * SLOW),
            server__input_slow_bytes=1024,
            server__write_stall_ms=int(1000 * STALL),
            server__heartbeat_ms=int(1000 * HEARTBEAT),
            server__results_held_bytes_max=1024,
            # One window after the other, so that a queue is long.
            compute__cores=1,
        )
        cls.addClassCleanup(cls.daemon.stop)

    def setUp(self):
        self.addCleanup(self.assert_next_client_is_served)
        self.channel = self.daemon.channel()
        self.addCleanup(self.channel.close)

    def assert_next_client_is_served(self):
        with self.daemon.channel() as channel:
            self.assertTrue(documents.small(channel).results.mentions)

    def open_stream(self, **fields):
        stream = documents.Open(self.channel, **fields)
        self.addCleanup(stream.close)
        stream.read_until("ready")
        return stream

    def assert_ends(self, stream, code, reason):
        with self.assertRaises(grpc.RpcError) as raised:
            stream.read_rest()
        actual = Failure(raised.exception)
        self.assertEqual((actual.code, actual.reason), (code, reason), actual.message)

    def test_a_request_whose_message_never_comes_is_ended(self):
        started = time.monotonic()
        bare = Frames(self.daemon.address)
        self.addCleanup(bare.close)
        bare.call(call_headers("/gleand.v1.ExtractionService/Extract"), b"", ends=False)
        self.assertIsNotNone(bare.wait_for(HEADERS, 10), "no status")
        self.assertGreater(time.monotonic() - started, 0.9 * IDLE)
        # Health needs no key, so it must not take places of others.
        for stream in range(3, 103, 2):
            bare.call(call_headers("/grpc.health.v1.Health/Check"), b"", stream, ends=False)

    # --- input ------------------------------------------------------------------------------------------------------

    def test_a_client_that_pauses_is_served_and_one_that_goes_away_is_ended(self):
        stream = self.open_stream()
        for _ in range(3):
            stream.send(b"word " * 210)
            time.sleep(0.6 * IDLE)
        stream.send(documents.TEXT.encode())
        started = time.monotonic()
        self.assert_ends(stream, Code.ABORTED, "IDLE_TIMEOUT")
        took = time.monotonic() - started
        self.assertTrue(0.8 * IDLE < took < IDLE + 1, took)

    def test_messages_without_bytes_are_no_progress(self):
        stream = self.open_stream()
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            ending = threads.submit(self.assert_ends, stream, Code.ABORTED, "IDLE_TIMEOUT")
            while not ending.done():
                stream.send(b"")
                time.sleep(0.05)
            ending.result()
        self.assertLess(time.monotonic() - started, IDLE + 1)

    def test_a_client_that_drips_is_ended_and_one_that_is_only_slow_is_not(self):
        dripping, slow = self.open_stream(), self.open_stream()
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            ending = threads.submit(self.assert_ends, dripping, Code.ABORTED, "INPUT_TOO_SLOW")
            # Two clocks' time for the slow one, with twice the bytes that it needs.
            while time.monotonic() - started < 2 * SLOW:
                dripping.send(b"a ")
                slow.send(b"word " * 21)
                time.sleep(0.1)
                if not ending.done():
                    self.assertLess(time.monotonic() - started, SLOW + 1.5)
            ending.result()
        self.assertEqual(slow.finish()[-1].WhichOneof("kind"), "done")

    # --- output -----------------------------------------------------------------------------------------------------

    def talkative(self, request_id):
        """A config whose answers are larger than the text, a text, and the messages of the stream."""
        asked = client.entities_config(["person", "location", "date", "thing"], request_id=request_id, include_text=True)
        asked.tasks[0].entities.threshold = 0.01
        asked.tasks[0].entities.multi_label = True
        return [message(one.SerializeToString()) for one in client.requests(asked, documents.BOOK[3000:43_000], 8000, False)]

    def test_a_client_that_does_not_read_loses_its_place(self):
        daemon = process.Process(
            server__streams_max=1,
            server__streams_per_connection_max=1,
            server__write_stall_ms=int(1000 * STALL),
            server__results_held_bytes_max=1024,
        )
        self.addCleanup(daemon.stop)
        bare = Frames(daemon.address, window=0)
        self.addCleanup(bare.close)
        started = time.monotonic()
        bare.call(call_headers(STREAM), b"".join(self.talkative("never-reads")))
        self.assertIsNotNone(bare.wait_for(HEADERS, 10))
        with daemon.channel() as channel:
            actual = failure(lambda: documents.small(channel))
            self.assertEqual((actual.code, actual.reason), (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"))

            def served():
                try:
                    return documents.small(channel).results.mentions
                except grpc.RpcError:
                    return None

            daemon.wait_for(served, 30, "its place is not free")
        self.assertGreater(time.monotonic() - started, STALL)
        # Now it reads, and is told.
        bare.open_window(1 << 20)
        line = daemon.wait_for_line("stream ended", 10, request_id="never-reads")
        self.assertEqual((line["status"], line["reason"]), ("ABORTED", "WRITE_STALLED"))
        self.assertIsNotNone(bare.wait_for(HEADERS, 10), "no trailers")

    def test_a_client_that_never_takes_the_last_event_does_not_hold_a_place(self):
        bare = Frames(self.daemon.address, window=0)
        bare.call(call_headers(STREAM), b"".join(message(one.SerializeToString()) for one in documents.requests(b"Mary")))
        bare.close()
        self.daemon.wait_for_metric("gleand_streams_active", 0, 5)

    # --- deadlines --------------------------------------------------------------------------------------------------

    def assert_nothing_is_computed(self):
        """The one worker ends the batch that it is at, however long a busy machine takes for it, and begins no other."""
        before = self.daemon.metrics().value("gleand_batch_duration_seconds_count")
        time.sleep(1.5)
        self.daemon.wait_for_metric("gleand_queue_windows", 0)
        began = self.daemon.metrics().value("gleand_batch_duration_seconds_count") - before
        self.assertLessEqual(began, 1, "a batch began after its streams had ended")

    def deadline(self, name, timeout="500m"):
        """A call whose deadline only the server knows; its line in the log."""
        bare = Frames(self.daemon.address)
        self.addCleanup(bare.close)
        body = [message(one.SerializeToString()) for one in documents.requests(documents.BOOK[:40_000], 8000, request_id=name)]
        bare.call(call_headers(STREAM, ("grpc-timeout", timeout)), b"".join(body))
        return self.daemon.wait_for_line("stream ended", 10, request_id=name)

    def test_a_deadline_while_windows_are_scored(self):
        line = self.deadline("running")
        self.assertEqual((line["status"], line["reason"]), ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"))
        self.assertTrue(450 <= line["total_ms"] < 1000, line)
        self.assertGreater(line["windows"], 2)
        self.assert_nothing_is_computed()

    def test_a_deadline_in_the_queue(self):
        busy = [self.open_stream() for _ in range(12)]
        for stream in busy:
            stream.send(documents.BOOK[:40_000])
        before = self.daemon.metrics().value("gleand_cancelled_total", stage="queue")
        line = self.deadline("queued", "200m")
        self.assertEqual((line["status"], line["reason"]), ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"))
        self.assertLess(line["total_ms"], 700)
        self.daemon.wait_for_metric("gleand_cancelled_total", lambda value: value > before, stage="queue")
        for stream in busy:
            stream.close()
        self.daemon.wait_for_metric("gleand_streams_active", 0)
        self.assert_nothing_is_computed()

    def test_a_deadline_that_is_over_when_it_comes(self):
        line = self.deadline("late", "0n")
        self.assertEqual((line["status"], line["reason"]), ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"))
        self.assertLess(line["total_ms"], 200)

    def test_a_client_that_cancels_stops_the_work(self):
        stream = self.open_stream(request_id="gives-up")
        stream.send(documents.BOOK[:60_000])
        stream.read_until("mentions")
        stream.close()
        line = self.daemon.wait_for_line("stream ended", request_id="gives-up")
        self.assertEqual((line["status"], line["reason"]), ("CANCELLED", "CANCELLED"))
        self.assert_nothing_is_computed()

    # --- heartbeats -------------------------------------------------------------------------------------------------

    def test_heartbeats_go_on_while_a_stream_waits_for_its_client(self):
        stream = self.open_stream()
        started = time.monotonic()
        for _ in range(2):
            stream.read_until("progress")
        self.assertLess(time.monotonic() - started, 4 * HEARTBEAT)

    def test_heartbeats_go_on_while_a_stream_waits_for_the_model(self):
        # As long as the others are at it a turn comes after one window of each.
        busy = [self.open_stream() for _ in range(60)]
        for stream in busy:
            stream.send(documents.BOOK[:20_000])
        self.daemon.wait_for_metric("gleand_queue_windows", lambda windows: windows > 50)
        stream = self.open_stream()
        stream.send(documents.BOOK[:4000])
        moments = [time.monotonic()]
        for response in stream.call:
            moments.append(time.monotonic())
            if response.event.WhichOneof("kind") == "mentions" or moments[-1] - moments[0] > 4:
                break
        gaps = [after - before for before, after in zip(moments, moments[1:], strict=False)]
        print(f"\nheartbeat {HEARTBEAT} s behind 60 streams: {len(gaps)} events in {moments[-1] - moments[0]:.1f} s, "
              f"the longest pause {max(gaps):.2f} s")  # fmt: skip
        self.assertGreater(moments[-1] - moments[0], 1, "nothing was waited for")
        self.assertLess(max(gaps), HEARTBEAT + 0.5)
        for other in busy:
            other.close()


if __name__ == "__main__":
    unittest.main()
