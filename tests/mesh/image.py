"""The image under test: made by deploy/image from the binary under test, once, and loaded into podman's store."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import subprocess

import podman
from schema import ROOT

WORK = ROOT / "target/mesh/image"

# What the image is made of, beside the binary.
INPUTS = (
    "deploy/image", "deploy/crates.py", "deploy/flags.sh", "deploy/Containerfile", "Cargo.toml", "Cargo.lock", "LICENSE", "NOTICE",
    "models/default/LICENSE", "models/default/README.md", "/etc/ssl/certs/ca-certificates.crt",
)  # fmt: skip


def make(out, *arguments):
    """Runs deploy/image with the binary under test: what it prints, by name."""
    command = [ROOT / "deploy/image", "--binary", os.environ["GLEAND_BIN"], "--out", out, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"deploy/image ended with {done.returncode}: {done.stderr}")
    # The first line tells how many crates were listed.
    lines = (line.split(maxsplit=1) for line in done.stdout.splitlines() if line)
    return {line[0]: line[1] for line in lines}


@functools.cache
def built():
    """The image: what deploy/image said. Made anew only where something it is made of has changed."""
    WORK.mkdir(parents=True, exist_ok=True)
    with _alone():
        stamp, key = WORK / "stamp.json", _key()
        if stamp.exists():
            said = json.loads(stamp.read_text(encoding="utf-8"))
            if said["key"] == key and podman.podman("image", "exists", said["id"], check=False).returncode == 0:
                return said
        said = make(WORK / "dist") | {"key": key}
        podman.podman("pull", "--quiet", f"oci-archive:{said['archive']}", seconds=120)
        podman.podman("image", "prune", "--force", check=False)
        stamp.write_text(json.dumps(said), encoding="utf-8")
        return said


@functools.cache
def other():
    """The same with another label: another image of the same version."""
    return make(WORK / "other", "--source", "https://git.example.com/gleand")


def reference():
    """What podman calls the image."""
    return built()["id"].removeprefix("sha256:")


def root():
    """The image's root file system, as a folder."""
    return next(path for path in (WORK / "dist").iterdir() if path.name in ("amd64", "arm64"))


def _key():
    binary = os.stat(os.environ["GLEAND_BIN"])
    digest = hashlib.sha256(f"{os.environ['GLEAND_BIN']} {binary.st_size} {binary.st_mtime_ns}".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _alone():
    """One process at a time."""
    with open(WORK / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
