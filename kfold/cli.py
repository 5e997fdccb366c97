"""The `kfold` command: the same tasks as with a dodo.py, with flags, and without one.

Exit codes: 0, 1 for what failed, 2 for a command line that means nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

USAGE = """\
usage: kfold VERB [FLAGS]

  deploy              build, deploy, and wait until the application is stable
  build tag load push render wait
                      up to that verb; `kfold build:web` for one artifact
  dev                 deploy, watch, redeploy what changed, show logs; Ctrl+C takes it all back
                      (--no-cleanup, --prune none|superseded|all, --no-tail)
  delete              take the deployment back, by the record (--dry-run, --timeout SECONDS, --volumes,
                      --forget, --forget-hooks)
  prune               remove superseded images (--all, --dry-run, --forget, --forget-hooks)
  status              what kfold made and where it is (--json)
  why NAME            why a step will run, or an image would be pruned
  list                every task
  sandbox             up | down | status | kubeconfig: the embedded cluster
  config              set KEY VALUE | unset KEY | list: settings of a context, or of all (--kube-context, --global)

flags of all verbs, before or after it (each is also a variable, KFOLD_NAMESPACE, KFOLD_CONTEXT, …):
  -n, --namespace NAMESPACE   where objects without a namespace go
      --kube-context CONTEXT  the cluster to deploy to (default: the current context)
  -f, --filename FILE         the config (default: kfold.yaml, skaffold.yaml)
      --push, --no-push       push images, or do not, whatever the config says
  -d, --default-repo REPO     where images go whose name says another place
      --insecure-registry HOST
                              a registry without TLS that can be checked (may be repeated)
      --platform PLATFORM     what to build for, such as linux/amd64,linux/arm64 (may be repeated)
      --keep-pull-policy      leave `imagePullPolicy: Always`, even of images that are in no registry
  -j, --jobs N                steps under way at once
      --version, --help
"""

VALUED = {
    "-n": "namespace",
    "--namespace": "namespace",
    "--kube-context": "context",
    "--context": "context",
    "-f": "config",
    "--filename": "config",
    "-d": "default_repo",
    "--default-repo": "default_repo",
    "--insecure-registry": "insecure_registry",
    "--platform": "platform",
    "-j": "jobs",
    "--jobs": "jobs",
}
FIXED = {
    "--push": ("push", "yes"),
    "--no-push": ("push", "no"),
    "--keep-pull-policy": ("keep_pull_policy", "yes"),
}
REPEATED = ("insecure_registry", "platform")
"""Options that may be given several times."""


class Usage(Exception):
    """The command line means nothing. The message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    rest = list(sys.argv[1:] if arguments is None else arguments)
    if rest[:1] == ["sandbox"]:
        # a program of its own, with imports of its own
        os.execv(sys.executable, [sys.executable, "-m", "kfold.sandbox", *rest[1:]])
    if rest[:1] == ["config"]:
        from kfold.commands import settings

        code, problem = settings.main(rest[1:], os.environ)
        print(problem, end="", file=sys.stderr)
        return code
    try:
        options, words = parse(rest)
        if not words or "--help" in words or "-h" in words:
            print(USAGE, end="")
            return 0 if words or not rest else 2
        if "--version" in words:
            from kfold.version import VERSION

            print(f"kfold {VERSION}")
            return 0
        return run(options, words)
    except Usage as error:
        print(f"kfold: {error}\n  `kfold --help` tells what there is.", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Our own flags, by name, and everything else in its order. Raises Usage for a flag without its value."""
    options: dict[str, str] = {}
    words: list[str] = []
    remaining = list(arguments)
    while remaining:
        word = remaining.pop(0)
        flag, equals, value = word.partition("=")
        if word in FIXED:
            name, value = FIXED[word]
            options[name] = value
        elif flag in VALUED:
            if not equals:
                if not remaining:
                    raise Usage(f"{flag} needs a value")
                value = remaining.pop(0)
            name = VALUED[flag]
            options[name] = f"{options[name]},{value}" if name in REPEATED and name in options else value
        elif word[:2] in VALUED and not word.startswith("--"):
            options[VALUED[word[:2]]] = word[2:]  # `-j4`: else doit would read it as a flag of its own
        else:
            words.append(word)
    return options, words


def run(options: dict[str, str], words: list[str]) -> int:
    """Hand the tasks of the project in this folder to doit."""
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain

    from kfold.tasks import project

    jobs = options.pop("jobs", "")
    if jobs and not (jobs.isdecimal() and int(jobs) > 0):
        raise Usage(f"--jobs {jobs}: a whole number from 1 is needed")
    config, creator = project(options, words)
    if jobs:
        config["num_process"] = int(jobs)
    namespace: dict[str, Any] = {"DOIT_CONFIG": config, "task_kfold": creator}
    command = words if words[0] in ("list", "info", "forget") else ["run", *words]
    # the user's doit.cfg and pyproject.toml are for their doit, not for this command
    code = int(DoitMain(ModuleTaskLoader(namespace), config_filenames=()).run(command))
    # doit: 1 a task failed, 2 an error in a task, 3 a usage error
    return {0: 0, 3: 2}.get(code, 1)
