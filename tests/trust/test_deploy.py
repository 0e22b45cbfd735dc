"""What deploy/ holds is right: rules, runbook, dashboard, units and proxies, against a daemon and the programs that read them.

Debian packages prometheus (which has promtool), openssl and systemd; envoy from requirements.txt.
"""

import hashlib
import itertools
import json
import os
import pathlib
import re
import socket
import sys
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT / "tests/wire"), str(ROOT / "tests/trust")) if path not in sys.path]

import documents
import grpc
import process
import promtool
import yaml
from certs import Authority
from failure import failure
from metrics import Metrics

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"
CASES = DEPLOY / "prometheus/tests.yml"
RUNBOOK = DEPLOY / "RUNBOOK.md"
DASHBOARD = DEPLOY / "grafana/dashboard.json"
UNIT = DEPLOY / "systemd/gleand.service"

# Every file that names metrics.
WITH_METRICS = [RULES, CASES, RUNBOOK, DASHBOARD, DEPLOY / "README.md"]

# What Grafana shows on 1080 lines, in units of its grid (38 pixels each).
SCREEN_UNITS = 26
ROWS = ["Traffic", "Latency", "Queue and batches", "Admission", "Results", "Process", "Security and telemetry"]

KEY = "a-key-for-the-test-of-deploy"


def text(path):
    return path.read_text(encoding="utf-8")


def load(path):
    return yaml.safe_load(text(path))


