"""Traces, metrics and logs reach a receiver by OTLP over gRPC and over HTTPS, and none of it is in the way of the work."""

import os
import pathlib
import socket
import tempfile
import time
import unittest

import documents
import process
from certs import Authority
from opentelemetry.proto.trace.v1 import trace_pb2
from receiver import QUICK, GrpcReceiver, HttpsReceiver, attributes

METHOD = "gleand.v1.ExtractionService/ExtractStream"
DOCUMENT = documents.cut(1, 5000)[0]

# What the line of an ended stream says.
FIELDS = {
    "request_id", "identity", "method", "status", "reason", "bytes", "words", "windows", "queue_ms", "compute_ms", "total_ms",
    "trace_id",
}  # fmt: skip

# Some of what is pushed; /metrics has all of it, which test_deploy holds against rules and dashboard.
METRICS = {
    "rpc.server.call.duration", "gleand.streams.active", "gleand.words", "gleand.windows", "gleand.queue.duration",
    "gleand.batch.duration", "gleand.build.info", "gleand.ready", "process.cpu.time", "process.memory.usage",
    "process.unix.file_descriptor.count",
}  # fmt: skip


def new_context(sampled=True):
    """A trace context of a client: trace, span, and the metadata that carries both."""
    trace, span = os.urandom(16), os.urandom(8)
    return trace, span, (("traceparent", f"00-{trace.hex()}-{span.hex()}-{int(sampled):02d}"),)


