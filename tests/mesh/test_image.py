"""What the image holds, that it is made the same each time, and the files that make it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import image
import podman
from schema import ROOT

FORMS = ("Containerfile", "Containerfile.build", "Containerfile.cuda")

# All of it. What is not here cannot be attacked, scanned or forgotten.
FILES = {
    "gleand": 0o755,
    "etc/group": 0o644,
    "etc/nsswitch.conf": 0o644,
    "etc/passwd": 0o644,
    "etc/ssl/certs/ca-certificates.crt": 0o644,
    "licenses/LICENSE": 0o644,
    "licenses/NOTICE": 0o644,
    "licenses/THIRD-PARTY.txt": 0o644,
    "licenses/model/LICENSE": 0o644,
    "licenses/model/README.md": 0o644,
}


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = image.built()
        cls.reference = image.reference()
        print(f"\nimage {cls.built['id'][:19]}, digest {cls.built['digest'][:19]}: {cls.built['size']}")

    def directory(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-mesh-")
        self.addCleanup(directory.cleanup)
        return pathlib.Path(directory.name)

    def test_the_same_binary_gives_the_same_image(self):
        directory = self.directory()
        # Another folder, another name of the binary, another time of it.
        binary = directory / "other"
        shutil.copyfile(os.environ["GLEAND_BIN"], binary)
        binary.chmod(0o700)
        os.utime(binary, (1_000_000_000, 1_000_000_000))
        said = image.make(directory / "dist", "--binary", binary)
        self.assertEqual(said["id"], self.built["id"])
        self.assertEqual(said["digest"], self.built["digest"])

    def test_another_content_gives_another_image(self):
        self.assertNotEqual(image.other()["id"], self.built["id"])

    def test_what_is_not_static_is_refused(self):
        command = [ROOT / "deploy/image", "--binary", "/bin/sh", "--out", self.directory()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("is not static: it cannot run in an empty image", done.stderr)

    def test_it_holds_the_files_of_the_list_and_no_more(self):
        root = image.root()
        found = {str(path.relative_to(root)): path for path in root.rglob("*") if not path.is_dir()}
        self.assertEqual({name: path.stat().st_mode & 0o7777 for name, path in found.items()}, FILES)
        self.assertEqual({path.stat().st_mtime for path in root.rglob("*")}, {0})
        self.assertEqual(found["etc/nsswitch.conf"].read_text(encoding="ascii"), "hosts: files dns\n")
        certificates = found["etc/ssl/certs/ca-certificates.crt"].read_text(encoding="ascii")
        self.assertGreater(certificates.count("BEGIN CERTIFICATE"), 100)
        self.assertIn("CC-BY-SA-4.0", found["licenses/model/LICENSE"].read_text(encoding="utf-8"))
        third = found["licenses/THIRD-PARTY.txt"].read_text(encoding="utf-8")
        self.assertEqual([name for name in ("candle-core", "tokio", "rustls", "aws-lc") if name not in third], [])

    def test_it_says_what_it_is(self):
        inspected = json.loads(podman.podman("image", "inspect", self.reference).stdout)[0]
        config = inspected["Config"]
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE).group(1)
        labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
        self.assertEqual((labels["licenses"], labels["version"]), ("Apache-2.0 AND CC-BY-SA-4.0", version))
        self.assertLessEqual({"title", "description", "source"}, labels.keys())
        self.assertEqual((config["User"], config["Entrypoint"], config["Cmd"]), ("65532:65532", ["/gleand"], ["serve"]))
        self.assertIn("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", config["Env"])
        self.assertEqual(set(config["ExposedPorts"]), {"50051/tcp", "9464/tcp"})
        self.assertEqual((inspected["Architecture"], inspected["Os"], len(inspected["RootFS"]["Layers"])), ("amd64", "linux", 1))
        self.assertEqual(inspected["Created"][:4], "1970")

    def test_its_program_runs_alone(self):
        bare = ("--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all")
        self.assertRegex(podman.run(self.reference, "--version", flags=bare).stdout, r"^gleand \d")
        licenses = podman.run(self.reference, "licenses", flags=bare)
        self.assertEqual(licenses.stdout, (image.root() / "licenses/THIRD-PARTY.txt").read_text(encoding="utf-8"))
        text = self.directory() / "text"
        text.write_text("Mary Shelley wrote Frankenstein near Geneva in 1816.", encoding="utf-8")
        text.parent.chmod(0o755)
        mounted = (*bare, "--volume", f"{text}:/text:ro")
        done = podman.run(self.reference, "extract", "--labels", "person,location", "/text", flags=mounted)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Mary Shelley", done.stdout)

    def test_a_client_that_is_the_first_process_ends_when_it_is_told(self):
        # The kernel has no default for that process: without a handler it would go on for ever.
        name = podman.new_name("client")
        command = [*podman.BASE, "run", "--rm", "--interactive", "--name", name, *podman.ULIMITS, "--network", "none"]
        command += [self.reference, "extract", "--labels", "person", "-"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.communicate)
        self.addCleanup(podman.podman, "rm", "--force", "--time", "0", name, check=False)
        deadline = time.monotonic() + 30
        while client.poll() is None:
            self.assertLess(time.monotonic(), deadline, "it goes on")
            podman.podman("kill", "--signal", "TERM", name, check=False)
            time.sleep(0.2)
        self.assertEqual(client.returncode, 143)

    def test_nothing_of_the_builder_is_in_the_binary(self):
        binary = (image.root() / "gleand").read_bytes()
        # A checkout may lie where the flags put it.
        for foreign in {str(ROOT), str(pathlib.Path.home() / ".cargo")} - {"/gleand", "/cargo"}:
            self.assertNotIn(foreign.encode() + b"/", binary)
        # The places of panics are there, as the flags rename them.
        self.assertIn(b"/cargo/registry/src/", binary)


class Forms(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        for name in FORMS:
            done = subprocess.run(["hadolint", ROOT / "deploy" / name], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (0, ""), name)

    def test_both_forms_end_in_the_same_image(self):
        """What follows COPY of the root file system, and the labels, are those that are tested."""
        short, whole = ((ROOT / "deploy" / name).read_text(encoding="utf-8") for name in FORMS[:2])
        directives = [self.directives(text.rpartition("FROM scratch")[2]) for text in (short, whole)]
        directives[1] = directives[1].replace("COPY --from=build /dist/", "COPY ")
        self.assertEqual(*directives)

    def test_the_forms_from_source_copy_all_that_a_build_reads(self):
        for name in FORMS[1:]:
            with self.subTest(form=name), tempfile.TemporaryDirectory(prefix="gleand-mesh-") as directory:
                text = self.directives((ROOT / "deploy" / name).read_text(encoding="utf-8"))
                copied = pathlib.Path(directory)
                for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
                    *sources, target = line.split()
                    for source in sources:
                        self.copy(ROOT / source, copied / target)
                command = ["cargo", "metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"]
                done = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_includes_are_there(copied)

    def assert_includes_are_there(self, root):
        found = 0
        for path in (root / "src").rglob("*.rs"):
            for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', path.read_text(encoding="utf-8")):
                self.assertTrue((path.parent / name).resolve().is_file(), f"{path}: {name}")
                found += 1
        self.assertGreater(found, 4)

    def copy(self, source, target):
        """As COPY does. Only names count here; what is large is linked."""
        if source.is_dir():
            shutil.copytree(source, target, copy_function=os.symlink, dirs_exist_ok=True)
        else:
            shutil.copy(source, target / source.name)

    def directives(self, text):
        """Without comments and blank lines."""
        return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("#"))


if __name__ == "__main__":
    unittest.main()
