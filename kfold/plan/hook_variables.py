"""The variables that hooks get, as Skaffold documents them, and those that a command names itself.

https://skaffold.dev/docs/lifecycle-hooks/. SKAFFOLD_RPC_PORT and SKAFFOLD_HTTP_PORT are not among them: Skaffold sets them
only where its API is served, and kfold serves none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from kfold.plan.reference import split_tag

WORK_FOLDER = "SKAFFOLD_WORK_DIR"
STATE = "KFOLD_HOOK"
"""What an undo is told of its hook: `done`, or `intended` where it is not known that the hook came to its end."""

_NAMED = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


def repository_variables(default_repo: str, *, multi_level: bool) -> dict[str, str]:
    """For all hooks, where such a setting is in use."""
    found = {"SKAFFOLD_DEFAULT_REPO": default_repo} if default_repo else {}
    return {**found, **({"SKAFFOLD_MULTI_LEVEL_REPO": "true"} if multi_level else {})}


def build_variables(reference: str, context: str, *, push: bool) -> dict[str, str]:
    """For the hooks of an artifact. `reference`: its name with the tag; `context`: its folder, absolute.

    SKAFFOLD_IMAGE_REPO is without the last part of the name, as in Skaffold.
    """
    name, tag = split_tag(reference)
    return {
        "SKAFFOLD_IMAGE": reference,
        "SKAFFOLD_PUSH_IMAGE": "true" if push else "false",
        "SKAFFOLD_IMAGE_REPO": name.rpartition("/")[0],
        "SKAFFOLD_IMAGE_TAG": tag,
        "SKAFFOLD_BUILD_CONTEXT": context,
    }


def module_variables() -> dict[str, str]:
    """For the hooks around all artifacts: the same names, with nothing in them, as in Skaffold."""
    return dict.fromkeys(build_variables("", "", push=False), "") | {"SKAFFOLD_PUSH_IMAGE": "false"}


def deploy_variables(run: str, context: str, namespaces: Iterable[str]) -> dict[str, str]:
    """For the hooks of a deployment. `run`: an ID of this walk over the graph."""
    return {
        "SKAFFOLD_RUN_ID": run,
        "SKAFFOLD_KUBE_CONTEXT": context,
        "SKAFFOLD_NAMESPACES": ",".join(sorted({name for name in namespaces if name})),
    }


def named_variables(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Names of those variables of the environment that a command names (`$NAME`, `${NAME}`), sorted; never their values.

    Only what stands in the words themselves: what a script reads inside cannot be known.
    """
    return sorted({name for word in words for name in _NAMED.findall(word) if name in environment})
