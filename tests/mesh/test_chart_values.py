"""The values: each does something, has a description and is in the schema; the README has their table and its examples work."""

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

import chart_values
import helm
import yaml

VALUES = helm.CHART / "values.yaml"
README = helm.CHART / "README.md"

# In one of these, each value must make a difference.
BASES = (
    "everything", "everything-keda", "defaults", "pod-monitor", "image", "pvc", "init", "secrets", "mutual-tls", "digest", "hpa",
)  # fmt: skip

# Other values than the general ones below, where only some are allowed.
OTHERWISE = {
    "image.digest": "sha256:" + "f" * 64,
    "image.pullPolicy": "Always",
    "config": {"limits": {"tasks_max": 7}},
    "resources.requests.cpu": "3",
    "resources.limits.cpu": "3",
    # Both must be equal, so they go together.
    "resources.requests.memory": ("resources", {"requests": {"memory": "9Gi"}, "limits": {"memory": "9Gi"}}),
    "resources.limits.memory": ("resources", {"requests": {"memory": "9Gi"}, "limits": {"memory": "9Gi"}}),
    "terminationGracePeriodSeconds": 99999,
    "model.source": ("model", {"source": "pvc", "pvc": {"claimName": "other"}}),
    "autoscaling.hpa.minReplicas": 4,
    "model.init.revision": "f" * 40,
    "model.init.sha256": {"more.json": "f" * 64},
    "model.init.sizeLimit": "9Gi",
    "model.image.reference": f"registry.example.com/other@{chart_values.DIGEST}",
    "model.image.pullPolicy": "Always",
    "service.type": "NodePort",
    "grpcRoute.hostnames": ["other.example.com"],
    "grpcRoute.parentRefs": [{"name": "other"}],
    "grpcRoute.matches": [{"method": {"service": "other"}}],
    "grpcRoute.filters": [{"type": "ExtensionRef"}],
    "networkPolicy.dns.ports": [54],
    "networkPolicy.otlp.ports": [55],
    "networkPolicy.modelInit.ports": [56],
    "autoscaling.keda.query": "sum(gleand_queue_pieces) + 1",
    "autoscaling.keda.serverAddress": "http://other:9090",
    "strategy.type": "Recreate",
    "monitoring.serviceMonitor.interval": "77s",
    "monitoring.serviceMonitor.scrapeTimeout": "7s",
    "monitoring.podMonitor.interval": "77s",
    "monitoring.podMonitor.scrapeTimeout": "7s",
    "architectures": ["arm64"],
    "podSecurityContext.seccompProfile.type": "Localhost",
    "imagePullSecrets": [{"name": "other"}],
    "extraEnv": [{"name": "OTHER", "value": "x"}],
    "extraVolumes": [{"name": "other", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "other", "mountPath": "/other"}],
    "topologySpreadConstraints": [],
    "tolerations": [{"key": "other"}],
    "affinity": {"podAffinity": {}},
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}],
}