def alerts():
    """All alerts, by name."""
    rules = itertools.chain.from_iterable(group["rules"] for group in load(RULES)["groups"])
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def panels(dashboard):
    """All panels but rows, wherever they are."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def expressions(dashboard):
    """Every expression, with the variables of Grafana filled in."""
    found = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    values = {"$__rate_interval": "1m", "$job": "gleand", "$instance": ".+"}
    for variable, value in values.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


class Rules(unittest.TestCase):
    def assert_clean(self, *command, **given):
        status, output = promtool.call(*command, **given)
        self.assertEqual(status, 0, output)
        return output

    def test_promtool_likes_the_rules_and_the_example(self):
        self.assert_clean("promtool", "check", "rules", RULES)
        self.assert_clean("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")

    def test_the_cases_of_the_alerts_hold(self):
        self.assert_clean("promtool", "test", "rules", CASES)

    def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(self):
        fires, quiet = set(), set()
        for case in itertools.chain.from_iterable(case["promql_expr_test"] for case in load(CASES)["tests"]):
            name = re.fullmatch(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', case["expr"]).group(1)
            (fires if case["exp_samples"] else quiet).add(name)
        self.assertEqual(fires, set(alerts()))
        self.assertEqual(quiet, set(alerts()))

    def test_every_alert_says_what_it_is_and_has_a_section_of_the_runbook(self):
        sections = re.split(r"^### ", text(RUNBOOK), flags=re.MULTILINE)[1:]
        found = [section.partition("\n")[0] for section in sections]
        self.assertEqual(found, list(alerts()), "the sections are the alerts, in their order")
        for section in sections:
            for part in ("Meaning", "Look at", "Do"):
                self.assertIn(f"- **{part}**: ", section)
        for name, alert in alerts().items():
            with self.subTest(name):
                self.assertIn(alert["labels"]["severity"], ("page", "ticket"))
                self.assertEqual(set(alert["annotations"]), {"summary", "description", "runbook_url"})
                self.assertEqual(alert["annotations"]["runbook_url"], f"deploy/RUNBOOK.md#{name.lower()}")
                self.assertLess(len(alert["annotations"]["summary"]), 120)

    def test_every_link_in_deploy_leads_somewhere(self):
        for page in DEPLOY.rglob("*.md"):
            headings = re.findall(r"^#+ (.+)$", text(page), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            targets = re.findall(r"\]\(([^)]+)\)", text(page))
            for target in (target for target in targets if not target.startswith("https://")):
                file, _, anchor = target.partition("#")
                with self.subTest(page=page.name, target=target):
                    self.assertTrue((page.parent / file).exists())
                    self.assertTrue(not anchor or file or anchor in anchors)


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboard = json.loads(text(DASHBOARD))

    def test_it_can_be_imported_and_finds_its_data_by_variables(self):
        self.assertEqual((self.dashboard["uid"], self.dashboard["schemaVersion"]), ("gleand", 41))
        self.assertNotIn("id", self.dashboard, "an id would overwrite somebody's dashboard")
        variables = {variable["name"]: variable["type"] for variable in self.dashboard["templating"]["list"]}
        self.assertEqual(variables, {"datasource": "datasource", "job": "query", "instance": "query"})
        for panel in panels(self.dashboard):
            for source in (panel, *panel["targets"]):
                self.assertEqual(source["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    def test_every_panel_has_a_title_a_unit_and_a_description(self):
        for panel in panels(self.dashboard):
            with self.subTest(panel["title"]):
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertGreater(len(panel["description"]), 10)
                references = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(references), len(set(references)))

    def test_ids_and_titles_are_unique_and_the_rows_are_all_there(self):
        every = [*panels(self.dashboard), *(panel for panel in self.dashboard["panels"] if panel["type"] == "row")]
        ids, titles = [panel["id"] for panel in every], [panel["title"] for panel in every]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(len(titles), len(set(titles)))
        self.assertEqual([panel["title"] for panel in self.dashboard["panels"] if panel["type"] == "row"], ROWS)

    def test_no_panel_lies_on_another_and_all_of_it_fits_on_a_screen(self):
        rows = [panel for panel in self.dashboard["panels"] if panel["type"] == "row"]
        for container in [self.dashboard["panels"], *(row["panels"] for row in rows)]:
            taken = {}
            for panel in container:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertIsNone(taken.get((x, y)), f"{panel['title']} lies on {taken.get((x, y))}")
                        taken[x, y] = panel["title"]
            lines = [y for _, y in taken]
            self.assertLessEqual(max(lines, default=0) + 1 - min(lines, default=0), SCREEN_UNITS)

    def test_every_expression_parses(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
            file.write(promtool.rules_of(expressions(self.dashboard)))
            file.flush()
            status, output = promtool.call("promtool", "check", "rules", file.name)
        self.assertEqual(status, 0, output)


class Surroundings(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="gleand-deploy-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def test_envoy_likes_its_configuration(self):
        status, output = promtool.call("envoy", "--mode", "validate", "-c", DEPLOY / "envoy/envoy.yaml", "--log-level", "warn")
        self.assertEqual(status, 0, output)
        self.assertNotIn("deprecated", output.lower())

    def test_envoy_has_no_clock_that_a_long_stream_runs_into(self):
        resources = load(DEPLOY / "envoy/envoy.yaml")["static_resources"]
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        self.assertEqual((manager["stream_idle_timeout"], manager["request_timeout"]), ("0s", "0s"))
        for clock in ("max_stream_duration", "max_connection_duration"):
            self.assertNotIn(clock, manager["common_http_protocol_options"])
        for route in (route["route"] for route in manager["route_config"]["virtual_hosts"][0]["routes"]):
            self.assertEqual((route["timeout"], route["idle_timeout"]), ("0s", "0s"))
            self.assertEqual(set(route["max_stream_duration"].values()), {"0s"})
            # Only what cannot have reached a daemon.
            self.assertEqual(set(route["retry_policy"]["retry_on"].split(",")), {"connect-failure", "refused-stream"})
        cluster = resources["clusters"][0]
        self.assertEqual(cluster["health_checks"][0]["http_health_check"]["path"], "/readyz")
        for interval in ("interval", "no_traffic_interval", "unhealthy_interval"):
            self.assertEqual(cluster["health_checks"][0][interval], "1s")
        self.assertFalse(cluster["close_connections_on_host_health_failure"])
        self.assertEqual(len(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]), 2)

    def test_systemd_likes_the_unit_and_finds_little_that_it_may_do(self):
        unit = self.directory / "gleand.service"
        unit.write_text(text(UNIT).replace("/usr/local/bin/gleand", os.environ["GLEAND_BIN"]), encoding="utf-8")
        status, output = promtool.call("systemd-analyze", "verify", unit)
        self.assertEqual((status, output), (0, ""))
        # In tenths: 0 may do nothing, 100 everything. Most services have 96.
        status, output = promtool.call("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit)
        self.assertEqual(status, 0, output)

    def test_the_configuration_in_the_systemd_readme_is_accepted(self):
        example = re.search(r"```toml\n(.*?)```", text(DEPLOY / "systemd/README.md"), re.DOTALL).group(1)
        pair = Authority(self.directory, "ours").server()
        keys = self.directory / "keys"
        keys.write_text(f"reader {hashlib.sha256(KEY.encode()).hexdigest()}\n", encoding="ascii")
        for path, here in (("tls.crt", pair.cert), ("tls.key", pair.key), ("keys", keys)):
            example = example.replace(f'"/etc/gleand/{path}"', f'"{here}"')
        self.assertNotIn("/etc/", example)
        self.assertEqual(set(tomllib.loads(example)), {"server", "tls", "auth"})
        file = self.directory / "gleand.toml"
        file.write_text(example, encoding="utf-8")
        done = process.run("config", "--config", file)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_environment_for_the_collector_is_accepted(self):
        lines = (line for line in text(DEPLOY / "opentelemetry/gleand.env").splitlines() if line and line[0] != "#")
        environment = dict(line.split("=", 1) for line in lines)
        done = process.run("config", environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("trace_ratio", done.stdout)

    def test_the_collector_uses_what_it_defines_and_defines_what_it_uses(self):
        collector = load(DEPLOY / "opentelemetry/collector.yaml")
        pipelines = collector["service"]["pipelines"]
        self.assertEqual(set(pipelines), {"traces", "metrics", "logs"})
        for kind in ("receivers", "processors", "exporters"):
            used = set(itertools.chain.from_iterable(pipeline[kind] for pipeline in pipelines.values()))
            self.assertEqual(used, set(collector[kind]))
        self.assertEqual(collector["service"]["extensions"], list(collector["extensions"]))
        for pipeline in pipelines.values():
            self.assertEqual(pipeline["processors"][0], "memory_limiter")


class Live(unittest.TestCase):
    """A daemon with TLS and keys, so that it shows every metric; a document, a refusal, a failed handshake, a cancel."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="gleand-deploy-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        authority = Authority(cls.directory, "ours")
        cls.root, pair = authority.root.cert.read_bytes(), authority.server()
        keys = cls.directory / "keys"
        keys.write_text(f"reader {hashlib.sha256(KEY.encode()).hexdigest()}\n", encoding="ascii")
        cls.daemon = process.Process(tls__cert_file=pair.cert, tls__key_file=pair.key, auth__keys_file=keys)
        cls.addClassCleanup(cls.daemon.kill)
        firing = cls.directory / "firing.yml"
        firing.write_text(promtool.firing_at_once(load(RULES)), encoding="utf-8")
        example = DEPLOY / "prometheus/prometheus.yml"
        cls.prometheus = promtool.Prometheus(cls.directory, example, cls.daemon.admin, firing)
        cls.addClassCleanup(cls.prometheus.close)
        cls.prometheus.wait_for(lambda: cls.is_up(), 60, lambda: "Prometheus never sees the daemon")
        cls.work()
        cls.metrics = Metrics(promtool.page(cls.daemon.admin))

    @classmethod
    def is_up(cls):
        return cls.prometheus.query('up{job="gleand"} == 1')

    @classmethod
    def work(cls):
        """One of each thing that shows a metric."""
        credentials = grpc.ssl_channel_credentials(cls.root)
        with cls.daemon.channel(credentials=credentials) as channel:
            bearer = (("authorization", f"Bearer {KEY}"),)
            documents.extract(channel, documents.cut(1, 5000)[0], metadata=bearer)
            documents.small(channel, metadata=bearer)
            refused = failure(lambda: documents.small(channel))
            assert refused.reason == "KEY_MISSING", refused.reason
        host, port = cls.daemon.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            plain.settimeout(10)
            while plain.recv(1000):
                pass
        cls.daemon.wait_for_metric("gleand_handshake_failures_total", lambda value: value >= 1)
        cls.daemon.wait_for_metric("gleand_streams_active", 0)

    def test_promtool_likes_the_metrics(self):
        status, output = promtool.call("promtool", "check", "metrics", text=self.metrics.text)
        self.assertEqual((status, output), (0, ""))

    def test_every_metric_that_deploy_names_is_shown(self):
        for path in WITH_METRICS:
            with self.subTest(path.name):
                self.assertEqual(promtool.names(text(path)) - self.shown(), set())

    def shown(self):
        """Samples, and histograms by the name of their family too."""
        families = {line.split()[2] for line in self.metrics.text.splitlines() if line.startswith("# TYPE ")}
        return self.metrics.names() | families

    def test_every_metric_that_is_shown_is_somewhere_on_the_dashboard(self):
        families = {line.split()[2] for line in self.metrics.text.splitlines() if line.startswith("# TYPE ")}
        board = {re.sub(r"_(bucket|sum|count)$", "", name) for name in promtool.names(text(DASHBOARD))}
        self.assertEqual(families - board - promtool.names(text(DASHBOARD)), set())

    def test_every_label_that_is_asked_for_is_a_label_of_that_metric(self):
        asked = promtool.selected_labels(" ".join(rule["expr"] for group in load(RULES)["groups"] for rule in group["rules"]))
        asked |= promtool.selected_labels(" ".join(expressions(json.loads(text(DASHBOARD)))))
        self.assertGreater(len(asked), 5)
        has = {(name, label) for name, labels, _ in self.metrics.samples for label in labels}
        self.assertEqual(asked - has, set())

    def test_prometheus_scrapes_it_and_counts_its_words(self):
        self.assertEqual([value for _, value in self.is_up()], [1])
        shown = self.metrics.value("gleand_words_total")
        self.assertGreater(shown, 500)
        expression = "sum(gleand_words_total)"
        self.prometheus.wait_for(
            lambda: [value for _, value in self.prometheus.query(expression)] == [shown], 15,
            lambda: f"{expression} is {self.prometheus.query(expression)}, not {shown}",
        )  # fmt: skip

    def test_every_panel_of_the_dashboard_shows_something(self):
        dashboard = json.loads(text(DASHBOARD))
        # Annotations are restarts, of which there are none.
        waiting = set(expressions(dashboard)) - {expressions(dashboard)[-1]}

        def all_shown():
            waiting.difference_update([expression for expression in waiting if self.prometheus.query(expression)])
            return not waiting

        self.prometheus.wait_for(all_shown, 20, lambda: "nothing is shown by:\n" + "\n".join(sorted(waiting)))

    def test_prometheus_evaluates_every_rule_and_makes_every_text_of_an_alert(self):
        def rules():
            groups = self.prometheus.get("rules")["groups"]
            found = [rule for group in groups for rule in group["rules"]]
            return found if all(rule["health"] != "unknown" for rule in found) else None

        found = self.prometheus.wait_for(rules, 20, lambda: "rules are not evaluated")
        self.assertEqual([(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"], [])
        texts = {}
        for alert in self.prometheus.get("alerts")["alerts"]:
            texts[alert["labels"]["alertname"]] = " ".join(alert["annotations"].values())
        self.assertEqual(set(texts), set(alerts()))
        for name, made in texts.items():
            with self.subTest(name):
                self.assertNotRegex(made, "error expanding|<no value>|{{")


if __name__ == "__main__":
    unittest.main()