class Telemetry(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-trust-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def receiver(self, receiver):
        self.addCleanup(receiver.close)
        return receiver

    def daemon(self, environment=None, **settings):
        daemon = process.Process(environment=QUICK | (environment or {}), **settings)
        self.addCleanup(daemon.kill)
        return daemon

    def extract(self, daemon, metadata=None, **fields):
        with daemon.channel() as channel:
            return documents.extract(channel, DOCUMENT, metadata=metadata, **fields)

    def spans_of(self, receiver, trace):
        return [span for span in receiver.spans() if span.trace_id == trace]

    def assert_everything_arrives(self, daemon, receiver, headers):
        """One document: its trace hangs together, and its metrics and its line come too."""
        trace, parent, metadata = new_context()
        windows = self.extract(daemon, metadata, request_id="one-document")[-1].done.windows
        call = receiver.wait_for(
            lambda: next((span for span in self.spans_of(receiver, trace) if span.parent_span_id == parent), None)
        )
        self.assertEqual((call.name, call.kind), (METHOD, trace_pb2.Span.SPAN_KIND_SERVER))
        said = attributes(call)
        self.assertEqual(said["rpc.system.name"], "grpc")
        self.assertEqual(said["rpc.method"], METHOD)
        self.assertEqual(said["rpc.response.status_code"], "OK")
        children = [span for span in self.spans_of(receiver, trace) if span.parent_span_id == call.span_id]
        self.assertEqual({span.name for span in children}, {"window"})
        self.assertEqual(len(children), windows)
        identifiers = {span.span_id for span in children}
        batches = receiver.wait_for(
            lambda: [span for span in receiver.spans() if span.links and span.links[0].trace_id == trace]
        )
        linked = {link.span_id for span in batches for link in span.links}
        self.assertEqual({span.name for span in batches}, {"batch"})
        self.assertEqual(linked, identifiers, "every window is in a batch, and nothing else")
        for span in children:
            self.assertGreaterEqual(span.start_time_unix_nano, call.start_time_unix_nano)
            self.assertLessEqual(span.end_time_unix_nano, call.end_time_unix_nano)

        receiver.wait_for(lambda: receiver.metrics().keys() >= METRICS)
        words = receiver.metrics()["gleand.words"].sum.data_points[0].as_int
        receiver.wait_for(lambda: receiver.metrics()["gleand.words"].sum.data_points[0].as_int > 0)
        self.assertGreaterEqual(receiver.metrics()["gleand.words"].sum.data_points[0].as_int, words)
        record = receiver.wait_for(
            lambda: next((one for one in receiver.logs() if attributes(one).get("request_id") == "one-document"), None)
        )
        self.assertEqual(record.body.string_value, "stream ended")
        self.assertLessEqual(FIELDS, attributes(record).keys())
        for sent in receiver.headers:
            self.assertLessEqual(headers.items(), sent.items())
        self.assertTrue(all(resource["service.name"] == "gleand" for resource in receiver.resources()))
        print(f"\n{type(receiver).__name__}: {1 + len(children) + len(batches)} trace spans of one document, "
              f"{len(receiver.metrics())} metrics, {len(receiver.logs())} log records")  # fmt: skip

    # --- the two protocols ------------------------------------------------------------------------------------------

    def test_over_grpc(self):
        receiver = self.receiver(GrpcReceiver())
        headers = self.directory / "headers"
        headers.write_text("authorization: Bearer of-the-receiver\nx-tenant: trust\n", encoding="ascii")
        daemon = self.daemon(otlp__endpoint=receiver.endpoint, otlp__headers_file=headers)
        self.assert_everything_arrives(daemon, receiver, {"authorization": "Bearer of-the-receiver", "x-tenant": "trust"})
        self.assertNotIn("of-the-receiver", daemon.log())
        self.assertEqual(daemon.stop(), 0)

    def test_over_https(self):
        authority = Authority(self.directory, "receivers")
        receiver = self.receiver(HttpsReceiver(authority.server()))
        headers = self.directory / "headers"
        headers.write_text("authorization: Bearer of-the-receiver\n", encoding="ascii")
        daemon = self.daemon(
            otlp__endpoint=receiver.endpoint,
            otlp__protocol="http/protobuf",
            otlp__ca_file=authority.root.cert,
            otlp__headers_file=headers,
        )
        self.assert_everything_arrives(daemon, receiver, {"authorization": "Bearer of-the-receiver"})
        self.assertEqual(daemon.stop(), 0)

    def test_a_receiver_of_another_authority_gets_nothing(self):
        ours, other = Authority(self.directory, "ours"), Authority(self.directory, "other")
        receiver = self.receiver(HttpsReceiver(other.server()))
        daemon = self.daemon(otlp__endpoint=receiver.endpoint, otlp__protocol="http/protobuf", otlp__ca_file=ours.root.cert)
        self.extract(daemon)
        time.sleep(1)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(receiver.raw(), b"")

    # --- what is sampled --------------------------------------------------------------------------------------------

    def test_windows_beyond_the_limit_are_counted_only(self):
        receiver = self.receiver(GrpcReceiver())
        daemon = self.daemon(otlp__endpoint=receiver.endpoint, telemetry__trace_windows_max=5)
        trace, parent, metadata = new_context()
        windows = self.extract(daemon, metadata)[-1].done.windows
        call = receiver.wait_for(
            lambda: next((span for span in self.spans_of(receiver, trace) if span.parent_span_id == parent), None)
        )
        daemon.stop()
        self.assertEqual(len([span for span in receiver.spans() if span.parent_span_id == call.span_id]), 5)
        self.assertEqual(attributes(call)["gleand.windows.omitted"], windows - 5)
        omitted = receiver.metrics()["gleand.trace.windows.omitted"].sum.data_points[0].as_int
        self.assertEqual(omitted, windows - 5)

    def test_the_caller_decides_what_is_sampled_else_the_ratio(self):
        receiver = self.receiver(GrpcReceiver())
        daemon = self.daemon(otlp__endpoint=receiver.endpoint, telemetry__trace_ratio=0)
        wanted, _, metadata = new_context(sampled=True)
        unwanted, _, other_metadata = new_context(sampled=False)
        self.extract(daemon, other_metadata)
        self.extract(daemon)
        self.extract(daemon, metadata)
        receiver.wait_for(lambda: self.spans_of(receiver, wanted))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual({span.trace_id for span in receiver.spans()}, {wanted})
        traces = [line["trace_id"] for line in daemon.lines("stream ended")]
        # The line names the trace of the caller whether or not it is kept here.
        self.assertEqual((traces[0], traces[2]), (unwanted.hex(), wanted.hex()))

    # --- the variables of the SDK -----------------------------------------------------------------------------------

    def test_the_variables_of_opentelemetry_are_honoured(self):
        receiver = self.receiver(GrpcReceiver())
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-from=environment",
            "OTEL_SERVICE_NAME": "reader-of-books",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=trust",
            "OTEL_TRACES_SAMPLER_ARG": "0",
        }
        daemon = self.daemon(variables)
        self.extract(daemon)
        receiver.wait_for(lambda: receiver.requests("metrics") and receiver.requests("logs"))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(receiver.spans(), [])
        for resource in receiver.resources():
            self.assertEqual(resource["service.name"], "reader-of-books")
            self.assertEqual(resource["deployment.environment.name"], "trust")
        self.assertTrue(all(sent.get("x-from") == "environment" for sent in receiver.headers))

    def test_our_keys_win_over_the_variables(self):
        ours, theirs = self.receiver(GrpcReceiver()), self.receiver(GrpcReceiver())
        headers = self.directory / "headers"
        headers.write_text("x-from: file\n", encoding="ascii")
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": theirs.endpoint,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": theirs.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-from=environment",
            "OTEL_TRACES_SAMPLER_ARG": "0",
        }
        daemon = self.daemon(
            variables,
            otlp__endpoint=ours.endpoint,
            otlp__protocol="grpc",
            otlp__headers_file=headers,
            telemetry__trace_ratio=1,
            telemetry__logs="none",
        )
        self.extract(daemon)
        ours.wait_for(lambda: ours.spans() and ours.requests("metrics"))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(ours.logs(), [])
        self.assertEqual(theirs.raw(), b"")
        self.assertEqual({sent["x-from"] for sent in ours.headers}, {"file"})

    def test_nothing_is_pushed_without_an_endpoint(self):
        daemon = self.daemon()
        self.extract(daemon)
        metrics = daemon.metrics()
        self.assertGreater(metrics.value("gleand_words_total"), 0)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual([line for line in daemon.lines() if line["level"] in ("WARN", "ERROR")], [])

    # --- the log and the admin port ---------------------------------------------------------------------------------

    def test_one_line_for_each_ended_stream(self):
        daemon = self.daemon()
        trace, _, metadata = new_context()
        done = self.extract(daemon, metadata, request_id="a.b_c-1")[-1].done
        line = daemon.wait_for_line("stream ended", request_id="a.b_c-1")
        self.assertLessEqual(FIELDS, line.keys())
        expected = {
            "identity": "-",
            "method": METHOD,
            "status": "OK",
            "reason": "OK",
            "bytes": len(DOCUMENT),
            "words": done.words,
            "windows": done.windows,
            "trace_id": trace.hex(),
        }
        self.assertEqual({key: line[key] for key in expected}, expected)
        self.assertEqual(line["target"], "gleand::stream")
        self.assertGreater(line["compute_ms"], 0)
        self.assertGreaterEqual(line["total_ms"] + 1, line["compute_ms"] / 2)
        with daemon.channel() as channel:
            documents.small(channel)
        daemon.wait_for(lambda: len(daemon.lines("stream ended")) == 2, 5, "not one line a stream")

    def test_a_request_id_comes_back_if_it_can_stand_in_a_log(self):
        daemon = self.daemon()
        with daemon.channel() as channel:
            for request_id, taken in {
                "order-7.B_2": True,
                "x" * 64: True,
                "x" * 65: False,
                "two words": False,
                "": False,
            }.items():
                lines = [line["request_id"] for line in daemon.lines("stream ended")]
                stream = documents.Open(channel, request_id=request_id)
                stream.send(documents.TEXT.encode())
                stream.finish()
                echoed = dict(stream.call.initial_metadata())["x-request-id"]
                daemon.wait_for_line("stream ended", request_id=echoed)
                self.assertEqual(echoed == request_id, taken, (request_id, echoed))
                self.assertNotIn(echoed, lines, "the server made one twice")

    def test_the_admin_port_has_its_pages_and_no_more(self):
        daemon = self.daemon()
        self.assertEqual(daemon.get("/livez"), (200, "ok"))
        self.assertEqual(daemon.get("/readyz"), (200, "ready"))
        for path in ("/", "/metrics/", "/debug", "/readyz/x"):
            self.assertEqual(daemon.get(path)[0], 404, path)
        self.assertEqual([name for name in daemon.metrics().names() if "scope" in name or name == "target_info"], [])
        info = daemon.metrics().matching("gleand_build_info")
        self.assertEqual(len(info), 1)
        self.assertLessEqual({"version", "model", "model_digest"}, info[0][0].keys())

    # --- receivers that are not there -------------------------------------------------------------------------------

    def test_a_receiver_that_is_down_or_mute_disturbs_nothing(self):
        expected, _ = documents.undisturbed(self.daemon(), [DOCUMENT])
        with socket.create_server(("127.0.0.1", 0)) as mute:
            down = process.free_ports(1)[0]
            for name, port in (("down", down), ("mute", mute.getsockname()[1])):
                for protocol in ("grpc", "http/protobuf"):
                    with self.subTest(receiver=name, protocol=protocol):
                        daemon = self.daemon(otlp__endpoint=f"http://127.0.0.1:{port}", otlp__protocol=protocol)
                        self.assertEqual(documents.lines(self.extract(daemon)), expected[0])
                        started = time.monotonic()
                        self.assertEqual(daemon.stop(20), 0)
                        took = time.monotonic() - started
                        print(f"\nreceiver {name}, {protocol}: gone {took:.1f} s after SIGTERM")
                        self.assertLess(took, 8)


if __name__ == "__main__":
    unittest.main()
