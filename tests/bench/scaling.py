"""What one replica does, for deploy/SCALING.md: pieces a second, what waits, and how long, by cores and open streams.

    GLEAND_BIN=... PYTHONPATH=tests/trust:tests/wire target/venv-mesh/bin/python tests/bench/scaling.py

Clients that begin a document of 20 kB as soon as they have the one before, on the same machine; half a minute a row. The first
fifth of each run is left out.
"""

import statistics
import threading
import time

import documents
import process
from load import Load

SECONDS = 30.0
SIZE = 20_000
ROWS = ((1, 1), (1, 16), (2, 1), (2, 2), (2, 4), (2, 16), (2, 64))


class Watch:
    """Reads a gauge five times a second, on a thread of its own."""

    def __init__(self, daemon, name):
        self._daemon, self._name = daemon, name
        self.values, self._ended = [], threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended.wait(0.2):
            self.values.append(self._daemon.metrics().value(self._name))

    def stop(self):
        self._ended.set()
        self._thread.join()
        return self.values


def row(cores, streams, messages):
    daemon = process.Process(compute__cores=cores)
    try:
        load = Load(daemon.address, messages)
        outcomes = []
        runner = threading.Thread(target=lambda: outcomes.extend(load.closed(streams, SECONDS)))
        runner.start()
        time.sleep(SECONDS / 5)
        before, started = daemon.metrics(), time.monotonic()
        watch = Watch(daemon, "gleand_queue_pieces")
        time.sleep(SECONDS * 3 / 5)
        after, took, waiting = daemon.metrics(), time.monotonic() - started, watch.stop()
        runner.join()
        failed = sum(outcome.error is not None for outcome in outcomes)
        if failed:
            raise AssertionError(f"{failed} of {len(outcomes)} documents failed: the row is not what it says")
        peak = daemon.memory_peak_bytes()
    finally:
        daemon.stop()

    def rate(name, **labels):
        return (after.value(name, **labels) - before.value(name, **labels)) / took

    queue = rate("gleand_queue_duration_seconds_sum") / max(rate("gleand_queue_duration_seconds_count"), 1e-9)
    print(
        f"| {cores} | {streams} | {rate('gleand_batch_pieces_sum'):.0f} "
        f"| {statistics.mean(waiting):.0f} | {max(waiting):.0f} | {queue:.2f} s | {peak >> 20} MiB |",
        flush=True,
    )


def main():
    messages = [documents.requests(document) for document in documents.cut(16, SIZE)]
    print("| cores | open streams | pieces/s | pieces that wait, mean | most | wait of a window | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for cores, streams in ROWS:
        row(cores, streams, messages)


if __name__ == "__main__":
    main()
