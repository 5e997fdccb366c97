"""What the engine's API answers, as kfold's own words.

An image's ID is the digest of its config, or, with containerd's image store (the default since Docker 29), of its manifest
or index. There a name has a `RepoDigest` too, which is that ID, wherever the image came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kfold.config.platforms import NoPlatform, parse
from kfold.stores.engine_interface import Container, EngineImage, Names


def names_of(listed: Sequence[Mapping[str, Any]]) -> Names:
    """As the engine lists its images (API: ImageList). containerd's image store does not tell which were pulled."""
    ids: dict[str, str] = {}
    pulled, unnamed = set(), set()
    for image in listed:
        tags = [tag for tag in image.get("RepoTags") or () if not tag.startswith("<none>")]
        digests = (one.partition("@") for one in image.get("RepoDigests") or ())
        known = {name for name, _, digest in digests if digest != image["Id"]}
        ids |= dict.fromkeys(tags, image["Id"])
        pulled |= {tag for tag in tags if tag.rpartition(":")[0] in known}
        if not tags:
            unnamed.add(image["Id"])
    return Names(ids, frozenset(pulled), frozenset(unnamed))


def image_of(entry: Mapping[str, Any]) -> EngineImage:
    """An image as `docker image inspect` tells of it."""
    return EngineImage(
        id=entry["Id"],
        names=tuple(entry.get("RepoTags") or ()),
        labels=dict((entry.get("Config") or {}).get("Labels") or {}),
        size=int(entry.get("Size") or 0),
        layers=len((entry.get("RootFS") or {}).get("Layers") or ()),
        created=datetime.fromisoformat(entry["Created"]).isoformat() if entry.get("Created") else "",
        pulled=bool(names_of([entry]).pulled),
        platform=platform_of(entry),
    )


def platform_of(entry: Mapping[str, Any]) -> str:
    """What an image is for; "" for what has no word for it here."""
    try:
        return parse("/".join(str(entry[part]) for part in ("Os", "Architecture", "Variant") if entry.get(part)))
    except NoPlatform:
        return ""


def container_of(told: Mapping[str, Any]) -> Container:
    names = [name.removeprefix("/") for name in told.get("Names") or ()]
    # a link to a container is one more name of it, below that of the other one
    name = next((name for name in names if "/" not in name), "")
    # what pauses or restarts runs, as in the answer to an inspect
    return Container(told["Id"], name, told["ImageID"], told["State"] in ("running", "paused", "restarting"))
