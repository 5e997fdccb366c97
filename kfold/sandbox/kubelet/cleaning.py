"""Taking back everything that a sandbox put on the engine: found by label, so it works without the sandbox's process."""

from __future__ import annotations

import asyncio
from typing import Any

from kfold.sandbox.kubelet.engine import Engine, EngineError

Json = dict[str, Any]

LABEL = "dev.kfold.sandbox"
"""On every container, volume, network and image that a sandbox makes; its value is the sandbox's name."""

NO_NETWORKS = ("host", "none")
"""What the engine calls the networks of containers that are in none."""

AT_ONCE = 8
"""Containers that are stopped at the same time."""


def network_name(name: str) -> str:
    return f"kfold-sandbox-{name}"


def pause_reference(name: str) -> str:
    """The name of the sandbox image. One for each sandbox, so that two side by side do not take it from each other."""
    return f"kfold-sandbox-pause:{name}"


PASSES = 5
"""How often the engine is asked for containers: until it has none."""

LEAKED = "no container is in it: the engine has miscounted"

ENDPOINTS_END = 5.0
"""Seconds in which a network must have lost the endpoints of its removed containers."""


async def clean(engine: Engine, name: str, *, grace: int = 1) -> int:
    """Remove all containers, volumes, the network and the image of the sandbox `name`; returns how many containers.

    Processes have `grace` seconds. Raises EngineError, StoreError; what is left then is found by the next call.
    """
    label = f"{LABEL}={name}"
    removed = 0
    for left in reversed(range(PASSES)):
        found = await engine.containers(label)
        if not found:
            break
        removed = removed or len(found)
        results = await _remove_all(engine, found, grace)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            # 409: it has started since it was listed (its server was killed in the middle of that): stopped by the next pass
            if not (left and isinstance(failure, EngineError) and failure.status == 409):
                raise failure
    for volume in await engine.volumes(label):
        await engine.remove_volume(volume["Name"])
    network = await engine.network(network_name(name))
    if network and (network.get("Labels") or {}).get(LABEL) == name:
        await _remove_network(engine, network["Id"])
    image = await engine.image(pause_reference(name))
    if image and ((image.get("Config") or {}).get("Labels") or {}).get(LABEL) == name:
        try:
            await engine.remove_image(pause_reference(name))
        except EngineError as error:
            if error.status != 409:  # a container that is not ours runs it
                raise
    return removed


async def _remove_network(engine: Engine, network: str) -> None:
    """The engine lets go of a removed container's endpoint a moment after the container is gone (20.10: 403)."""
    deadline = asyncio.get_running_loop().time() + ENDPOINTS_END
    while True:
        try:
            return await engine.remove_network(network)
        except EngineError as error:
            if error.status != 403:
                raise
            if asyncio.get_running_loop().time() > deadline:
                raise EngineError(error.status, f"{error}{await _leaked(engine, network)}") from error
        await asyncio.sleep(0.1)


async def _leaked(engine: Engine, network: str) -> str:
    """What to say of a network that is not let go of though it has no container. Containers that come and go at the same
    time can leave the engine (20.10) with an endpoint too many in its count; it counts anew when it is started.
    """
    found = await engine.network(network) or {}
    return "" if found.get("Containers") else f"; {LEAKED}: restart the engine, then run `kfold sandbox down` again"


async def remove(engine: Engine, entry: Json, grace: int) -> None:
    """End and remove a container, which is told of as the engine lists it. Raises EngineError, StoreError."""
    if entry["State"] in ("running", "paused"):
        networks = [name for name in (entry.get("NetworkSettings") or {}).get("Networks") or {} if name not in NO_NETWORKS]
        for network in networks:
            await engine.leave(network, entry["Id"])
        await engine.stop(entry["Id"], 0 if "POD" in entry["Labels"].values() else grace)
    await engine.remove_container(entry["Id"])


async def _remove_all(engine: Engine, found: list[Json], grace: int) -> list[BaseException | None]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def limited(entry: Json) -> None:
        async with limit:
            await remove(engine, entry, grace)

    return await asyncio.gather(*(limited(entry) for entry in found), return_exceptions=True)
