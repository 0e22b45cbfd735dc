"""A daemon as a process: its two ports, its signals, its log, its memory and how it ends.

Its configuration is made of keyword arguments, as in `Process(server__streams_max=16)`. Both ports are free ones of
loopback and the log is JSON unless a test says otherwise. Variables of the caller that could reach it are left out.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

import grpc
from daemon import READY_SECONDS, Daemon
from metrics import Metrics

DEFAULTS = {"server__listen": "127.0.0.1:0", "admin__listen": "127.0.0.1:0", "log__format": "json"}

# Of the caller's environment, these could change what a daemon does.
FOREIGN = ("GLEAND", "OTEL_", "RUST_LOG")


def faulty():
    """The daemon whose scorer fails on marked words."""
    return os.environ["GLEAND_FAULTY"]


def free_ports(count):
    """Ports of loopback that nobody listens on, for what cannot choose one itself."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def clean_environment(**more):
    """The caller's environment without what a daemon would read, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **more}


def assignments(settings):
    """Settings as flags."""
    return [part for key, value in settings.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


def run(*arguments, environment=None, binary=None, prefix=(), seconds=30):
    """Runs the binary until it ends by itself: status and output."""
    command = [*prefix, binary or os.environ["GLEAND_BIN"], *map(str, arguments)]
    environment = clean_environment(**(environment or {}))
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, env=environment)


class Process(Daemon):
    """`gleand serve`. `until` says what its start waits for: "ready", "listening" or "nothing"."""

    def __init__(self, binary=None, environment=None, arguments=(), prefix=(), until="ready", **settings):
        command = [*prefix, binary or os.environ["GLEAND_BIN"], "serve", *assignments(DEFAULTS | settings), *arguments]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=clean_environment(**(environment or {})),
        )
        self.pid = self._process.pid
        self._lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.address = self.admin = None
        if until == "nothing":
            return
        try:
            started = self.wait_for_line("serving, not ready yet", READY_SECONDS)
            self.address, self.admin = started["address"], started.get("admin")
            if until == "ready":
                self.wait_for_line("ready", READY_SECONDS)
        except BaseException:
            self.kill()
            raise

    def _read_log(self):
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    # --- the log ----------------------------------------------------------------------------------------------------

    def log(self):
        """Everything it said so far, on both outputs."""
        with self._news:
            return "".join(self._lines)

    def lines(self, message=None):
        """The lines of the JSON log with this message, or all: what each says, in one dictionary."""
        with self._news:
            lines = list(self._lines)
        parsed = [parse_line(line) for line in lines]
        return [line for line in parsed if line and message in (None, line.get("message"))]

    def wait_for_line(self, message, seconds=10, **fields):
        """The first line with this message and these fields."""

        def found():
            lines = (line for line in self.lines(message) if fields.items() <= line.items())
            return next(lines, None)

        return self.wait_for(found, seconds, f"no line {message!r} with {fields}")

    def wait_for(self, condition, seconds, complaint):
        """What `condition` gives as soon as it is true; looks at every line of the log and ten times a second."""
        deadline = time.monotonic() + seconds
        while True:
            if value := condition():
                return value
            if time.monotonic() > deadline or (self._process.poll() is not None and not self._reader.is_alive()):
                if value := condition():
                    return value
                raise AssertionError(f"{complaint} (exit {self._process.poll()}):\n{self.log()[-4000:]}")
            with self._news:
                self._news.wait(0.1)

    # --- the ports --------------------------------------------------------------------------------------------------

    def channel(self, *options, credentials=None):
        """A connection of its own; messages of any size may be sent."""
        if credentials is None:
            return super().channel(*options)
        base = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        return grpc.secure_channel(self.address, credentials, options=base + list(options))

    def get(self, path, seconds=5):
        """Status and text of a page of the admin port, without a line break at its end."""
        connection = http.client.HTTPConnection(self.admin, timeout=seconds)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode().removesuffix("\n")

    def metrics(self):
        """What the admin port measures now."""
        status, text = self.get("/metrics")
        if status != 200:
            raise AssertionError(f"/metrics is {status}: {text}")
        return Metrics(text)

    def wait_for_metric(self, name, expected, seconds=10, **labels):
        """Waits until a metric has a value, or one that a function likes."""
        wanted = expected if callable(expected) else lambda value: value == expected

        def reached():
            return wanted(self.metrics().value(name, **labels))

        self.wait_for(reached, seconds, f"{name}{labels} is not as expected")

    # --- the process ------------------------------------------------------------------------------------------------

    def signal(self, number=signal.SIGTERM):
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self, seconds):
        """Its exit status, which must come within this time."""
        status = self._process.wait(timeout=seconds)
        self._reader.join(timeout=10)
        return status

    def running(self):
        """Whether it has not ended."""
        return self._process.poll() is None

    def memory_peak_bytes(self):
        """The most memory it ever had, as the kernel counts it."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def kill(self):
        """Ends it without a word, if it has not ended; safe to call twice."""
        if self.running():
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=10)
        self._process.stdout.close()

    def stop(self, seconds=30):
        """Ends it as an operator does and returns its exit status."""
        try:
            if self.running():
                self.signal()
            return self.wait(seconds)
        finally:
            self.kill()


def parse_line(line):
    """A line of the JSON log as one flat dictionary; None for anything else."""
    if not line.startswith("{"):
        return None
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    spans = parsed.get("span") or {}
    return {**{f"span.{key}": value for key, value in spans.items()}, **parsed, **parsed.get("fields", {})}
