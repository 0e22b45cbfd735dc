"""deploy/release against a real registry on loopback: image and chart go there and come back by digest."""

import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import helm
import helm_python
import image
import podman
import process
import yaml
from image_registry import Registry, with_helm
from schema import ROOT

class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-mesh-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.registry = Registry(cls.directory)
        cls.addClassCleanup(cls.registry.close)
        cls.environment = {**os.environ, "PATH": f"{with_helm(cls.directory)}:{os.environ['PATH']}"}
        cls.archive = image.built()["archive"]
        cls.done = cls.release("team", cls.directory / "out")

    @classmethod
    def release(cls, path, out, archive=None):
        command = ["deploy/release", "--registry", f"{cls.registry.host}/{path}", "--archive", archive or cls.archive]
        command += ["--out", out, "--plain-http"]
        return subprocess.run(command, cwd=ROOT, env=cls.environment, capture_output=True, text=True, timeout=120, check=False)

    def published(self, kind):
        """What digests.txt says an image or a chart is."""
        lines = (self.directory / "out/digests.txt").read_text(encoding="utf-8").splitlines()
        return next(line.split()[1] for line in lines if line.startswith(kind))

    def test_the_image_comes_back_by_its_digest(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        reference = self.published("image")
        self.assertEqual(reference, f"{self.registry.host}/team/gleand@{image.built()['digest']}")
        podman.podman("pull", "--quiet", "--tls-verify=false", reference)
        # Its own name of the image stays.
        self.addCleanup(podman.podman, "untag", image.reference(), reference, check=False)
        inspected = json.loads(podman.podman("image", "inspect", reference).stdout)[0]
        self.assertEqual(f"sha256:{inspected['Id']}", image.built()["id"])
        self.assertRegex(podman.run(reference, "--version").stdout, r"^gleand \d")

    def test_the_chart_comes_back_by_its_digest_and_runs_the_image_by_digest(self):
        reference = self.published("chart")
        name, _, digest = reference.partition("@")
        version = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
        client = helm_python.RegistryClient(plain_http=True)
        self.assertEqual(client.resolve(f"{name}:{version}")["digest"], digest)
        client.pull(name, version=version, destination=self.directory, plain_http=True)
        pulled, packed = (path / f"gleand-{version}.tgz" for path in (self.directory, self.directory / "out"))
        self.assertEqual(*(hashlib.sha256(path.read_bytes()).hexdigest() for path in (pulled, packed)))
        values = yaml.safe_load((self.directory / "out/values.yaml").read_text(encoding="utf-8"))
        manifests = helm.render(values, chart=pulled)
        self.assertEqual(helm.container(manifests)["image"], self.published("image"))

    def test_the_list_of_parts_names_the_crates_of_the_binary(self):
        path = next((self.directory / "out").glob("*.spdx.json"))
        sbom = json.loads(path.read_text(encoding="utf-8"))
        found = {(one["name"], one.get("versionInfo")) for one in sbom["packages"]}
        names = {name for name, _ in found}
        self.assertLessEqual({"candle-core", "tonic", "rustls", "aws-lc-sys"}, names)
        # Only tests use this one, and only Windows that one.
        self.assertFalse(names & {"proptest", "windows-sys"})
        locked = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
        for name, version in found:
            if name == "tonic":
                self.assertIn(f'name = "{name}"\nversion = "{version}"', locked)
        sums = (self.directory / "out/digests.txt").read_text(encoding="utf-8")
        self.assertIn(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}", sums)
        print(f"\nSBOM: {len(names)} packages, {path.stat().st_size} bytes")

    def test_what_is_published_is_never_replaced(self):
        again = self.release("team", self.directory / "again")
        self.assertEqual(again.returncode, 1, again.stdout)
        self.assertIn("raise version in helm/gleand/Chart.yaml", again.stderr)
        # Another image under the version that was published.
        replaced = self.release("team", self.directory / "replaced", image.other()["archive"])
        self.assertEqual(replaced.returncode, 1, replaced.stdout)
        self.assertIn(f"is {image.built()['digest']} already", replaced.stderr)

    def test_a_registry_that_is_not_there_ends_it(self):
        port = process.free_ports(1)[0]
        command = ["deploy/release", "--registry", f"127.0.0.1:{port}/team", "--archive", self.archive, "--plain-http"]
        command += ["--out", self.directory / "nowhere"]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("connection refused", done.stderr)
        self.assertFalse((self.directory / "nowhere/digests.txt").exists())


if __name__ == "__main__":
    unittest.main()
