"""The image in a container that gets what the rendered chart gives its pod: user, rights, limits, files, environment, probes."""

import hashlib
import http.client
import pathlib
import re
import signal
import tempfile
import time
import unittest

import documents
import gleand_client
import grpc
import helm
import image
import podman
from certs import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc

DOCUMENT = documents.cut(1, 6000)[0]
WORST = re.compile(r"Memory at worst: (\d+) bytes")


class Case(unittest.TestCase):
    """A pod for a test: its network, its volumes, its containers."""

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

    def pod(self, values=None, secrets=None, kube_version=None):
        manifests = helm.render(values, kube_version)
        return podman.Pod(manifests, self.directory / "volumes", secrets=secrets)

    def start(self, pod, *flags, until="ready"):
        container = pod.container("gleand")
        daemon = podman.Container(
            self.image,
            [*self.network.flags, *pod.flags(container), *flags],
            pod.command(container),
            until,
            address=f"{self.network.address}:50051",
            admin=f"{self.network.address}:9464",
        )
        self.addCleanup(daemon.kill)
        return daemon

    def run_to_the_end(self, pod, container, *flags):
        """Runs one container of a pod until it ends by itself."""
        flags = [*self.network.flags, *pod.flags(container), *flags]
        return podman.run(self.image, *pod.command(container), flags=flags)


def probe(container, kind, address):
    """Asks as the kubelet does for a probe of a container: whether it passes."""
    wanted = container[kind]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    asked = wanted.get("httpGet") or wanted["grpc"]
    port = ports.get(asked["port"], asked["port"])
    if "httpGet" in wanted:
        connection = http.client.HTTPConnection(address, port, timeout=wanted.get("timeoutSeconds", 1))
        connection.request("GET", asked["path"])
        status = connection.getresponse().status
        connection.close()
        return 200 <= status < 400
    with grpc.insecure_channel(f"{address}:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=asked.get("service", ""))
        response = health_pb2_grpc.HealthStub(channel).Check(request, timeout=wanted.get("timeoutSeconds", 1))
        return response.status == health_pb2.HealthCheckResponse.SERVING


class Defaults(Case):
    def test_it_is_ready_and_serves_with_the_rights_of_the_chart(self):
        pod = self.pod()
        started = time.monotonic()
        daemon = self.start(pod, *podman.service_variables("gleand"))
        took = time.monotonic() - started
        container = pod.container("gleand")
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertTrue(probe(container, kind, self.network.address), kind)

        status = daemon.status()
        self.assertEqual((status["Uid"].split(), status["Gid"].split()), (["65532"] * 4, ["65532"] * 4))
        self.assertEqual({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, {"0" * 16})
        # 2 is a filter of system calls.
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["NSpid"].split()[-1]), ("1", "2", "1"))
        mounts = pathlib.Path(f"/proc/{daemon.pid}/mounts").read_text(encoding="utf-8").splitlines()
        root = next(line.split() for line in mounts if line.split()[1] == "/")
        self.assertIn("ro", root[3].split(","))
        variables = pathlib.Path(f"/proc/{daemon.pid}/environ").read_bytes().split(b"\0")
        self.assertIn(b"GLEAND_PORT=tcp://10.96.7.7:50051", variables)

        with daemon.channel() as channel:
            expected = documents.lines(documents.extract(channel, DOCUMENT))
        with gleand_client.connect(daemon.address) as channel:
            found = documents.lines(list(gleand_client.extract(channel, documents.config(), DOCUMENT)))
        self.assertEqual(found, expected)
        self.assertGreater(len(found), 10)
        peak = daemon.memory_peak_bytes()
        print(f"\nthe chart's pod: ready after {took:.2f} s, {len(found)} mentions, peak memory {peak >> 20} MiB")

    def test_it_drains_as_the_first_process_and_nothing_is_lost(self):
        # Of the grace period this takes what lame duck says, and the time of the stream.
        pod = self.pod()
        daemon = self.start(pod)
        with daemon.channel() as channel:
            expected = documents.lines(documents.extract(channel, DOCUMENT))
            stream = documents.Open(channel)
            stream.read_until("ready")
            stream.send(DOCUMENT[:3000])
            started = time.monotonic()
            daemon.signal(signal.SIGTERM)
            daemon.wait_for(lambda: not self.ready(pod), 4, "still ready")
            # A lame duck still takes what proxies send that do not know yet.
            documents.small(channel)
            remaining = stream.read_until("draining").remaining
            lame_duck = time.monotonic() - started
            stream.send(DOCUMENT[3000:])
            events = stream.finish()
        self.assertEqual(events[-1].WhichOneof("kind"), "done")
        self.assertEqual(documents.lines(events), expected)
        grace = pod.spec["terminationGracePeriodSeconds"]
        # The chart's lame duck, not the one that was measured: that has the time of podman in it.
        self.assertGreaterEqual(lame_duck, 5)
        self.assertGreaterEqual(grace, 5 + remaining.ToTimedelta().total_seconds() + 9)
        self.assertEqual(daemon.wait(10), 0)
        took = time.monotonic() - started
        print(f"\nSIGTERM to process 1: draining after {lame_duck:.1f} s, {len(expected)} lines equal, "
              f"gone after {took:.1f} of {grace} s")  # fmt: skip
        self.assertGreater(lame_duck, 4.5)

    def ready(self, pod):
        return probe(pod.container("gleand"), "readinessProbe", self.network.address)


