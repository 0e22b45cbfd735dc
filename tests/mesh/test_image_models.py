"""`gleand models fetch` in the image: by hand, and as the init container of the chart runs it before the daemon."""

import pathlib
import tempfile
import unittest

import documents
import helm
import image
import podman
from certs import Authority
from image_hub import Hub, hashes
from schema import ROOT

MODEL = ROOT / "models/default"
# What loading a model needs, out of a folder that has more.
NEEDED = ("gliner_config.json", "model.safetensors", "tokenizer.json", "gleand.json")
WANTED = {name: digest for name, digest in hashes(MODEL).items() if name in NEEDED}
TOKEN = "hf_of-the-hub"


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = image.reference()

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-mesh-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.network = podman.Network()
        self.addCleanup(self.network.close)

    def hub(self, **more):
        hub = Hub(MODEL, address=self.network.here, **more)
        self.addCleanup(hub.close)
        return hub

    def pod(self, hub, wanted=None, **more):
        init = {"id": hub.url, "revision": hub.revision, "sha256": wanted or WANTED, **more}
        manifests = helm.render({"model": {"source": "init", "init": init}})
        return podman.Pod(manifests, self.directory / "volumes", secrets={"hub": {"token": TOKEN}})

    def fetch(self, pod):
        """The init container."""
        container = pod.spec["initContainers"][0]
        flags = [*self.network.flags, *pod.flags(container)]
        return podman.run(self.image, *pod.command(container), flags=flags)

    def test_the_init_container_fetches_what_the_daemon_serves(self):
        hub = self.hub(token=TOKEN)
        pod = self.pod(hub, tokenSecret={"name": "hub"})
        done = self.fetch(pod)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({path.rpartition("/")[2] for path in hub.asked}, set(NEEDED))
        container = pod.container("gleand")
        ports = {"address": f"{self.network.address}:50051", "admin": f"{self.network.address}:9464"}
        flags = [*self.network.flags, *pod.flags(container)]
        daemon = podman.Container(self.image, flags, pod.command(container), **ports)
        self.addCleanup(daemon.kill)
        with daemon.channel() as channel:
            found = documents.small(channel, include_text=True).results.mentions
        self.assertIn("Mary Shelley", [mention.text for mention in found])
        # It is that of the folder, and not the one in the binary.
        self.assertNotEqual(daemon.lines("serving, not ready yet")[0]["model"], "default")
        # The kubelet starts the init container again after a node came back: nothing is fetched twice.
        asked = len(hub.asked)
        again = self.fetch(pod)
        self.assertEqual((again.returncode, len(hub.asked)), (0, asked), again.stderr)

    def test_a_hub_is_reached_over_tls_only_with_an_authority_of_its_certificate(self):
        authority = Authority(self.directory, "hub")
        pair = authority.issue("hub", f"IP:{self.network.here}", usage="serverAuth")
        pod = self.pod(self.hub(pair=pair))
        container = pod.spec["initContainers"][0]
        trusted = ("--volume", f"{authority.root.cert}:/etc/ssl/certs/ca-certificates.crt:ro")
        flags = [*self.network.flags, *pod.flags(container)]
        unknown = podman.run(self.image, *pod.command(container), flags=flags)
        self.assertEqual(unknown.returncode, 4, unknown.stderr)
        self.assertIn("certificate", unknown.stderr)
        known = podman.run(self.image, *pod.command(container), flags=[*flags, *trusted])
        self.assertEqual(known.returncode, 0, known.stderr)

    def test_a_file_that_is_another_one_is_refused_and_not_kept(self):
        pod = self.pod(self.hub(changed="model.safetensors"))
        done = self.fetch(pod)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("model.safetensors is not the file that was asked for", done.stderr)
        self.assertIn(WANTED["model.safetensors"], done.stderr)
        self.assertEqual([str(path) for path in self.directory.rglob("model.safetensors*")], [])

    def test_what_the_hub_does_not_have_or_does_not_give_is_told(self):
        missing = self.fetch(self.pod(self.hub(), {"other.json": "0" * 64}))
        self.assertEqual(missing.returncode, 4, missing.stderr)
        self.assertIn("404", missing.stderr)

    def test_a_model_that_is_not_public_needs_the_token(self):
        secret = self.fetch(self.pod(self.hub(token=TOKEN)))
        self.assertEqual(secret.returncode, 4, secret.stderr)
        self.assertIn("--token-file", secret.stderr)

    def test_neither_revision_nor_hashes_may_be_left_out(self):
        given = {"--revision": "main", "--sha256": f"model.safetensors={'0' * 64}"}
        for missing, other in (("--revision", "--sha256"), ("--sha256", "--revision")):
            asked = ("models", "fetch", "books/reader", "--to", "/tmp/model", other, given[other])
            done = podman.run(self.image, *asked)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"{missing} <", done.stderr.partition("Usage")[0])


if __name__ == "__main__":
    unittest.main()