def leaves(values, path=()):
    """Paths of all values that are no sections."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def at(path, value):
    """Values with this one alone."""
    for key in reversed(path):
        value = {key: value}
    return value


def another(path, value):
    """Values that differ in this one; the kinds of numbers and words that most allow."""
    name = ".".join(path)
    if name in OTHERWISE:
        given = OTHERWISE[name]
        return at((given[0],), given[1]) if isinstance(given, tuple) else at(path, given)
    if isinstance(value, bool):
        return at(path, not value)
    if isinstance(value, int):
        return at(path, value + 1)
    if isinstance(value, str):
        return at(path, "other")
    if isinstance(value, list):
        return at(path, [{"podSelector": {"matchLabels": {"other": "yes"}}}])
    return at(path, {"other": "yes"})


def output(values):
    """All that Helm makes of values: objects and notes."""
    return helm.manifest(values) + helm.notes(values)


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
        cls.schema = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))

    def differs(self, base, change):
        """Whether a change of a base, values and their output, makes a difference; not where the two do not go together."""
        values, usual = base
        try:
            return output(helm.merged(values, change)) != usual
        except helm.Refused:
            return False

    def test_each_value_makes_a_difference_somewhere(self):
        bases = [(values, output(values)) for values in map(chart_values.cases().get, BASES)]
        for path, value in leaves(self.values):
            # Where it is on in a base already, the other value of a switch is off.
            changes = [another(path, value)] + ([at(path, value)] if isinstance(value, bool) else [])
            with self.subTest(".".join(path)):
                self.assertTrue(any(self.differs(base, change) for change in changes for base in bases))

    def schema_of(self, path):
        """What the schema says of a value; None where it does not know it."""
        schema = self.schema
        for key in path:
            schema = schema.get("properties", {}).get(key)
            if schema is None:
                return None
        return schema

    def test_the_schema_knows_every_value_and_describes_it(self):
        for path, _ in leaves(self.values):
            # The configuration describes itself, and what is Kubernetes' own is described there.
            if path[0] == "config":
                continue
            if path[0] == "podSecurityContext":
                path = path[:1]
            elif "behavior" in path or path[:2] == ("monitoring", "dashboard"):
                path = path[:3]
            with self.subTest(".".join(path)):
                self.assertTrue((self.schema_of(path) or {}).get("description"))

    def test_every_value_of_the_schema_is_in_the_values(self):
        def paths(schema, path=()):
            for key, inner in schema.get("properties", {}).items():
                yield (*path, key)
                if (*path, key) != ("config",):
                    yield from paths(inner, (*path, key))

        known = set(paths(self.schema))
        there = {path[:length] for path, _ in leaves(self.values) for length in range(1, len(path) + 1)}
        # Helm itself gives these to a chart within a chart.
        self.assertEqual({path for path in known - there if "resources" not in path}, {("global",), ("enabled",)})

    def test_the_schema_takes_nothing_that_it_does_not_know(self):
        def closed(schema, path=()):
            if "properties" in schema:
                with self.subTest(".".join(path)):
                    self.assertIs(schema.get("additionalProperties"), False)
                for key, inner in schema["properties"].items():
                    closed(inner, (*path, key))

        for key, inner in self.schema["properties"].items():
            # Others than cpu and memory may be asked for, such as GPUs.
            if key != "resources":
                closed(inner, (key,))
        self.assertIs(self.schema["additionalProperties"], False)


class Documents(unittest.TestCase):
    def test_the_table_of_the_readme_is_that_of_the_values(self):
        with tempfile.TemporaryDirectory(prefix="gleand-readme-") as directory:
            readme = Path(directory) / "README.md"
            shutil.copy(README, readme)
            command = ["readme-generator", "--values", VALUES, "--readme", readme]
            made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
            self.assertEqual(readme.read_text(encoding="utf-8"), README.read_text(encoding="utf-8"))
        self.assertIn("`config`", README.read_text(encoding="utf-8"))

    def blocks(self, language):
        """The examples of the README in a language, as text."""
        return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

    def test_examples_of_values_in_the_readme_render(self):
        top = set(yaml.safe_load(VALUES.read_text(encoding="utf-8")))
        rendered = 0
        for text in self.blocks("yaml"):
            for one in helm.parse(text):
                if isinstance(one, dict) and set(one) <= top:
                    with self.subTest(text):
                        self.assertTrue(helm.render(one))
                        rendered += 1
        self.assertGreaterEqual(rendered, 1)

    def test_the_mesh_is_told_to_have_no_clock(self):
        objects = [one for text in self.blocks("yaml") for one in helm.parse(text) if isinstance(one, dict) and "kind" in one]
        policy, service = helm.the(objects, "BackendTrafficPolicy"), helm.the(objects, "VirtualService")
        http = policy["spec"]["timeout"]["http"]
        self.assertEqual(http["requestTimeout"], "0s")
        self.assertLessEqual(set(http.values()), {"0s"})
        (target,) = policy["spec"]["targetRefs"]
        route = helm.the(helm.render(chart_values.ROUTE), "GRPCRoute")
        self.assertEqual((target["kind"], target["name"]), ("GRPCRoute", route["metadata"]["name"]))
        for route in service["spec"]["http"]:
            self.assertEqual(route["timeout"], "0s")
            self.assertEqual(route["retries"]["attempts"], 0)
            for to in route["route"]:
                self.assertRegex(to["destination"]["host"], r"^gleand\b")
                self.assertEqual(to["destination"]["port"]["number"], 50051)

    def test_the_rule_for_prometheus_adapter_makes_the_metric_of_the_hpa(self):
        found = [one["rules"]["custom"] for text in self.blocks("yaml") for one in helm.parse(text) if "rules" in one]
        (rule,) = (rule for rules in found for rule in rules)
        self.assertIn("gleand_queue_pieces", rule["seriesQuery"])
        self.assertEqual(set(rule["resources"]["overrides"]), {"namespace", "pod"})
        self.assertIn("<<.Series>>", rule["metricsQuery"])
        metric = helm.the(helm.render(chart_values.HPA), "HorizontalPodAutoscaler")["spec"]["metrics"][0]
        self.assertEqual(rule.get("name", {}).get("as", "gleand_queue_pieces"), metric["pods"]["metric"]["name"])

    def test_sidecars_are_told_to_outlive_the_drain(self):
        given = [one["podAnnotations"] for text in self.blocks("yaml") for one in helm.parse(text) if "podAnnotations" in one]
        (istio,) = (one for one in given if "proxy.istio.io/config" in one)
        seconds = int(yaml.safe_load(istio["proxy.istio.io/config"])["terminationDrainDuration"].removesuffix("s"))
        server = tomllib.loads(helm.toml_text(helm.render()))["server"]
        self.assertGreaterEqual(seconds * 1000, server["lame_duck_ms"] + server["drain_ms"])

    def test_what_was_not_run_is_said(self):
        text = README.read_text(encoding="utf-8").lower()
        for word in ("istio", "linkerd", "not run"):
            self.assertIn(word, text)

    def test_the_notes_are_about_the_values(self):
        self.assertIn("existingSecret", helm.notes())
        secured = helm.notes(helm.merged(chart_values.SECRETS, chart_values.POLICY))
        self.assertNotIn("whoever reaches the Service", secured)
        # Tools cannot ask for the schema there.
        self.assertNotIn("grpcurl", helm.notes(chart_values.CONFIG))
        keyless = helm.merged(chart_values.SECRETS, {"test": {"apiKey": {"secret": ""}}})
        self.assertIn("test.apiKey.secret", helm.notes(keyless), "helm test would fail, and the user wonders")

    def test_the_notes_say_what_an_autoscaler_lacks_and_does(self):
        for values in (chart_values.HPA, chart_values.KEDA):
            self.assertRegex(helm.notes(values), r"autoscaling needs gleand_queue_pieces[^.]+ServiceMonitor")
            self.assertNotIn("autoscaling needs", helm.notes(helm.merged(values, chart_values.MONITORING)))
            self.assertIn("to one replica", helm.notes(values, upgrade=True))
            self.assertNotIn("to one replica", helm.notes(values))
        self.assertNotIn("to one replica", helm.notes(upgrade=True))
        self.assertNotIn("autoscaling needs", helm.notes())
        (title,) = re.findall(r'\("(.+)" in the chart', helm.notes(chart_values.HPA, upgrade=True))
        self.assertRegex(README.read_text(encoding="utf-8"), rf"(?m)^#+ {title}$")


if __name__ == "__main__":
    unittest.main()
