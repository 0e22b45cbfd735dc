"""Pods in what the chart renders."""

import tomllib

import helm


def pods(values):
    """The pods that come of values: those of the Deployment and that of `helm test`, by kind."""
    for one in helm.render(values):
        if one["kind"] in ("Deployment", "Pod"):
            yield one["kind"], helm.pod_of(one)


def daemon(values=None):
    """Pod, container and configuration of the daemon."""
    objects = helm.render(values)
    pod = helm.pod_of(helm.the(objects, "Deployment"))
    return pod, helm.container(objects), tomllib.loads(helm.toml_text(objects))


def environment(container):
    """Variables of a container by name, each of which stands there once."""
    variables = container.get("env", [])
    found = {one["name"]: one for one in variables}
    if len(found) != len(variables):
        raise AssertionError(f"a variable stands there twice: {[one['name'] for one in variables]}")
    return found


def inside(path, directory):
    """Whether a path lies below a directory."""
    return path.startswith(directory.rstrip("/") + "/")
