"""A real Envoy in front of two daemons: deploy/envoy/envoy.yaml as it stands, with the ports of a test.

The module is not called envoy: the package with the binary is.
"""

import http.client
import os
import subprocess
import tempfile
import time

from process import free_ports
from schema import ROOT

CONFIG = ROOT / "deploy/envoy/envoy.yaml"

# The ports that the file names: its own, Envoy's admin port, and data and admin port of each daemon.
LISTENER, ADMIN, BACKENDS = 50050, 9901, ((50051, 9464), (50052, 9465))


def config_for(listener, admin, backends):
    """The shipped configuration with other ports."""
    text = CONFIG.read_text(encoding="utf-8")
    names = [LISTENER, ADMIN, *(port for pair in BACKENDS for port in pair)]
    ports = [listener, admin, *(port for pair in backends for port in pair)]
    # First marks, then ports, because a new port may be one of the old ones.
    for number, name in enumerate(names):
        old = f"port_value: {name}}}"
        if text.count(old) != 1:
            raise AssertionError(f"{CONFIG} has {old!r} {text.count(old)} times, not once")
        text = text.replace(old, f"port_value: @{number}@}}")
    for number, port in enumerate(ports):
        text = text.replace(f"@{number}@", str(port))
    return text


class Envoy:
    """Listens on `address` and balances over `backends`, pairs of data port and admin port."""

    def __init__(self, backends):
        port, self._admin = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self._directory = tempfile.TemporaryDirectory(prefix="gleand-envoy-")
        config = f"{self._directory.name}/envoy.yaml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(config_for(port, self._admin, backends))
        self._log = open(f"{self._directory.name}/log", "w+", encoding="utf-8")  # noqa: SIM115 (closed by close)
        command = ["envoy", "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn"]
        # The command is a script of Python, which is not to find our modules.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)

    def stats(self, prefix):
        """Envoy's own counters."""
        lines = self._get(f"/stats?filter=^{prefix}").splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines) if value.isdigit()}

    def healthy(self):
        """How many daemons get new streams now."""
        return self.stats("cluster.gleand.membership_healthy").get("cluster.gleand.membership_healthy", 0)

    def wait_until_healthy(self, count, seconds=30):
        """Waits until so many daemons get new streams."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if (healthy := self.healthy()) == count:
                    return
            except OSError:
                healthy = "not started"
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"healthy daemons: {healthy}, not {count}; Envoy says:\n{self.log()[-3000:]}")
            time.sleep(0.1)

    def log(self):
        """What it wrote, its access log too."""
        self._log.flush()
        with open(self._log.name, encoding="utf-8") as file:
            return file.read()

    def _get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def close(self):
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._directory.cleanup()
