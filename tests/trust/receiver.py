"""OTLP receivers of both protocols that keep everything they get: a real gRPC server and a real HTTPS server."""

import concurrent.futures
import gzip
import http.server
import ssl
import threading
import time

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

REQUESTS = {
    "traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse),
    "metrics": (metrics_service_pb2.ExportMetricsServiceRequest, metrics_service_pb2.ExportMetricsServiceResponse),
    "logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse),
}

# Short intervals of the SDK, so that a test does not wait for a minute.
QUICK = {
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_BLRP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
}


class Received:
    """What came, in the order of its arrival; shared by the threads of a server and a test."""

    def __init__(self):
        self._news = threading.Condition()
        self._requests = {signal: [] for signal in REQUESTS}
        self.headers = []

    def add(self, signal, request, headers):
        """Keeps one request."""
        with self._news:
            self._requests[signal].append(request)
            self.headers.append({key.lower(): value for key, value in headers})
            self._news.notify_all()

    def requests(self, signal):
        """The requests of a signal so far."""
        with self._news:
            return list(self._requests[signal])

    def raw(self):
        """Every byte that came, strings as they are."""
        with self._news:
            return b"".join(request.SerializeToString() for all in self._requests.values() for request in all)

    def spans(self):
        """All trace spans."""
        requests = self.requests("traces")
        scopes = (scope for one in requests for resource in one.resource_spans for scope in resource.scope_spans)
        return [span for scope in scopes for span in scope.spans]

    def metrics(self):
        """The last state of every metric, by name."""
        requests = self.requests("metrics")
        scopes = (scope for one in requests for resource in one.resource_metrics for scope in resource.scope_metrics)
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def logs(self):
        """All log records."""
        requests = self.requests("logs")
        scopes = (scope for one in requests for resource in one.resource_logs for scope in resource.scope_logs)
        return [record for scope in scopes for record in scope.log_records]

    def resources(self):
        """The attributes of every resource that anything came from."""
        fields = {"traces": "resource_spans", "metrics": "resource_metrics", "logs": "resource_logs"}
        found = [getattr(one, fields[signal]) for signal in REQUESTS for one in self.requests(signal)]
        return [attributes(part.resource) for parts in found for part in parts]

    def wait_for(self, condition, seconds=15):
        """What `condition` gives as soon as it is true; asked again whenever something comes."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            left = deadline - time.monotonic()
            if left <= 0:
                counts = {signal: len(self.requests(signal)) for signal in REQUESTS}
                raise AssertionError(f"it did not come within {seconds} s; requests: {counts}")
            with self._news:
                self._news.wait(min(left, 0.2))
        return value


def attributes(part):
    """Attributes of a resource, trace span, event, log record or data point, as Python values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in part.attributes}


class GrpcReceiver(Received):
    """OTLP over gRPC on a free port of loopback; with TLS where there is a `pair`, a certificate with its key."""

    def __init__(self, pair=None):
        super().__init__()
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        registered = {
            "traces": trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
            "metrics": metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
            "logs": logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
        }
        for signal, register in registered.items():
            register(_Servicer(self, signal), self._server)
        if pair is None:
            self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        else:
            credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.cert.read_bytes())])
            self.endpoint = f"https://localhost:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def close(self):
        """Takes no more."""
        self._server.stop(0).wait()


class _Servicer:
    def __init__(self, received, signal):
        self._received, self._signal = received, signal

    def Export(self, request, context):  # noqa: N802 (the name is the protocol's)
        """Keeps a request."""
        headers = [(key, value) for key, value in context.invocation_metadata() if isinstance(value, str)]
        self._received.add(self._signal, request, headers)
        return REQUESTS[self._signal][1]()


class HttpsReceiver(Received):
    """OTLP over HTTPS with protobuf bodies on a free port of loopback; `pair` is its certificate."""

    def __init__(self, pair):
        super().__init__()
        received = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802 (the name is the library's)
                body = self.rfile.read(int(self.headers["content-length"]))
                signal = self.path.removeprefix("/v1/")
                if signal not in REQUESTS or self.headers["content-type"] != "application/x-protobuf":
                    self.send_error(404)
                    return
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                received.add(signal, REQUESTS[signal][0].FromString(body), self.headers.items())
                answer = REQUESTS[signal][1]().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                """Says nothing."""

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """Says nothing about clients that do not like our certificate."""

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.daemon_threads = True
        self.endpoint = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        """Takes no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)
