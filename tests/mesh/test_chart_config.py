"""What the daemon reads: its configuration, its model, its secrets; where each comes from and where it is mounted."""

import unittest

import chart_values
import helm
from chart_pods import daemon, inside


class Configuration(unittest.TestCase):
    def test_what_the_user_gives_is_what_the_daemon_reads(self):
        for name, values in chart_values.cases().items():
            _, _, config = daemon(values)
            for section, keys in values.get("config", {}).items():
                with self.subTest(name, section=section):
                    for key, value in keys.items():
                        # The daemon reads a fraction from a string.
                        wanted = str(value) if isinstance(value, float) else value
                        self.assertEqual(config[section][key], wanted, key)
                        self.assertIs(type(config[section][key]), type(wanted), key)

    def test_text_survives_whatever_is_in_it(self):
        hard = 'a"b\\c\td\u00e9\u4e2d<&>{{ .Release.Name }} \'#'
        _, _, config = daemon({"config": {"otlp": {"endpoint": hard}}})
        self.assertEqual(config["otlp"]["endpoint"], hard)

    def test_the_log_is_json_unless_the_user_wants_text(self):
        self.assertEqual(daemon()[2]["log"]["format"], "json")
        self.assertEqual(daemon({"config": {"log": {"format": "text"}}})[2]["log"]["format"], "text")

    def test_the_daemon_reads_the_file_that_is_mounted(self):
        objects = helm.render()
        pod, container = helm.pod_of(helm.the(objects, "Deployment")), helm.container(objects)
        self.assertEqual(container["args"], ["serve", "--config", "/etc/gleand/gleand.toml"])
        self.assertNotIn("command", container)
        (volume,) = (volume for volume in pod["volumes"] if "configMap" in volume)
        mount = next(mount for mount in container["volumeMounts"] if mount["name"] == volume["name"])
        # By itself or as a folder: changes come with new pods, as the checksum makes them.
        where = (mount["mountPath"], mount.get("subPath"))
        self.assertIn(where, (("/etc/gleand/gleand.toml", "gleand.toml"), ("/etc/gleand", None)))
        self.assertIs(mount["readOnly"], True)
        self.assertIn("gleand.toml", helm.the(objects, "ConfigMap", volume["configMap"]["name"])["data"])

    def test_the_checksum_changes_with_the_configuration_and_only_then(self):
        def checksum(values, release="gleand"):
            template = helm.the(helm.render(values, release=release), "Deployment")["spec"]["template"]
            return template["metadata"]["annotations"]["checksum/config"]

        usual = checksum({})
        same = [
            {"replicas": 3}, {"podLabels": {"a": "b"}}, {"commonLabels": {"a": "b"}}, {"image": {"tag": "9"}}, chart_values.HPA,
            chart_values.POLICY, chart_values.MONITORING, {"test": {"text": "Other words."}}, {"nodeSelector": {"a": "b"}},
        ]  # fmt: skip
        for values in same:
            with self.subTest(values):
                self.assertEqual(checksum(values), usual)
        for values in ({"config": {"log": {"level": "debug"}}}, chart_values.SECRETS, chart_values.PVC):
            with self.subTest(values):
                self.assertNotEqual(checksum(values), usual)


