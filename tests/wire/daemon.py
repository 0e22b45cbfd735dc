"""A daemon for the time of a test."""

import os
import socket
import subprocess

import grpc

READY_SECONDS = 60


class Daemon:
    """`gleand serve` on a free port of loopback, with keys of the configuration as `settings`."""

    def __init__(self, **settings):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [os.environ["GLEAND_BIN"], "serve", "--listen", self.address, "--log-level", "warn"]
        for key, value in settings.items():
            command += ["--set", f"{key.replace('__', '.')}={value}"]
        self._process = subprocess.Popen(command)
        try:
            with self.channel() as channel:
                grpc.channel_ready_future(channel).result(timeout=READY_SECONDS)
                self._wait_until_serving(channel)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def _wait_until_serving(channel):
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=READY_SECONDS)
        for response in watch:
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return
        raise RuntimeError("the daemon never serves")

    def channel(self, *options):
        """A connection of its own; messages of any size may be sent."""
        base = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.max_send_message_length", -1),
        ]
        return grpc.insecure_channel(self.address, options=base + list(options))

    def rss_bytes(self):
        """Memory of the daemon as the kernel counts it."""
        with open(f"/proc/{self._process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def stop(self):
        """Ends the daemon and returns its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
