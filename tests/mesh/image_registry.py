"""A registry on loopback to publish into, and a `helm` for the scripts that call one."""

import subprocess
import sys
import time
import urllib.error
import urllib.request

import process
from schema import ROOT

CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """Debian's docker-registry."""

    def __init__(self, directory):
        port = process.free_ports(1)[0]
        config = directory / "registry.yml"
        config.write_text(CONFIG.format(directory=directory / "blobs", port=port), encoding="ascii")
        self.host = f"127.0.0.1:{port}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(["docker-registry", "serve", config], **quiet)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AssertionError("docker-registry does not start")
            time.sleep(0.05)

    def _answers(self):
        try:
            return urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5).status == 200
        except urllib.error.URLError:
            return False

    def close(self):
        """Ends it."""
        self._process.terminate()
        self._process.wait(timeout=10)


def with_helm(directory):
    """A folder with the program `helm`: Helm's program cannot be had where the tests run, its code can."""
    folder = directory / "helm-program"
    folder.mkdir()
    program = folder / "helm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/mesh/image_helm.py "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return folder
