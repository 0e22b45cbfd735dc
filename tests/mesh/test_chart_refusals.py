"""Values that are wrong: the chart is not rendered, and what Helm says names the value. All engines, render and lint."""

import re
import unittest

import chart_values
import helm

TLS = {"existingSecret": "gleand-tls"}


def config(section, **keys):
    """Values with some keys of the configuration."""
    return {"config": {section: keys}}


def init(**keys):
    """Values for a model that is fetched, with some keys otherwise."""
    return helm.merged(chart_values.INIT, {"model": {"init": keys}})


# What is wrong, the values, and what the message must hold: the name of the value, and what may be done where it is a word.
BROKEN = {
    "a number as a word": ({"replicas": "three"}, "replicas", "integer"),
    "a value that is not there": ({"replicaCount": 3}, "replicaCount"),
    "a value that is not there, inside": ({"image": {"repo": "x"}}, "image", "repo"),
    "a section that is not there": (config("sever", drain_ms=1000), "config", "sever"),
    "a key that is not there": (config("server", drain_m=1000), "config", "server", "drain_m"),
    "a key below its bound": (config("server", streams_max=0), "streams_max", "1"),
    "a key above its bound": (config("server", streams_max=70000), "streams_max", "65536"),
    "a time between never and its bound": (config("server", drain_ms=10), "drain_ms", "100"),
    "a word that is none of those": (config("log", level="loud"), "level", "debug"),
    "YAML's on, which is true": (config("server", reflection=True), "reflection"),
    "a section that is no section": ({"config": {"server": 5}}, "config", "server"),
    "a ratio above one": (config("telemetry", trace_ratio=1.5), "trace_ratio"),
    "an address without a port": (config("server", listen="[::]"), "config.server.listen", "port"),
    "an address that only the container reaches": (config("admin", listen="127.0.0.1:9464"), "config.admin.listen"),
    "both autoscalers": (helm.merged(chart_values.HPA, chart_values.KEDA), "autoscaling"),
    "an autoscaler that may go to nothing": ({"autoscaling": {"hpa": {"enabled": True, "minReplicas": 0}}}, "minReplicas", "1"),
    "fewer pods at most than at least": (
        {"autoscaling": {"hpa": {"enabled": True, "minReplicas": 9}}}, "minReplicas", "maxReplicas",
    ),
    "KEDA without Prometheus": ({"autoscaling": {"keda": {"enabled": True}}}, "serverAddress"),
    "a model from nowhere": ({"model": {"source": "s3"}}, "source", "pvc"),
    "a claim without name": ({"model": {"source": "pvc"}}, "claimName"),
    "a model without name": (init(id=""), "id"),
    "a model without revision": (init(revision=""), "revision"),
    "a model without hashes": ({"model": {"source": "init", "init": {"id": "a/b", "revision": "0" * 40}}}, "sha256"),
    "a hash that is none": (init(sha256={"config.json": "abc"}), "sha256"),
    "an image of a model without name": ({"model": {"source": "image"}}, "reference"),
    "memory that differs": ({"resources": {"limits": {"memory": "8Gi"}}}, "requests.memory", "limits.memory", "8Gi"),
    "no limit of memory": ({"resources": {"limits": {"memory": None}}}, "limits.memory"),
    "no limits at all": ({"resources": {"limits": None}}, "limits"),
    "no cores at all": ({"resources": {"requests": {"cpu": None}, "limits": {"cpu": None}}}, "requests.cpu"),
    "cores that are no number": ({"resources": {"limits": {"cpu": "two"}}}, "cpu"),
    "pods that are counted twice": (
        {"monitoring": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}, "monitoring",
    ),
    "a digest that is none": ({"image": {"digest": "sha256:abc"}}, "digest"),
    "a tag with a digest in it": ({"image": {"tag": f"1@{chart_values.DIGEST}"}}, "tag"),
    "a kind of Service that is none": ({"service": {"type": "External"}}, "type", "ClusterIP"),
    "a port that is none": ({"service": {"port": 70000}}, "service.port", "65535"),
    "one port for both listeners": (config("admin", listen="[::]:50051"), "config.admin.listen", "config.server.listen"),
    "a scrape that may last longer than to the next": (
        {"monitoring": {"podMonitor": {"enabled": True, "interval": "5s"}}}, "scrapeTimeout", "interval",
    ),
    "too little grace": ({"terminationGracePeriodSeconds": 60}, "terminationGracePeriodSeconds", "75"),
    "a route to nowhere": ({"grpcRoute": {"enabled": True}}, "parentRefs"),
    "a certificate in the values": ({"tls": {"cert": "-----BEGIN CERTIFICATE-----"}}, "tls", "cert"),
    "an API key in the values": ({"auth": {"keys": ["secret"]}}, "auth", "keys"),
    "a file that the chart mounts": (
        helm.merged({"tls": TLS}, config("tls", cert_file="/x")), "config.tls.cert_file", "existingSecret",
    ),
    "a model that the chart mounts": (
        helm.merged(chart_values.PVC, config("model", path="/x")), "config.model.path", "model.source",
    ),
    "client certificates without TLS": ({"tls": {"clientCaKey": "ca.crt"}}, "clientCaKey", "existingSecret"),
    "a processor that the image is not for": ({"architectures": ["riscv64"]}, "architectures", "arm64"),
    "a variable that would win over config": (
        {"extraEnv": [{"name": "GLEAND__SERVER__DRAIN_MS", "value": "1"}]}, "GLEAND__SERVER__DRAIN_MS", "config.server.drain_ms",
    ),
    "a rollout that cannot begin": (
        {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}, "maxSurge", "maxUnavailable",
    ),
    "a name that no Service may have": ({"fullnameOverride": "Gleand_1"}, "fullnameOverride"),
    "a label that is a number": ({"podLabels": {"version": 3}}, "podLabels", "version"),
    "a time that is a number": ({"monitoring": {"podMonitor": {"enabled": True, "interval": 15}}}, "interval"),
    "a test that expects nothing": ({"test": {"mentions": 0}}, "mentions", "1"),
    "evictions that are no number": ({"podDisruptionBudget": {"maxUnavailable": "some"}}, "maxUnavailable"),
}  # fmt: skip


