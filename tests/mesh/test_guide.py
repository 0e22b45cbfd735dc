"""deploy/KUBERNETES.md, taken at its word: its commands run in their order, and a pod run by podman is the cluster."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import helm
import helm_python
import image
import podman
import yaml
from image_registry import Registry, with_helm
from schema import ROOT

PAGE = (ROOT / "deploy/KUBERNETES.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:<!-- (\w+) -->\n)?```sh\n(.*?)```", PAGE, re.DOTALL)
KINDS = {"run", "cluster", "yours"}

# What the page says, and what differs here: the binary is made already, and the registry speaks no TLS.
CHANGES = {
    "deploy/image\n": 'deploy/image --binary "$GLEAND_BIN"\n',
    'deploy/release --registry "$REGISTRY"\n': 'deploy/release --registry "$REGISTRY" --plain-http\n',
}


def commands(block):
    """The commands of a block as words, lines that go on joined."""
    return [shlex.split(line.removesuffix("&")) for line in block.replace("\\\n", " ").splitlines()]


class Guide(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-mesh-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)

    def test_every_command_says_where_it_runs_and_is_given_once(self):
        self.assertEqual({kind for kind, _ in BLOCKS}, KINDS)
        lines = [" ".join(words) for kind, block in BLOCKS if kind != "run" for words in commands(block)]
        self.assertEqual(len(lines), len(set(lines)))
        for kind, block in BLOCKS:
            done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            if kind == "cluster":
                after = PAGE[PAGE.index(block) + len(block) :]
                self.assertRegex(after, r"\A```\n\n\*\*Needs a cluster")

    def test_the_page_leads_to_an_answer(self):
        registry = Registry(self.directory)
        self.addCleanup(registry.close)
        self.environment = {
            **os.environ,
            "PATH": f"{with_helm(self.directory)}:{os.environ['PATH']}",
            "REGISTRY": f"{registry.host}/team",
        }
        self.network = podman.Network()
        self.addCleanup(self.network.close)
        ran, said = 0, []
        for kind, block in BLOCKS:
            if kind == "run":
                said.append(self.run_block(block))
                ran += len(block.replace("\\\n", " ").splitlines())
            elif kind == "cluster":
                for words in commands(block):
                    self.in_place_of_a_cluster(words)
        whole = "".join(said)
        self.assertIn(image.built()["digest"], whole)
        self.assertIn('"text": "Mary Shelley"', whole)
        self.assertRegex(whole, r"(?m)^\d+\t\d+\tperson\t0\.\d+\t")
        self.assertRegex(whole, r"(?m)^gleand_words_total [1-9]")
        self.assertRegex(whole, r"(?m)^gleand_ready 1$")
        print(f"\nKUBERNETES.md: {len(said)} of {len(BLOCKS)} blocks ran, {ran} lines")

    def run_block(self, block):
        """A block in the pod's network, where loopback is what `kubectl port-forward` would make it."""
        for old, new in CHANGES.items():
            block = block.replace(old, new)
        at_home = "localhost" not in block
        command = ["bash", "-eu", "-o", "pipefail", "-c", block]
        options = {"cwd": ROOT, "env": self.environment, "capture_output": True, "text": True, "timeout": 120}
        done = subprocess.run(command, check=False, **options) if at_home else self.network.inside(*command, **options)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stdout}{done.stderr}")
        return done.stdout

    # --- what a cluster would do ------------------------------------------------------------------------------------

    def in_place_of_a_cluster(self, words):
        """Does, or at least checks, one command of the page."""
        start = " ".join(words[:2])
        if words[0] == "kubectl":
            self.kubectl(words)
        elif start == "helm upgrade" and "--install" in words:
            self.install(words)
        elif start == "helm test":
            self.helm_test()
        elif start == "helm upgrade":
            self.upgrade(words)
        else:
            self.assertEqual(start, "helm uninstall")

    def option(self, words, name):
        return words[words.index(name) + 1]

    def install(self, words):
        """Renders the published chart with the values of the page, and runs its pod with the published image."""
        release, reference = words[3], words[4].replace("$REGISTRY", self.environment["REGISTRY"])
        helm_python.pull(reference, destination=self.directory, plain_http=True)
        self.chart = next(self.directory.glob("gleand-*.tgz"))
        self.values = yaml.safe_load((ROOT / self.option(words, "--values")).read_text(encoding="utf-8"))
        self.options = {"release": release, "namespace": self.option(words, "--namespace")}
        self.manifests = helm.render(self.values, chart=self.chart, **self.options)
        pod = podman.Pod(self.manifests, self.directory / "pod")
        container = pod.container("gleand")
        podman.podman("pull", "--quiet", "--tls-verify=false", container["image"])
        self.addCleanup(podman.podman, "untag", image.reference(), container["image"], check=False)
        flags = [*self.network.flags, *pod.flags(container)]
        ports = {"address": f"{self.network.address}:50051", "admin": f"{self.network.address}:9464"}
        daemon = podman.Container(container["image"], flags, pod.command(container), **ports)
        self.addCleanup(daemon.kill)

    def helm_test(self):
        """Runs the pod of `helm test`; the Service is a name in its hosts file."""
        helm.the(self.manifests, "Pod")
        pod = podman.Pod(self.manifests, self.directory / "test", kind="Pod")
        container = pod.container()
        service = helm.the(self.manifests, "Service", "gleand")
        flags = [*self.network.flags, *pod.flags(container), "--add-host", f"{service['metadata']['name']}:127.0.0.1"]
        done = podman.run(container["image"], *pod.command(container), flags=flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Mary Shelley", done.stdout)

    def upgrade(self, words):
        """The values of the page fit the schema, and the secrets are mounted under the names that the page gave them."""
        sets = [words[at + 1].partition("=") for at, word in enumerate(words) if word == "--set"]
        more = {}
        for path, _, value in sets:
            *folders, last = path.split(".")
            place = more
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = value
        manifests = helm.render(helm.merged(self.values, more), chart=self.chart, **self.options)
        pod = helm.pod_of(helm.the(manifests, "Deployment"))
        mounted = json.dumps(pod["volumes"])
        for _, _, secret in sets:
            self.assertIn(secret, mounted)
            self.assertIn(f" {secret} ", PAGE.split("helm upgrade gleand")[0])

    def kubectl(self, words):
        """What it names is there, with the ports that it names."""
        for word in words:
            kind, slash, name = word.partition("/")
            if slash and kind in ("deployment", "service"):
                helm.the(self.manifests, kind.capitalize(), name)
        if "port-forward" in words:
            ports = {str(port["containerPort"]) for port in helm.container(self.manifests)["ports"]}
            self.assertEqual(set(words[words.index("port-forward") + 2 :]), ports)


if __name__ == "__main__":
    unittest.main()
