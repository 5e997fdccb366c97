"""Which machine this is: what runs on one can be taken back on that one only."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class Host:
    """`id` tells machines apart; `name` is for people."""

    id: str
    name: str


@cache
def this_host() -> Host:
    """This machine: by its machine ID where it has one (Linux), else by its name.

    The ID itself must not leave the machine, so it is hashed (https://www.freedesktop.org/software/systemd/man/machine-id.html).
    """
    name = os.uname().nodename
    try:
        told = _MACHINE_ID.read_text().strip()
    except OSError:
        told = ""
    return Host(hashlib.sha256(f"kfold {told or name}".encode()).hexdigest()[:16], name)
