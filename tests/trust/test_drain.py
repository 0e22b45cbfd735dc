"""A daemon that is told to stop ends what it has begun, says so to everybody, and is gone in time."""

import signal
import tempfile
import threading
import time
import unittest

import certs
import client
import documents
import grpc
import process
from frames import SETTINGS, Frames
from grpc_health.v1 import health_pb2, health_pb2_grpc
from refusal import Refusal, assert_retry_is_told, refusal
from schema import extraction_grpc

Code = grpc.StatusCode
DOCUMENT = documents.cut(1, 8000)[0]


def health(address):
    """What the health service says at an address."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


class Drain(unittest.TestCase):
    def daemon(self, **settings):
        daemon = process.Process(**settings)
        self.addCleanup(daemon.kill)
        return daemon

    def channel(self, daemon):
        channel = daemon.channel()
        self.addCleanup(channel.close)
        return channel

    def open_stream(self, daemon, channel=None):
        stream = documents.Open(channel or self.channel(daemon))
        self.addCleanup(stream.close)
        stream.read_until("ready")
        return stream

    def wait_for_state(self, daemon, state):
        daemon.wait_for_metric("gleand_drain_state", state)

    def assert_draining(self, actual):
        self.assertEqual((actual.code, actual.reason), (Code.UNAVAILABLE, "DRAINING"), actual.message)
        assert_retry_is_told(self, actual)

    # --- nothing open -----------------------------------------------------------------------------------------------

    def test_an_idle_daemon_is_gone_after_its_lame_duck(self):
        for lame_duck in (0, 3):
            for number in (signal.SIGTERM, signal.SIGINT):
                with self.subTest(lame_duck=lame_duck, signal=number.name):
                    daemon = self.daemon(server__lame_duck_ms=1000 * lame_duck)
                    with daemon.channel() as channel:
                        documents.small(channel)
                        started = time.monotonic()
                        daemon.signal(number)
                        self.assertEqual(daemon.wait(lame_duck + 10), 0)
                        took = time.monotonic() - started
                    print(f"\nidle, lame duck {lame_duck} s: gone after {took:.2f} s")
                    self.assertGreaterEqual(took, lame_duck)
                    self.assertLess(took, lame_duck + 1)
                    for message in ("told to stop", "stopped"):
                        self.assertTrue(daemon.lines(message), daemon.log())

    def test_a_daemon_that_is_not_ready_yet_stops_too(self):
        daemon = process.Process(until="listening")
        self.addCleanup(daemon.kill)
        self.assertEqual(daemon.stop(10), 0)

    # --- lame duck --------------------------------------------------------------------------------------------------

    def test_a_lame_duck_serves_and_says_that_it_is_not_ready(self):
        daemon = self.daemon(server__lame_duck_ms=3000)
        self.assertEqual(daemon.get("/readyz"), (200, "ready"))
        self.assertEqual({health(daemon.address), health(daemon.admin)}, {"SERVING"})
        self.assertEqual(daemon.metrics().value("gleand_ready"), 1)
        started = time.monotonic()
        daemon.signal()
        daemon.wait_for(lambda: daemon.get("/readyz")[0] == 503, 1, "still ready")
        self.assertEqual({health(daemon.address), health(daemon.admin)}, {"NOT_SERVING"})
        self.assertEqual(daemon.get("/livez"), (200, "ok"))
        metrics = daemon.metrics()
        self.assertEqual((metrics.value("gleand_drain_state"), metrics.value("gleand_ready")), (1, 0))
        with daemon.channel() as channel:
            documents.small(channel)
            self.assertEqual(documents.extract(channel, documents.TEXT.encode())[-1].WhichOneof("kind"), "done")
        self.assertLess(time.monotonic() - started, 3, "the lame duck was over before it was asked")
        self.assertEqual(daemon.wait(10), 0)

    # --- peers that say nothing ---------------------------------------------------------------------------------------

    def test_a_mute_peer_does_not_hold_up_the_end(self):
        with tempfile.TemporaryDirectory() as folder:
            server = certs.Authority(folder, "ca").server()
            for settings in ({}, {"tls__cert_file": server.cert, "tls__key_file": server.key}):
                with self.subTest(tls=bool(settings)):
                    daemon = self.daemon(server__handshake_ms=60_000, **settings)
                    mute = Frames(daemon.address, silent=True)
                    self.addCleanup(mute.close)
                    time.sleep(0.3)
                    started = time.monotonic()
                    daemon.signal()
                    self.assertEqual(daemon.wait(10), 0)
                    self.assertLess(time.monotonic() - started, 2)

    def test_a_stream_without_its_config_is_told(self):
        daemon = self.daemon(server__drain_ms=30_000)
        release = threading.Event()
        self.addCleanup(release.set)

        def nothing():
            release.wait(60)
            yield from ()

        call = extraction_grpc.ExtractionServiceStub(self.channel(daemon)).ExtractStream(nothing(), timeout=60)
        daemon.wait_for_metric("gleand_streams_active", 1)
        daemon.signal()
        with self.assertRaises(grpc.RpcError) as raised:
            list(call)
        self.assert_draining(Refusal(raised.exception))
        self.assertEqual(daemon.wait(10), 0)

    # --- open streams -----------------------------------------------------------------------------------------------

    def test_an_open_stream_is_told_and_ends_as_if_nothing_had_been(self):
        daemon = self.daemon(server__drain_ms=30_000)
        expected = documents.undisturbed(daemon, [DOCUMENT])[0][0]
        stream = self.open_stream(daemon)
        stream.send(DOCUMENT[:4000])
        daemon.signal()
        remaining = stream.read_until("draining").remaining
        self.assertTrue(25 < remaining.ToTimedelta().total_seconds() <= 30, remaining)
        stream.send(DOCUMENT[4000:])
        events = stream.finish()
        self.assertEqual(events[-1].WhichOneof("kind"), "done")
        self.assertEqual(stream.kinds().count("draining"), 1)
        self.assertEqual(documents.lines(events), expected)
        self.assertEqual(daemon.wait(5), 0)
        self.assertEqual(daemon.lines("draining")[0]["streams"], 1)

    def test_new_calls_are_refused_while_others_finish(self):
        daemon = self.daemon()
        channel = self.channel(daemon)
        stream = self.open_stream(daemon, channel)
        daemon.signal()
        stream.read_until("draining")
        self.wait_for_state(daemon, 2)
        for name, other in (("the same", channel), ("a new", self.channel(daemon))):
            with self.subTest(connection=name):
                self.assert_draining(refusal(lambda other=other: documents.extract(other, DOCUMENT)))
                self.assert_draining(refusal(lambda other=other: documents.small(other)))
        self.assertEqual(daemon.get("/readyz")[0], 503)
        self.assertGreaterEqual(daemon.metrics().value("gleand_rejected_total", reason="DRAINING"), 4)
        self.assertEqual(stream.finish()[-1].WhichOneof("kind"), "done")
        self.assertEqual(daemon.wait(5), 0)

    def test_calls_of_one_answer_finish_too(self):
        daemon = self.daemon()
        text = documents.BOOK[:15_000].decode(errors="ignore")
        done = []
        with daemon.channel() as channel:
            call = threading.Thread(target=lambda: done.append(documents.small(channel, text).done.words))
            call.start()
            daemon.wait_for_metric("gleand_windows_total", lambda value: value > 0)
            daemon.signal()
            call.join(60)
        self.assertGreater(done[0], 1000)
        self.assertEqual(daemon.wait(5), 0)

    def test_at_the_deadline_a_stream_has_what_is_final(self):
        daemon = self.daemon(server__drain_ms=1500)
        with daemon.channel() as channel:
            whole = [result for event in documents.extract(channel, DOCUMENT) for result in client.event_results(event)]
        streams = [self.open_stream(daemon) for _ in range(2)]
        streams[0].send(DOCUMENT[:6000])
        # The second one never sends anything: it has nothing, and is told the same.
        while streams[0].read_until("progress").watermark_bytes < 3000:
            pass
        started = time.monotonic()
        daemon.signal()
        for number, stream in enumerate(streams):
            with self.assertRaises(grpc.RpcError) as raised:
                stream.read_rest()
            self.assert_draining(Refusal(raised.exception))
            self.assertIn("draining", stream.kinds())
            self.assertEqual(stream.kinds()[-1], "progress")
            watermark = stream.events[-1].progress.watermark_bytes
            expected = [client.line(result) for result in whole if result.byte_range.start < watermark]
            self.assertEqual(documents.lines(stream.events), expected)
            print(f"\ndrain deadline, stream {number}: {len(expected)} results, watermark {watermark}")
        took = time.monotonic() - started
        self.assertTrue(1.4 < took < 3, took)
        self.assertEqual(daemon.wait(5), 0)
        ended = [line for line in daemon.lines("stream ended") if line["reason"] == "DRAINING"]
        self.assertEqual([line["status"] for line in ended], ["UNAVAILABLE"] * 2)

    def test_a_second_signal_ends_it_at_once(self):
        for lame_duck in (0, 20_000):
            with self.subTest(lame_duck=lame_duck):
                daemon = self.daemon(server__lame_duck_ms=lame_duck)
                self.open_stream(daemon)
                daemon.signal()
                daemon.wait_for_line("told to stop")
                self.wait_for_state(daemon, 1 if lame_duck else 2)
                started = time.monotonic()
                daemon.signal()
                self.assertEqual(daemon.wait(5), 1)
                self.assertLess(time.monotonic() - started, 1)

    def test_connections_are_told_to_go(self):
        daemon = self.daemon()
        stream = self.open_stream(daemon)
        bare = Frames(daemon.address)
        self.addCleanup(bare.close)
        # It is there before the signal, not on its way.
        bare.wait_for(SETTINGS, 5, stream=0)
        daemon.signal()
        error, took = bare.wait_for_goaway(3)
        self.assertEqual(error, 0)
        self.assertLess(took, 2)
        stream.finish()
        self.assertEqual(daemon.wait(5), 0)


class Age(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = process.Process(server__connection_age_ms=1000)
        cls.addClassCleanup(cls.daemon.stop)

    def test_an_old_connection_is_told_to_go_and_closed(self):
        bare = Frames(self.daemon.address)
        self.addCleanup(bare.close)
        error, took = bare.wait_for_goaway(5)
        self.assertEqual(error, 0)
        self.assertTrue(0.8 < took < 2, took)
        bare.wait_for_end(5)

    def test_ages_differ_a_little(self):
        bare = [Frames(self.daemon.address) for _ in range(8)]
        ages = []
        threads = [threading.Thread(target=lambda one=one: ages.append(one.wait_for_goaway(5)[1])) for one in bare]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in bare:
            one.close()
        self.assertEqual(len(ages), 8)
        self.assertGreater(max(ages) - min(ages), 0.01, "all at once")
        self.assertLess(max(ages) - min(ages), 0.5)

    def test_calls_never_notice(self):
        expected = None
        with self.daemon.channel() as channel:
            long = documents.Open(channel)
            long.read_until("ready")
            started, calls = time.monotonic(), 0
            while time.monotonic() - started < 5:
                response = documents.small(channel)
                lines = [client.line(mention) for mention in response.results.mentions]
                expected = expected or lines
                self.assertEqual(lines, expected)
                documents.extract(channel, documents.TEXT.encode())
                calls += 2
            long.send(documents.TEXT.encode())
            events = long.finish()
        self.assertEqual(documents.lines(events), expected)
        print(f"\nconnection age 1 s: {calls} calls in 5 s on one channel, and a stream over all of it, without an error")


if __name__ == "__main__":
    unittest.main()
