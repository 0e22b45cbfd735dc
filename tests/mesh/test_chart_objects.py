"""What the chart makes beside the pods: names and labels, Services, routes, autoscalers, rules of the network, monitoring."""

import re
import unittest

import chart_values
import helm
import promql

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LONGEST_RELEASE = "a-release-with-the-longest-name-that-helm-itself-takes"[:53]
SELECTOR = {"app.kubernetes.io/name": "gleand", "app.kubernetes.io/instance": "gleand"}


def matches(selector, labels):
    """Whether a selector of labels alone takes a pod with these labels."""
    assert selector, "an empty selector takes every pod of the namespace"
    assert not selector.get("matchExpressions"), selector
    return selector.get("matchLabels", selector).items() <= labels.items()


def labels_of(values):
    """Labels of the daemon's pods, and of the pod of `helm test`."""
    objects = helm.render(values)
    tests = [one["metadata"].get("labels", {}) for one in helm.of_kind(objects, "Pod")]
    return helm.the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"], *tests


def selectors(objects):
    """Everything that looks for the daemon's pods."""
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            yield one, spec["selector"]
        elif one["kind"] == "Service":
            yield one, spec["selector"]
        elif one["kind"] == "NetworkPolicy":
            yield one, spec["podSelector"]


def pod_name(deployment, template_hash):
    """Name of a pod as its ReplicaSet makes it: what is longer than 58 characters is cut, and five more come."""
    return f"{deployment}-{template_hash}-"[:58] + "x7k2p"


class Names(unittest.TestCase):
    def test_the_names_that_all_agree_on(self):
        objects = helm.render()
        self.assertEqual(helm.the(objects, "Deployment")["metadata"]["name"], "gleand")
        self.assertEqual({one["metadata"]["name"] for one in helm.of_kind(objects, "Service")}, {"gleand", "gleand-headless"})
        self.assertEqual(helm.the(helm.render(release="nlp"), "Deployment")["metadata"]["name"], "nlp-gleand")
        self.assertEqual(helm.the(helm.render(release="my-gleand-2"), "Deployment")["metadata"]["name"], "my-gleand-2")
        self.assertEqual(helm.the(helm.render({"fullnameOverride": "other"}), "Deployment")["metadata"]["name"], "other")
        self.assertEqual(helm.the(helm.render({"nameOverride": "ner"}, release="a"), "Deployment")["metadata"]["name"], "a-ner")

    def test_no_name_or_label_is_longer_than_a_cluster_takes_and_none_stands_twice(self):
        everything = [chart_values.cases()[name] for name in ("everything", "everything-keda", "pod-monitor")]
        overrides = [{"fullnameOverride": "x" * 53}, {"nameOverride": "y" * 53}, {}]
        for values in (helm.merged(one, more) for one in everything for more in overrides):
            for release in (LONGEST_RELEASE, "g"):
                objects = helm.render(values, release=release)
                names = [(one["kind"], one["metadata"]["name"]) for one in objects]
                self.assertEqual(len(names), len(set(names)), names)
                for one in objects:
                    with self.subTest(kind=one["kind"], name=one["metadata"]["name"]):
                        self.assertRegex(one["metadata"]["name"], f"^{NAME.pattern}$")
                        metadata = [one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})]
                        for labels in (part.get("labels", {}) for part in metadata):
                            for key, value in labels.items():
                                self.assertRegex(value, f"^{LABEL_VALUE.pattern}$", key)

    def test_all_objects_go_to_the_namespace_of_the_release(self):
        for name, values in chart_values.cases().items():
            for one in helm.render(values, namespace="nlp-prod"):
                with self.subTest(name, kind=one["kind"]):
                    self.assertIn(one["metadata"].get("namespace", "nlp-prod"), ("nlp-prod",))


