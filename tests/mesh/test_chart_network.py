"""Rules of the network and what Prometheus is told: NetworkPolicy, ServiceMonitor, PodMonitor, PrometheusRule, dashboard."""

import json
import pathlib
import unittest

import chart_values
import helm
import promql
import yaml

DEPLOY = helm.ROOT / "deploy"


def ports(rule):
    """Ports of a rule, as pairs."""
    return {(port["port"], port.get("protocol", "TCP")) for port in rule["ports"]}


class Policy(unittest.TestCase):
    def spec(self, *values):
        return helm.the(helm.render(helm.merged(chart_values.POLICY, *values)), "NetworkPolicy")["spec"]

    def rules(self, spec, direction, *wanted):
        """The rules of a direction that let one of these ports through."""
        return [rule for rule in spec[direction] if ports(rule) & set(wanted)]

    def test_it_is_off_unless_asked_for(self):
        self.assertEqual(helm.of_kind(helm.render(), "NetworkPolicy"), [])

    def test_nothing_goes_in_or_out_but_what_a_rule_names(self):
        spec = self.spec()
        self.assertEqual(set(spec["policyTypes"]), {"Ingress", "Egress"})
        for rule in spec["ingress"] + spec["egress"]:
            self.assertTrue(rule["ports"], "a rule without ports opens all")

    def test_clients_reach_the_data_port_and_scrapers_and_probes_the_admin_port(self):
        spec, given = self.spec(), chart_values.POLICY["networkPolicy"]
        peers = {}
        for rule in spec["ingress"]:
            for port in ports(rule):
                peers.setdefault(port[0], []).extend(rule.get("from", []))
        self.assertEqual(set(peers) - {"grpc", "admin", 50051, 9464}, set())
        data, admin = peers.get("grpc") or peers[50051], peers.get("admin") or peers[9464]
        for peer in given["clients"]:
            self.assertIn(peer, data)
        for peer in given["admin"]:
            self.assertIn(peer, admin)

    def test_the_pod_of_helm_test_is_let_in(self):
        for values in (chart_values.POLICY, helm.merged(chart_values.POLICY, {"commonLabels": {"a": "b"}})):
            labels = helm.the(helm.render(values), "Pod")["metadata"]["labels"]
            rules = self.rules(self.spec(values), "ingress", ("grpc", "TCP"), (50051, "TCP"))
            selectors = [peer["podSelector"]["matchLabels"] for rule in rules for peer in rule["from"] if "podSelector" in peer]
            self.assertTrue(any(selector.items() <= labels.items() for selector in selectors), selectors)

    def test_anybody_may_call_where_nobody_is_named(self):
        spec = helm.the(helm.render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
        self.assertEqual(len(spec["ingress"]), 2)
        for rule in spec["ingress"]:
            self.assertNotIn("from", rule)

    def test_names_may_be_asked_for_over_udp_and_tcp(self):
        wanted = {(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")}
        (rule,) = self.rules(self.spec(chart_values.SECRETS), "egress", (53, "UDP"))
        self.assertEqual(ports(rule), wanted)
        self.assertEqual(rule["to"], chart_values.POLICY["networkPolicy"]["dns"]["to"])

    def test_telemetry_may_leave_where_there_is_a_receiver(self):
        def out(*values):
            return {port for rule in self.spec(*values)["egress"] for port, _ in ports(rule)} - {53, 5353}

        self.assertEqual(out(), set())
        self.assertEqual(out({"config": {"otlp": {"endpoint": "http://collector:4317"}}}), {4317})
        self.assertEqual(out({"config": {"otlp": {"endpoint": "http://collector:4318", "protocol": "http/protobuf"}}}), {4318})
        self.assertEqual(out({"config": {"otlp": {"endpoint": "https://telemetry.example.com/otlp"}}}), {443})
        environment = {"extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}]}
        self.assertLessEqual({4317}, out(environment))
        peer = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
        values = helm.merged(chart_values.SECRETS, {"networkPolicy": {"otlp": {"to": peer, "ports": [14317]}}})
        (rule,) = self.rules(self.spec(values), "egress", (14317, "TCP"))
        self.assertEqual(rule["to"], peer)

    def test_the_init_container_may_fetch_the_model_and_only_it_needs_to(self):
        (rule,) = self.rules(self.spec(chart_values.INIT), "egress", (443, "TCP"))
        self.assertEqual(ports(rule), {(443, "TCP")})
        self.assertEqual(self.rules(self.spec(), "egress", (443, "TCP")), [])
        elsewhere = helm.merged(chart_values.INIT, {"model": {"init": {"id": "https://hub.example:8443/org/name"}}})
        self.assertEqual(len(self.rules(self.spec(elsewhere), "egress", (8443, "TCP"))), 1)

    def test_further_rules_are_added(self):
        more = {"extraIngress": [{"ports": [{"port": 1}]}], "extraEgress": [{"ports": [{"port": 2}]}]}
        spec = self.spec({"networkPolicy": more})
        self.assertIn(more["extraIngress"][0], spec["ingress"])
        self.assertIn(more["extraEgress"][0], spec["egress"])


class Monitors(unittest.TestCase):
    def endpoint(self, endpoint, wanted="gleand"):
        """What holds for both kinds."""
        self.assertEqual((endpoint["port"], endpoint["path"], endpoint.get("scheme", "http")), ("admin", "/metrics", "http"))
        # By the name of the job the rules tell releases apart.
        (job,) = (one for one in endpoint["relabelings"] if one.get("targetLabel") == "job")
        self.assertEqual((job["replacement"], job.get("action", "replace")), (wanted, "replace"))
        self.assertNotIn("sourceLabels", job)
        self.assertRegex(endpoint["interval"], r"^\d+s$")

    def test_a_service_monitor_scrapes_each_pod_once(self):
        for release, job in (("gleand", "gleand"), ("nlp", "nlp-gleand")):
            objects = helm.render(chart_values.MONITORING, release=release)
            spec = helm.the(objects, "ServiceMonitor")["spec"]
            (endpoint,) = spec["endpoints"]
            self.endpoint(endpoint, job)
            services = [
                one for one in helm.of_kind(objects, "Service")
                if spec["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
            ]  # fmt: skip
            having = [one for one in services if "admin" in [port["name"] for port in one["spec"]["ports"]]]
            self.assertEqual(len(having), 1, "every pod would be scraped more than once, or never")
            self.assertEqual(len(services), 1)
            self.assertEqual(having[0]["spec"]["ports"][0]["targetPort"], "admin")
        self.assertEqual(helm.the(objects, "ServiceMonitor")["metadata"]["labels"]["release"], "kube-prometheus-stack")

    def test_the_admin_port_is_on_no_service_unless_it_is_scraped_there(self):
        for service in helm.of_kind(helm.render(), "Service"):
            self.assertEqual([port["name"] for port in service["spec"]["ports"]], ["grpc"])
        for values in (chart_values.MONITORING, {}):
            service = helm.the(helm.render(values), "Service", "gleand")
            self.assertEqual([port["name"] for port in service["spec"]["ports"]], ["grpc"])

    def test_a_pod_monitor_scrapes_the_pods(self):
        objects = helm.render({"monitoring": {"podMonitor": {"enabled": True, "interval": "7s", "scrapeTimeout": "3s"}}})
        spec = helm.the(objects, "PodMonitor")["spec"]
        (endpoint,) = spec["podMetricsEndpoints"]
        self.endpoint(endpoint)
        self.assertEqual((endpoint["interval"], endpoint["scrapeTimeout"]), ("7s", "3s"))
        objects = helm.render({"monitoring": {"job": "nlp/gleand", "podMonitor": {"enabled": True}}})
        self.endpoint(helm.the(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0], "nlp/gleand")


class Files(unittest.TestCase):
    """What is in deploy/ is what the chart installs."""

    def rule(self, **more):
        values = helm.merged(chart_values.MONITORING, {"monitoring": {"prometheusRule": more}})
        return helm.the(helm.render(values), "PrometheusRule")

    def test_the_rules_are_those_of_deploy_with_addresses_of_the_runbook(self):
        base = "https://git.example.com/gleand/blob/main/deploy/"
        wanted = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text(encoding="utf-8"))
        for group in wanted["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    address = rule["annotations"]["runbook_url"]
                    rule["annotations"]["runbook_url"] = base + address.removeprefix("deploy/")
        self.assertEqual(self.rule()["spec"]["groups"], wanted["groups"])

    def test_the_rules_of_another_release_look_at_its_own_job_alone(self):
        named = helm.merged(chart_values.MONITORING, {"monitoring": {"job": "prod/gleand"}})
        cases = ((chart_values.MONITORING, "staging", "staging-gleand"), (named, "gleand", "prod/gleand"))
        for given, release, job in cases:
            groups = helm.the(helm.render(given, release=release), "PrometheusRule")["spec"]["groups"]
            status, output = promql.check_rules(json.dumps({"groups": groups}))
            self.assertEqual(status, 0, output)
            self.assertNotRegex(json.dumps(groups), r'job(=\\"| \\")gleand\\"')
            for rule in (rule for group in groups for rule in group["rules"]):
                with self.subTest(job, rule=rule.get("alert") or rule.get("record")):
                    self.assertIn(f'job="{job}"', rule["expr"])
                    if "alert" in rule:
                        # A recorded series is there for every release.
                        self.assertNotRegex(rule["expr"], r"job:[a-z0-9_:]+ >")

    def test_promtool_takes_the_rules(self):
        status, output = promql.check_rules(json.dumps({"groups": self.rule()["spec"]["groups"]}))
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"SUCCESS: \d\d rules found")

    def test_the_dashboard_is_that_of_deploy(self):
        objects = helm.render(chart_values.MONITORING)
        (config,) = (one for one in helm.of_kind(objects, "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"])
        (text,) = config["data"].values()
        self.assertEqual(json.loads(text), json.loads((DEPLOY / "grafana/dashboard.json").read_text(encoding="utf-8")))
        self.assertEqual(config["metadata"]["annotations"]["grafana_folder"], "NLP")
        (file,) = config["data"]
        self.assertEqual(pathlib.Path(file).suffix, ".json")


if __name__ == "__main__":
    unittest.main()
