#!/usr/bin/env python3
"""Writes into a binary which crates it was built from, so that scanners of the image find them.

Usage: deploy/crates.py BINARY TARGET, from the root of the repository. The list is that of `cargo metadata` for the default
features, without what only tests use. It stands in the section `.dep-v0` in the form that cargo-auditable defined: JSON,
deflated. Cargo.lock alone would tell too much, since it holds the crates of every platform and of the tests.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import zlib


def crates(metadata):
    """The packages that end in the binary (`runtime`) or only help to build it (`build`), sorted, as the format wants them."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    root = metadata["resolve"]["root"]
    kinds, waiting = {root: "runtime"}, [root]
    while waiting:
        one = waiting.pop()
        for other, kind in dependencies(nodes[one], packages, kinds[one]):
            # What is in the binary stays there, even if the build needs it too.
            if kinds.get(other) in (kind, "runtime"):
                continue
            kinds[other] = kind
            waiting.append(other)
    order = sorted(kinds, key=lambda one: (packages[one]["name"], packages[one]["version"], one))
    place = {one: number for number, one in enumerate(order)}
    return [entry(packages[one], nodes[one], kinds[one], place, one == root) for one in order]


def dependencies(node, packages, kind):
    """The packages that a package needs, and whether they end in the binary. Macros do not, nor does what they need."""
    for dependency in node["deps"]:
        wanted = {found["kind"] for found in dependency["dep_kinds"]}
        is_macro = any("proc-macro" in target["kind"] for target in packages[dependency["pkg"]]["targets"])
        if None in wanted:
            yield dependency["pkg"], "build" if is_macro else kind
        elif "build" in wanted:
            yield dependency["pkg"], "build"


def entry(package, node, kind, place, is_root):
    """One package of the list."""
    source = package["source"] or "local"
    made = {
        "name": package["name"],
        "version": package["version"],
        "source": "crates.io" if source.startswith("registry+https://github.com/rust-lang/crates.io-index") else source,
    }
    if kind != "runtime":
        made["kind"] = kind
    needs = {found["pkg"] for found in node["deps"] if any(one["kind"] != "dev" for one in found["dep_kinds"])}
    if numbers := sorted(place[one] for one in needs if one in place):
        made["dependencies"] = numbers
    return made | ({"root": True} if is_root else {})


def main():
    binary, target = sys.argv[1:]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    packages = crates(metadata)
    with tempfile.TemporaryDirectory() as directory:
        section = pathlib.Path(directory) / "dep-v0"
        section.write_bytes(zlib.compress(json.dumps({"packages": packages}, separators=(",", ":")).encode(), 9))
        flags = ["--add-section", f".dep-v0={section}", "--set-section-flags", ".dep-v0=noload,readonly"]
        subprocess.run(["objcopy", *flags, binary], check=True)
    print(f"{sum('kind' not in one for one in packages)} crates in the binary, {len(packages)} with those that build it")


if __name__ == "__main__":
    main()
