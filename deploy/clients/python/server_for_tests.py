"""A server for the tests of both clients: it finds the word "Ann", and refuses, stops or breaks when it is told to."""

import concurrent.futures
import contextlib
import socket
import threading
import time

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from gleand.v1 import events_pb2, extraction_pb2, extraction_pb2_grpc, results_pb2

TEXT = ("😀 Ann and Bob met Ann. " + "Nobody was there, é, 漢字 or not. " * 12) * 500
WORD = b"Ann"


def event(**kind):
    return extraction_pb2.ExtractStreamResponse(event=events_pb2.Event(**kind))


class Server(extraction_pb2_grpc.ExtractionServiceServicer):
    """Each stream does what its turn says, the last turn for ever: (what, argument)."""

    def __init__(self, *turns):
        self.turns, self.streams, self.open, self.lock = turns, 0, 0, threading.Lock()
        self.lingered = []  # whether each stream that lingered was still there when its status was to be sent

    def ExtractStream(self, requests, context):
        with self.lock:
            what, argument = self.turns[min(self.streams, len(self.turns) - 1)]
            self.streams += 1
            self.open += 1
            instance = f"server{self.streams}"
        context.add_callback(self.close)
        assert next(requests).HasField("config")
        if what == "refuse":
            code, reason, seconds, pushback = argument
            self.abort(context, code, reason, seconds, pushback)
        if what == "stall":
            time.sleep(argument)
            return
        yield event(ready=events_pb2.Ready(fingerprint=argument if what == "other" else "00ff", instance=instance))
        text, searched, found, draining, flushed = b"", 0, 0, False, False
        place = Place()
        for request in requests:
            kind = request.WhichOneof("kind")
            text += request.chunk.data
            flushed = flushed or kind == "flush"
            end = kind == "finish"
            limit = len(text) if end else len(text) - len(WORD)
            while (at := text.find(WORD, searched)) >= 0 and at <= limit:
                yield event(mentions=mentions(place.go(text, at), found))
                searched, found = at + len(WORD), found + 1
            if end:
                assert request.finish.total_bytes == len(text) and (draining or not flushed)
                text.decode()
                yield event(done=events_pb2.Done(received_bytes=len(text)))
                if what == "linger":
                    time.sleep(argument)
                    self.lingered.append(context.is_active())
                return
            if what == "abort":
                self.abort(context, *argument)
            if what == "cut" and len(text) >= argument:
                yield event(draining=events_pb2.Draining())
                self.abort(context, grpc.StatusCode.UNAVAILABLE, "DRAINING")
            if what == "drain" and len(text) >= argument and not draining:
                draining = True
                yield event(draining=events_pb2.Draining())
        raise AssertionError("no finish")

    def close(self):
        with self.lock:
            self.open -= 1

    def abort(self, context, code, reason, seconds=None, pushback=None):
        details = [error_details_pb2.ErrorInfo(reason=reason, domain="gleand.v1")] if reason else []
        if seconds is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(seconds * 1000))
            details.append(retry)
        status = status_pb2.Status(code=code.value[0], message="not now")
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        trailers = [("grpc-status-details-bin", status.SerializeToString())]
        if pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", pushback))
        context.set_trailing_metadata(trailers)
        context.abort(code, "not now")


class Place:
    """A position that only goes forward, in bytes, code points and UTF-16 units."""

    def __init__(self):
        self.counts = (0, 0, 0)

    def go(self, text, at):
        passed = text[self.counts[0] : at].decode()
        self.counts = (at, self.counts[1] + len(passed), self.counts[2] + len(passed.encode("utf-16-le")) // 2)
        return self.counts


def mentions(starts, ordinal):
    ranges = [results_pb2.Range(start=start, end=start + len(WORD)) for start in starts]
    places = dict(zip(("byte_range", "codepoint_range", "utf16_range"), ranges))
    return results_pb2.Mentions(mentions=[results_pb2.Mention(task_id="t", ordinal=ordinal, score=0.5, **places)])


@contextlib.contextmanager
def serving(*turns, workers=4):
    # As gleand does, it answers any number of pings.
    options = [("grpc.http2.max_ping_strikes", 0)]
    servicer, server = Server(*turns), grpc.server(concurrent.futures.ThreadPoolExecutor(workers), options=options)
    extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


class Relay:
    """Passes on what goes to a server and comes back, until `silence`: then connections stay open and nothing passes."""

    def __init__(self, address):
        self._target = address.rsplit(":", 1)
        self._passing, self._sockets = True, [socket.create_server(("127.0.0.1", 0))]
        self.address = f"127.0.0.1:{self._sockets[0].getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self._sockets[0].accept()[0]
                far = socket.create_connection(self._target)
                self._sockets += (near, far)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while (data := source.recv(1 << 16)) and self._passing:
                target.sendall(data)
            if not data:
                target.shutdown(socket.SHUT_WR)

    def silence(self):
        self._passing = False

    def close(self):
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def expected(text):
    text, places, place, at = text.encode(), [], Place(), -1
    while (at := text.find(WORD, at + 1)) >= 0:
        places.append((len(places), *place.go(text, at)))
    return places


FULL = ("refuse", (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", 0.1, "1"))
