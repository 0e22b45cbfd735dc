"""Two daemons behind Envoy are restarted one after the other while clients stream without pause: nobody loses a document."""

import dataclasses
import threading
import time
import unittest

import client
import documents
import gleand_client
import grpc
import process
from proxy import Envoy

CLIENTS = 8
LAME_DUCK_MS = 3000


class Client(threading.Thread):
    """The client of deploy/clients/python: reads one document after the other until it is told to stop."""

    def __init__(self, address, number, texts, lines, stop):
        super().__init__(daemon=True)
        self.documents, self.wrong, self.failures = 0, 0, []
        self.attempts = gleand_client.Attempts()
        self._address, self._number, self._stopping = address, number, stop
        self._texts, self._lines = texts, lines

    def run(self):
        with gleand_client.connect(self._address) as channel:
            document = self._number
            while not self._stopping.is_set():
                try:
                    found = self._read(channel, self._texts[document])
                except (grpc.RpcError, gleand_client.GaveUp) as error:
                    self.failures.append(repr(error))
                else:
                    self.documents += 1
                    self.wrong += found != self._lines[document]
                document = (document + 1) % len(self._texts)

    def _read(self, channel, text):
        lines = []
        for event in gleand_client.extract(channel, documents.config(), text, timeout=120, stats=self.attempts):
            if isinstance(event, gleand_client.Discard):
                lines = []
            lines += [client.line(result) for result in gleand_client.results(event)]
        return lines


class Rolling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = documents.cut(CLIENTS, 20_000)
        daemon = process.Process()
        try:
            cls.lines, _ = documents.undisturbed(daemon, cls.texts)
        finally:
            daemon.stop()

    def start(self, data, admin, drain_ms):
        daemon = process.Process(
            server__listen=f"127.0.0.1:{data}",
            admin__listen=f"127.0.0.1:{admin}",
            server__lame_duck_ms=LAME_DUCK_MS,
            server__drain_ms=drain_ms,
        )
        self.addCleanup(daemon.kill)
        return daemon

    def roll(self, drain_ms):
        """Restarts both daemons under load; what it took the clients, added up."""
        ports = process.free_ports(4)
        backends = [(ports[0], ports[1]), (ports[2], ports[3])]
        daemons = [self.start(*ports, drain_ms) for ports in backends]
        envoy = Envoy(backends)
        self.addCleanup(envoy.close)
        envoy.wait_until_healthy(2)
        stop = threading.Event()
        clients = [Client(envoy.address, number, self.texts, self.lines, stop) for number in range(CLIENTS)]
        for one in clients:
            one.start()
        for daemon in daemons:
            daemon.wait_for_metric("gleand_streams_active", lambda streams: streams > 0)
        report = []
        for number, ports in enumerate(backends):
            started = time.monotonic()
            daemons[number].signal()
            self.assertEqual(daemons[number].wait(90), 0)
            took = time.monotonic() - started
            self.assertEqual(envoy.healthy(), 1)
            ends = [line["status"] for line in daemons[number].lines("stream ended")]
            report.append(
                f"{'AB'[number]} gone after {took:.1f} s with {ends.count('OK')} OK, {len(ends) - ends.count('OK')} cut"
            )
            daemons[number] = self.start(*ports, drain_ms)
            envoy.wait_until_healthy(2)
        stop.set()
        for one in clients:
            one.join(120)
        self.assertEqual([daemon.stop() for daemon in daemons], [0, 0])
        attempts = gleand_client.Attempts()
        for field in dataclasses.fields(attempts):
            setattr(attempts, field.name, sum(getattr(one.attempts, field.name) for one in clients))
        read, wrong = sum(one.documents for one in clients), sum(one.wrong for one in clients)
        failures = [failure for one in clients for failure in one.failures]
        print(
            f"\nrolling restart, drain {drain_ms / 1000:.0f} s: {'; '.join(report)}"
            f"\n  {CLIENTS} clients: {read} documents, {attempts}, {wrong} wrong, failures {failures}"
        )
        self.assertEqual((wrong, failures), (0, []))
        self.assertEqual((attempts.discards, attempts.parts), (0, 0))
        self.assertGreaterEqual(read, CLIENTS)
        return attempts

    def test_with_time_to_drain_no_client_notices(self):
        self.assertEqual(self.roll(60_000).restarts, 0)

    def test_without_time_clients_begin_anew_and_end_alike(self):
        self.assertGreater(self.roll(1000).restarts, 0)


if __name__ == "__main__":
    unittest.main()
