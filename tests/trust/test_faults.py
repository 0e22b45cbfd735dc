"""A scorer that panics harms one document, one that never comes back ends the process, a long pause does neither.

The daemon under test is the real one around a scorer that does what a word of the text asks for.
"""

import concurrent.futures
import os
import signal
import threading
import time
import unittest

import documents
import grpc
import process
from refusal import refusal

DOCUMENTS = documents.cut(3, 8000)
PANIC, SPIN, ERROR = (f"Mary Shelley met {word} in Geneva.".encode() for word in ("zzpanic", "zzspin", "zzerror"))


class Faults(unittest.TestCase):
    def daemon(self, **settings):
        daemon = process.Process(binary=process.faulty(), **settings)
        self.addCleanup(daemon.kill)
        return daemon

    def extract(self, daemon, document):
        with daemon.channel() as channel:
            return documents.extract(channel, document)

    def assert_worker_failed(self, daemon, document):
        actual = refusal(lambda: self.extract(daemon, document))
        self.assertEqual((actual.code, actual.reason), (grpc.StatusCode.INTERNAL, "WORKER_FAILED"))
        self.assertNotIn("zz", actual.message + str(actual.metadata))

    def test_one_poisoned_window_harms_one_stream(self):
        daemon = self.daemon()
        expected, _ = documents.undisturbed(daemon, DOCUMENTS)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            beside = [threads.submit(self.extract, daemon, document) for document in DOCUMENTS]
            windows = daemon.metrics().value("gleand_windows_total", outcome="scored")
            daemon.wait_for_metric("gleand_windows_total", lambda value: value > windows, outcome="scored")
            self.assert_worker_failed(daemon, PANIC)
            self.assert_worker_failed(daemon, ERROR)
            self.assertFalse(all(one.done() for one in beside), "nothing was beside it")
            self.assertEqual([documents.lines(one.result()) for one in beside], expected)
        metrics = daemon.metrics()
        self.assertEqual(metrics.value("gleand_worker_panics_total"), 1)
        self.assertGreaterEqual(metrics.value("gleand_windows_total", outcome="failed"), 2)
        # It serves on, with the same results.
        self.assertEqual(documents.lines(self.extract(daemon, DOCUMENTS[0])), expected[0])
        self.assertEqual(daemon.get("/readyz"), (200, "ready"))
        self.assertEqual(daemon.stop(), 0)

    def test_the_third_panic_ends_the_daemon_without_losing_work(self):
        daemon = self.daemon()
        expected = documents.undisturbed(daemon, DOCUMENTS[:1])[0][0]
        with daemon.channel() as channel:
            stream = documents.Open(channel)
            stream.read_until("ready")
            stream.send(DOCUMENTS[0][:3000])
            for number in range(3):
                self.assertEqual(daemon.get("/readyz")[0], 200, f"after {number} panics")
                self.assert_worker_failed(daemon, PANIC)
            daemon.wait_for(lambda: daemon.get("/readyz")[0] == 503, 3, "still ready")
            self.assertEqual(daemon.get("/livez")[0], 200)
            stream.read_until("draining")
            stream.send(DOCUMENTS[0][3000:])
            self.assertEqual(documents.lines(stream.finish()), expected)
        self.assertEqual(daemon.wait(10), 1)

    def test_a_forward_that_never_ends_ends_the_process(self):
        daemon = self.daemon(compute__forward_stuck_s=3)
        # Not stuck, only busy.
        documents.undisturbed(daemon, DOCUMENTS[:1])
        self.assertEqual(daemon.get("/livez"), (200, "ok"))
        seen = []

        def probe():
            while daemon.running():
                try:
                    seen.append(daemon.get("/livez"))
                except OSError:
                    return
                time.sleep(0.02)

        prober = threading.Thread(target=probe)
        started = time.monotonic()
        with daemon.channel() as channel:
            stream = documents.Open(channel)
            stream.send(SPIN)
            prober.start()
            with self.assertRaises(grpc.RpcError):
                stream.finish()
        self.assertEqual(daemon.wait(10), 70)
        took = time.monotonic() - started
        prober.join()
        print(f"\nstuck forward: exit 70 after {took:.1f} s with forward_stuck_s = 3")
        self.assertTrue(3 <= took < 8, took)
        self.assertIn((503, "a forward is stuck"), seen)
        self.assertTrue([line for line in daemon.lines() if "stuck" in line.get("message", "")], daemon.log())

    def test_a_long_pause_of_the_whole_process_is_survived(self):
        soak = os.environ.get("GLEAND_SOAK") == "1"
        stuck, pause = (60, 90) if soak else (5, 10)
        daemon = self.daemon(compute__forward_stuck_s=stuck)
        expected, _ = documents.undisturbed(daemon, DOCUMENTS)
        with concurrent.futures.ThreadPoolExecutor() as threads:
            reading = [threads.submit(self.extract, daemon, document) for document in DOCUMENTS]
            before = daemon.metrics().value("gleand_windows_total", outcome="scored")
            daemon.wait_for_metric("gleand_windows_total", lambda value: value > before + 4, outcome="scored")
            daemon.signal(signal.SIGSTOP)
            time.sleep(pause)
            self.assertFalse(any(one.done() for one in reading))
            daemon.signal(signal.SIGCONT)
            self.assertEqual([documents.lines(one.result()) for one in reading], expected)
        self.assertEqual(daemon.get("/livez"), (200, "ok"))
        self.assertEqual(daemon.stop(), 0)
        print(f"\na pause of {pause} s with forward_stuck_s = {stuck}: {len(expected)} streams ended with their lines")


if __name__ == "__main__":
    unittest.main()
