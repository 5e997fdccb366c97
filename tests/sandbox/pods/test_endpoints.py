"""Whose turn it is to change who is in a network of the engine: see `Endpoints`."""

from __future__ import annotations

import asyncio

from kfold.sandbox.kubelet.engine import Endpoints


def test_joins_go_together_and_leaves_alone() -> None:
    async def told() -> list[str]:
        endpoints, said = Endpoints(), list[str]()

        async def join(name: str) -> None:
            async with endpoints.joining():
                said.append(f"+{name}")
                await asyncio.sleep(0.01)
                said.append(f"-{name}")

        async def leave(name: str) -> None:
            async with endpoints.leaving():
                said.append(f"<{name}")
                await asyncio.sleep(0.01)
                said.append(f">{name}")

        await asyncio.gather(join("a"), join("b"), leave("x"), leave("y"), join("c"))
        return said

    assert asyncio.run(told()) == ["+a", "+b", "-a", "-b", "<x", ">x", "<y", ">y", "+c", "-c"]


def test_who_gives_up_waiting_is_in_nobodys_way() -> None:
    async def goes_on() -> bool:
        endpoints = Endpoints()

        async def leave() -> None:
            async with endpoints.leaving():
                raise AssertionError("somebody is still joining")

        async with endpoints.joining():
            waiting = asyncio.create_task(leave())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with asyncio.timeout(1), endpoints.joining():
                pass
        async with asyncio.timeout(1), endpoints.leaving():
            return True

    assert asyncio.run(goes_on())
