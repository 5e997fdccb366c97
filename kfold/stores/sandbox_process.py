"""The embedded cluster as a program beside us: where its kubeconfig lies, starting it, stopping it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

NAME = "default"


def kubeconfig(environment: Mapping[str, str]) -> Path:
    """Where `kfold sandbox` keeps the kubeconfig of its default sandbox. The file is there while the sandbox is up."""
    home = environment.get("KFOLD_SANDBOX_HOME")
    if home:
        return Path(home, NAME, "kubeconfig")
    from platformdirs import user_state_path

    return user_state_path("kfold") / "sandbox" / NAME / "kubeconfig"


def up(environment: Mapping[str, str], mark: str) -> None:
    """Start it and wait until it answers. A new one gets the mark. Raises ChildFailed with what it said."""
    from kfold.stores import process

    process.answer([sys.executable, "-m", "kfold.sandbox", "up", "--mark", mark], environment=environment)


def mark(environment: Mapping[str, str]) -> str:
    """The mark of the sandbox that is there, running or not: "" where it has none. None is there: "", too."""
    try:
        return kubeconfig(environment).with_name("mark").read_text()
    except FileNotFoundError:
        return ""


def runs(environment: Mapping[str, str]) -> bool:
    """Whether its process lives, by the lock that it holds. Raises StoreError, ChildFailed where that cannot be known."""
    from kfold.stores import process

    found = json.loads(process.answer([sys.executable, "-m", "kfold.sandbox", "status", "--json"], environment=environment))
    return bool(found["running"])


def down(environment: Mapping[str, str]) -> None:
    """Stop it, with all its Pods; nothing of it stays on the engine."""
    from kfold.stores import process

    process.answer([sys.executable, "-m", "kfold.sandbox", "down"], environment=environment, timeout=120)
