"""Words that only a client can have written are looked for in everything that an operator sees: nowhere."""

import hashlib
import pathlib
import tempfile
import unittest

import client
import documents
import grpc
import process
from receiver import QUICK, GrpcReceiver
from schema import extraction_grpc, v1

# In other cases and cut by other characters they are found all the same.
TEXT, LABEL, DESCRIPTION, INSTRUCTION, QUESTION, RELATION = (
    f"canary{kind}" for kind in ("fenwick", "ortolan", "dunnock", "brambling", "whinchat", "siskin")
)
IDENTIFIER, KEY, DOCUMENT_ID, METADATA, PATH = (f"canary{kind}" for kind in ("linnet", "twite", "serin", "redpoll", "hawfinch"))
CANARIES = (TEXT, LABEL, DESCRIPTION, INSTRUCTION, QUESTION, RELATION, IDENTIFIER, KEY, DOCUMENT_ID, METADATA, PATH)

# May be seen: a request id without odd characters.
PLAIN_IDENTIFIER = "visible-magpie"

BOOK = documents.cut(1, 800)[0].decode()
DOCUMENT = f"Mary Shelley met {TEXT} in {TEXT.title()}. {BOOK} {TEXT.upper()}".encode()


def config(**fields):
    """A config that asks for everything and has a canary in every place."""
    labels = [v1.Label(name=f"person {LABEL}", description=f"who {DESCRIPTION} is"), v1.Label(name="location")]
    relation = v1.RelationType(name=f"met {RELATION}", head_labels=labels[:1], tail_labels=labels[1:])
    return v1.Config(
        document_id=f"{DOCUMENT_ID} 1",
        include_text=True,
        tasks=[
            v1.Task(id=f"e {LABEL}", entities=v1.EntitiesTask(labels=labels)),
            v1.Task(id="o", open=v1.OpenTask(instruction=f"Find every {INSTRUCTION}")),
            v1.Task(id="q", questions=v1.QuestionsTask(questions=[v1.Question(text=f"Who is {QUESTION}?")])),
            v1.Task(id="r", relations=v1.RelationsTask(relations=[relation])),
            v1.Task(id="c", classify=v1.ClassifyTask(labels=labels)),
        ],
        **fields,
    )


def found_in(data):
    """The canaries in some bytes, whatever their case."""
    lowered = data.lower()
    return [canary for canary in CANARIES if canary.encode() in lowered]


