"""The claim of who takes a hook back: a key at the parent of its set, which only one of several runs can write.

A run that was killed leaves its claim. On this machine its lock tells that it is gone; of another machine nobody knows, so
such a claim lapses, and the user may say that it ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from kfold.errors import KfoldError
from kfold.stores.host import Host, this_host
from kfold.verbs.applyset import CLAIM, HOOK
from kfold.verbs.world import World

STALE = 3600.0
"""Seconds after which the claim of another machine is that of a run that was killed."""


def claim_key(key: str) -> str:
    """Where the claim on a hook stands whose copy has this key."""
    return f"{CLAIM}{key.removeprefix(HOOK)}"


def claim_of(world: World) -> dict[str, Any]:
    """What this run writes: who it is, where, and since when. `run`: since when its lock is held, which tells it from every
    later run in its project."""
    host = this_host(world.environment)
    return {"ledger": world.ledger.identity, "host": host.id, "hostName": host.name, "at": time.time(),
            "project": str(world.folder.absolute()), "run": world.ledger.held_since}  # fmt: skip


def read_claim(text: str | None) -> dict[str, Any]:
    """A claim, as far as it can be read: whoever edited it may not hold a hook for ever."""
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def refuse_claimed(world: World, by: Mapping[str, Any], *, take_over: bool = False) -> None:
    """Raise KfoldError where another run takes the hook back right now. `take_over`: the user's word that the run on another
    machine ended."""
    if not by or by.get("ledger") == world.ledger.identity:
        return
    host = this_host(world.environment)
    where = f"{by.get('project')} on {by.get('hostName')}"
    if _is_of(by, host):
        if _runs_here(world, by):
            raise KfoldError(f"a run in {where} takes it back right now: run this again when that ended")
        return
    at = by.get("at")
    # whoever edited it, or whose clock is ahead, may not hold it for ever
    if take_over or not isinstance(at, (int, float)) or abs(time.time() - at) >= STALE:
        return
    since, until = (time.strftime("%H:%M:%S", time.localtime(when)) for when in (at, at + STALE))
    raise KfoldError(
        f"a run in {where} takes it back right now, since {since}: run this again when that ended. If it was killed, its"
        f" claim lapses at {until}; `doit delete --forget-hooks` takes the hook back now"
    )


def _is_of(by: Mapping[str, Any], host: Host) -> bool:
    """Whether a claim was made on this machine. The name too: a key that was copied to another one is not that machine."""
    return (by.get("host"), by.get("hostName")) == (host.id, host.name)


def _runs_here(world: World, by: Mapping[str, Any]) -> bool:
    """Whether the run that made the claim holds its project's lock still; a later run there does not."""
    owner = next((one for one in world.ledger.others() if one.identity == by.get("ledger")), None)
    if owner is None or not owner.is_written:
        return False
    since = owner.written_since
    return since is None or by.get("run") in (None, since)
