"""Every way by which the image speaks TLS, and the ways by which it finds a receiver of telemetry by its name.

The binary in it is static: certificates of authorities and names of hosts come from files of the image or from nowhere.
"""

import pathlib
import shutil
import tempfile
import unittest

import documents
import grpc
import image
import podman
from certs import Authority
from dns import NameServer
from receiver import QUICK, GrpcReceiver, HttpsReceiver

# As in a cluster: a short name, which only the search list of resolv.conf makes whole.
SHORT = "collector.observability"
SEARCH = "svc.cluster.local"
HOST_NETWORK = ("--network", "host", "--user", "65532:65532", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all")
# Where SSL_CERT_FILE of the image points.
SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-mesh-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.directory.chmod(0o755)
        cls.authority = Authority(cls.directory, "ours")
        cls.server, cls.client = cls.authority.server(), cls.authority.issue("good", "DNS:reader.example")
        whole = f"{SHORT}.{SEARCH}"
        sans = (f"DNS:{SHORT}", f"DNS:{whole}", "DNS:localhost")
        cls.collector = cls.authority.issue("collector", *sans, usage="serverAuth")
        (cls.directory / "text").write_text(documents.TEXT, encoding="utf-8")
        # Keys as the kubelet mounts them: the group of the pod may read them.
        for path in cls.directory.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o640)
            shutil.chown(path, group=65532)
        cls.image = image.reference()

    def inside(self, *paths):
        """Flags that mount files, each where it is here."""
        return [part for path in paths for part in ("--volume", f"{path}:{path}:ro")]

    def daemon(self, *flags, **settings):
        daemon = podman.Container(self.image, [*HOST_NETWORK, *self.inside(self.directory), *flags], **settings)
        self.addCleanup(daemon.kill)
        return daemon

    def secure(self, **more):
        return self.daemon(tls__cert_file=self.server.cert, tls__key_file=self.server.key, **more)

    def credentials(self, pair=None):
        certificate = (pair.key.read_bytes(), pair.cert.read_bytes()) if pair else (None, None)
        return grpc.ssl_channel_credentials(self.authority.root.cert.read_bytes(), *certificate)

    def extract(self, daemon, *arguments, mounts=()):
        """The image's own client against a daemon, by the name that the certificate holds."""
        url = f"https://localhost:{daemon.address.rpartition(':')[2]}"
        flags = [*HOST_NETWORK, *self.inside(self.directory), *mounts]
        asked = ("extract", "--server", url, "--labels", "person,location,date", *arguments, self.directory / "text")
        return podman.run(self.image, *asked, flags=flags)

    def assert_found(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Mary Shelley", done.stdout)

    # --- the data port ----------------------------------------------------------------------------------------------

    def test_the_server_speaks_tls_to_a_client_and_to_its_own(self):
        daemon = self.secure()
        with daemon.channel(credentials=self.credentials()) as channel:
            found = documents.small(channel, include_text=True).results.mentions
        self.assertIn("Mary Shelley", [mention.text for mention in found])
        self.assert_found(self.extract(daemon, "--ca", self.authority.root.cert))
        # The authorities of the image do not know ours, until they are exchanged for ones that do.
        stranger = self.extract(daemon)
        self.assertEqual(stranger.returncode, 4, stranger.stderr)
        self.assertIn("UnknownIssuer", stranger.stderr.replace(" ", ""))
        exchanged = ("--volume", f"{self.authority.root.cert}:{SYSTEM_ROOTS}:ro")
        self.assert_found(self.extract(daemon, mounts=exchanged))
        moved = (*self.inside(self.authority.root.cert), "--env", f"SSL_CERT_FILE={self.authority.root.cert}")
        self.assert_found(self.extract(daemon, mounts=moved))
        self.assertEqual(daemon.stop(), 0)

    def test_the_server_asks_for_a_certificate_and_the_client_shows_one(self):
        daemon = self.secure(tls__client_ca_file=self.authority.root.cert)
        with daemon.channel(credentials=self.credentials(self.client)) as channel:
            documents.small(channel)
        mine = ("--cert", self.client.cert, "--key", self.client.key)
        self.assert_found(self.extract(daemon, "--ca", self.authority.root.cert, *mine))
        without = self.extract(daemon, "--ca", self.authority.root.cert)
        self.assertEqual(without.returncode, 4, without.stderr)
        self.assertEqual(daemon.stop(), 0)

    # --- telemetry --------------------------------------------------------------------------------------------------

    def assert_arrives(self, receiver, flags, **settings):
        """All three signals of one document, over TLS to a receiver that is named, not numbered."""
        self.addCleanup(receiver.close)
        port = receiver.endpoint.rpartition(":")[2]
        variables = [part for key, value in QUICK.items() for part in ("--env", f"{key}={value}")]
        daemon = self.daemon(*variables, *flags, otlp__endpoint=f"https://{SHORT}:{port}", **settings)
        with daemon.channel() as channel:
            documents.extract(channel, documents.TEXT.encode())
        receiver.wait_for(lambda: receiver.spans() and receiver.logs() and receiver.metrics())
        self.assertEqual(daemon.stop(), 0)
        self.assertTrue(all(resource["service.name"] == "gleand" for resource in receiver.resources()))
        print(f"\n{type(receiver).__name__} by name: {len(receiver.spans())} spans, {len(receiver.metrics())} metrics, "
              f"{len(receiver.logs())} records")  # fmt: skip

    def test_telemetry_goes_by_grpc_to_a_name_of_the_hosts_file(self):
        hosts = ("--add-host", f"{SHORT}:127.0.0.1")
        self.assert_arrives(GrpcReceiver(self.collector), hosts, otlp__ca_file=self.authority.root.cert)

    def test_telemetry_goes_by_https_to_a_name_of_the_hosts_file(self):
        hosts, ca = ("--add-host", f"{SHORT}:127.0.0.1"), self.authority.root.cert
        self.assert_arrives(HttpsReceiver(self.collector), hosts, otlp__ca_file=ca, otlp__protocol="http/protobuf")

    def by_dns(self):
        """A name server that knows the whole name only, and the flags that make a container ask it as a pod does."""
        server = NameServer({f"{SHORT}.{SEARCH}": "127.0.0.1"})
        self.addCleanup(server.close)
        search = [part for one in (f"default.{SEARCH}", SEARCH, "cluster.local") for part in ("--dns-search", one)]
        return server, ("--dns", server.address, *search, "--dns-option", "ndots:5")

    def test_telemetry_goes_by_grpc_to_a_name_of_a_name_server(self):
        server, flags = self.by_dns()
        self.assert_arrives(GrpcReceiver(self.collector), flags, otlp__ca_file=self.authority.root.cert)
        self.assertTrue(server.asked(f"{SHORT}.{SEARCH}"))

    def test_telemetry_goes_by_https_to_a_name_of_a_name_server_with_the_authorities_of_the_image(self):
        server, flags = self.by_dns()
        mounts = ("--volume", f"{self.authority.root.cert}:{SYSTEM_ROOTS}:ro")
        self.assert_arrives(HttpsReceiver(self.collector), (*flags, *mounts), otlp__protocol="http/protobuf")
        self.assertTrue(server.asked(f"{SHORT}.{SEARCH}"))


if __name__ == "__main__":
    unittest.main()