class Canaries(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-trust-")
        self.addCleanup(directory.cleanup)
        keys = pathlib.Path(directory.name) / "keys"
        keys.write_text(f"reader {hashlib.sha256(KEY.encode()).hexdigest()}\n", encoding="ascii")
        self.receiver = GrpcReceiver()
        self.addCleanup(self.receiver.close)
        self.settings = {
            "log__level": "trace",
            "auth__keys_file": keys,
            "otlp__endpoint": self.receiver.endpoint,
            "server__input_idle_ms": 500,
        }
        self.metadata = (("authorization", f"Bearer {KEY}"), ("x-canary", METADATA))
        self.errors = []

    def daemon(self, binary=None, **settings):
        daemon = process.Process(binary=binary, environment=QUICK, **(self.settings | settings))
        self.addCleanup(daemon.kill)
        channel = daemon.channel()
        self.addCleanup(channel.close)
        return daemon, channel

    def stream(self, channel, *messages, metadata=None):
        """Reads a stream to its end; an error is kept for the search."""
        try:
            stub = extraction_grpc.ExtractionServiceStub(channel)
            return list(stub.ExtractStream(iter(messages), timeout=60, metadata=metadata or self.metadata))
        except grpc.RpcError as error:
            self.errors.append(error)
            return []

    def document(self, channel, document, **fields):
        return self.stream(channel, *client.requests(config(**fields), document, 700, offsets=False))

    def mistakes(self, channel):
        """Everything that is refused because of what stands in it."""
        whole = v1.ExtractStreamRequest(config=config())
        text, finish = documents.chunk(TEXT.encode()), v1.ExtractStreamRequest(finish=v1.Finish(total_bytes=1))
        self.stream(channel, whole, documents.chunk(TEXT.encode() + b"\xff"), finish)
        self.stream(channel, whole, text, finish)
        self.stream(channel, whole, text, documents.chunk(TEXT.encode(), offset_bytes=99))
        self.stream(channel, whole, text)
        for wrong in (
            {"model": f"model {LABEL}"},
            {"resume_token": TEXT.encode()},
            {"offset_encodings": [77]},
        ):
            self.stream(channel, v1.ExtractStreamRequest(config=config(**wrong)), finish)
        for label in (f"{LABEL} <<ENT>>", f"{LABEL} " * 200):
            broken = config()
            broken.tasks[0].entities.labels[0].name = label
            self.stream(channel, v1.ExtractStreamRequest(config=broken), finish)
        self.stream(channel, whole, metadata=(("authorization", f"Bearer {KEY}x"),))
        self.stream(channel, whole, metadata=(("authorization", KEY),))
        idle = documents.Open(channel, metadata=self.metadata)
        idle.send(TEXT.encode())
        with self.assertRaises(grpc.RpcError) as raised:
            idle.read_rest()
        idle.close()
        self.errors.append(raised.exception)
        for path in (f"/gleand.v1.ExtractionService/{PATH}", f"/{PATH}/{PATH}"):
            with self.assertRaises(grpc.RpcError) as raised:
                channel.unary_unary(path)(TEXT.encode(), timeout=10, metadata=self.metadata)
            self.errors.append(raised.exception)
        with self.assertRaises(grpc.RpcError) as raised:
            channel.unary_unary("/gleand.v1.ExtractionService/Extract")(
                b"\xff" + TEXT.encode(), timeout=10, metadata=self.metadata
            )
        self.errors.append(raised.exception)

    def assert_no_canary(self, daemon, metrics):
        """Looks everywhere, and sees that there was something to look at."""
        errors = "".join(f"{error.code()} {error.details()} {error.trailing_metadata()}" for error in self.errors)
        places = {
            "stdout and stderr": daemon.log().encode(),
            "OTLP": self.receiver.raw(),
            "/metrics": metrics.text.encode(),
            "errors": errors.encode(),
        }
        for place, data in places.items():
            with self.subTest(place=place):
                self.assertGreater(len(data), 1000)
                self.assertEqual(found_in(data), [])
        # The same search finds what is allowed to be there, so it would find the rest.
        for place in ("stdout and stderr", "OTLP"):
            self.assertIn(PLAIN_IDENTIFIER.encode(), places[place])
        self.assertIn(b"ErrorInfo", places["errors"])
        self.assertIn("TRACE", {line.get("level") for line in daemon.lines()})
        self.assertTrue(self.receiver.spans() and self.receiver.logs() and self.receiver.metrics())
        print(f"\nno canary in {', '.join(f'{len(data) / 1000:.0f} kB of {place}' for place, data in places.items())}")

    def test_the_search_finds_a_canary(self):
        for data in (TEXT.title(), f"x{KEY}x", f"LABEL={LABEL.upper()!r}"):
            self.assertEqual(len(found_in(data.encode())), 1)
        # A line that a client can make, in the same log: an id that may stand there.
        daemon, channel = self.daemon()
        self.document(channel, documents.TEXT.encode(), request_id=IDENTIFIER)
        daemon.stop()
        self.assertEqual(found_in(daemon.log().encode()), [IDENTIFIER])

    def test_what_clients_write_is_nowhere(self):
        daemon, channel = self.daemon()
        answers = self.document(channel, DOCUMENT, request_id=f"{IDENTIFIER}\n\x1b[31m \u2028 {{}}")
        self.assertIn(TEXT.encode(), b"".join(answer.SerializeToString() for answer in answers).lower())
        self.document(channel, documents.TEXT.encode(), request_id=PLAIN_IDENTIFIER)
        self.mistakes(channel)
        metrics = daemon.metrics()
        self.assertEqual(daemon.stop(), 0)
        reasons = [line["reason"] for line in daemon.lines("stream ended")]
        self.assertGreater(len(set(reasons)), 8, reasons)
        self.assert_no_canary(daemon, metrics)

    def test_nor_where_a_panic_holds_it(self):
        daemon, channel = self.daemon(binary=process.faulty())
        self.document(channel, documents.TEXT.encode(), request_id=PLAIN_IDENTIFIER)
        for word in ("zzpanic", "zzerror"):
            before = len(self.errors)
            # One task, so that one window has it: three panics end a daemon.
            asked, text = documents.config(request_id=f"{IDENTIFIER} {word}"), f"Mary met {word} {TEXT} in Geneva.".encode()
            self.stream(channel, *client.requests(asked, text, 700, offsets=False))
            self.assertEqual(self.errors[before].code(), grpc.StatusCode.INTERNAL)
        metrics = daemon.metrics()
        self.assertGreaterEqual(metrics.value("gleand_worker_panics_total"), 1)
        self.mistakes(channel)
        daemon.stop()
        self.assertTrue([line for line in daemon.lines() if line.get("message") == "panic"], "the panic is not in the log")
        self.assert_no_canary(daemon, metrics)


if __name__ == "__main__":
    unittest.main()