def plain(message):
    """A message with numbers and paths as one writes them, without what Helm says of every failure."""
    message = re.sub(r"Error: helm template failed: |values don't meet the specifications of the schema.*:\n", "", message)
    return re.sub(r"(?<=\d),(?=\d{3})", "", message).replace("/", ".")


class Refusals(unittest.TestCase):
    def refusal(self, values, engine, kube_version=None):
        with self.assertRaises(helm.Refused) as refused:
            helm.render(values, kube_version, engine)
        return plain(str(refused.exception))

    def test_every_wrong_value_is_named_by_every_engine(self):
        for what, (values, *words) in BROKEN.items():
            for engine in helm.ENGINES:
                with self.subTest(what, engine=engine):
                    message = self.refusal(values, engine)
                    for word in words:
                        self.assertIn(word, message)
                    self.assertLess(len(message), 900, message)
                    self.assertNotIn("nil pointer", message)

    def test_lint_says_what_the_schema_says(self):
        # It is blind to `fail` in a template, whatever the engine: only rendering finds those.
        seen = 0
        for what, (values, *words) in BROKEN.items():
            if "- at '" in self.refusal(values, "sdk"):
                seen += 1
                for engine in helm.ENGINES:
                    with self.subTest(what, engine=engine):
                        said = plain("\n".join(helm.lint(values, None, engine)))
                        for word in words:
                            self.assertIn(word, said)
        self.assertGreaterEqual(seen, 25)

    def test_an_image_volume_is_refused_where_it_would_be_dropped_in_silence(self):
        for version in ("1.30.0", "1.34.0", "1.34.9-eks-1a2b3c"):
            for engine in ("v3", "v4"):
                with self.subTest(version=version, engine=engine):
                    message = self.refusal(chart_values.IMAGE, engine, version)
                    for word in ("model.source", "image", "1.35", version.partition("-")[0]):
                        self.assertIn(word, message)
        for engine in ("v3", "v4"):
            self.assertTrue(helm.render(chart_values.IMAGE, chart_values.IMAGE_SINCE, engine))

    def test_a_cluster_that_is_too_old_is_refused(self):
        for version in ("1.29.0", "1.29.14-gke.1", "1.20.0"):
            for engine in ("v3", "v4"):
                with self.subTest(version=version, engine=engine):
                    message = self.refusal({}, engine, version)
                    self.assertIn(">=1.30.0-0", message)
                    self.assertIn(version.partition("-")[0], message)

    def test_a_release_whose_name_no_service_may_have_is_told_what_to_do(self):
        for release in ("1st", "a.b"):
            with self.subTest(release), self.assertRaisesRegex(helm.Refused, "fullnameOverride"):
                helm.render({}, release=release)
            self.assertTrue(helm.render({"fullnameOverride": "gleand"}, release=release))

    def test_several_mistakes_are_told_at_once(self):
        message = self.refusal({"replicas": "x", "service": {"port": 0}, "config": {"log": {"level": "loud"}}}, "sdk")
        for word in ("replicas", "port", "level"):
            self.assertIn(word, message)


if __name__ == "__main__":
    unittest.main()
