"""Load on a daemon: clients that wait for their answer, and documents that come whether or not it keeps up.

The daemon needs the cores, so the load costs little: messages are made before, answers are kept as bytes and read later.
Threads, not `grpc.aio`: that one says INTERNAL where a refusal overtakes what it still writes.
"""

import concurrent.futures
import contextlib
import dataclasses
import random
import time

import grpc
from schema import v1

METHOD = "/gleand.v1.ExtractionService/ExtractStream"

# More calls than are ever open at once; those that are refused end at once.
THREADS = 200


@dataclasses.dataclass
class Outcome:
    """What became of one document."""

    document: int
    started: float
    ended: float = 0.0
    error: grpc.RpcError | None = None
    answers: list = dataclasses.field(default_factory=list)

    def events(self):
        """The events that came."""
        return [v1.ExtractStreamResponse.FromString(answer).event for answer in self.answers]


class Load:
    """Sends `documents`, lists of messages, to an address over a few connections, in turn."""

    def __init__(self, address, documents, connections=4):
        self._address = address
        self._documents = [[message.SerializeToString() for message in messages] for messages in documents]
        self._connections = connections
        self._started = 0

    def closed(self, clients, seconds):
        """`clients` that begin a document as soon as they have the one before, for `seconds`; all outcomes."""
        with self._calls() as (begin, threads):
            end = time.monotonic() + seconds

            def client():
                found = []
                while time.monotonic() < end:
                    found.append(begin())
                return found

            running = [threads.submit(client) for _ in range(clients)]
            return [outcome for one in running for outcome in one.result()]

    def open(self, rate, seconds):
        """`rate` documents a second on average, at random moments, for `seconds`; all outcomes."""
        chance = random.Random(1816)
        with self._calls() as (begin, threads):
            running = []
            start = moment = time.monotonic()
            while (moment := moment + chance.expovariate(rate)) < start + seconds:
                time.sleep(max(0, moment - time.monotonic()))
                running.append(threads.submit(begin))
            return [one.result() for one in running]

    @contextlib.contextmanager
    def _calls(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with contextlib.ExitStack() as stack:
            channels = [
                stack.enter_context(grpc.insecure_channel(self._address, options=options)) for _ in range(self._connections)
            ]
            for channel in channels:
                grpc.channel_ready_future(channel).result(timeout=10)
            methods = [channel.stream_stream(METHOD) for channel in channels]
            threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(THREADS))
            yield lambda: self._one(methods), threads

    def _one(self, methods):
        number, self._started = self._started, self._started + 1
        outcome = Outcome(number % len(self._documents), time.monotonic())
        call = methods[number % len(methods)](iter(self._documents[outcome.document]), timeout=300)
        try:
            outcome.answers.extend(call)
        except grpc.RpcError as error:
            outcome.error = error
        outcome.ended = time.monotonic()
        return outcome


def span_seconds(outcomes):
    """From the first start to the last end."""
    return max(outcome.ended for outcome in outcomes) - min(outcome.started for outcome in outcomes)
