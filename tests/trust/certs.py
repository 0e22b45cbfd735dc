"""Certificates made by openssl: an authority, servers, and clients that are right or wrong in one way each."""

import datetime
import pathlib
import shutil
import ssl
import subprocess

# `openssl ca` is what sets both ends of a lifetime; it keeps a little database.
CONFIG = """
[ca]
default_ca = here
[here]
database = {directory}/index.txt
new_certs_dir = {directory}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""

DAY = datetime.timedelta(days=1)


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


class Pair:
    """A certificate and its key, as files."""

    def __init__(self, directory, name):
        self.cert, self.key = directory / f"{name}.crt", directory / f"{name}.key"

    def der(self):
        """The first certificate of the file, as a peer sees it."""
        return ssl.PEM_cert_to_DER_cert(
            self.cert.read_text(encoding="ascii").partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        )


class Authority:
    """Signs certificates; its own is `root.cert`."""

    def __init__(self, directory, name):
        self._directory = pathlib.Path(directory) / name
        self._directory.mkdir(parents=True)
        self.root = Pair(self._directory, "ca")
        self._config = self._directory / "openssl.cnf"
        self._config.write_text(CONFIG.format(directory=self._directory), encoding="ascii")
        (self._directory / "index.txt").touch()
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN=gleand test {name}",
            "-days", 30, "-keyout", self.root.key, "-out", self.root.cert,
            *(part for extension in extensions for part in ("-addext", extension)),
        )  # fmt: skip

    def issue(self, name, *sans, begins=-DAY, ends=30 * DAY, usage="clientAuth"):
        """A certificate for these names that is valid between two moments, seen from now."""
        pair = Pair(self._directory, name)
        request = self._directory / f"{name}.csr"
        extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}"]
        if sans:
            extensions.append(f"subjectAltName={','.join(sans)}")
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", pair.key, "-out", request,
            *(part for extension in extensions for part in ("-addext", extension)),
        )  # fmt: skip
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = (f"{now + moment:%Y%m%d%H%M%SZ}" for moment in (begins, ends))
        _openssl(
            "ca", "-batch", "-notext", "-config", self._config, "-cert", self.root.cert, "-keyfile", self.root.key,
            "-startdate", start, "-enddate", end, "-in", request, "-out", pair.cert,
        )  # fmt: skip
        return pair

    def server(self, name="server", **validity):
        """A certificate for loopback."""
        return self.issue(name, "DNS:localhost", "IP:127.0.0.1", usage="serverAuth", **validity)


class Mounted:
    """A directory as Kubernetes mounts a secret: names lead over `..data`, a link that is swapped at once."""

    def __init__(self, directory, **files):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self._generation = 0
        self._names = []
        self.swap(**files)

    def swap(self, **files):
        """Shows these files, by name with `_` for `.`; those that are left out go."""
        self._generation += 1
        old = sorted(self.directory.glob("..generation*"))
        new = self.directory / f"..generation{self._generation}"
        new.mkdir()
        for name, content in files.items():
            (new / name.replace("_", ".")).write_bytes(content)
        link = self.directory / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(self.directory / "..data")
        for name in files:
            path = self.directory / name.replace("_", ".")
            if not path.is_symlink():
                path.symlink_to(f"..data/{path.name}")
        for directory in old:
            shutil.rmtree(directory)

    def path(self, name):
        """Where a file is read."""
        return self.directory / name.replace("_", ".")
