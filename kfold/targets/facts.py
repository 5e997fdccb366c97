"""Facts about the target: from the kubeconfig, or from the embedded cluster where there is no context at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from kfold import state_folder
from kfold.plan.facts import Target
from kfold.stores import sandbox_process
from kfold.targets.detect import detect, no_context


def target(environment: Mapping[str, str], context: str, cache: Path) -> Target:
    """The target of this run. `context`: the user's choice, empty for the current one.

    Where no kubeconfig names any context, a sandbox that is up is used (its kubeconfig lies where `kfold sandbox` keeps
    it). Where a context exists, the sandbox is never chosen silently. Raises KfoldError for an unknown context.

    Reading YAML costs 0.05 s with its import, so the answer is kept in `cache` by the files' stat.
    """
    named = environment.get("KUBECONFIG", "")
    sandbox = sandbox_process.kubeconfig(environment)
    paths = [Path(part) for part in named.split(":") if part] or [Path.home() / ".kube" / "config"]
    stats = [[str(path), *_stat(path)] for path in [*paths, sandbox]]
    key = hashlib.sha256(json.dumps([context, stats]).encode()).hexdigest()[:32]
    file = cache / f"target-{key}.json"
    try:
        kept = json.loads(file.read_text())
        return Target(**{**kept, "kubeconfig": tuple(kept["kubeconfig"]), "because": tuple(kept["because"])})
    except (OSError, ValueError, TypeError, KeyError):
        found = _ask(environment, context, sandbox)
    state_folder.keep_one(file, json.dumps(dataclasses.asdict(found)))
    return found


def _ask(environment: Mapping[str, str], context: str, sandbox: Path) -> Target:
    from kfold.stores import kubeconfig

    config = kubeconfig.load(environment)
    if not config.contexts and config.current is None:
        if not sandbox.exists():
            if context:
                config.context(context)
            return no_context()
        config = kubeconfig.load(environment, paths=[sandbox])
    entry = config.context(context or None)
    return detect(entry.name, entry.namespace, tuple(str(file) for file in config.files))


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
