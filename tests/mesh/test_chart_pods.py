"""What the pods of the chart are: security, probes, grace, resources and placement.

Written from what a cluster does with a pod, case by case of chart_values.py; the templates are not looked at.
"""

import math
import unittest

import chart_values
import helm
import kubelet
from chart_pods import daemon, environment, inside, pods

USER = 65532

# What the restricted pod security standard allows as volumes.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image"}


class EveryPod(unittest.TestCase):
    """Holds for all pods of all cases, that of `helm test` and init containers included."""

    def each(self):
        for name, values in chart_values.cases().items():
            for kind, pod in pods(values):
                yield f"{name} {kind}", pod

    def test_it_is_let_in_where_pod_security_is_restricted(self):
        for name, pod in self.each():
            outer = pod.get("securityContext", {})
            self.assertNotIn("hostPID", pod, name)
            for forbidden in ("hostNetwork", "hostIPC", "hostUsers"):
                self.assertNotIn(forbidden, pod, name)
            self.assertNotIn("sysctls", outer, name)
            for volume in pod.get("volumes", []):
                self.assertLessEqual(set(volume) - {"name"}, VOLUMES, name)
            for container in helm.containers(pod):
                with self.subTest(name, container=container["name"]):
                    inner = container["securityContext"]
                    both = outer | inner
                    self.assertIs(both["runAsNonRoot"], True)
                    self.assertEqual((both["runAsUser"], both["runAsGroup"]), (USER, USER))
                    self.assertEqual(both["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertIs(inner["allowPrivilegeEscalation"], False)
                    self.assertEqual(inner["capabilities"], {"drop": ["ALL"]})
                    self.assertIs(inner["readOnlyRootFilesystem"], True)
                    self.assertFalse(inner.get("privileged", False))
                    for port in container.get("ports", []):
                        self.assertNotIn("hostPort", port)

    def test_it_gets_neither_a_token_nor_variables_of_services(self):
        for name, pod in self.each():
            with self.subTest(name):
                self.assertIs(pod["enableServiceLinks"], False, "GLEAND_PORT of a Service named gleand would be there")
                self.assertIs(pod["automountServiceAccountToken"], False)

    def test_every_container_has_requests_and_a_limit_of_memory(self):
        for name, pod in self.each():
            for container in helm.containers(pod):
                with self.subTest(name, container=container["name"]):
                    resources = container["resources"]
                    self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
                    self.assertGreater(kubelet.quantity(resources["requests"]["cpu"]), 0)

    def test_mounts_and_volumes_belong_together(self):
        for name, pod in self.each():
            volumes = [volume["name"] for volume in pod.get("volumes", [])]
            mounted = {mount["name"] for container in helm.containers(pod) for mount in container.get("volumeMounts", [])}
            with self.subTest(name):
                self.assertEqual(len(volumes), len(set(volumes)))
                self.assertEqual(mounted, set(volumes), "a volume that nobody mounts, or a mount without volume")

    def test_no_mount_lies_in_another_one(self):
        # A mount point cannot be made in a ConfigMap or secret: they are mounted read-only, and the container never starts.
        for name, pod in self.each():
            for container in helm.containers(pod):
                paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
                with self.subTest(name, container=container["name"]):
                    self.assertEqual(len(paths), len(set(paths)))
                    self.assertEqual([(a, b) for a in paths for b in paths if inside(a, b)], [])

    def test_secrets_are_mounted_so_that_they_are_renewed_and_can_be_read(self):
        for name, pod in self.each():
            secrets = {volume["name"]: volume["secret"] for volume in pod.get("volumes", []) if "secret" in volume}
            for container in helm.containers(pod):
                for mount in container.get("volumeMounts", []):
                    if mount["name"] in secrets:
                        with self.subTest(name, mount=mount["mountPath"]):
                            self.assertNotIn("subPath", mount, "a subPath is never renewed")
                            self.assertIs(mount["readOnly"], True)
                            mode = secrets[mount["name"]]["defaultMode"]
                            self.assertTrue(mode & 0o040, "the group of the volume cannot read it")
                            self.assertEqual(mode & 0o007, 0, "everybody in the container could read it")
                            self.assertEqual(pod["securityContext"]["fsGroup"], USER)


    def test_no_key_of_a_secret_is_mounted_that_no_value_names(self):
        wanted = {
            "tls": {"tls.crt", "tls.key"}, "auth": {"keys"}, "otlp-ca": {"ca.crt"}, "otlp-headers": {"headers"},
            "model-token": {"token"}, "ca": {"ca.crt"}, "client": {"tls.crt", "tls.key"}, "key": {"key"},
        }  # fmt: skip
        seen = set()
        for name, pod in self.each():
            for volume in (one for one in pod.get("volumes", []) if "secret" in one):
                with self.subTest(name, volume=volume["name"]):
                    keys = {item["key"] for item in volume["secret"]["items"]}
                    more = {"ca.crt"} if volume["name"] == "tls" else set()
                    self.assertLessEqual(wanted[volume["name"]], keys)
                    self.assertLessEqual(keys, wanted[volume["name"]] | more)
                    seen.add(volume["name"])
        self.assertEqual(seen, set(wanted))


class Text(unittest.TestCase):
    """Text that YAML takes for a number where it stands without quotes."""

    def test_it_stays_text(self):
        image = {"reference": chart_values.IMAGE["model"]["image"]["reference"], "subPath": "3003"}
        models = (
            {"source": "pvc", "pvc": {"claimName": "3001", "subPath": "3002"}},
            {"source": "image", "image": image},
            {"source": "init", "init": chart_values.INIT["model"]["init"] | {"tokenSecret": {"name": "3004", "key": "3005"}}},
        )
        for model in models:
            values = {
                "model": model, "priorityClassName": "3006", "runtimeClassName": "3007", "serviceAccount": {"name": "3008"},
                "tls": {"existingSecret": "3009", "certKey": "3010", "keyKey": "3011"},
                "auth": {"existingSecret": "3012", "key": "3013"}, "service": {"appProtocol": "3014"},
                "test": {"ca": {"secret": "3015", "key": "3016"}, "apiKey": {"secret": "3017", "key": "3018"}},
                "monitoring": {"job": "3019"}, "nameOverride": "null", "fullnameOverride": "gleand",
            }  # fmt: skip
            with self.subTest(model["source"]):
                objects = helm.render(helm.merged(chart_values.MONITORING, values), release="1e3", namespace="3020")
                numbers = set(self.numbers(objects))
                self.assertIn(50051, numbers)
                self.assertEqual({one for one in numbers if 3000 < one <= 3020}, set())
                for one in objects:
                    self.assertEqual(one["metadata"]["namespace"], "3020")
                    labels = one["metadata"]["labels"]
                    self.assertEqual(labels["app.kubernetes.io/instance"], "1e3")
                    self.assertIn(labels["app.kubernetes.io/name"], ("null", "null-test"))
                for key in ("priorityClassName", "runtimeClassName"):
                    self.assertEqual(helm.pod_of(helm.the(objects, "Deployment"))[key], values[key])

    def numbers(self, value):
        """Every number within a value."""
        if isinstance(value, (dict, list)):
            for each in value.values() if isinstance(value, dict) else value:
                yield from self.numbers(each)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield value


class Stopping(unittest.TestCase):
    def test_the_daemon_is_a_lame_duck_for_five_seconds_and_no_hook_comes_before_it(self):
        for name, values in chart_values.cases().items():
            pod, container, config = daemon(values)
            with self.subTest(name):
                self.assertEqual(config["server"]["lame_duck_ms"], 5000)
                self.assertNotIn("lifecycle", container)

    def test_the_grace_covers_lame_duck_and_drain_whatever_they_are(self):
        default_drain_ms = 60000
        long, short = {"drain_ms": 7200001}, {"drain_ms": 100, "lame_duck_ms": 0}
        for server in ({}, {"drain_ms": 1000}, {"lame_duck_ms": 20500}, long, short):
            pod, _, config = daemon({"config": {"server": server}})
            with self.subTest(server):
                given = {"lame_duck_ms": 5000, "drain_ms": default_drain_ms} | config["server"]
                self.assertLessEqual(server.items(), config["server"].items())
                needed = (given["lame_duck_ms"] + given["drain_ms"]) / 1000 + 10
                self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], needed)
                self.assertLess(pod["terminationGracePeriodSeconds"], needed + 2)

    def test_more_grace_can_be_had(self):
        pod, _, _ = daemon({"terminationGracePeriodSeconds": 900})
        self.assertEqual(pod["terminationGracePeriodSeconds"], 900)


