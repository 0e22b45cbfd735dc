"""The client of every language streams the book through Envoy to two replicas; all print the same lines, whatever happens."""

import asyncio
import collections
import concurrent.futures
import pathlib
import signal
import tempfile
import threading
import time
import unittest

import documents
import gleand_client
import gleand_client_aio
import languages
import process
from proxy import Envoy

# The first 60 kB of the book, to the end of a word.
SHORT = documents.BOOK[: documents.BOOK.rindex(b" ", 0, 60_000)]
STREAMS = 8
# For all at once, on a machine with other work.
SECONDS = 300
# Until the slowest of them, a virtual machine that starts, is at work.
STARTED_SECONDS = 120


def setUpModule():
    languages.build_all()


class Replicas(unittest.TestCase):
    """Two daemons, the second of which may start later, behind Envoy."""

    @classmethod
    def setUpClass(cls):
        ports = process.free_ports(4)
        cls.ports = [(ports[0], ports[1]), (ports[2], ports[3])]
        cls.daemons = []
        cls.envoy = Envoy(cls.ports)
        cls.addClassCleanup(cls.envoy.close)
        directory = tempfile.TemporaryDirectory(prefix="gleand-clients-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)

    @classmethod
    def start(cls, **settings):
        """Starts the next daemon and waits until Envoy sends to it."""
        data, admin = cls.ports[len(cls.daemons)]
        daemon = process.Process(server__listen=f"127.0.0.1:{data}", admin__listen=f"127.0.0.1:{admin}", **settings)
        cls.addClassCleanup(daemon.kill)
        cls.daemons.append(daemon)
        cls.envoy.wait_until_healthy(len(cls.daemons))
        return daemon

    @classmethod
    def file(cls, name, data):
        path = cls.directory / name
        path.write_bytes(data)
        return path

    def run_all(self, file, **options):
        """The program of every language at once."""
        return [self.run_one(language, file, **options) for language in languages.LANGUAGES]

    def run_one(self, language, file, **options):
        flags = ("--server", self.envoy.address, "--labels", ",".join(documents.LABELS), "--timeout", SECONDS, "--stats")
        running = language.start(*flags, file, **options)
        self.addCleanup(running.close)
        return running

    def assert_lines(self, ended, lines):
        self.assertEqual((ended.status, ended.discards), (0, 0), f"{ended}: {ended.stderr}")
        if ended.lines != lines:
            pairs = enumerate(zip([*ended.lines, None], [*lines, None]))
            number, (found, expected) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
            self.fail(f"{ended}, not {len(lines)}; line {number} is {found!r}, not {expected!r}: {ended.stderr}")


class Streams(Replicas):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start()
        (cls.lines,), _ = documents.undisturbed(cls.daemons[0], [SHORT])
        cls.start()

    def test_all_languages_print_equal_lines(self):
        started = time.monotonic()
        running = self.run_all(self.file("short.txt", SHORT))
        book = self.run_one(languages.ALL[0], self.file("book.txt", documents.BOOK))
        # The book as it is without a proxy and a restart, read meanwhile.
        with self.daemons[0].channel() as channel:
            lines = documents.lines(documents.extract(channel, documents.BOOK, timeout=SECONDS))
        *ended, whole = languages.wait_for_all([*running, book], SECONDS)
        print(f"\nthrough Envoy to two replicas in {time.monotonic() - started:.0f} s")
        print("\n".join(f"  {one}" for one in [*ended, whole]))
        print(f"  {len(self.lines)} lines expected, for example {self.lines[-1]!r}; of the book {len(lines)}, {lines[-1]!r}")
        self.assertGreater(len(self.lines), 50)
        for one in ended:
            with self.subTest(language=one.name):
                self.assert_lines(one, self.lines)
        self.assert_lines(whole, lines)
        # Two instances answered, and no program met both: a stream stays where it is.
        self.assertEqual(len({instance for one in [*ended, whole] for instance in one.instances}), 2)
        self.assertEqual([len(one.instances) for one in [*ended, whole]], [1] * (len(ended) + 1))

    def test_streams_of_one_connection_are_balanced_one_by_one(self):
        for name, read in (("python", self.read_in_threads), ("python-aio", self.read_in_tasks)):
            with self.subTest(language=name):
                stats = gleand_client.Attempts()
                found = read(stats)
                counts = collections.Counter(stats.instances)
                print(f"\n{name}: {STREAMS} streams of one connection at once: {dict(counts)}")
                self.assertEqual([len(lines) for lines in found], [len(found[0])] * STREAMS)
                self.assertGreater(len(found[0]), 0)
                self.assertEqual((len(counts), counts.total(), stats.attempts), (2, STREAMS, STREAMS))

    def read_in_threads(self, stats):
        """Reads a sentence in as many streams of a connection, which are all open before any of them goes on."""
        opened, go = threading.Barrier(STREAMS), threading.Event()

        def held():
            go.wait(30)
            yield documents.TEXT.encode()

        def read(channel):
            events = gleand_client.extract(channel, documents.config(), held(), timeout=60, stats=stats)
            next(events)
            opened.wait(30)
            go.set()
            return [found for event in events for found in gleand_client.results(event)]

        with gleand_client.connect(self.envoy.address) as channel, concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
            return list(pool.map(read, [channel] * STREAMS))

    def read_in_tasks(self, stats):
        """The same with asyncio."""

        async def read(channel, opened, go):
            async def held():
                await go.wait()
                yield documents.TEXT.encode()

            events = gleand_client_aio.extract(channel, documents.config(), held(), timeout=60, stats=stats)
            await anext(events)
            await opened.wait()
            go.set()
            return [found async for event in events for found in gleand_client_aio.results(event)]

        async def read_all():
            opened, go = asyncio.Barrier(STREAMS), asyncio.Event()
            async with gleand_client_aio.connect(self.envoy.address) as channel:
                return await asyncio.gather(*(read(channel, opened, go) for _ in range(STREAMS)))

        return asyncio.run(read_all())


class Drain(Replicas):
    """The first replica stops while all programs are at it, and the second one takes over."""

    def start_both(self, documents_to_read, **settings):
        """Both replicas, the first with these settings, and the lines of documents, which the second one reads.

        Then it is held by a signal, so that every stream goes to the first one, and with its model loaded it is there at once
        when it is needed, however busy the machine is.
        """
        first, self.second = self.start(server__lame_duck_ms=2000, **settings), self.start()
        lines, _ = documents.undisturbed(self.second, documents_to_read)
        self.second.signal(signal.SIGSTOP)
        self.envoy.wait_until_healthy(1)
        return first, lines

    def take_over(self, first):
        """Ends the first replica under the programs."""
        self.second.signal(signal.SIGCONT)
        self.envoy.wait_until_healthy(2)
        first.signal()

    def assert_moved(self, first, ended):
        """Each program was first here and then there, and the first replica has gone in order."""
        self.assertEqual(first.wait(60), 0)
        instances = [one.instances for one in ended]
        self.assertEqual(instances, [instances[0]] * len(ended))
        self.assertEqual(len(set(instances[0])), 2)


class Restart(Drain):
    def test_every_client_restarts_and_ends_with_equal_lines(self):
        # With one core it is far from the end of all documents when the slowest program has begun, on any machine.
        first, (lines,) = self.start_both([SHORT], server__drain_ms=1000, compute__cores=1)
        started = time.monotonic()
        running = self.run_all(self.file("short.txt", SHORT))
        first.wait_for(lambda: all(one.printed() for one in running), STARTED_SECONDS, "not every program has printed a line")
        self.take_over(first)
        ended = languages.wait_for_all(running, SECONDS)
        print(f"\none replica drained midway, drain 1 s, {time.monotonic() - started:.0f} s")
        print("\n".join(f"  {one}" for one in ended))
        for one in ended:
            with self.subTest(language=one.name):
                self.assert_lines(one, lines)
                self.assertGreaterEqual(one.restarts, 1)
                self.assertEqual((one.attempts, one.parts), (one.restarts + 1, 0))
        self.assert_moved(first, ended)


class StandardInput(Drain):
    def test_a_source_that_is_read_once_goes_on_as_a_part(self):
        # Where the first part ends, all that was sent is whole words, so that nothing is held back.
        end = SHORT.rindex(b" ", 0, 6000) + 1
        before, after = SHORT[:end], SHORT[end : end + 6000]
        # Time enough to score what was sent: who is cut before that has lost its source.
        first, expected = self.start_both([before, after], server__drain_ms=SECONDS * 1000)
        lines = expected[0] + [moved(line, len(expected[0]), end) for line in expected[1]]
        running = self.run_all("-", keep_open=True)
        for one in running:
            one.send(before)
        # None of them can end, because its standard input is open.
        first.wait_for_metric("gleand_streams_active", len(running), STARTED_SECONDS)
        self.take_over(first)
        # While it is a lame duck, all of it arrives. Then it says `draining`, and each program ends its document there while
        # its standard input stays open.
        self.assertEqual(first.wait(SECONDS), 0)
        for one in running:
            one.send(after)
            one.finish()
        ended = languages.wait_for_all(running, SECONDS)
        print(f"\nstandard input, {len(before)} + {len(after)} bytes, the replica drained in between")
        print("\n".join(f"  {one}" for one in ended))
        for one in ended:
            with self.subTest(language=one.name):
                self.assert_lines(one, lines)
                self.assertEqual((one.attempts, one.restarts, one.parts), (2, 0, 1))
        self.assert_moved(first, ended)


def moved(line, ordinals, start):
    """A line of a later part, as it is in the whole input."""
    task, ordinal, begin, end, *rest = line.split()
    return " ".join([task, str(int(ordinal) + ordinals), str(int(begin) + start), str(int(end) + start), *rest])


if __name__ == "__main__":
    unittest.main()