class Model(unittest.TestCase):
    PATH = "/models/current"

    def test_the_baked_model_needs_no_mount(self):
        pod, container, config = daemon()
        self.assertNotIn("path", config.get("model", {}))
        self.assertNotIn("initContainers", pod)
        self.assertNotIn(self.PATH, [mount["mountPath"] for mount in container["volumeMounts"]])

    def mounted(self, values):
        """Volume and mount of the model, which the daemon must be told of and may only read."""
        pod, container, config = daemon(values)
        self.assertEqual(config["model"]["path"], self.PATH)
        mount = next(mount for mount in container["volumeMounts"] if mount["mountPath"] == self.PATH)
        self.assertIs(mount["readOnly"], True)
        return next(volume for volume in pod["volumes"] if volume["name"] == mount["name"]), mount, pod

    def test_a_claim_is_mounted_read_only(self):
        volume, mount, _ = self.mounted(chart_values.PVC)
        self.assertEqual(volume["persistentVolumeClaim"], {"claimName": "models", "readOnly": True})
        self.assertEqual(mount["subPath"], "gliner/medium")

    def test_an_image_is_a_volume(self):
        volume, _, _ = self.mounted(chart_values.IMAGE)
        self.assertEqual(volume["image"]["reference"], chart_values.IMAGE["model"]["image"]["reference"])
        self.assertEqual(volume["image"]["pullPolicy"], "IfNotPresent")

    def test_the_init_container_fetches_with_revision_and_hashes(self):
        volume, _, pod = self.mounted(chart_values.INIT)
        self.assertIn("sizeLimit", volume["emptyDir"])
        (first,) = pod["initContainers"]
        wanted = chart_values.INIT["model"]["init"]
        self.assertEqual(first["args"][:3], ["models", "fetch", wanted["id"]])
        flags = list(zip(first["args"][3::2], first["args"][4::2], strict=True))
        self.assertIn(("--revision", wanted["revision"]), flags)
        self.assertEqual(dict(value.split("=") for flag, value in flags if flag == "--sha256"), wanted["sha256"])
        target = next(value for flag, value in flags if flag == "--to")
        mount = next(mount for mount in first["volumeMounts"] if mount["name"] == volume["name"])
        self.assertFalse(mount.get("readOnly", False))
        self.assertTrue(target == mount["mountPath"] or inside(target, mount["mountPath"]))
        token = next(value for flag, value in flags if flag == "--token-file")
        secret = next(one for one in pod["volumes"] if one.get("secret", {}).get("secretName") == "hub-token")
        where = next(mount["mountPath"] for mount in first["volumeMounts"] if mount["name"] == secret["name"])
        self.assertTrue(inside(token, where))
        main = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        self.assertNotIn(secret["name"], main, "the daemon needs no token")
        self.assertEqual(first["image"], pod["containers"][0]["image"])

    def test_without_a_token_no_secret_is_asked_for(self):
        values = helm.merged(chart_values.INIT, {"model": {"init": {"tokenSecret": {"name": ""}}}})
        _, _, pod = self.mounted(values)
        self.assertNotIn("--token-file", pod["initContainers"][0]["args"])
        self.assertEqual([volume for volume in pod["volumes"] if "secret" in volume], [])


class Secrets(unittest.TestCase):
    def read_from(self, values, *keys):
        """The secret and its key that a path of the configuration leads to."""
        pod, container, config = daemon(values)
        path = config[keys[0]][keys[1]]
        mount = next(mount for mount in container["volumeMounts"] if inside(path, mount["mountPath"]))
        secret = next(volume["secret"] for volume in pod["volumes"] if volume["name"] == mount["name"])
        file = path.removeprefix(mount["mountPath"].rstrip("/") + "/")
        items = {item["path"]: item["key"] for item in secret.get("items", [])}
        return secret["secretName"], items.get(file) if items else file

    def test_each_path_leads_to_its_key_of_its_secret(self):
        values = chart_values.SECRETS
        self.assertEqual(self.read_from(values, "tls", "cert_file"), ("gleand-tls", "tls.crt"))
        self.assertEqual(self.read_from(values, "tls", "key_file"), ("gleand-tls", "tls.key"))
        self.assertEqual(self.read_from(values, "auth", "keys_file"), ("gleand-keys", "keys"))
        self.assertEqual(self.read_from(values, "otlp", "ca_file"), ("otlp-ca", "ca.crt"))
        self.assertEqual(self.read_from(values, "otlp", "headers_file"), ("otlp-headers", "headers"))
        self.assertEqual(self.read_from(chart_values.MUTUAL_TLS, "tls", "client_ca_file"), ("gleand-tls", "ca.crt"))
        self.assertNotIn("client_ca_file", daemon(values)[2]["tls"])

    def test_keys_may_have_other_names(self):
        tls = {"existingSecret": "t", "certKey": "chain.pem", "keyKey": "key.pem"}
        values = {"tls": tls, "auth": {"existingSecret": "k", "key": "list"}}
        self.assertEqual(self.read_from(values, "tls", "cert_file"), ("t", "chain.pem"))
        self.assertEqual(self.read_from(values, "tls", "key_file"), ("t", "key.pem"))
        self.assertEqual(self.read_from(values, "auth", "keys_file"), ("k", "list"))

    def test_the_chart_makes_no_secret(self):
        for name, values in chart_values.cases().items():
            with self.subTest(name):
                self.assertEqual(helm.of_kind(helm.render(values), "Secret"), [])


if __name__ == "__main__":
    unittest.main()
