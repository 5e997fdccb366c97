"""Several artifacts side by side: one that fails is told by its name and takes none along; a kill leaves nothing of any."""

from __future__ import annotations

import pytest

from tests.engine import wait_until
from tests.images.conftest import Shop

pytestmark = pytest.mark.engine


def several(shop: Shop, *instructions: str) -> list[str]:
    """One artifact for each instruction, which runs after a COPY; their images."""
    images = [f"{shop.image}-{number}" for number in range(len(instructions))]
    shop.config(*({"image": image, "context": f"context-{number}"} for number, image in enumerate(images)))
    for number, instruction in enumerate(instructions):
        shop.dockerfile("COPY a.txt /out/", instruction, folder=f"context-{number}")
        shop.project.write(f"context-{number}/a.txt", f"{shop.image} {number}\n")
    return images


def test_one_that_fails_takes_none_along(shop: Shop) -> None:
    steps = ["RUN true", "RUN true", "RUN echo because of this; exit 7", "RUN true", "RUN true"]
    images = several(shop, *steps)
    output = shop.doit("--continue", "tag").failed(2).output
    assert output.count(f"build:{images[2]} failed: build failed: ") == 1, output
    reason = next(line for line in output.splitlines() if line.endswith("because of this") and "#" in line)
    assert reason.startswith(f"[{images[2]}] "), output
    names = shop.corner.names()
    assert [image for image in images if f"{image}:latest" in names] == [*images[:2], *images[3:]]
    assert len(shop.records()) == 4 * 3, "an image and two names each"
    shop.prune_all()


def test_killed_in_the_middle_of_several(shop: Shop) -> None:
    """Some are built, some are at a step, some have not begun."""
    several(shop, *["RUN true"] * 2, *["RUN sleep 8"] * 3, *["RUN true"] * 2)
    running = shop.project.start_doit("-n", "4", "tag")
    position = 0
    for _ in range(3):
        position = running.wait_for("RUN sleep 8", after=position)
    running.kill()
    running.wait()
    assert len([line for line in shop.records() if line.startswith("intended image")]) >= 3, shop.records()
    pruned = shop.doit("prune", "--all").succeeded()
    wait_until(lambda: not shop.changes(), "the engine to be as it was", tell=lambda: pruned.output + str(shop.changes()))
    assert shop.records() == []
    shop.doit("tag").succeeded()
    shop.prune_all()
