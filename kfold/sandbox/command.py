"""The command line: `python -m kfold.sandbox up | down | status | kubeconfig`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from kfold.errors import KfoldError
from kfold.sandbox import process
from kfold.sandbox.api.discovery import ABSENT, missing_subresources
from kfold.sandbox.api.resources import BUILTIN
from kfold.sandbox.files import state_files

_ABOUT = """\
A Kubernetes API on loopback whose Pods are containers on the local Docker Engine: a stand-in for development.

What it does not have: schedulers, quotas, admission webhooks, network policies, roles (one token may do everything),
more than one node, controllers for kinds other than those that `status` names.
"""


_SERVICES = {
    "proxy": "Services: cluster IPs and names work between Pods; nothing is behind nodePorts and load balancers",
    "aliases": "Services: names lead straight to ready Pods, so use the targetPort; cluster IPs lead nowhere, because ",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `| head`: who read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KfoldError as error:
        print(f"{process.REFUSED}{error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kfold sandbox", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    texts = {
        "up": "start it, or find it running; returns when its API answers",
        "down": "end it and remove everything that it made",
        "status": "whether it runs, and where",
        "kubeconfig": "print its kubeconfig",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--name", default="default", help="of several sandboxes side by side (default: default)")
        if name == "up":
            command.add_argument("--mark", default="", help=argparse.SUPPRESS)  # for the program that starts it
        if name == "status":
            command.add_argument("--json", action="store_true", help="as JSON")
        if name == "kubeconfig":
            command.add_argument("--path", action="store_true", help="print the path of the file instead")
    # the server's own process; not for people
    commands.add_parser("serve").add_argument("--name", default="default")
    return parser


def _run(options: argparse.Namespace) -> int:
    name: str = options.name
    if options.command == "serve":
        return process.run_server(name)
    if options.command == "up":
        found = process.up(name, options.mark)
        print(f"sandbox {name} is up: context {found.context}, kubeconfig {found.kubeconfig}")
        return 0
    if options.command == "down":
        done = process.down(name)
        print(f"sandbox {name} is down: nothing of it is left" if done else f"there is no sandbox {name}")
        return 0
    if options.command == "kubeconfig":
        path = state_files(name).kubeconfig
        if not path.exists():
            raise KfoldError(f"the sandbox {name} has no kubeconfig", hint="kfold sandbox up")
        print(path if options.path else path.read_text(), end="\n" if options.path else "")
        return 0
    found = process.status(name)
    if options.json:
        print(json.dumps(dataclasses.asdict(found)))
    elif found.running:
        print(f"sandbox {name} runs: https://127.0.0.1:{found.port} (process {found.pid}), context {found.context}")
        print("stored without a controller: " + ", ".join(kind.kind for kind in BUILTIN if not kind.controlled))
        print(_SERVICES.get(found.services, "Services: starting") + found.services_problem)
        missing = [f"{kind.plural}/{sub}" for kind in BUILTIN for sub in missing_subresources(kind)]
        print("not there (501): " + ", ".join(missing))
        print("not there either: " + "; ".join(ABSENT))
    else:
        print(f"sandbox {name} is down")
    return 0 if found.running or options.json else 1
