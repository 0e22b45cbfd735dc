"""Documents cut from the book, the messages that send them, and the lines that an undisturbed daemon finds in them."""

import queue

import client
from schema import ROOT, extraction_grpc, v1

BOOK = (ROOT / "tests/data/frankenstein.txt").read_bytes()
LABELS = ["person", "location", "date"]
TEXT = "Mary Shelley wrote Frankenstein near Geneva in 1816."


def cut(count, size, start=3000):
    """Distinct documents of about `size` bytes, whole code points, evenly spread over the book."""
    step = (len(BOOK) - size - start) // count
    pieces = (BOOK[at : at + size] for at in range(start, start + count * step, step))
    return [piece.decode(errors="ignore").encode() for piece in pieces]


def config(**fields):
    """What every test asks for unless it is about something else."""
    return client.entities_config(LABELS, **fields)


def requests(document, chunk_bytes=1000, **fields):
    """The messages that send a document, as a list, so that nothing is made while time is measured."""
    return list(client.requests(config(**fields), document, chunk_bytes, offsets=False))


def lines(events):
    """The lines of the results of some events."""
    return [client.line(result) for event in events for result in client.event_results(event)]


def extract(channel, document, metadata=None, timeout=120, **fields):
    """Streams a document; its events."""
    stub = extraction_grpc.ExtractionServiceStub(channel)
    call = stub.ExtractStream(iter(requests(document, **fields)), timeout=timeout, metadata=metadata)
    return [response.event for response in call]


def undisturbed(daemon, documents):
    """The lines of each document, read alone, and its words."""
    with daemon.channel() as channel:
        read = [extract(channel, document) for document in documents]
    return [lines(events) for events in read], [events[-1].done.words for events in read]


def small(channel, text=TEXT, metadata=None, timeout=60, **fields):
    """One unary call; its response."""
    request = v1.ExtractRequest(config=config(**fields), text=text)
    return extraction_grpc.ExtractionServiceStub(channel).Extract(request, timeout=timeout, metadata=metadata)


def chunk(data, **fields):
    """A message with a chunk."""
    return v1.ExtractStreamRequest(chunk=v1.Chunk(data=data, **fields))


class Open:
    """A stream that a test writes to and reads from step by step."""

    def __init__(self, channel, metadata=None, timeout=300, **fields):
        self._outgoing = queue.SimpleQueue()
        stub = extraction_grpc.ExtractionServiceStub(channel)
        self.call = stub.ExtractStream(iter(self._outgoing.get, None), timeout=timeout, metadata=metadata)
        self._outgoing.put(v1.ExtractStreamRequest(config=config(**fields)))
        self.events = []

    def send(self, data):
        """Sends a chunk."""
        self._outgoing.put(chunk(data))

    def finish(self):
        """Ends the document and reads the rest; all events of the stream."""
        self._outgoing.put(v1.ExtractStreamRequest(finish=v1.Finish()))
        self._outgoing.put(None)
        self.events += [response.event for response in self.call]
        return self.events

    def read_until(self, kind):
        """The next event of this kind."""
        for response in self.call:
            self.events.append(response.event)
            if response.event.WhichOneof("kind") == kind:
                return getattr(response.event, kind)
        raise AssertionError(f"the stream ended without {kind}")

    def read_rest(self):
        """Reads until the stream ends; raises as it does."""
        for response in self.call:
            self.events.append(response.event)

    def close(self):
        """Gives the stream up and lets its writer go; safe after its end."""
        self.call.cancel()
        self._outgoing.put(None)

    def kinds(self):
        """The kinds of the events so far."""
        return [event.WhichOneof("kind") for event in self.events]
