"""Values files as users write them: the cases that every test of the chart goes through."""

import helm

DIGEST = "sha256:" + "0123456789abcdef" * 4
HASH = "89abcdef" * 8

# Cores by the request alone: the daemon is told by the cluster how many it may use.
NO_CPU_LIMIT = {"resources": {"requests": {"cpu": "1500m", "memory": "3Gi"}, "limits": {"cpu": None, "memory": "3Gi"}}}

SECRETS = {
    "tls": {"existingSecret": "gleand-tls"},
    "auth": {"existingSecret": "gleand-keys"},
    "otlp": {"caSecret": {"name": "otlp-ca"}, "headersSecret": {"name": "otlp-headers"}},
    "config": {"otlp": {"endpoint": "https://collector.observability:4317"}},
    "test": {"ca": {"secret": "gleand-tls"}, "apiKey": {"secret": "gleand-test-key"}},
}

MUTUAL_TLS = {
    "tls": {"existingSecret": "gleand-tls", "clientCaKey": "ca.crt"},
    "config": {"tls": {"client_sans": "spiffe://mesh/ns/app/sa/web,*.apps.example"}},
    "test": {"ca": {"secret": "gleand-tls"}, "clientCert": {"secret": "gleand-test-client"}, "domain": "gleand.example"},
}

PVC = {"model": {"source": "pvc", "pvc": {"claimName": "models", "subPath": "gliner/medium"}}}

INIT = {
    "model": {
        "source": "init",
        "init": {
            "id": "example/gliner-medium",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            "sha256": {"config.json": HASH, "model.safetensors": HASH[::-1], "tokenizer.json": HASH},
            "tokenSecret": {"name": "hub-token"},
        },
    }
}

# Image volumes are on by default from 1.35.
IMAGE = {
    "model": {"source": "image", "image": {"reference": f"registry.example.com/models/gliner@{DIGEST}", "subPath": "gliner"}}
}
IMAGE_SINCE = "1.35.0"

HPA = {"autoscaling": {"hpa": {"enabled": True, "minReplicas": 2, "maxReplicas": 6}}}
KEDA = {"autoscaling": {"keda": {"enabled": True, "serverAddress": "http://prometheus.monitoring:9090"}}}

ROUTE = {
    "grpcRoute": {
        "enabled": True,
        "annotations": {"example.com/owner": "nlp"},
        "labels": {"team": "nlp"},
        "parentRefs": [{"name": "gateway", "namespace": "infra", "sectionName": "grpc"}],
        "hostnames": ["gleand.example.com"],
        "matches": [{"method": {"service": "gleand.v1.ExtractionService"}}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-team", "value": "nlp"}]}}],
    }
}



def namespace(name):
    """A peer of a NetworkPolicy."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


POLICY = {
    "networkPolicy": {
        "enabled": True,
        "clients": [namespace("apps")],
        "admin": [namespace("monitoring")],
        "dns": {"to": [namespace("kube-system")], "ports": [53, 5353]},
    }
}

MONITORING = {
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
        "prometheusRule": {"enabled": True, "runbookBase": "https://git.example.com/gleand/blob/main/deploy/"},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "NLP"}},
    }
}

POD = {
    "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "nlp", "cost-center": "42"},
    "podLabels": {"sidecar.istio.io/inject": "true"},
    "podAnnotations": {"example.com/note": "a: b #c"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "nlp", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]},
                ]
            }
        }
    },
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "extraEnv": [
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "k8s.cluster.name=test"},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ],
    "extraVolumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}, "data": {"a": "b"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text-{{ include "gleand.fullname" . }}\ndata: {c: d}\n',
    ],
}

# Numbers that Go prints with an exponent, and text that TOML must escape.
CONFIG = {
    "config": {
        "server": {
            "drain_ms": 7200000,
            "document_bytes_max": 100000000000,
            "connection_age_ms": 86400000,
            "streams_max": 16,
            "reflection": "off",
        },
        "otlp": {"endpoint": "http://collector.observability:4317", "protocol": "grpc"},
        "telemetry": {"trace_ratio": 0.1, "logs": "none"},
        "log": {"level": "debug"},
    },
}

CASES = {
    "defaults": {},
    "config": CONFIG,
    "no-cpu-limit": NO_CPU_LIMIT,
    "secrets": SECRETS,
    "mutual-tls": MUTUAL_TLS,
    "pvc": PVC,
    "init": INIT,
    "image": IMAGE,
    "hpa": HPA,
    "keda": KEDA,
    "route": ROUTE,
    "policy": POLICY,
    "policy-init": helm.merged(POLICY, INIT, SECRETS),
    "monitoring": MONITORING,
    "pod-monitor": {"monitoring": {"podMonitor": {"enabled": True}}},
    "pod": POD,
    "digest": {"image": {"repository": "registry.example.com:5000/nlp/gleand", "tag": "1.2.3", "digest": DIGEST}},
    "recreate": {"strategy": {"type": "Recreate"}, "replicas": 0, "podDisruptionBudget": {"enabled": False}},
    "little": {
        "serviceAccount": {"create": False},
        "service": {"headless": {"enabled": False}, "appProtocol": ""},
        "topologySpreadConstraints": [],
        "architectures": [],
        "test": {"enabled": False},
    },
    "everything": helm.merged(CONFIG, SECRETS, INIT, HPA, ROUTE, POLICY, MONITORING, POD),
    "everything-keda": helm.merged(NO_CPU_LIMIT, MUTUAL_TLS, PVC, KEDA, ROUTE, POLICY, MONITORING, POD),
}


def gpu():
    """The values file for GPUs that comes with the chart."""
    files = sorted(helm.CHART.glob("*gpu*.yaml"))
    if len(files) != 1:
        raise AssertionError(f"one values file for GPUs is expected beside values.yaml, not {files}")
    return helm.parse(files[0].read_text(encoding="utf-8"))[0]


def cases():
    """All of them, by name."""
    return {**CASES, "gpu": gpu()}


def versions_of(values):
    """The versions of Kubernetes in which these values may be installed."""
    source = values.get("model", {}).get("source")
    return [version for version in helm.KUBERNETES if source != "image" or version >= IMAGE_SINCE]
