"""A model hub on the network of a pod: files of a folder under the addresses of the Hugging Face Hub."""

import hashlib
import http.server
import pathlib
import ssl
import threading


class Hub:
    """Serves `folder` as the one revision of the one model. `changed` names a file that comes with another last byte,
    `pair` is a certificate with its key."""

    def __init__(self, folder, address="127.0.0.1", model="books/reader", revision="0123456789abcdef", token=None, changed=None, pair=None):
        self.revision, self.asked = revision, []
        hub, folder, base = self, pathlib.Path(folder), f"/{model}/resolve/{revision}/"

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802 (the name is the library's)
                hub.asked.append(self.path)
                path = folder / self.path.removeprefix(base)
                if token and self.headers["authorization"] != f"Bearer {token}":
                    self._answer(401, b"")
                elif not self.path.startswith(base) or "/" in self.path.removeprefix(base) or not path.is_file():
                    self._answer(404, b"")
                else:
                    content = path.read_bytes()
                    if path.name == changed:
                        content = content[:-1] + bytes([content[-1] ^ 1])
                    self._answer(200, content)

            def _answer(self, status, content):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.send_header("etag", f'"{hashlib.sha1(content).hexdigest()}"')
                self.send_header("x-repo-commit", revision)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if pair else 'http'}://{address}:{self._server.server_address[1]}/{model}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        """Serves no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


def hashes(folder):
    """SHA-256 of every file of a folder, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(pathlib.Path(folder).iterdir())}
