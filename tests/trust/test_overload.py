"""Four times as much as the daemon can do: it refuses at the door, and what it takes it ends as if it were alone."""

import collections
import math
import os
import re
import unittest

import documents
import grpc
import process
from load import Load, span_seconds
from metrics import between, bucket_of
from refusal import Refusal, assert_retry_is_told

SECONDS = float(os.environ.get("GLEAND_OVERLOAD_SECONDS", "60"))
STREAMS = 16
DOCUMENTS = 24
# Above what 16 streams have under way, so that the limit of streams is the door, and near enough to bound the wait.
BACKLOG_PIECES = 16384
SETTINGS = {
    "server__streams_max": STREAMS,
    "server__streams_per_connection_max": STREAMS,
    "server__backlog_pieces_max": BACKLOG_PIECES,
}


def worst_case_bytes(settings):
    """The memory that `gleand config` says may be needed."""
    page = process.run("config", *process.assignments(settings)).stdout
    return int(re.search(r"^# Memory at worst: (\d+) bytes", page, re.MULTILINE).group(1))


class Overload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.documents = documents.cut(DOCUMENTS, 5000)
        cls.messages = [documents.requests(document) for document in cls.documents]
        daemon = process.Process(**SETTINGS)
        try:
            cls.lines, cls.words = documents.undisturbed(daemon, cls.documents)
        finally:
            daemon.stop()

    def daemon(self, **settings):
        daemon = process.Process(**SETTINGS, **settings)
        self.addCleanup(daemon.kill)
        return daemon

    def words_per_second(self, outcomes):
        done = [outcome for outcome in outcomes if outcome.error is None]
        return sum(self.words[outcome.document] for outcome in done) / span_seconds(outcomes)

    def assert_ended_as_promised(self, outcomes):
        """Admitted documents have their lines, all others were refused at the door; counts by what happened."""
        counts = collections.Counter()
        for outcome in outcomes:
            if outcome.error is None:
                self.assertEqual(documents.lines(outcome.events()), self.lines[outcome.document])
                counts["done"] += 1
                continue
            actual = Refusal(outcome.error)
            counts[actual.reason] += 1
            self.assertEqual((actual.code, actual.reason), (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"), actual.message)
            self.assertEqual(outcome.answers, [], "a refusal comes before anything else")
            assert_retry_is_told(self, actual)
        return counts

    def rate(self, capacity, factor):
        """Documents a second that are `factor` times the capacity in words."""
        return factor * capacity * len(self.words) / sum(self.words)

    def test_four_times_the_capacity(self):
        daemon = self.daemon()
        load = Load(daemon.address, self.messages)
        closed = load.closed(STREAMS, min(SECONDS, 15))
        self.assertEqual(self.assert_ended_as_promised(closed), {"done": len(closed)})
        capacity = self.words_per_second(closed)

        before = daemon.metrics()
        outcomes = load.open(self.rate(capacity, 4), SECONDS)
        after = daemon.metrics()
        counts = self.assert_ended_as_promised(outcomes)
        goodput = self.words_per_second(outcomes)

        pieces = after.value("gleand_window_pieces_sum") - before.value("gleand_window_pieces_sum")
        speed = pieces / span_seconds(outcomes)
        waits = between(before, after, "gleand_queue_duration_seconds")
        limit = BACKLOG_PIECES / speed * 1.5
        slowest, most = bucket_of(waits, 1), bucket_of(waits, 0.999)
        peak, worst = daemon.memory_peak_bytes(), worst_case_bytes(SETTINGS)
        print(
            f"\ncapacity {capacity:.0f} words/s ({len(closed)} documents in {span_seconds(closed):.1f} s, {STREAMS} clients)"
            f"\noverload {len(outcomes)} arrivals in {SECONDS:.0f} s: {dict(counts)}, goodput {goodput:.0f} words/s = "
            f"{goodput / capacity:.3f} C"
            f"\nwait     {waits[math.inf]:.0f} windows, 99.9 % within {most} s, all within {slowest} s; allowed {limit:.2f} s "
            f"({BACKLOG_PIECES} pieces, {speed:.0f} pieces/s)"
            f"\nmemory   peak {peak / 2**20:.0f} MiB, worst case {worst / 2**20:.0f} MiB"
        )
        self.assertGreater(counts["QUEUE_FULL"], counts["done"])
        self.assertGreaterEqual(goodput, 0.9 * capacity)
        self.assertGreater(waits[math.inf], 0)
        self.assertLessEqual(most, limit)
        self.assertLessEqual(peak, worst)
        self.assertEqual(after.value("gleand_rejected_total", reason="QUEUE_FULL"), counts["QUEUE_FULL"])
        self.assertEqual(daemon.stop(), 0)

    def test_a_stream_that_waits_for_the_daemon_is_not_idle(self):
        daemon = self.daemon(server__input_idle_ms=2000)
        load = Load(daemon.address, self.messages)
        # Sixteen at once take several times the two seconds, and nothing more comes from their clients.
        outcomes = load.open(self.rate(self.words_per_second(load.closed(STREAMS, 3)), 4), min(SECONDS, 15))
        counts = self.assert_ended_as_promised(outcomes)
        slowest = max(outcome.ended - outcome.started for outcome in outcomes)
        print(f"\nidle clock of 2 s: {dict(counts)}, the slowest stream took {slowest:.1f} s")
        self.assertGreater(slowest, 3)
        self.assertGreater(counts["QUEUE_FULL"], 0)


if __name__ == "__main__":
    unittest.main()
