"""What a kubelet does before it starts a container: volumes become directories here, and paths of the container lead to them.

So the real binary can be run with the arguments, the environment and the files that the chart gives it, without a cluster.
"""

import math
import pathlib
import re

import helm

UNITS = {"": 1, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(value):
    """A quantity of Kubernetes as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value)).groups()
    return float(number) * UNITS[unit]


class Node:
    """A directory in which pods of some rendered objects have their volumes.

    `secrets` are those that the cluster has: by name, files by key. In a claim or an image, `model_at` is a link to `model`.
    """

    def __init__(self, directory, objects, secrets=None, model_at="", model=helm.ROOT / "models/default"):
        self._directory = pathlib.Path(directory)
        self._maps = {one["metadata"]["name"]: one["data"] for one in helm.of_kind(objects, "ConfigMap")}
        self._secrets, self._model, self._model_at = secrets or {}, model, model_at

    def start(self, pod, container):
        """Arguments and environment of a container of a pod, with paths of this machine."""
        paths = self._paths(pod, container)
        for volume in pod.get("volumes", []):
            self._fill(volume, paths)
        return [_translated(part, paths) for part in container.get("args", [])], _environment(container)

    def _paths(self, pod, container):
        """Where each mount of the container is here."""
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        paths = {}
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in volumes, mount
            paths[mount["mountPath"]] = str(self._directory / mount["name"] / mount.get("subPath", ""))
        return paths

    def _fill(self, volume, paths):
        here = self._directory / volume["name"]
        if here.exists():
            return
        if "persistentVolumeClaim" in volume or "image" in volume:
            model = here / self._model_at
            model.parent.mkdir(parents=True, exist_ok=True)
            model.symlink_to(self._model, target_is_directory=True)
            return
        here.mkdir()
        if "configMap" in volume:
            files = self._maps[volume["configMap"]["name"]]
        elif "secret" in volume:
            files = self._secrets[volume["secret"]["secretName"]]
        else:
            assert "emptyDir" in volume, volume
            return
        source = volume.get("configMap") or volume["secret"]
        items = source.get("items") or [{"key": key, "path": key} for key in files]
        for item in items:
            # A key that is not there keeps a pod from starting.
            content = files[item["key"]]
            if isinstance(content, str):
                content = _translated(content, paths).encode()
            (here / item["path"]).write_bytes(content)


def _translated(text, paths):
    """A text with paths of the container replaced, each once: the longest that fits, and no part of a name."""
    if not paths:
        return text
    there = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({there})(?![\w.-])", lambda match: paths[match.group()], text)


def _environment(container):
    """The variables that a container gets, with fields worked out."""
    found = {}
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif field := variable["valueFrom"].get("resourceFieldRef"):
            part, _, name = field["resource"].partition(".")
            # Rounded up.
            value = math.ceil(quantity(container["resources"][part][name]) / quantity(field.get("divisor", "1")))
            found[variable["name"]] = str(value)
    return found
