"""A daemon for the time of a test."""

import collections
import os
import re
import subprocess
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READY_SECONDS = 120


class Daemon:
    """`gleand serve` on a free port of loopback, with keys of the configuration as `settings`."""

    def __init__(self, log_level="info", **settings):
        command = [os.environ["GLEAND_BIN"], "serve", "--listen", "127.0.0.1:0", "--log-level", log_level]
        # Several run at once; a test that needs the admin port says so.
        settings.setdefault("admin__listen", "")
        for key, value in settings.items():
            command += ["--set", f"{key.replace('__', '.')}={value}"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GLEAND")}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._lines = collections.deque(maxlen=10_000)
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self.address = self.wait_for_log(r"address=(\S+)", READY_SECONDS).group(1)
            self._wait_until_serving()
        except BaseException:
            self.stop()
            raise

    def _read_log(self):
        for line in self._process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._lines.append("the log ended")
            self._news.notify_all()

    def wait_for_log(self, pattern, seconds):
        """The first line of the log that `pattern` matches, as a match."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self._lines:
                    if match := re.search(pattern, line):
                        return match
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    raise AssertionError(f"no {pattern!r} in the log:\n{''.join(list(self._lines)[-50:])}")
                self._news.wait(min(left, 1))

    def _wait_until_serving(self):
        with self.channel() as channel:
            request = health_pb2.HealthCheckRequest()
            for response in health_pb2_grpc.HealthStub(channel).Watch(request, timeout=READY_SECONDS):
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        raise AssertionError("the daemon never serves")

    def channel(self, *options):
        """A connection of its own; messages of any size may be sent."""
        base = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        return grpc.insecure_channel(self.address, options=base + list(options))

    def rss_bytes(self):
        """Memory of the daemon as the kernel counts it."""
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def stop(self):
        """Ends the daemon and returns its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._reader.join(timeout=10)
            self._process.stderr.close()
