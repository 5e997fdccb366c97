"""The content key of an artifact: one hash over everything that its image is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMAT = 1
"""Part of every key: raised when the meaning of the inputs changes, so that old images are not taken for new ones."""


@dataclass(frozen=True)
class Inputs:
    """What an image is made of, by name, each as a short text; so that two sets can be compared and the difference told.

    Build argument values enter as a hash: they may be secret.
    """

    values: Mapping[str, str]

    @property
    def key(self) -> str:
        """64 hexadecimal digits."""
        text = json.dumps([FORMAT, sorted(self.values.items())])
        return hashlib.sha256(text.encode()).hexdigest()


def build_inputs(
    *,
    files: str,
    dockerfile: str,
    target: str,
    no_cache: bool,
    build_args: Mapping[str, str | None],
    bases: Mapping[str, str],
    required: Mapping[str, str],
    platforms: Sequence[str] = (),
) -> Inputs:
    """`files`: digest of the file set. `bases`: base image -> digest, ID or reference. `required`: alias -> key.
    `platforms`: none is the builder's own, and no input."""
    values = {"files": files, "dockerfile": dockerfile, "target": target, "noCache": str(no_cache)}
    for name, value in build_args.items():
        # an environment's bytes that are no UTF-8 come as surrogates (PEP 383)
        data = None if value is None else value.encode(errors="surrogateescape")
        values[f"build argument {name}"] = "unset" if data is None else hashlib.sha256(data).hexdigest()
    values |= {f"base image {name}": identity for name, identity in bases.items()}
    values |= {f"required image {alias}": key for alias, key in required.items()}
    if platforms:
        values["the list of platforms"] = ",".join(sorted(platforms))
    return Inputs(values)


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What changed between two sets of inputs, in words."""
    told = [f"{name} changed" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    told += [f"{name} is new" for name in sorted(new.keys() - old.keys())]
    told += [f"{name} is gone" for name in sorted(old.keys() - new.keys())]
    return told
