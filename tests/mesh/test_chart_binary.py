"""The chart against the daemon: what it writes, asks and calls is what this binary reads, answers and understands."""

import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import chart_values
import documents
import helm
import image_hub
import kubelet
import process
import promtool
from certs import Authority

TOKEN = "a-token-for-the-hub"
KEY = "a-key-for-the-test-of-the-chart"
# What names metrics, beside the copies of deploy/, which tests/trust looks at.
WITH_METRICS = ["values.yaml", "README.md", "templates", "values-gpu.yaml"]
MODEL = helm.ROOT / "models/default"


class Cluster:
    """Secrets as the cases of chart_values.py expect them, and pods on a node."""

    def __init__(self, test):
        directory = tempfile.TemporaryDirectory(prefix="gleand-chart-")
        add = getattr(test, "addClassCleanup", None) if isinstance(test, type) else test.addCleanup
        add(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        authority = Authority(self.directory, "ours")
        self.root = authority.root.cert.read_bytes()
        names = ("DNS:localhost", "DNS:gleand.example", "IP:127.0.0.1")
        server = authority.issue("server", *names, usage="serverAuth")
        client = authority.issue("client", "URI:spiffe://mesh/ns/app/sa/web")
        self.secrets = {
            "gleand-tls": pair(server) | {"ca.crt": self.root},
            "gleand-keys": {"keys": f"reader {hashlib.sha256(KEY.encode()).hexdigest()}\n".encode()},
            "otlp-ca": {"ca.crt": self.root},
            "otlp-headers": {"headers": b"authorization: Bearer x\n"},
            "gleand-test-key": {"key": f"{KEY}\n".encode()},
            "gleand-test-client": pair(client),
            "hub-token": {"token": TOKEN.encode()},
        }
        self._pods = 0

    def pod(self, objects, pod, container, model_at=""):
        """Arguments and environment with which a container starts."""
        self._pods += 1
        directory = self.directory / f"pod-{self._pods}"
        directory.mkdir()
        return kubelet.Node(directory, objects, self.secrets, model_at).start(pod, container)

    def daemon(self, values):
        """The daemon's container of a release."""
        objects = helm.render(values)
        model = (values or {}).get("model", {})
        model_at = model.get(model.get("source"), {}).get("subPath", "")
        return self.pod(objects, helm.pod_of(helm.the(objects, "Deployment")), helm.container(objects), model_at)

    def fetch(self, values):
        """Runs the init container; the daemon's container of the same pod, which has its files afterwards."""
        objects = helm.render(values)
        pod = helm.pod_of(helm.the(objects, "Deployment"))
        self._pods += 1
        directory = self.directory / f"pod-{self._pods}"
        directory.mkdir()
        node = kubelet.Node(directory, objects, self.secrets)
        arguments, environment = node.start(pod, pod["initContainers"][0])
        done = process.run(*arguments, environment=environment, seconds=60)
        return done, node.start(pod, helm.container(objects))

    def serve(self, values):
        """The daemon as its container would run, but on free ports of loopback."""
        arguments, environment = self.daemon(values)
        assert arguments[0] == "serve", arguments
        # Flags win over the file, so the file is read as it is.
        return process.Process(environment=environment, arguments=arguments[1:])

    def helm_test(self, values, daemon):
        """Runs what the pod of `helm test` runs."""
        objects = helm.render(values)
        pod = helm.the(objects, "Pod")["spec"]
        arguments, environment = self.pod(objects, pod, pod["containers"][0])
        at = arguments.index("--server") + 1
        address, port = re.fullmatch(r"(https?://)gleand:(\d+)", arguments[at]).groups()
        assert port == str(helm.the(objects, "Service", "gleand")["spec"]["ports"][0]["port"])
        arguments[at] = address + daemon.address.replace("127.0.0.1", "localhost")
        return process.run(*arguments, environment=environment)


def pair(certificate):
    """A certificate as cert-manager stores it."""
    return {"tls.crt": certificate.cert.read_bytes(), "tls.key": certificate.key.read_bytes()}


def call_of(notes, daemon, **files):
    """Runs the command of grpcurl in the notes, with the port of this daemon for the forwarded one."""
    line = re.search(r"^ *grpcurl .*?(?=\n\s*\n)", notes, re.DOTALL | re.MULTILINE).group()
    forwarded = re.search(r"port-forward service/gleand (\d+):50051", notes).group(1)
    assert line.count(f"127.0.0.1:{forwarded}") == 1, line
    line = line.replace(f"127.0.0.1:{forwarded}", daemon.address)
    for name, path in files.items():
        assert line.count(name) == 1, line
        line = line.replace(name, str(path))
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)