class Labels(unittest.TestCase):
    def test_the_selector_of_the_deployment_is_the_same_whatever_the_values(self):
        # It cannot be changed in a cluster: an upgrade that tried would fail.
        for name, values in chart_values.cases().items():
            with self.subTest(name):
                selector = helm.the(helm.render(values), "Deployment")["spec"]["selector"]
                self.assertEqual(set(selector), {"matchLabels"})
                self.assertLessEqual(SELECTOR.items(), selector["matchLabels"].items())
                self.assertEqual(selector, helm.the(helm.render(), "Deployment")["spec"]["selector"])

    def test_every_selector_takes_the_daemon_and_not_the_pod_of_helm_test(self):
        for name, values in chart_values.cases().items():
            daemon, *tests = labels_of(values)
            found = list(selectors(helm.render(values)))
            self.assertGreaterEqual(len(found), 2)
            for one, selector in found:
                with self.subTest(name, kind=one["kind"], object=one["metadata"]["name"]):
                    self.assertTrue(matches(selector, daemon))
                    for test in tests:
                        self.assertFalse(matches(selector, test), "calls would go to the pod of the test")

    def test_two_releases_beside_each_other_do_not_take_each_other_s_pods(self):
        everything = chart_values.cases()["everything"]
        other = helm.the(helm.render(everything, release="other"), "Deployment")["spec"]["template"]["metadata"]["labels"]
        for one, selector in selectors(helm.render(everything)):
            with self.subTest(kind=one["kind"], object=one["metadata"]["name"]):
                self.assertFalse(matches(selector, other))

    def test_common_labels_are_on_everything_that_the_chart_makes(self):
        for one in helm.render(chart_values.cases()["everything"]):
            if one["metadata"]["name"] in ("gleand-extra", "text-gleand"):
                continue
            with self.subTest(kind=one["kind"], object=one["metadata"]["name"]):
                self.assertLessEqual(chart_values.POD["commonLabels"].items(), one["metadata"]["labels"].items())
                self.assertEqual(one["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm")
        daemon, *_ = labels_of(chart_values.POD)
        self.assertLessEqual((chart_values.POD["podLabels"] | chart_values.POD["commonLabels"]).items(), daemon.items())

    def test_annotations_of_the_user_stand_beside_the_chart_s(self):
        annotations = helm.the(helm.render(chart_values.POD), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        self.assertEqual(annotations["example.com/note"], "a: b #c")
        self.assertIn("checksum/config", annotations)


class Services(unittest.TestCase):
    def test_the_service_and_its_headless_twin_lead_to_the_data_port(self):
        objects = helm.render()
        for name in ("gleand", "gleand-headless"):
            service = helm.the(objects, "Service", name)
            (port,) = service["spec"]["ports"]
            with self.subTest(name):
                self.assertEqual((port["name"], port["port"], port["appProtocol"]), ("grpc", 50051, "kubernetes.io/h2c"))
                self.assertIn(port["targetPort"], ("grpc", 50051))
                self.assertFalse(service["spec"].get("publishNotReadyAddresses", False))
        self.assertEqual(helm.the(objects, "Service", "gleand-headless")["spec"]["clusterIP"], "None")
        self.assertNotIn("clusterIP", helm.the(objects, "Service", "gleand")["spec"])

    def test_port_protocol_and_twin_are_values(self):
        given = {"port": 443, "appProtocol": "grpc", "type": "LoadBalancer", "annotations": {"a": "b"}}
        objects = helm.render({"service": {**given, "headless": {"annotations": {"c": "d"}}}})
        service, twin = (helm.the(objects, "Service", name) for name in ("gleand", "gleand-headless"))
        self.assertEqual((service["spec"]["type"], service["metadata"]["annotations"]), ("LoadBalancer", {"a": "b"}))
        self.assertEqual(twin["metadata"]["annotations"], {"c": "d"})
        self.assertEqual((service["spec"]["ports"][0]["port"], service["spec"]["ports"][0]["appProtocol"]), (443, "grpc"))
        # Behind a headless Service clients connect to the pods themselves.
        self.assertEqual(twin["spec"]["ports"][0]["port"], 50051)
        little = helm.render(chart_values.cases()["little"])
        self.assertNotIn("appProtocol", helm.the(little, "Service")["spec"]["ports"][0])

    def test_tls_is_not_announced_as_plaintext(self):
        for service in helm.of_kind(helm.render(chart_values.SECRETS), "Service"):
            self.assertNotEqual(service["spec"]["ports"][0].get("appProtocol"), "kubernetes.io/h2c")


class Route(unittest.TestCase):
    def test_it_leads_to_the_port_of_the_service(self):
        objects = helm.render(helm.merged(chart_values.ROUTE, {"service": {"port": 8443}}))
        route, given = helm.the(objects, "GRPCRoute"), chart_values.ROUTE["grpcRoute"]
        self.assertEqual((route["spec"]["parentRefs"], route["spec"]["hostnames"]), (given["parentRefs"], given["hostnames"]))
        (rule,) = route["spec"]["rules"]
        self.assertEqual((rule["matches"], rule["filters"]), (given["matches"], given["filters"]))
        (backend,) = rule["backendRefs"]
        self.assertEqual((backend["name"], backend["port"]), ("gleand", 8443))
        self.assertEqual(route["metadata"]["annotations"], given["annotations"])
        self.assertEqual(route["metadata"]["labels"]["team"], "nlp")

    def test_without_matches_it_takes_every_call(self):
        values = {"grpcRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]}}
        (rule,) = helm.the(helm.render(values), "GRPCRoute")["spec"]["rules"]
        self.assertNotIn("matches", rule)


class Scaling(unittest.TestCase):
    def test_without_an_autoscaler_the_user_says_how_many(self):
        for replicas in (0, 1, 1000000):
            self.assertEqual(helm.the(helm.render({"replicas": replicas}), "Deployment")["spec"]["replicas"], replicas)

    def test_an_autoscaler_is_alone_in_saying_how_many(self):
        for values in (chart_values.HPA, chart_values.KEDA):
            self.assertNotIn("replicas", helm.the(helm.render(values), "Deployment")["spec"])

    def test_the_hpa_looks_at_the_pieces_that_wait_in_each_pod(self):
        objects = helm.render(helm.merged(chart_values.HPA, {"autoscaling": {"hpa": {"queuePieces": 20000000}}}))
        spec = helm.the(objects, "HorizontalPodAutoscaler")["spec"]
        self.assertEqual(spec["scaleTargetRef"], {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gleand"})
        self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), (2, 6))
        (metric,) = spec["metrics"]
        self.assertEqual(metric["type"], "Pods")
        self.assertEqual(metric["pods"]["metric"]["name"], "gleand_queue_pieces")
        self.assertEqual(metric["pods"]["target"]["type"], "AverageValue")
        self.assertEqual(str(metric["pods"]["target"]["averageValue"]), "20000000")
        self.assertGreaterEqual(spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 300)

    def test_keda_asks_for_the_pieces_of_this_release(self):
        values = helm.merged(chart_values.KEDA, {"autoscaling": {"keda": {"queuePieces": 20000000}}})
        objects = helm.render(values, namespace="nlp")
        spec = helm.the(objects, "ScaledObject")["spec"]
        self.assertEqual(spec["scaleTargetRef"]["name"], "gleand")
        self.assertGreaterEqual(spec["minReplicaCount"], 1)
        (trigger,) = spec["triggers"]
        self.assertEqual((trigger["type"], trigger.get("metricType", "AverageValue")), ("prometheus", "AverageValue"))
        metadata = trigger["metadata"]
        self.assertEqual(metadata["serverAddress"], "http://prometheus.monitoring:9090")
        self.assertEqual(metadata["threshold"], "20000000")
        self.assertIn("gleand_queue_pieces", metadata["query"])
        self.assertIn("nlp", metadata["query"], "pods of other namespaces would count")
        status, output = promql.check_expressions(metadata["query"])
        self.assertEqual(status, 0, output)
        for value in metadata.values():
            self.assertIsInstance(value, str)
        self.assertEqual(metadata["ignoreNullValues"], "false", "without data it would scale down at full load")
        self.assertIs(trigger["useCachedMetrics"], True, "pollingInterval would count for nothing")
        self.assertEqual([one["kind"] for one in objects if one["kind"] == "HorizontalPodAutoscaler"], [])

    def test_keda_s_query_finds_the_pods_of_the_release_and_no_others(self):
        other = {"fullnameOverride": "x" * 53}, {"fullnameOverride": "x" * 52}
        for more, release in (({}, "gleand"), ({}, "nlp"), ({}, LONGEST_RELEASE), *((one, "gleand") for one in other),
                              *(({"fullnameOverride": "y" * length}, "gleand") for length in range(44, 52))):  # fmt: skip
            values = helm.merged(chart_values.KEDA, {"monitoring": {"podMonitor": {"enabled": True}}}, more)
            objects = helm.render(values, release=release, namespace="nlp")
            name = helm.the(objects, "Deployment")["metadata"]["name"]
            (relabeling,) = helm.the(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"]
            query = helm.the(objects, "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
            asked = {label: (how, value) for label, how, value in re.findall(r'(\w+)(=~?)"([^"]*)"', query)}
            with self.subTest(name):
                self.assertEqual(asked["job"], ("=", relabeling["replacement"]))
                self.assertEqual(asked["namespace"], ("=", "nlp"))
                how, pods = asked["pod"]
                self.assertEqual(how, "=~")
                for template_hash in ("5c9d8f7b6d", "66b6c48dd", "7"):
                    self.assertIsNotNone(re.fullmatch(pods, pod_name(name, template_hash)), pod_name(name, template_hash))
                self.assertIsNone(re.fullmatch(pods, pod_name("a-" + name[:20], "5c9d8f7b6d")))
                self.assertIsNone(re.fullmatch(pods, pod_name(f"{name[:20]}-staging", "5c9d8f7b6d")))

    def test_a_query_of_the_user_is_taken(self):
        values = helm.merged(chart_values.KEDA, {"autoscaling": {"keda": {"query": "sum(gleand_queue_pieces)"}}})
        trigger = helm.the(helm.render(values), "ScaledObject")["spec"]["triggers"][0]
        self.assertEqual(trigger["metadata"]["query"], "sum(gleand_queue_pieces)")

    def test_one_pod_may_be_evicted_at_a_time(self):
        spec = helm.the(helm.render(), "PodDisruptionBudget")["spec"]
        self.assertEqual(spec["maxUnavailable"], 1)
        self.assertNotIn("minAvailable", spec)
        self.assertEqual(helm.of_kind(helm.render({"podDisruptionBudget": {"enabled": False}}), "PodDisruptionBudget"), [])

    def test_a_rollout_adds_before_it_takes_away(self):
        strategy = helm.the(helm.render(), "Deployment")["spec"]["strategy"]
        self.assertEqual(strategy, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        recreate = helm.the(helm.render({"strategy": {"type": "Recreate"}}), "Deployment")["spec"]["strategy"]
        self.assertEqual(recreate, {"type": "Recreate"}, "an API server refuses rollingUpdate beside Recreate")

    def test_a_slow_start_is_no_failed_rollout(self):
        deployment = helm.the(helm.render(), "Deployment")["spec"]
        startup = helm.pod_of({"spec": deployment})["containers"][0]["startupProbe"]
        self.assertGreater(deployment.get("progressDeadlineSeconds", 600), startup["failureThreshold"] * startup["periodSeconds"])


class More(unittest.TestCase):
    def test_extra_objects_are_rendered_whether_they_are_yaml_or_text(self):
        objects = helm.render(chart_values.POD)
        self.assertEqual(helm.the(objects, "ConfigMap", "gleand-extra")["data"], {"a": "b"})
        self.assertEqual(helm.the(objects, "ConfigMap", "text-gleand")["data"], {"c": "d"})

    def test_the_service_account_has_no_token_and_may_be_somebody_else_s(self):
        objects = helm.render({"serviceAccount": {"annotations": {"a": "b"}}})
        account = helm.the(objects, "ServiceAccount")
        self.assertIs(account["automountServiceAccountToken"], False)
        self.assertEqual(account["metadata"]["annotations"], {"a": "b"})
        self.assertEqual(helm.pod_of(helm.the(objects, "Deployment"))["serviceAccountName"], account["metadata"]["name"])
        objects = helm.render({"serviceAccount": {"create": False, "name": "theirs"}})
        self.assertEqual(helm.of_kind(objects, "ServiceAccount"), [])
        self.assertEqual(helm.pod_of(helm.the(objects, "Deployment"))["serviceAccountName"], "theirs")

    def test_no_right_is_asked_for(self):
        for name, values in chart_values.cases().items():
            kinds = {one["kind"] for one in helm.render(values)}
            with self.subTest(name):
                self.assertEqual({kind for kind in kinds if "Role" in kind}, set())


if __name__ == "__main__":
    unittest.main()
