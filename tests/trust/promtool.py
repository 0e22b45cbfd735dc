"""Prometheus and its tool: checks of rules and metrics, a server for the time of a test, names in PromQL.

Nothing here knows a metric by name; what is found in files under deploy/ is compared with what a daemon shows.
"""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml
from process import free_ports

# Metrics of the daemon; recorded series have a colon in their name and are not among them.
NAME = re.compile(r"(?<![\w:])(?:gleand|rpc_server|process)_\w+")
SELECTOR = re.compile(r"(?<![\w:])((?:gleand|rpc_server|process)_\w+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")

# Set by the scrape.
OF_THE_SCRAPE = {"job", "instance"}


def tool(name):
    """A program on the path or beside the Python that runs this."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        raise AssertionError(f"{name} is not installed; see tests/run --install")
    return found


def call(*command, text=None):
    """Runs a program: status, and both outputs as one."""
    done = subprocess.run(
        [tool(command[0]), *map(str, command[1:])], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def page(address):
    """/metrics as it is on the wire, to the last line feed, which the format asks for."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read().decode()


def names(text):
    """Names of metrics in a text."""
    return set(NAME.findall(text))


def selected_labels(text):
    """Pairs of a metric and a label that a selector in a text asks it for."""
    pairs = ((name, label) for name, matchers in SELECTOR.findall(text) for label in MATCHER.findall(matchers))
    return {(name, label) for name, label in pairs if label not in OF_THE_SCRAPE}


def rules_of(expressions):
    """A file of rules with these expressions, so that promtool parses them."""
    rules = [{"record": f"parsed:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    return yaml.safe_dump({"groups": [{"name": "parsed", "rules": rules}]})


def firing_at_once(rules):
    """The alerts of a file of rules, all of them firing, so that their texts are made."""
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    firing = [{key: value for key, value in rule.items() if key != "for"} | {"expr": "vector(0.5)"} for rule in alerts]
    return yaml.safe_dump({"groups": [{"name": "firing", "interval": "1s", "rules": firing}]})


class Prometheus:
    """A Prometheus with the configuration of deploy/, for another target and every second."""

    def __init__(self, directory, example, target, *more_rules):
        directory = Path(directory)
        config = yaml.safe_load(example.read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(example.parent / name) for name in config["rule_files"]]
        config["rule_files"] += [str(path) for path in more_rules]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._address = f"127.0.0.1:{free_ports(1)[0]}"
        self._log = open(directory / "prometheus.log", "w+", encoding="utf-8")  # noqa: SIM115 (closed by close)
        command = [tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}"]
        command += [f"--web.listen-address={self._address}", "--log.level=warn"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def get(self, path, **parameters):
        """The data of an answer of its HTTP API."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error

    def query(self, expression):
        """What an expression gives now: a list of label sets with values."""
        result = self.get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def wait_for(self, condition, seconds, complaint):
        """What `condition` gives as soon as it is true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if value := condition():
                    return value
            except OSError:
                pass
            if time.monotonic() > deadline or self._process.poll() is not None:
                self._log.seek(0)
                raise AssertionError(f"{complaint()}\nPrometheus says:\n{self._log.read()[-3000:]}")
            time.sleep(0.2)

    def close(self):
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
