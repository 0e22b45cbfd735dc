"""Certificates and keys are changed as Kubernetes does it, by swapping a link: no restart, no lost stream."""

import hashlib
import pathlib
import socket
import ssl
import tempfile
import time
import unittest

import documents
import grpc
import process
from certs import Authority, Mounted
from failure import failure

# Files are looked at every ten seconds.
SECONDS = 12


def keys_of(**keys):
    """A keys file with these names and keys."""
    return "".join(f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n" for name, key in keys.items()).encode()


class Rotation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-trust-")
        cls.addClassCleanup(directory.cleanup)
        authority = Authority(directory.name, "ours")
        cls.root = authority.root.cert
        cls.servers = [authority.server(f"server{number}") for number in range(2)]
        cls.mounted = Mounted(
            pathlib.Path(directory.name) / "mounted", **cls.files(0, keys_of(old="old-key-1")), ca_crt=cls.root.read_bytes()
        )
        cls.daemon = process.Process(
            tls__cert_file=cls.mounted.path("tls_crt"),
            tls__key_file=cls.mounted.path("tls_key"),
            auth__keys_file=cls.mounted.path("keys"),
        )
        cls.addClassCleanup(cls.daemon.stop)

    @classmethod
    def files(cls, server, keys):
        pair = cls.servers[server]
        return {"tls_crt": pair.cert.read_bytes(), "tls_key": pair.key.read_bytes(), "keys": keys}

    def shown(self):
        """The certificate that a new connection sees."""
        context = ssl.create_default_context(cafile=self.root)
        context.set_alpn_protocols(["h2"])
        host, port = self.daemon.address.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=5)
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            return secured.getpeercert(binary_form=True)

    def channel(self):
        channel = self.daemon.channel(credentials=grpc.ssl_channel_credentials(self.root.read_bytes()))
        self.addCleanup(channel.close)
        return channel

    def call(self, key):
        return documents.small(self.channel(), metadata=(("authorization", f"Bearer {key}"),))

    def failing(self):
        metrics = self.daemon.metrics()
        return {what: metrics.value("gleand_reload_failing", what=what) for what in ("tls", "keys")}

    def test_a_swap_a_broken_swap_and_a_mended_one(self):
        self.assertEqual(self.shown(), self.servers[0].der())
        self.call("old-key-1")
        document = documents.cut(1, 6000)[0]
        stream = documents.Open(self.channel(), metadata=(("authorization", "Bearer old-key-1"),))
        self.addCleanup(stream.close)
        stream.read_until("ready")
        stream.send(document[:2000])

        started = time.monotonic()
        self.mounted.swap(**self.files(1, keys_of(new="new-key-2")))
        self.daemon.wait_for(lambda: self.shown() == self.servers[1].der(), SECONDS, "the old certificate is still shown")
        self.daemon.wait_for_metric("gleand_reload_total", 1, SECONDS, what="keys", result="ok")
        print(f"\nnew certificate and keys hold after {time.monotonic() - started:.1f} s")
        self.call("new-key-2")
        actual = failure(lambda: self.call("old-key-1"))
        self.assertEqual((actual.code, actual.reason), (grpc.StatusCode.UNAUTHENTICATED, "KEY_INVALID"))
        self.assertEqual(self.failing(), {"tls": 0, "keys": 0})
        stream.send(document[2000:4000])

        broken = self.files(0, b"old not-a-digest\n")
        broken["tls_crt"] = b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
        self.mounted.swap(**broken)
        for what in ("tls", "keys"):
            self.daemon.wait_for_metric("gleand_reload_failing", 1, SECONDS, what=what)
            self.assertGreaterEqual(self.daemon.metrics().value("gleand_reload_total", what=what, result="failed"), 1)
        self.assertEqual(self.shown(), self.servers[1].der())
        self.call("new-key-2")
        complaints = [line for line in self.daemon.lines() if line.get("level") in ("WARN", "ERROR")]
        for name in ("tls.crt", "keys"):
            self.assertTrue([line for line in complaints if name in str(line)], f"no line about {name}: {complaints}")
        self.assertNotIn("not-a-digest", self.daemon.log())

        self.mounted.swap(**self.files(0, keys_of(old="old-key-1", new="new-key-2")))
        self.daemon.wait_for(lambda: self.failing() == {"tls": 0, "keys": 0}, SECONDS, "the mended files are not taken")
        self.assertEqual(self.shown(), self.servers[0].der())
        for key in ("old-key-1", "new-key-2"):
            self.call(key)

        # It was open all the time, under a key that was gone for a while.
        stream.send(document[4000:])
        events = stream.finish()
        self.assertEqual(events[-1].done.received_bytes, len(document))


if __name__ == "__main__":
    unittest.main()