class Limits(Case):
    def scorers(self, values, *flags):
        daemon = self.start(self.pod(values), *flags)
        threads = daemon.threads()
        return sum(name.startswith("score-") for name in threads)

    def test_threads_follow_the_limit_of_the_chart(self):
        one = {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}
        self.assertEqual(self.scorers(one), 1)

    def test_threads_follow_two_cores(self):
        self.assertEqual(self.scorers({}), 2)

    def test_threads_follow_the_request_where_there_is_no_limit(self):
        # 600m are rounded up to one core.
        request = {"resources": {"limits": {"cpu": None}, "requests": {"cpu": "600m"}}}
        self.assertEqual(self.scorers(request), 1)

    def test_without_a_chart_the_quota_counts(self):
        """`--cpus` alone, as `docker run` has it."""
        passes = []
        for cpus in (1, 2):
            page = podman.run(self.image, "config", flags=("--network", "none", "--cpus", cpus)).stdout
            passes.append(int(re.search(r"(\d+)  forward passes", page).group(1)))
        self.assertEqual(passes[1], 2 * passes[0], passes)

    def test_too_little_memory_is_refused_with_both_numbers(self):
        little = {"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}}
        pod = self.pod(little)
        done = self.run_to_the_end(pod, pod.container("gleand"))
        self.assertEqual(done.returncode, 2, done.stderr)
        page = podman.run(self.image, "config", flags=("--network", "none", "--cpus", "2")).stdout
        worst = WORST.search(page).group(1)
        said = done.stdout + done.stderr
        self.assertIn(worst, said)
        self.assertIn(str(1 << 30), said)


class Secrets(Case):
    def test_the_secrets_of_the_chart_are_read_as_the_kubelet_mounts_them(self):
        authority = Authority(self.directory, "ours")
        server, client = authority.server(), authority.issue("reader", "DNS:reader.example")
        key = "a-key-of-the-chart-7Jq2"
        read = lambda path: path.read_text(encoding="ascii")  # noqa: E731
        secrets = {
            "server": {"tls.crt": read(server.cert), "tls.key": read(server.key), "ca.crt": read(authority.root.cert)},
            "keys": {"keys": f"reader {hashlib.sha256(key.encode()).hexdigest()}\n"},
        }
        values = {
            "tls": {"existingSecret": "server", "clientCaKey": "ca.crt"},
            "auth": {"existingSecret": "keys"},
        }
        pod = self.pod(values, secrets)
        daemon = self.start(pod)
        # Probes need neither certificate nor key.
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertTrue(probe(pod.container("gleand"), kind, self.network.address), kind)
        credentials = grpc.ssl_channel_credentials(
            authority.root.cert.read_bytes(), client.key.read_bytes(), client.cert.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(daemon.address, credentials, options) as channel:
            metadata = (("authorization", f"Bearer {key}"),)
            found = documents.small(channel, metadata=metadata, include_text=True).results.mentions
            with self.assertRaises(grpc.RpcError) as raised:
                documents.small(channel)
        self.assertIn("Mary Shelley", [mention.text for mention in found])
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAUTHENTICATED)


# A base for others, not a test of its own.
del Case

if __name__ == "__main__":
    unittest.main()
