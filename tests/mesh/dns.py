"""A name server on loopback, as a cluster has one: dnsmasq, which knows what it is told and asks nobody else."""

import subprocess
import threading
import time


class NameServer:
    """Answers for `names`, a dictionary of names to addresses. It listens on port 53, as resolv.conf knows no other."""

    def __init__(self, names, address="127.77.0.1"):
        self.address = address
        command = [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root", "--pid-file=",
            "--port=53", f"--listen-address={address}", "--bind-interfaces", "--log-queries", "--log-facility=-",
            # The rest of the cluster's names do not exist.
            "--local=/local/",
            *(f"--host-record={name},{found}" for name, found in names.items()),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + 10
        while not any("started" in line for line in self._lines):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AssertionError(f"dnsmasq does not start: {''.join(self._lines)}")
            time.sleep(0.02)

    def _read(self):
        for line in self._process.stderr:
            self._lines.append(line)

    def asked(self, name):
        """What was asked for a name: lines of its log."""
        return [line.strip() for line in self._lines if "query[" in line and f" {name} from" in line]

    def close(self):
        """Ends it."""
        self._process.terminate()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        self._process.stderr.close()