class Configuration(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(self)

    def config(self, values):
        """What `gleand config` says to the file of a release, in the environment of its container."""
        arguments, environment = self.cluster.daemon(values)
        self.assertEqual(arguments[:2], ["serve", "--config"])
        done = process.run("config", *arguments[1:], environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def as_it_can_be_here(self, values):
        """This binary is built without CUDA, and what the init container fetches is in a claim already."""
        if values.get("config", {}).get("compute", {}).get("device", "").startswith("cuda"):
            return helm.merged(values, {"config": {"compute": {"device": "cpu"}}})
        if values.get("model", {}).get("source") == "init":
            return helm.merged(values, {"model": {"source": "pvc", "pvc": {"claimName": "fetched"}}})
        return values

    def test_the_daemon_takes_the_file_of_every_case_and_its_memory_fits_the_limit(self):
        for name, values in chart_values.cases().items():
            with self.subTest(name):
                values = self.as_it_can_be_here(values)
                said = self.config(values)
                at_worst = int(re.search(r"Memory at worst: (\d+) bytes", said).group(1))
                limit = helm.container(helm.render(values))["resources"]["limits"]["memory"]
                self.assertLess(at_worst, kubelet.quantity(limit))

    def test_the_cores_of_the_request_reach_the_daemon(self):
        self.assertRegex(self.config(chart_values.NO_CPU_LIMIT), r"(?m)^cores = 2 +# environment")
        self.assertRegex(self.config({"config": {"compute": {"cores": 7}}}), r"(?m)^cores = 7 +# file")

    def test_what_the_chart_sets_comes_from_the_file(self):
        said = self.config(chart_values.SECRETS)
        for key in ("lame_duck_ms", "drain_ms", "format", "cert_file", "key_file", "keys_file", "ca_file", "headers_file"):
            self.assertRegex(said, rf"(?m)^{key} = .+# file", key)

    def test_the_schema_of_the_chart_is_that_of_the_daemon(self):
        checked = subprocess.run(
            [sys.executable, helm.ROOT / "helm/schema", "--check"], capture_output=True, text=True, check=False,
            env={**os.environ, "GLEAND_BIN": os.environ["GLEAND_BIN"]},
        )  # fmt: skip
        self.assertEqual(checked.returncode, 0, checked.stderr)


class Live(unittest.TestCase):
    """The daemon of the defaults."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls)
        cls.daemon = cls.cluster.serve({})
        cls.addClassCleanup(cls.daemon.kill)
        with cls.daemon.channel() as channel:
            documents.small(channel)

    def test_every_probe_is_answered(self):
        container = helm.container(helm.render())
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            with self.subTest(probe):
                status, text = self.daemon.get(container[probe]["httpGet"]["path"])
                self.assertEqual(status, 200, text)

    def test_helm_test_passes(self):
        done = self.cluster.helm_test({}, self.daemon)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Mary Shelley", done.stdout)

    def test_helm_test_fails_where_too_little_is_found(self):
        done = self.cluster.helm_test({"test": {"text": "Nothing is here.", "mentions": 3}}, self.daemon)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("error:", done.stderr)

    def test_the_notes_have_a_call_that_works(self):
        done = call_of(helm.notes(), self.daemon)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Mary Shelley", done.stdout)

    def test_every_metric_that_the_chart_names_is_shown(self):
        files = [helm.CHART / name for name in WITH_METRICS]
        files = [one for path in files for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()]
        named = promtool.names("\n".join(path.read_text(encoding="utf-8") for path in files))
        named |= promtool.names(helm.manifest(chart_values.HPA) + helm.manifest(chart_values.KEDA) + helm.notes(chart_values.HPA))
        self.assertIn("gleand_queue_pieces", named)
        metrics = self.daemon.metrics()
        families = {line.split()[2] for line in metrics.text.splitlines() if line.startswith("# TYPE ")}
        self.assertEqual(named - metrics.names() - families, set())


class Stopping(unittest.TestCase):
    def test_probes_and_grace_fit_how_it_stops(self):
        # A machine with other work to do may take seconds for what follows.
        lame_duck_seconds = 15
        values = {"config": {"server": {"drain_ms": 1000, "lame_duck_ms": lame_duck_seconds * 1000}}}
        container = helm.container(helm.render(values))
        grace = helm.pod_of(helm.the(helm.render(values), "Deployment"))["terminationGracePeriodSeconds"]
        daemon = Cluster(self).serve(values)
        self.addCleanup(daemon.kill)
        ready, live = (container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe"))
        with daemon.channel() as channel:
            documents.small(channel)
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for(lambda: daemon.get(ready)[0] == 503, 5, "it is ready still")
            self.assertEqual(daemon.get(live)[0], 200, "a kubelet would kill it while it drains")
            # A lame duck serves whoever did not hear yet.
            documents.small(channel)
        self.assertEqual(daemon.wait(grace), 0)
        self.assertGreaterEqual(time.monotonic() - began, lame_duck_seconds)


class Secured(unittest.TestCase):
    """The daemon with the secrets of a cluster."""

    def test_helm_test_passes_with_tls_and_keys(self):
        cluster = Cluster(self)
        daemon = cluster.serve(chart_values.SECRETS)
        self.addCleanup(daemon.kill)
        done = cluster.helm_test(chart_values.SECRETS, daemon)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Without the key it must not pass, or the key does not matter.
        keyless = helm.merged(chart_values.SECRETS, {"test": {"apiKey": {"secret": ""}}})
        self.assertNotEqual(cluster.helm_test(keyless, daemon).returncode, 0)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = helm.container(helm.render(chart_values.SECRETS))[probe]["httpGet"]["path"]
            self.assertEqual(daemon.get(path)[0], 200, "probes need neither TLS nor a key")
        files = {"ca.pem": cluster.directory / "ca.pem", "KEY_FILE": cluster.directory / "key"}
        files["ca.pem"].write_bytes(cluster.root)
        files["KEY_FILE"].write_text(KEY, encoding="ascii")
        called = call_of(helm.notes(chart_values.SECRETS), daemon, NAME_IN_THE_CERTIFICATE="localhost", **files)
        self.assertEqual(called.returncode, 0, called.stderr)
        self.assertIn("Mary Shelley", called.stdout)

    def test_the_readme_says_which_secrets_need_a_restart(self):
        daemon = Cluster(self).serve(chart_values.SECRETS)
        self.addCleanup(daemon.kill)
        watched = {labels["what"] for labels, _ in daemon.metrics().matching("gleand_reload_failing")}
        self.assertEqual(watched, {"tls", "keys"}, "the files of otlp are none of those that are read again")
        readme = (helm.CHART / "README.md").read_text(encoding="utf-8")
        self.assertRegex(readme, r"two of `otlp`\s+are read at the start only")

    def test_helm_test_passes_with_certificates_of_clients(self):
        cluster = Cluster(self)
        daemon = cluster.serve(chart_values.MUTUAL_TLS)
        self.addCleanup(daemon.kill)
        done = cluster.helm_test(chart_values.MUTUAL_TLS, daemon)
        self.assertEqual(done.returncode, 0, done.stderr)
        without = helm.merged(chart_values.MUTUAL_TLS, {"test": {"clientCert": {"secret": ""}}})
        self.assertNotEqual(cluster.helm_test(without, daemon).returncode, 0)


class Models(unittest.TestCase):
    def test_the_daemon_serves_a_model_that_is_mounted(self):
        for values in (chart_values.PVC, chart_values.IMAGE):
            with self.subTest(values["model"]["source"]):
                daemon = Cluster(self).serve(values)
                self.addCleanup(daemon.kill)
                with daemon.channel() as channel:
                    self.assertTrue(documents.small(channel))

    def init(self, hub, **more):
        """Values for the model of a hub."""
        given = {"id": hub.url, "revision": hub.revision, "sha256": image_hub.hashes(MODEL), "tokenSecret": {"name": "hub-token"}}
        return {"model": {"source": "init", "init": given | more}}

    def test_the_init_container_fetches_what_the_daemon_then_serves(self):
        hub = image_hub.Hub(MODEL, token=TOKEN)
        self.addCleanup(hub.close)
        done, (arguments, environment) = Cluster(self).fetch(self.init(hub))
        self.assertEqual(done.returncode, 0, done.stderr)
        daemon = process.Process(environment=environment, arguments=arguments[1:])
        self.addCleanup(daemon.kill)
        with daemon.channel() as channel:
            self.assertTrue(documents.small(channel))

    def test_a_file_with_another_hash_keeps_the_pod_from_starting(self):
        hub = image_hub.Hub(MODEL, token=TOKEN, changed="gliner_config.json")
        self.addCleanup(hub.close)
        done, _ = Cluster(self).fetch(self.init(hub))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("gliner_config.json", done.stderr)


if __name__ == "__main__":
    unittest.main()
