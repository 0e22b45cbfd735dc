"""Who may come in, by certificate and by key; what a refusal says, and that secrets are changed without a restart.

`test_rotation.py` has the changes of files.
"""

import contextlib
import hashlib
import pathlib
import ssl
import tempfile
import time
import unittest

import documents
import grpc
import process
from certs import DAY, Authority
from failure import failure
from frames import Frames
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from schema import models_grpc, v1

Code = grpc.StatusCode
KEYS = {name: f"{name}-key-7Jq2" for name in ("reader", "expired", "early", "bounded")}


def bearer(key):
    """The metadata of a call with a key."""
    return (("authorization", f"Bearer {key}"),)


def keys_file():
    """One key that holds, one that is over, one that is to come, one between its two times."""
    digest = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
    return (
        f"# name sha256 not_before not_after\n\nreader {digest['reader']}\n"
        f"expired {digest['expired']} 2020-01-01T00:00:00Z 2021-01-01T00:00:00Z\n"
        f"early {digest['early']} 2199-01-01T00:00:00+02:00\n"
        f"bounded {digest['bounded']} - 2199-01-01T00:00:00Z\n"
    )


class Secured(unittest.TestCase):
    """Files for a class of tests."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-trust-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)

    @classmethod
    def start(cls, **settings):
        daemon = process.Process(**settings)
        cls.addClassCleanup(daemon.stop)
        return daemon

    def channel(self, daemon, credentials=None):
        channel = daemon.channel(credentials=credentials)
        self.addCleanup(channel.close)
        return channel

    def assert_failure(self, actual, code, reason):
        self.assertEqual((actual.code, actual.reason), (code, reason), actual.message)


class Tls(Secured):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority, other = Authority(cls.directory, "ours"), Authority(cls.directory, "other")
        cls.server = cls.authority.server()
        cls.good = cls.authority.issue("good", "DNS:reader.example", "URI:spiffe://cluster/ns/reader")
        cls.bad = {
            "UNKNOWN_ISSUER": other.issue("stranger", "DNS:reader.example"),
            "EXPIRED": cls.authority.issue("expired", "DNS:reader.example", begins=-3 * DAY, ends=-DAY),
            "NOT_YET_VALID": cls.authority.issue("early", "DNS:reader.example", begins=DAY, ends=3 * DAY),
            "CERTIFICATE_MISSING": None,
        }
        cls.other_name = cls.authority.issue("writer", "DNS:writer.example")
        cls.nameless = cls.authority.issue("nameless")
        settings = {"tls__cert_file": cls.server.cert, "tls__key_file": cls.server.key, "server__handshake_ms": 700}
        mutual = {"tls__client_ca_file": cls.authority.root.cert}
        cls.tls = cls.start(**settings)
        cls.mutual = cls.start(**settings, **mutual)
        cls.named = cls.start(**settings, **mutual, tls__client_sans="spiffe://cluster/ns/other,reader.example")

    def credentials(self, pair=None):
        certificate = (pair.key.read_bytes(), pair.cert.read_bytes()) if pair else (None, None)
        return grpc.ssl_channel_credentials(self.authority.root.cert.read_bytes(), *certificate)

    def wrap(self, pair=None, protocols=("h2",)):
        """Wraps a socket as a client with this certificate."""
        context = ssl.create_default_context(cafile=self.authority.root.cert)
        if pair:
            context.load_cert_chain(pair.cert, pair.key)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return lambda plain: context.wrap_socket(plain, server_hostname="localhost")

    def failures(self, daemon, reason):
        return daemon.metrics().value("gleand_handshake_failures_total", reason=reason)

    def assert_handshake_fails(self, daemon, reason, attempt):
        """The attempt ends without a connection; metric and log name the reason; the next client is served."""
        before, lines = self.failures(daemon, reason), len(self.log_lines(daemon, reason))
        attempt()
        daemon.wait_for(lambda: self.failures(daemon, reason) > before, 5, f"no metric names {reason}")
        daemon.wait_for(lambda: len(self.log_lines(daemon, reason)) > lines, 5, f"no line names {reason}")
        documents.small(self.channel(daemon, self.credentials(self.good)))

    def log_lines(self, daemon, reason):
        return [line for line in daemon.log().splitlines() if reason in line and "handshake" in line]

    def test_a_client_is_served_over_tls_and_over_mutual_tls(self):
        for daemon, pair in ((self.tls, None), (self.tls, self.good), (self.mutual, self.good), (self.named, self.good)):
            found = documents.small(self.channel(daemon, self.credentials(pair)), include_text=True)
            self.assertIn("Mary Shelley", [mention.text for mention in found.results.mentions])

    def test_certificates_that_are_wrong_end_in_the_handshake(self):
        for reason, pair in self.bad.items():
            with self.subTest(reason=reason):

                def attempt(pair=pair):
                    # TLS 1.3 tells a client only when it reads.
                    with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)):
                        Frames(self.mutual.address, wrap=self.wrap(pair)).wait_for_goaway(5)

                self.assert_handshake_fails(self.mutual, reason, attempt)

                def call(pair=pair):
                    with self.assertRaises(grpc.RpcError) as raised:
                        documents.small(self.channel(self.mutual, self.credentials(pair)), timeout=5)
                    self.assertEqual(raised.exception.code(), Code.UNAVAILABLE)

                self.assert_handshake_fails(self.mutual, reason, call)

    def test_what_is_no_tls_at_all(self):
        def plain():
            with contextlib.suppress(ConnectionError):
                Frames(self.tls.address).wait_for_end(5)

        self.assert_handshake_fails(self.tls, "NOT_TLS", plain)

    def test_a_client_that_does_not_speak_http2(self):
        def attempt(protocols):
            with self.assertRaises((ssl.SSLError, ConnectionError, TimeoutError)):
                Frames(self.tls.address, silent=True, wrap=self.wrap(protocols=protocols)).wait_for_end(5)
                # An end without a word is a refusal too.
                raise ConnectionError

        for protocols in ((), ("http/1.1",)):
            with self.subTest(protocols=protocols):
                self.assert_handshake_fails(self.tls, "NO_ALPN", lambda protocols=protocols: attempt(protocols))

    def test_a_client_that_says_nothing_is_dropped(self):
        def silence():
            bare = Frames(self.tls.address, silent=True)
            took = bare.wait_for_end(5)
            self.assertTrue(0.5 < took < 2, took)

        self.assert_handshake_fails(self.tls, "TIMEOUT", silence)

    def test_many_silent_clients_do_not_lock_others_out(self):
        silent = [Frames(self.tls.address, silent=True) for _ in range(100)]
        started = time.monotonic()
        documents.small(self.channel(self.tls, self.credentials()), timeout=10)
        took = time.monotonic() - started
        print(f"\na client beside 100 that say nothing: served after {took:.2f} s")
        # At once, and not when their time is over.
        self.assertLess(took, 0.5)
        for one in silent:
            one.wait_for_end(5)
            one.close()

    def test_a_client_of_another_name_is_refused_by_each_call(self):
        for pair in (self.other_name, self.nameless):
            channel = self.channel(self.named, self.credentials(pair))
            calls = (
                lambda channel=channel: documents.small(channel),
                lambda channel=channel: documents.extract(channel, documents.TEXT.encode()),
                lambda channel=channel: models_grpc.ModelServiceStub(channel).GetModel(v1.GetModelRequest(), timeout=5),
            )
            for call in calls:
                self.assert_failure(failure(call), Code.PERMISSION_DENIED, "SAN_NOT_ALLOWED")
        # Health is not asked for a name.
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)

    def test_any_name_of_the_list_is_enough(self):
        pair = self.authority.issue("spiffe", "URI:spiffe://cluster/ns/other")
        documents.small(self.channel(self.named, self.credentials(pair)))
        line = self.named.wait_for_line("stream ended", identity="spiffe://cluster/ns/other")
        self.assertEqual((line["status"], line["reason"]), ("OK", "OK"))

    def test_the_expiry_of_certificates_is_measured(self):
        now = time.time()
        for which in ("server", "client_ca"):
            expiry = self.mutual.metrics().value("gleand_certificate_expiry_seconds", which=which)
            self.assertTrue(29 * 86400 < expiry - now < 31 * 86400, (which, expiry - now))


class Keys(Secured):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = cls.directory / "keys"
        path.write_text(keys_file(), encoding="ascii")
        cls.daemon = cls.start(auth__keys_file=path)
        cls.closed = cls.start(auth__keys_file=path, server__reflection="off", server__model_service="off")

    def services(self, daemon, metadata=None, version="v1"):
        method = self.channel(daemon).stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        response = next(iter(method(iter([request]), timeout=10, metadata=metadata)))
        return {service.name for service in response.list_services_response.service}

    def model(self, daemon, metadata=None):
        stub = models_grpc.ModelServiceStub(self.channel(daemon))
        return stub.GetModel(v1.GetModelRequest(), timeout=10, metadata=metadata).model

    def test_a_call_without_a_key_that_holds_is_refused(self):
        reasons = {
            "KEY_MISSING": [None, bearer(""), *((("authorization", value),) for value in ("", KEYS["reader"], "Basic YTpi"))],
            "KEY_INVALID": [bearer("no such key"), bearer(KEYS["reader"] + "x"), bearer(KEYS["reader"][:-1])],
            "KEY_EXPIRED": [bearer(KEYS["expired"])],
            "KEY_NOT_YET_VALID": [bearer(KEYS["early"])],
        }
        channel = self.channel(self.daemon)
        for reason, all_metadata in reasons.items():
            for metadata in all_metadata:
                with self.subTest(reason=reason, metadata=metadata):
                    calls = (
                        lambda metadata=metadata: documents.small(channel, metadata=metadata),
                        lambda metadata=metadata: documents.extract(channel, b"text", metadata=metadata),
                        lambda metadata=metadata: self.model(self.daemon, metadata),
                        lambda metadata=metadata: self.services(self.daemon, metadata),
                    )
                    for call in calls:
                        actual = failure(call)
                        self.assert_failure(actual, Code.UNAUTHENTICATED, reason)
                        self.assertFalse([key for key in KEYS.values() if key in actual.message + str(actual.metadata)])
            self.assertGreaterEqual(self.daemon.metrics().value("gleand_rejected_total", reason=reason), len(all_metadata))

    def test_a_key_that_holds_is_named_in_the_log_and_never_shown(self):
        for name in ("reader", "bounded"):
            documents.small(self.channel(self.daemon), metadata=bearer(KEYS[name]), request_id=f"by-{name}")
            documents.extract(self.channel(self.daemon), b"text", metadata=bearer(KEYS[name]), request_id=f"too-by-{name}")
            for request_id in (f"by-{name}", f"too-by-{name}"):
                line = self.daemon.wait_for_line("stream ended", request_id=request_id)
                self.assertEqual(line["identity"], name)
        for key in KEYS.values():
            self.assertNotIn(key, self.daemon.log())
            self.assertNotIn(hashlib.sha256(key.encode()).hexdigest(), self.daemon.log())

    def test_the_scheme_may_be_written_in_any_case(self):
        documents.small(self.channel(self.daemon), metadata=(("authorization", f"bearer {KEYS['reader']}"),))

    def test_reflection_and_models_need_the_key(self):
        metadata = bearer(KEYS["reader"])
        self.assertTrue(self.model(self.daemon, metadata).digest)
        for version in ("v1", "v1alpha"):
            self.assertIn("gleand.v1.ExtractionService", self.services(self.daemon, metadata, version))
            self.assert_failure(
                failure(lambda version=version: self.services(self.daemon, None, version)), Code.UNAUTHENTICATED, "KEY_MISSING"
            )

    def test_reflection_and_models_can_be_switched_off(self):
        metadata = bearer(KEYS["reader"])
        for call in (lambda: self.model(self.closed, metadata), lambda: self.services(self.closed, metadata)):
            self.assert_failure(failure(call), Code.UNIMPLEMENTED, "METHOD_UNKNOWN")
        documents.small(self.channel(self.closed), metadata=metadata)

    def test_health_needs_no_key_on_either_port(self):
        for address in (self.daemon.address, self.daemon.admin):
            with grpc.insecure_channel(address) as channel:
                response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
                self.assertEqual(response.status, health_pb2.HealthCheckResponse.SERVING)

    def test_what_does_not_exist_needs_the_key_too(self):
        method = self.channel(self.daemon).unary_unary("/gleand.v1.ExtractionService/Guess")
        self.assert_failure(failure(lambda: method(b"", timeout=5)), Code.UNAUTHENTICATED, "KEY_MISSING")


# A base for others, not a test of its own.
del Secured

if __name__ == "__main__":
    unittest.main()