class Probes(unittest.TestCase):
    def test_all_ask_the_admin_port_by_http(self):
        for name, values in chart_values.cases().items():
            _, container, config = daemon(values)
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            with self.subTest(name):
                self.assertEqual(ports, {"grpc": 50051, "admin": 9464})
                self.assertEqual(config["server"]["listen"], "[::]:50051")
                self.assertEqual(config["admin"]["listen"], "[::]:9464")
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    asked = container[probe]["httpGet"]
                    self.assertIn(asked["port"], ("admin", 9464))
                    self.assertEqual(asked.get("scheme", "HTTP"), "HTTP")

    def test_a_slow_start_is_waited_for_and_a_stuck_daemon_is_not(self):
        _, container, _ = daemon()
        startup, liveness, readiness = (container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness"))
        self.assertEqual(readiness["httpGet"]["path"], "/readyz")
        self.assertEqual(liveness["httpGet"]["path"], "/livez")
        self.assertGreaterEqual(startup["failureThreshold"] * startup["periodSeconds"], 600)
        self.assertLessEqual(startup["periodSeconds"], 5)
        self.assertLessEqual(liveness["failureThreshold"] * liveness.get("periodSeconds", 10), 120)
        # One missed second under load is no reason to kill a daemon with open streams.
        self.assertGreaterEqual(liveness["failureThreshold"], 3)
        self.assertGreaterEqual(liveness["timeoutSeconds"], 2)


class Resources(unittest.TestCase):
    def cores(self, values):
        """Cores that the daemon is told to use, as the cluster would work them out; None where its cgroup's quota says it."""
        _, container, config = daemon(values)
        variable = environment(container).get("GLEAND__COMPUTE__CORES")
        in_file = config.get("compute", {}).get("cores")
        if variable is None:
            self.assertTrue(in_file or "cpu" in container["resources"]["limits"], "it would take all cores of the node")
            return in_file
        self.assertIsNone(in_file, "the variable would win over the file in silence")
        if "value" in variable:
            return int(variable["value"])
        field = variable["valueFrom"]["resourceFieldRef"]
        self.assertIn(field.get("containerName", "gleand"), ("gleand",))
        part, _, name = field["resource"].partition(".")
        # The kubelet divides and rounds up.
        return math.ceil(kubelet.quantity(container["resources"][part][name]) / kubelet.quantity(field.get("divisor", "1")))

    def test_the_cores_are_the_limit_or_else_the_request(self):
        def given(requests, limits):
            return {"resources": {"requests": {"cpu": requests}, "limits": {"cpu": limits}}}

        # The kubelet makes a quota of the limit, and the daemon counts that: test_image.py sees it do so.
        for requests, limits in ((2, 2), ("1", "4"), ("500m", "1500m"), ("0.5", "2.5")):
            self.assertIsNone(self.cores(given(requests, limits)))
        self.assertEqual(self.cores(given("1500m", None)), 2)
        self.assertEqual(self.cores(given("6", None)), 6)
        self.assertEqual(self.cores(given("100m", None)), 1)

    def test_without_a_limit_the_cluster_says_what_is_requested(self):
        _, container, _ = daemon(chart_values.NO_CPU_LIMIT)
        self.assertNotIn("cpu", container["resources"]["limits"])
        field = environment(container)["GLEAND__COMPUTE__CORES"]["valueFrom"]["resourceFieldRef"]
        self.assertEqual(field["resource"], "requests.cpu")
        self.assertEqual(kubelet.quantity(field.get("divisor", "1")), 1)

    def test_the_user_may_say_it_himself(self):
        self.assertEqual(self.cores({"config": {"compute": {"cores": 7}}}), 7)
        self.assertEqual(self.cores(helm.merged(chart_values.NO_CPU_LIMIT, {"config": {"compute": {"cores": 7}}})), 7)

    def test_the_image_for_gpus_wins_over_the_digest_of_the_other_one(self):
        released = {"image": {"repository": "r/g", "digest": chart_values.DIGEST}}
        for _, pod in pods(helm.merged(released, chart_values.gpu())):
            for container in helm.containers(pod):
                self.assertRegex(container["image"], r"^r/g:.+-cuda$")

    def test_a_gpu_is_asked_for_where_the_daemon_is_told_to_use_one(self):
        values = chart_values.gpu()
        pod, container, config = daemon(values)
        self.assertTrue(config["compute"]["device"].startswith("cuda"))
        devices = len(config["compute"]["device"].split(","))
        limits = container["resources"]["limits"]
        self.assertEqual({str(value) for name, value in limits.items() if name.endswith("/gpu")}, {str(devices)})
        # A rollout must not wait for a GPU that the old pod still has.
        strategy = helm.the(helm.render(values), "Deployment")["spec"]["strategy"]
        self.assertEqual(strategy["rollingUpdate"], {"maxSurge": 0, "maxUnavailable": 1})
        self.assertIsNotNone(pod.get("runtimeClassName") or pod.get("tolerations"))


class Placement(unittest.TestCase):
    def test_pods_go_to_nodes_of_the_processor_of_the_image(self):
        for values in ({}, chart_values.POD, {"architectures": ["amd64", "arm64"]}):
            pod, _, _ = daemon(values)
            wanted = values.get("architectures", ["amd64"])
            required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            # Terms are alternatives, so each one must have the rule; what the user asked for must be in them still.
            terms = required["nodeSelectorTerms"]
            for term in terms:
                with self.subTest(values=values, term=term):
                    self.assertIn({"key": "kubernetes.io/arch", "operator": "In", "values": wanted}, term["matchExpressions"])
            if "affinity" in values:
                zones = [one["values"] for term in terms for one in term["matchExpressions"] if one["key"] == "zone"]
                self.assertEqual(zones, [["a"], ["b"]])
        self.assertNotIn("affinity", daemon({"architectures": []})[0])

    def test_other_kinds_of_affinity_stay(self):
        anti = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
        affinity = daemon({"affinity": anti})[0]["affinity"]
        self.assertEqual(affinity["podAntiAffinity"], anti["podAntiAffinity"])
        self.assertIn("nodeAffinity", affinity)

    def test_replicas_are_spread_and_counted_by_their_own_labels(self):
        objects = helm.render({})
        selector = helm.the(objects, "Deployment")["spec"]["selector"]
        constraints = helm.pod_of(helm.the(objects, "Deployment"))["topologySpreadConstraints"]
        self.assertEqual({one["topologyKey"] for one in constraints}, {"topology.kubernetes.io/zone", "kubernetes.io/hostname"})
        for one in constraints:
            self.assertEqual(one["labelSelector"], selector)
            # A pod that cannot be spread is better than none.
            self.assertEqual(one["whenUnsatisfiable"], "ScheduleAnyway")
        own = {"matchLabels": {"a": "b"}}
        given = {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}
        self.assertEqual(daemon({"topologySpreadConstraints": [given]})[0]["topologySpreadConstraints"], [given])

    def test_the_user_s_own_parts_reach_the_pod(self):
        pod, container, _ = daemon(chart_values.POD)
        for key in ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName", "runtimeClassName"):
            self.assertEqual(pod[key], chart_values.POD[key])
        for kind, one in pods(chart_values.POD):
            self.assertEqual(one["runtimeClassName"], chart_values.POD["runtimeClassName"], kind)
        self.assertIn(chart_values.POD["extraVolumes"][0], pod["volumes"])
        self.assertIn(chart_values.POD["extraVolumeMounts"][0], container["volumeMounts"])
        for variable in chart_values.POD["extraEnv"]:
            self.assertEqual(environment(container)[variable["name"]], variable)

    def test_a_digest_wins_over_a_tag_in_every_container(self):
        values = helm.merged(chart_values.cases()["digest"], chart_values.INIT)
        images = [container["image"] for _, pod in pods(values) for container in helm.containers(pod)]
        self.assertEqual(len(images), 3)
        self.assertEqual(set(images), {f"registry.example.com:5000/nlp/gleand@{chart_values.DIGEST}"})
        self.assertEqual(daemon({"image": {"repository": "r/g", "tag": "7"}})[1]["image"], "r/g:7")


if __name__ == "__main__":
    unittest.main()
