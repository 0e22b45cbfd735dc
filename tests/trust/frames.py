"""A connection that speaks bare HTTP/2 frames, to see and do what libraries hide or forbid: GOAWAY, silence, a deadline
that only the server has, a window that is never opened, metadata that is too large."""

import socket
import struct
import time

# Static table of HPACK: `:status: 200`.
STATUS_200 = 0x88

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4


def frame(kind, flags=0, stream=0, payload=b""):
    """One frame as bytes."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, prefix_bits, first=0):
    """An integer of HPACK."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    encoded, value = [first | limit], value - limit
    while value >= 128:
        encoded.append(value % 128 + 128)
        value //= 128
    return bytes([*encoded, value])


def header_block(headers):
    """Headers as HPACK without tables and without Huffman's code."""
    block = b""
    for name, value in headers:
        block += b"\0" + integer(len(name), 7) + name.encode() + integer(len(value), 7) + value.encode()
    return block


def header_list_bytes(headers):
    """The size of headers as SETTINGS_MAX_HEADER_LIST_SIZE counts it."""
    return sum(len(name) + len(value) + 32 for name, value in headers)


def call_headers(path, *more):
    """The headers of a call of gRPC."""
    return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"), *more]  # fmt: skip


def message(body):
    """A message of gRPC in its envelope."""
    return b"\0" + struct.pack(">I", len(body)) + body


class Frames:
    """A socket to `address`; says hello unless `silent`. Answers settings and pings as a client must."""

    def __init__(self, address, silent=False, wrap=None, window=None):
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        if wrap is not None:
            self._socket = wrap(self._socket)
        self._rest = b""
        if not silent:
            settings = b"" if window is None else struct.pack(">HI", 4, window)
            self._socket.sendall(PREFACE + frame(SETTINGS, payload=settings))

    def call(self, headers, body, stream=1, ends=True):
        """Sends a call whose request is `body`, which must fit into the server's first window, and ends with it or never."""
        block = header_block(headers)
        pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
        for number, piece in enumerate(pieces):
            flags = END_HEADERS if piece is pieces[-1] else 0
            self._socket.sendall(frame(HEADERS if number == 0 else CONTINUATION, flags, stream, piece))
        for at in range(0, len(body), 16384):
            self._socket.sendall(frame(DATA, 0, stream, body[at : at + 16384]))
        if ends:
            self._socket.sendall(frame(DATA, END_STREAM, stream))

    def wait_for(self, wanted, seconds, stream=1):
        """The payload of the next frame of a kind for a stream; None where the connection ends before."""
        deadline = time.monotonic() + seconds
        while (got := self.read(deadline)) is not None:
            kind, flags, number, payload = got
            if kind == wanted and number == stream:
                return payload
            self._answer(kind, flags, payload)
        return None

    def open_window(self, size, stream=1):
        """Lets the server send so many bytes more."""
        self._socket.sendall(frame(WINDOW_UPDATE, stream=0, payload=struct.pack(">I", size)))
        self._socket.sendall(frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", size)))

    def _answer(self, kind, flags, payload):
        if kind in (SETTINGS, PING) and not flags & ACK:
            self._socket.sendall(frame(kind, ACK, payload=payload if kind == PING else b""))

    def read(self, deadline):
        """The next frame as kind, flags, stream and payload; None at the end of the connection."""
        while True:
            if len(self._rest) >= 9:
                length = int.from_bytes(self._rest[:3], "big")
                if len(self._rest) >= 9 + length:
                    kind, flags = self._rest[3], self._rest[4]
                    stream = struct.unpack(">I", self._rest[5:9])[0]
                    payload, self._rest = self._rest[9 : 9 + length], self._rest[9 + length :]
                    return kind, flags, stream, payload
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self._rest += data

    def wait_for_goaway(self, seconds):
        """The error code of the first GOAWAY, and how long it took; fails where the connection just ends."""
        started = time.monotonic()
        while (got := self.read(started + seconds)) is not None:
            kind, flags, _, payload = got
            if kind == GOAWAY:
                return struct.unpack(">I", payload[4:8])[0], time.monotonic() - started
            self._answer(kind, flags, payload)
        raise AssertionError("the connection ended without GOAWAY")

    def wait_for_end(self, seconds):
        """How long the connection lives on; whatever comes before its end is read, and pings get their answer."""
        started = time.monotonic()
        while (got := self.read(started + seconds)) is not None:
            kind, flags, _, payload = got
            # A connection that never spoke must not begin now.
            if kind == PING:
                self._answer(kind, flags, payload)
        return time.monotonic() - started

    def close(self):
        """Ends the connection."""
        self._socket.close()
