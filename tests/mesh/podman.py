"""Containers run by podman, and the pod of a rendered chart as podman's flags.

Podman keeps images and containers in a store of its own under target/mesh, not in the machine's. It needs root, and the
options below because of what the machines of the tests are: no overlay, control groups of both versions, no right to raise
limits. A pod gets a network of its own, so that its ports are those of the chart.
"""

import hashlib
import itertools
import math
import os
import pathlib
import re
import signal
import subprocess
import threading

import process
from schema import ROOT

STORE = ROOT / "target/mesh/containers"
# Podman refuses one of more than 50 characters, which that of a checkout may be.
STATE = pathlib.Path("/tmp") / f"gleand-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"
BASE = (
    "podman", "--root", str(STORE / "root"), "--runroot", str(STATE), "--storage-driver", "vfs",
    "--cgroup-manager", "cgroupfs", "--runtime", "runc",
)  # fmt: skip
# Without both, runc wants to raise them and may not.
ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

_numbers = itertools.count()


def podman(*arguments, seconds=60, check=True):
    """Runs podman until it ends."""
    done = subprocess.run([*BASE, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"podman {arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done


def run(image, *arguments, flags=("--network", "none"), seconds=60):
    """Runs the image's program until it ends by itself: status and output."""
    return podman("run", "--rm", *ULIMITS, *flags, image, *arguments, seconds=seconds, check=False)


def new_name(prefix):
    """A name that no other test uses."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


class Container(process.Process):
    """`gleand serve` as the first process of a container. It is like a daemon that was started without one."""

    def __init__(self, image, flags=("--network", "host"), command=None, until="ready", address=None, admin=None, **settings):
        self.name = new_name("gleand")
        if command is None:
            command = ["serve", *process.assignments(process.DEFAULTS | settings)]
        self._process = subprocess.Popen(
            [*BASE, "run", "--rm", "--name", self.name, *ULIMITS, *map(str, flags), image, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._lines, self._news = [], threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            self._start(until, address, admin)
        except BaseException:
            self.kill()
            raise

    def _start(self, until, address, admin):
        if until == "nothing":
            return
        started = self.wait_for_line("serving, not ready yet", process.READY_SECONDS)
        self.address, self.admin = address or started["address"], admin or started.get("admin")
        self.pid = int(podman("inspect", "--format", "{{.State.Pid}}", self.name).stdout)
        if until == "ready":
            self.wait_for_line("ready", process.READY_SECONDS)

    def threads(self):
        """The names of its threads."""
        return [path.read_text(encoding="ascii").strip() for path in pathlib.Path(f"/proc/{self.pid}/task").glob("*/comm")]

    def status(self):
        """What the kernel says about its first process."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def signal(self, number=signal.SIGTERM):
        """Sends a signal to its first process, as the kubelet does."""
        podman("kill", "--signal", signal.Signals(number).name, self.name)

    def kill(self):
        """Ends it without a word, if it has not ended; safe to call twice."""
        podman("rm", "--force", "--time", "0", self.name, check=False)
        super().kill()


class Network:
    """A network of its own for a pod, one hop away from here."""

    def __init__(self):
        self._number = next(_numbers)
        self.name = new_name("gleand")
        self._link = f"gl{os.getpid()}x{self._number}"[:15]
        # A /30 out of the range for benchmarks, which nobody routes.
        base = ((os.getpid() * 7 + self._number) % 16000) * 4
        here, self.address = (f"198.18.{base // 256}.{base % 256 + host}" for host in (1, 2))
        self._ip("netns", "add", self.name)
        try:
            self._ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            self._ip("address", "add", f"{here}/30", "dev", self._link)
            self._ip("link", "set", self._link, "up")
            self._ip("-n", self.name, "link", "set", "lo", "up")
            self._ip("-n", self.name, "address", "add", f"{self.address}/30", "dev", "eth0")
            self._ip("-n", self.name, "link", "set", "eth0", "up")
            self._ip("-n", self.name, "route", "add", "default", "via", here)
        except BaseException:
            self.close()
            raise
        self.flags = ("--network", f"ns:/run/netns/{self.name}")
        self.here = here

    def inside(self, *command, **more):
        """Runs a command where loopback is the pod's, as behind `kubectl port-forward`."""
        return subprocess.run(["ip", "netns", "exec", self.name, *map(str, command)], check=False, **more)

    def close(self):
        """Takes it away, with both ends of its link."""
        self._ip("netns", "delete", self.name)

    def _ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


# --- what a rendered pod says, as flags -----------------------------------------------------------------------------

# What podman cannot be told or what has no meaning without a cluster. Anything that is neither here nor handled is an error.
POD_KEYS_OF_A_CLUSTER = {
    "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets", "nodeSelector",
    "priorityClassName", "restartPolicy", "runtimeClassName", "serviceAccountName", "terminationGracePeriodSeconds",
    "tolerations", "topologySpreadConstraints",
}  # fmt: skip
CONTAINER_KEYS_OF_A_CLUSTER = {
    "imagePullPolicy", "livenessProbe", "name", "ports", "readinessProbe", "startupProbe", "terminationMessagePolicy",
}  # fmt: skip


def quantity(value):
    """A quantity of Kubernetes as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(value)).groups()
    powers = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    return float(number) * powers[unit]


class Pod:
    """The pod template of one rendered object. `secrets` are those that the cluster would have: {name: {key: text}}."""

    def __init__(self, manifests, directory, kind="Deployment", secrets=None):
        self._directory = pathlib.Path(directory)
        self._maps = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"}
        self._secrets = secrets or {}
        owner = next(one for one in manifests if one["kind"] == kind)
        self.spec = owner["spec"] if kind == "Pod" else owner["spec"]["template"]["spec"]
        self._known(self.spec, POD_KEYS_OF_A_CLUSTER | {"containers", "initContainers", "securityContext", "volumes"})
        self._volumes = {volume["name"]: self._volume(dict(volume)) for volume in self.spec.get("volumes", ())}

    def container(self, name=None):
        """The container of this name, or the first one."""
        every = self.spec.get("initContainers", []) + self.spec["containers"]
        return next((one for one in every if one["name"] == name), self.spec["containers"][0])

    def flags(self, container):
        """Podman's flags for a container: who it is, what it may and sees, how much it gets."""
        handled = {"args", "command", "env", "image", "resources", "securityContext", "volumeMounts"}
        self._known(container, CONTAINER_KEYS_OF_A_CLUSTER | handled)
        return [*self._security(container), *self._limits(container), *self._environment(container), *self._mounts(container)]

    def command(self, container):
        """What it is started with, behind the image."""
        if "command" in container:
            raise AssertionError("a command takes the place of the image's entry point; the flags do not say that yet")
        return container.get("args", [])

    def _known(self, one, keys):
        if unknown := set(one) - keys:
            raise AssertionError(f"nothing here gives podman {sorted(unknown)}")

    def _security(self, container):
        wanted = {**self.spec.get("securityContext", {}), **container.get("securityContext", {})}
        yield from ("--user", f"{wanted.pop('runAsUser')}:{wanted.pop('runAsGroup')}")
        if wanted.pop("readOnlyRootFilesystem", False):
            # Kubernetes puts nothing writable in, podman would.
            yield from ("--read-only", "--read-only-tmpfs=false")
        capabilities = wanted.pop("capabilities", {})
        for dropped in capabilities.get("drop", ()):
            yield from ("--cap-drop", dropped.lower())
        if wanted.pop("allowPrivilegeEscalation", True) is False:
            yield from ("--security-opt", "no-new-privileges")
        # The default of podman is that of the runtime; the files of volumes get fsGroup when they are made.
        if wanted.pop("seccompProfile", {"type": "RuntimeDefault"}) != {"type": "RuntimeDefault"}:
            raise AssertionError("only the runtime's seccomp profile is known here")
        self._known(wanted, {"runAsNonRoot", "fsGroup", "fsGroupChangePolicy", "privileged"})

    def _limits(self, container):
        resources = container.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        if "cpu" in limits:
            yield from ("--cpus", f"{quantity(limits['cpu']):g}")
        if "memory" in limits:
            yield from ("--memory", f"{quantity(limits['memory']):.0f}b")
        if "cpu" in requests:
            yield from ("--cpu-shares", f"{max(2, int(quantity(requests['cpu']) * 1024))}")

    def _environment(self, container):
        for one in container.get("env", ()):
            yield from ("--env", f"{one['name']}={self._value(one, container)}")

    def _value(self, one, container):
        if "value" in one:
            return one["value"]
        source = one["valueFrom"]
        if "resourceFieldRef" in source:
            reference = source["resourceFieldRef"]
            kind, name = reference["resource"].split(".")
            whole = quantity(container["resources"][kind][name]) / quantity(reference.get("divisor", 1))
            return math.ceil(round(whole, 6))
        if "fieldRef" in source:
            fields = {"metadata.name": "gleand-0", "metadata.namespace": "default", "spec.nodeName": "node"}
            return fields[source["fieldRef"]["fieldPath"]]
        raise AssertionError(f"nothing here gives podman {one}")

    def _volume(self, volume):
        """A folder with what a volume holds."""
        path = self._directory / volume.pop("name")
        path.mkdir(parents=True)
        if "configMap" in volume:
            self._write(path, self._maps[volume["configMap"]["name"]], volume["configMap"])
        elif "secret" in volume:
            self._write(path, self._secrets[volume["secret"]["secretName"]], volume["secret"])
        elif "projected" in volume:
            for source in volume["projected"]["sources"]:
                kind, chosen = next(iter(source.items()))
                content = {"configMap": self._maps, "secret": self._secrets}[kind][chosen["name"]]
                self._write(path, content, {**chosen, "defaultMode": volume["projected"].get("defaultMode", 0o644)})
        elif "emptyDir" not in volume:
            raise AssertionError(f"nothing here makes a volume of {volume}")
        group = self.spec.get("securityContext", {}).get("fsGroup")
        for one in (path, *path.rglob("*")):
            os.chown(one, 0, group if group is not None else 0)
        # An emptyDir may be written by the group of the pod; all else is mounted read-only.
        path.chmod(0o2770 if group is not None else 0o777)
        return path

    def _write(self, path, content, chosen):
        mode = chosen.get("defaultMode", 0o644)
        names = {item["key"]: item["path"] for item in chosen.get("items", ())} or {key: key for key in content}
        for key, name in names.items():
            file = path / name
            file.write_text(content[key], encoding="utf-8")
            # With an fsGroup the kubelet lets the group read what its owner may read.
            file.chmod(mode | ((mode & 0o400) >> 3))

    def _mounts(self, container):
        for mount in container.get("volumeMounts", ()):
            self._known(mount, {"name", "mountPath", "readOnly", "subPath"})
            source = self._volumes[mount["name"]] / mount.get("subPath", "")
            volume = next(one for one in self.spec["volumes"] if one["name"] == mount["name"])
            options = "rw" if "emptyDir" in volume and not mount.get("readOnly") else "ro"
            yield from ("--volume", f"{source}:{mount['mountPath']}:{options}")


def service_variables(name, address="10.96.7.7", ports=(("grpc", 50051), ("admin", 9464))):
    """The variables that the kubelet gives to pods for a Service of this name, as podman's flags."""
    upper = name.upper().replace("-", "_")
    first = ports[0][1]
    made = {f"{upper}_SERVICE_HOST": address, f"{upper}_SERVICE_PORT": first, f"{upper}_PORT": f"tcp://{address}:{first}"}
    for port_name, port in ports:
        made[f"{upper}_SERVICE_PORT_{port_name.upper()}"] = port
        base = f"{upper}_PORT_{port}_TCP"
        made |= {base: f"tcp://{address}:{port}", f"{base}_PROTO": "tcp", f"{base}_PORT": port, f"{base}_ADDR": address}
    return [part for key, value in made.items() for part in ("--env", f"{key}={value}")]
