#!/usr/bin/env python3
"""`helm package` and `helm push` as deploy/release calls them, done by Helm's own code where its program cannot be had.

Anything else on the command line is an error, so that what is rehearsed is what is called.
"""

import argparse
import sys

import helm_python


def main():
    parser = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    package = commands.add_parser("package", allow_abbrev=False)
    package.add_argument("chart")
    package.add_argument("--destination", required=True)
    push = commands.add_parser("push", allow_abbrev=False)
    push.add_argument("archive")
    push.add_argument("remote")
    push.add_argument("--plain-http", action="store_true")
    options = parser.parse_args()
    try:
        if options.command == "package":
            print(helm_python.package(options.chart, destination=options.destination))
        else:
            print(helm_python.RegistryClient(plain_http=options.plain_http).push(options.archive, options.remote))
    except helm_python.HelmError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
