"""The clients of deploy/clients: how each is built, run and read.

    python tests/mesh/languages.py     builds all of them under target/clients, each only if something of it has changed

GLEAND_CLIENTS=go,java limits everything here to these, for who works on one of them.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS, BUILT = ROOT / "deploy/clients", ROOT / "target/clients"

STATS = re.compile(r"attempts=(\d+) restarts=(\d+) refused=(\d+) parts=(\d+) discards=(\d+) instances=(\S*)")


@dataclasses.dataclass(frozen=True)
class Language:
    """A client program. `directory` is where its sources are, under deploy/clients, and its build, under target/clients."""

    name: str
    directory: str
    program: str = "gleand-client"

    def start(self, *arguments, keep_open=False):
        """Runs the program; with `keep_open` its standard input is a pipe that stays open."""
        return Running(self, [BUILT / self.directory / self.program, *arguments], keep_open)


ALL = (
    Language("python", "python"),
    Language("python-aio", "python", "gleand-client-aio"),
    Language("node", "node"),
    Language("go", "go"),
    Language("java", "java"),
    Language("cpp", "cpp"),
)
CHOSEN = os.environ.get("GLEAND_CLIENTS", ",".join(language.name for language in ALL)).split(",")
LANGUAGES = tuple(language for language in ALL if language.name in CHOSEN)
DIRECTORIES = tuple(sorted({language.directory for language in LANGUAGES}))


@dataclasses.dataclass
class Ended:
    """What a program said. `lines` are those that are not void."""

    name: str
    status: int
    lines: list
    stderr: str
    seconds: float
    attempts: int = None
    restarts: int = None
    refused: int = None
    parts: int = None
    discards: int = None
    instances: list = None

    def __str__(self):
        counts = f"{self.attempts} attempts, {self.restarts} restarts, {self.refused} refused, {self.parts} parts"
        return f"{self.name}: {len(self.lines)} lines, {counts}, {len(self.instances or [])} instances, {self.seconds:.1f} s"


def wait_for_all(running, seconds=120):
    """How each of several programs ended. They are waited for at once, so that each one's time is its own."""
    with concurrent.futures.ThreadPoolExecutor(len(running)) as pool:
        return list(pool.map(lambda one: one.wait(seconds), running))


class Running:
    """A program that was started."""

    def __init__(self, language, command, keep_open=False):
        self.name, self._started = language.name, time.monotonic()
        # Files, so that a program never waits for whoever reads it.
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRPC_"))}
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE if keep_open else subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            bufsize=0,
            env=environment,
        )

    def send(self, data):
        """Writes to standard input. That a program has ended before is told by `wait`."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(data)

    def printed(self):
        """Bytes that it has written by now. Only asked for: the file has one position for it and for us."""
        return os.fstat(self._out.fileno()).st_size

    def finish(self):
        """Ends standard input."""
        self._process.stdin.close()

    def wait(self, seconds=120):
        """How it ended; within this time it must."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} has not ended after {seconds} s: {self._read()}") from None
        seconds = time.monotonic() - self._started
        lines, stderr = self._read()
        self.close()
        ended = Ended(self.name, status, lines, stderr, seconds)
        if counts := STATS.fullmatch(stderr.rstrip("\n").rpartition("\n")[2]):
            ended.attempts, ended.restarts, ended.refused, ended.parts, ended.discards = map(int, counts.groups()[:5])
            ended.instances = [name for name in counts.group(6).split(",") if name]
        return ended

    def _read(self):
        for file in (self._out, self._err):
            file.seek(0)
        lines = self._out.read().decode().splitlines()
        void = max((number + 1 for number, line in enumerate(lines) if line == "discard"), default=0)
        return lines[void:], self._err.read().decode(errors="replace")

    def close(self):
        """Ends it, if it has not ended; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for file in (self._process.stdin, self._out, self._err):
            if file:
                file.close()


def _sources(directory):
    """A digest of everything that a build depends on: files here, the schema, and which Python it is."""
    digest = hashlib.sha256(sys.executable.encode())
    for root in (CLIENTS / directory, ROOT / "proto"):
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def build(directory):
    """Builds one client if something has changed; seconds that it took."""
    out, started = BUILT / directory, time.monotonic()
    mark, sources = out / "built.txt", _sources(directory)
    if mark.exists() and mark.read_text(encoding="ascii") == sources:
        return 0.0
    mark.unlink(missing_ok=True)
    command = [CLIENTS / directory / "build", out]
    # Not the test's own modules: a build is to work without them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"deploy/clients/{directory}/build ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    mark.write_text(sources, encoding="ascii")
    return time.monotonic() - started


def build_all():
    """Builds what has changed, two at once."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        seconds = dict(zip(DIRECTORIES, pool.map(build, DIRECTORIES)))
    if any(seconds.values()):
        print("\nbuilt " + ", ".join(f"{name} in {took:.0f} s" for name, took in seconds.items() if took))


if __name__ == "__main__":
    build_all()
