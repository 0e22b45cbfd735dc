"""What the client of every language does where it is refused, and its own unit tests. TLS and an API key on the way."""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import documents
import grpc
import languages
import process
from certs import Authority
from refusal import Refusal

KEY = "clients-key-4Hd9"
BEARER = [("authorization", f"Bearer {KEY}")]


def setUpModule():
    languages.build_all()


class Programs(unittest.TestCase):
    """Files and a daemon for the time of a class."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-clients-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.text = cls.file("text", documents.TEXT)

    @classmethod
    def file(cls, name, text):
        path = cls.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    @classmethod
    def start(cls, **settings):
        daemon = process.Process(**settings)
        cls.addClassCleanup(daemon.kill)
        return daemon

    def run_one(self, language, *arguments, **options):
        running = language.start(*arguments, **options)
        self.addCleanup(running.close)
        return running

    def run_all(self, *arguments, **options):
        """The program of every language at once, with equal arguments; how each ended."""
        running = [self.run_one(language, *arguments, **options) for language in languages.LANGUAGES]
        return languages.wait_for_all(running)

    def assert_error(self, ended, pattern, attempts=None):
        with self.subTest(language=ended.name):
            self.assertEqual((ended.status, ended.lines, ended.attempts), (1, [], attempts), ended.stderr)
            self.assertRegex(ended.stderr, rf"(?m)^error: {pattern}")


class Secured(Programs):
    """A daemon that serves one stream, to who has a certificate and a key."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        authority = Authority(cls.directory, "ours")
        server, cls.pair = authority.server(), authority.issue("client", "DNS:client.example")
        cls.ca = authority.root.cert
        keys = cls.file("keys", f"clients {hashlib.sha256(KEY.encode()).hexdigest()}\n")
        cls.daemon = cls.start(
            server__streams_max=1,
            tls__cert_file=server.cert,
            tls__key_file=server.key,
            tls__client_ca_file=cls.ca,
            auth__keys_file=keys,
        )
        credentials = grpc.ssl_channel_credentials(cls.ca.read_bytes(), cls.pair.key.read_bytes(), cls.pair.cert.read_bytes())
        cls.channel = cls.daemon.channel(credentials=credentials)
        cls.addClassCleanup(cls.channel.close)
        # Written as people write files: with a line break.
        cls.right, cls.wrong = cls.file("right", f"{KEY}\n"), cls.file("wrong", f"{KEY}x\n")

    def flags(self, key=None):
        # The name that the certificate has beside the address.
        server = self.daemon.address.replace("127.0.0.1", "localhost")
        tls = ("--ca", self.ca, "--cert", self.pair.cert, "--key", self.pair.key)
        return ("--server", server, *tls, *(("--api-key-file", key) if key else ()), "--labels", "person,location,date")

    def refused(self):
        return self.daemon.metrics().value("gleand_rejected_total", reason="QUEUE_FULL")

    def test_who_is_refused_with_queue_full_comes_again(self):
        lines = documents.lines(documents.extract(self.channel, documents.TEXT.encode(), metadata=BEARER))
        for language in languages.LANGUAGES:
            with self.subTest(language=language.name), contextlib.ExitStack() as ending:
                # There is one stream for all: the next language needs it, whatever becomes of this one.
                ending.callback(self.daemon.wait_for_metric, "gleand_streams_active", 0, 30)
                held = documents.Open(self.channel, metadata=BEARER)
                ending.callback(held.close)
                held.read_until("ready")
                before = self.refused()
                running = self.run_one(language, *self.flags(self.right), "--stats", self.text)
                ending.callback(running.close)
                self.daemon.wait_for(lambda before=before: self.refused() > before, 60, "the client is not refused")
                held.finish()
                ended = running.wait()
                print(f"\n{ended}")
                self.assertEqual((ended.status, ended.lines), (0, lines), ended.stderr)
                self.assertGreaterEqual(ended.refused, 1)
                self.assertEqual((ended.attempts, ended.restarts), (ended.refused + 1, ended.refused))

    def test_a_wrong_key_and_none_are_told_and_not_tried_again(self):
        for key in (self.wrong, None):
            for ended in self.run_all(*self.flags(key), "--stats", self.text):
                self.assert_error(ended, "UNAUTHENTICATED: ", attempts=1)


class Full(Programs):
    def test_a_server_that_stays_full_is_given_up_after_the_told_waits(self):
        # A daemon that has not scored anything yet does not know its rate and tells a second.
        daemon = self.start(server__streams_max=1)
        channel = daemon.channel()
        self.addCleanup(channel.close)
        held = documents.Open(channel)
        self.addCleanup(held.close)
        held.read_until("ready")
        with self.assertRaises(grpc.RpcError) as raised:
            documents.extract(channel, b"")
        told = Refusal(raised.exception).retry_seconds
        self.assertEqual(told, 1)
        for ended in self.run_all("--server", daemon.address, "--labels", "person", "--stats", self.text):
            print(f"\n{ended}; told to wait {told:.1f} s each time")
            self.assert_error(ended, ".*gave up", attempts=4)
            with self.subTest(language=ended.name):
                self.assertEqual((ended.restarts, ended.refused), (3, 4), ended)
                self.assertGreater(ended.seconds, 3 * told)


class Plain(Programs):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon = cls.start()

    def test_the_timeout_ends_a_source_that_does_not_end(self):
        flags = ("--server", self.daemon.address, "--labels", "person", "--timeout", "2.5", "--stats")
        for ended in self.run_all(*flags, "-", keep_open=True):
            self.assert_error(ended, "DEADLINE_EXCEEDED: ", attempts=1)
            with self.subTest(language=ended.name):
                self.assertLess(ended.seconds, 20)

    def test_what_the_server_does_not_accept_is_told(self):
        for ended in self.run_all("--server", self.daemon.address, "--labels", "x" * 10_000, self.text):
            self.assert_error(ended, "INVALID_ARGUMENT: ")
        for ended in self.run_all("--server", self.daemon.address, "--labels", "person", self.directory / "absent"):
            self.assert_error(ended, "")

    def test_wrong_usage_is_status_2(self):
        for arguments in ((), ("--labels", "person"), ("--labels", "person", "--nonsense", self.text), (self.text,)):
            for ended in self.run_all("--server", self.daemon.address, *arguments):
                with self.subTest(language=ended.name, arguments=arguments):
                    self.assertEqual((ended.status, ended.lines), (2, []), ended.stderr)
                    self.assertNotEqual(ended.stderr, "")


class Own(unittest.TestCase):
    def start(self, command):
        """A process with children that do not outlive the test: a session of its own, which ends as a whole."""
        tests = subprocess.Popen([command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.addCleanup(tests.stdout.close)
        self.addCleanup(tests.wait)
        self.addCleanup(end_session, tests)
        return tests

    def test_the_unit_tests_of_each_language(self):
        started = time.monotonic()
        running = {directory: self.start(languages.BUILT / directory / "test") for directory in languages.DIRECTORIES}
        for directory, tests in running.items():
            with self.subTest(language=directory):
                output, _ = tests.communicate(timeout=240)
                self.assertEqual(tests.returncode, 0, output[-8000:])
                print(f"\n{directory}: {output.strip().splitlines()[-1:]} within {time.monotonic() - started:.0f} s")


def end_session(process):
    """Kills a process that leads a session, and its children, unless all have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
