"""A configuration is checked as a whole before anything starts, and shown with its sources and without its secrets."""

import os
import pathlib
import re
import tempfile
import tomllib
import unittest

import process
from schema import ROOT

CGROUP = pathlib.Path("/sys/fs/cgroup")


class Config(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-trust-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def file(self, text, name="gleand.toml"):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    # --- mistakes ---------------------------------------------------------------------------------------------------

    def test_four_mistakes_of_one_file_are_told_at_once(self):
        path = self.file(
            '[server]\nstreams_max = 0\nlisten = "nowhere"\n[telemetry]\ntrace_ratio = "2"\n[admission]\nqueue = 1\n'
        )
        for command in ("serve", "config"):
            with self.subTest(command=command):
                done = process.run(command, "--config", path)
                self.assertEqual(done.returncode, 2, done.stderr)
                lines = [line for line in done.stderr.splitlines() if str(path) in line]
                self.assertEqual(len(lines), 4, done.stderr)
                told = {
                    "server.streams_max": ("1", "65536"),
                    "server.listen": ("address",),
                    "telemetry.trace_ratio": ("0", "1"),
                    "admission.queue": ("not a key",),
                }
                for key, bounds in told.items():
                    line = next((line for line in lines if key in line), None)
                    self.assertIsNotNone(line, f"{key} is not told: {done.stderr}")
                    for bound in bounds:
                        self.assertIn(bound, line.split(key, 1)[1])

    def test_each_source_is_named_with_its_mistake(self):
        path = self.file("[server]\nheartbeat_ms = 1\n")
        environment = {"GLEAND__TELEMETRY__TRACES": "sometimes", "GLEAND__SERVER__DRAIN_TIME": "3"}
        done = process.run(
            "serve", "--config", path, "--set", "admin.listen=here", "--set", "server.lame_duck_ms=-1", environment=environment
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        expected = {
            "server.heartbeat_ms": str(path),
            "telemetry.traces": "GLEAND__TELEMETRY__TRACES",
            "server.drain_time": "GLEAND__SERVER__DRAIN_TIME",
            "admin.listen": "--set",
            "server.lame_duck_ms": "--set",
        }
        for key, source in expected.items():
            self.assertRegex(done.stderr, rf"{re.escape(source)}.*{re.escape(key)}")

    def test_files_that_are_missing_or_do_not_belong_together(self):
        for settings in (
            {"tls__cert_file": self.directory / "absent.crt", "tls__key_file": self.directory / "absent.key"},
            {"tls__cert_file": self.file("nonsense", "tls.crt")},
            {"tls__client_ca_file": self.file("nonsense", "ca.crt")},
            {"tls__client_sans": "reader.example"},
            {"auth__keys_file": self.directory / "absent"},
            {"auth__keys_file": self.file("reader secret-that-is-no-digest\n", "keys")},
        ):
            with self.subTest(settings=list(settings)):
                done = process.run("serve", *process.assignments(process.DEFAULTS | settings))
                self.assertEqual(done.returncode, 2, done.stderr)
                key, value = next(iter(settings.items()))
                self.assertTrue(key.replace("__", ".") in done.stderr or str(value) in done.stderr, done.stderr)
                self.assertNotIn("secret-that-is-no-digest", done.stdout + done.stderr)

    def test_the_same_port_twice(self):
        port = process.free_ports(1)[0]
        done = process.run(
            "serve", *process.assignments({"server__listen": f"127.0.0.1:{port}", "admin__listen": f"127.0.0.1:{port}"})
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(str(port), done.stderr)

    # --- environment ------------------------------------------------------------------------------------------------

    def test_the_environment_of_a_kubernetes_service_is_silent(self):
        environment = {
            "GLEAND_SERVICE_HOST": "10.0.0.7",
            "GLEAND_SERVICE_PORT": "50051",
            "GLEAND_SERVICE_PORT_GRPC": "50051",
            "GLEAND_SERVICE_PORT_ADMIN": "9464",
            "GLEAND_PORT": "tcp://10.0.0.7:50051",
            **{
                f"GLEAND_PORT_{port}_TCP{end}": value
                for port in (50051, 9464)
                for end, value in {
                    "": f"tcp://10.0.0.7:{port}",
                    "_PROTO": "tcp",
                    "_PORT": str(port),
                    "_ADDR": "10.0.0.7",
                }.items()
            },
        }
        daemon = process.Process(environment=environment)
        self.addCleanup(daemon.kill)
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn("GLEAND_", daemon.log())
        self.assertNotIn("warning", daemon.log())
        self.assertEqual([line for line in daemon.lines() if line["level"] in ("WARN", "ERROR")], [])

    def test_other_names_of_ours_give_one_warning(self):
        daemon = process.Process(environment={"GLEAND_SERVER_LISTEN": "[::]:1", "GLEAND_DRAIN_MS": "1"})
        self.addCleanup(daemon.kill)
        self.assertEqual(daemon.stop(), 0)
        warnings = [line for line in daemon.log().splitlines() if "GLEAND_" in line]
        self.assertEqual(len(warnings), 1, daemon.log())
        for name in ("warning", "GLEAND_SERVER_LISTEN", "GLEAND_DRAIN_MS"):
            self.assertIn(name, warnings[0])

    # --- what is shown ----------------------------------------------------------------------------------------------

    def test_each_value_is_shown_with_its_source(self):
        path = self.file("[server]\ndrain_ms = 1000\nlame_duck_ms = 2000\nstreams_max = 300\n")
        environment = {"GLEAND__SERVER__LAME_DUCK_MS": "3000", "GLEAND__SERVER__STREAMS_MAX": "400"}
        done = process.run("config", "--config", path, "--set", "server.streams_max=500", environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = {
            "drain_ms": ("1000", f"file {path}"),
            "lame_duck_ms": ("3000", "environment variable GLEAND__SERVER__LAME_DUCK_MS"),
            "streams_max": ("500", "flag --set"),
            "connections_max": ("256", "default"),
        }
        for key, (value, source) in expected.items():
            self.assertRegex(done.stdout, rf"(?m)^{key} = {value} +# {re.escape(source)}$")
        for line in done.stdout.splitlines():
            self.assertTrue(not line or line.startswith(("[", "#")) or "  # " in line, f"no source: {line!r}")
        # The page is a file that gives the same configuration again.
        again = process.run("config", "--config", self.file(done.stdout, "again.toml"))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(tomllib.loads(again.stdout), tomllib.loads(done.stdout))

    def test_secrets_are_not_shown(self):
        secrets = {"auth__keys_file": "canary-of-keys", "otlp__headers_file": "canary-of-headers"}
        settings = {key: self.file(f"{value}\n", value[-4:]) for key, value in secrets.items()}
        done = process.run("config", *process.assignments(settings))
        for key, value in secrets.items():
            self.assertNotIn(value, done.stdout + done.stderr)
            self.assertIn(str(settings[key]), done.stdout + done.stderr)

    def test_the_page_of_the_documentation_is_up_to_date(self):
        done = process.run("config", "--markdown")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((ROOT / "deploy/CONFIGURATION.md").read_text(encoding="utf-8"), done.stdout)
        keys = tomllib.loads(process.run("config").stdout)
        for section, fields in keys.items():
            for field in fields:
                self.assertIn(f"{section}.{field}", done.stdout)

    # --- memory -----------------------------------------------------------------------------------------------------

    def worst_case(self, *arguments, prefix=()):
        done = process.run("config", *arguments, prefix=prefix)
        self.assertEqual(done.returncode, 0, done.stderr)
        last = done.stdout.rstrip().splitlines()[-1]
        return int(re.fullmatch(r"# Memory at worst: (\d+) bytes \([\d.]+ [MG]iB\)", last).group(1))

    def test_the_worst_case_grows_with_what_may_be_open(self):
        usual = self.worst_case()
        self.assertGreater(usual, 300 << 20)
        for assignment in (
            "server.streams_max=1024",
            "server.results_held_bytes_max=10000000",
            "server.message_bytes_max=60000000",
        ):
            self.assertGreater(self.worst_case("--set", assignment), usual, assignment)

    def test_more_memory_than_the_cgroup_has_is_refused_at_the_start(self):
        worst = self.worst_case()
        for limit, fits in ((worst - (100 << 20), False), (worst + (100 << 20), True)):
            # The kernel counts in pages.
            limit -= limit % 4096
            with self.subTest(limit=limit), MemoryGroup(limit) as group:
                if fits:
                    daemon = process.Process(prefix=group.enter)
                    self.addCleanup(daemon.kill)
                    self.assertEqual(daemon.stop(), 0)
                    continue
                done = process.run("serve", *process.assignments(process.DEFAULTS), prefix=group.enter)
                self.assertEqual(done.returncode, 2, done.stderr)
                for number in (worst, limit):
                    self.assertIn(str(number), done.stderr.replace("_", ""))


class MemoryGroup:
    """A cgroup with a limit of memory, version 1 or 2; `enter` before a command starts it inside."""

    def __init__(self, limit):
        name = f"gleand-trust-{os.getpid()}"
        if (CGROUP / "memory").is_dir():
            self._path, limit_file = CGROUP / "memory" / name, "memory.limit_in_bytes"
        else:
            (CGROUP / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
            self._path, limit_file = CGROUP / name, "memory.max"
        self._path.mkdir()
        (self._path / limit_file).write_text(str(limit), encoding="ascii")
        self.enter = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._path / "cgroup.procs"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._path.rmdir()


if __name__ == "__main__":
    unittest.main()
