"""Tools that people have at hand: grpcurl, buf curl, health probes, reflection of both versions."""

import json
import subprocess
import unittest

import grpc
from daemon import Daemon
from failure import failure
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from schema import models_grpc, v1

SERVICES = {
    "gleand.v1.ExtractionService",
    "gleand.v1.ModelService",
    "grpc.health.v1.Health",
}


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.stop)
        cls.channel = cls.daemon.channel()
        cls.addClassCleanup(cls.channel.close)

    def run_tool(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_grpcurl_lists_the_services(self):
        listed = set(self.run_tool("grpcurl", "-plaintext", self.daemon.address, "list").split())
        self.assertLessEqual(SERVICES, listed)

    def test_grpcurl_describes_a_method_with_its_comment(self):
        described = self.run_tool("grpcurl", "-plaintext", self.daemon.address, "describe", "gleand.v1.ExtractionService")
        self.assertIn("rpc ExtractStream ( stream .gleand.v1.ExtractStreamRequest )", described)
        self.assertIn("Reads one small text and answers once.", described)

    def test_grpcurl_extracts(self):
        request = {
            "config": {"tasks": [{"id": "e", "entities": {"labels": [{"name": "person"}, {"name": "location"}]}}], "include_text": True},
            "text": "Mary Shelley wrote Frankenstein near Geneva.",
        }
        answer = self.run_tool(
            "grpcurl", "-plaintext", "-d", json.dumps(request), self.daemon.address, "gleand.v1.ExtractionService/Extract"
        )
        found = {mention["text"]: mention["label"] for mention in json.loads(answer)["results"]["mentions"]}
        self.assertEqual(found.get("Mary Shelley"), "person", found)
        self.assertEqual(found.get("Geneva"), "location", found)

    def test_grpcurl_shows_why_a_call_is_refused(self):
        command = ("grpcurl", "-plaintext", "-d", "{}", self.daemon.address, "gleand.v1.ExtractionService/Extract")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)
        # Its details are readable only because reflection knows google.rpc.
        self.assertIn('"reason":"CONFIG_MISSING"', done.stderr)

    def test_buf_curl_streams(self):
        messages = [
            {"config": {"tasks": [{"entities": {"labels": [{"name": "person"}]}}]}},
            {"chunk": {"data": "TWFyeSBTaGVsbGV5IHdyb3RlLg=="}},
            {"finish": {"totalBytes": "19"}},
        ]
        url = f"http://{self.daemon.address}/gleand.v1.ExtractionService/ExtractStream"
        data = "".join(json.dumps(message) for message in messages)
        answer = self.run_tool("buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", data, url)
        self.assertIn('"done"', answer)

    def test_both_reflections_name_the_services(self):
        for version in ("v1", "v1alpha"):
            with self.subTest(version=version):
                method = self.channel.stream_stream(
                    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                    request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                    response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
                )
                request = reflection_pb2.ServerReflectionRequest(list_services="")
                response = next(iter(method(iter([request]), timeout=10)))
                names = {service.name for service in response.list_services_response.service}
                self.assertLessEqual(SERVICES, names)

    def test_health_says_serving(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "gleand.v1.ExtractionService"):
            with self.subTest(service=service):
                response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
                self.assertEqual(response.status, health_pb2.HealthCheckResponse.SERVING)

    def test_models_are_told_with_their_limits(self):
        stub = models_grpc.ModelServiceStub(self.channel)
        models = stub.ListModels(v1.ListModelsRequest(), timeout=10).models
        self.assertEqual(len(models), 1)
        model = stub.GetModel(v1.GetModelRequest(), timeout=10).model
        self.assertEqual(model, models[0])
        self.assertIn(v1.TASK_KIND_ENTITIES, model.tasks)
        self.assertGreater(model.limits.labels_max, 0)
        self.assertGreater(model.window_policy.window_words_max, 0)
        self.assertTrue(model.digest.startswith("sha256:"))
        other = failure(lambda: stub.GetModel(v1.GetModelRequest(name="no such"), timeout=10))
        self.assertEqual((other.code, other.reason), (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"))

    def test_every_response_names_the_server(self):
        stub = models_grpc.ModelServiceStub(self.channel)
        _, call = stub.ListModels.with_call(v1.ListModelsRequest(), timeout=10)
        headers = {key: value for key, value in call.initial_metadata()}
        self.assertTrue(headers["gleand-instance"])
        self.assertTrue(headers["gleand-version"])
