"""`doit status` looks at the world: what is gone, what somebody changed, and which store does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from kfold.ledger import Effect, Record
from kfold.stores.cluster_interface import ClusterError
from kfold.verbs.presence import look
from kfold.verbs.world import World
from tests.engine import docker
from tests.scenarios.application import Application, ApplicationFactory, config_map


def world(app: Application) -> dict[str, tuple[str, str]]:
    """Name (of an image: "image") -> what status says of it, and why."""
    told: dict[str, Any] = app.status()
    items = [*told["engine"], *told["cluster"]]
    return {"image" if item["kind"] == "image" else item["name"]: (item["world"], item["because"]) for item in items}


def test_objects_that_were_deleted_edited_and_made_anew(application: ApplicationFactory) -> None:
    maps = {name: config_map(name, {"a": "1"}) for name in ("edited", "gone", "replaced", "same")}
    app = application(artifact=False).deploys(*maps.values())
    app.doit().succeeded()
    assert world(app) == dict.fromkeys(maps, ("there", ""))
    app.place.kubectl("delete", "configmap", "gone", "replaced").succeeded()
    app.place.kubectl("create", "configmap", "replaced").succeeded()
    app.place.kubectl("patch", "configmap", "edited", "--type=merge", "-p", '{"data":{"a":null}}').succeeded()
    found = world(app)
    assert {name: state for name, (state, _) in found.items()} == {
        "edited": "changed",
        "gone": "gone",
        "replaced": "changed",
        "same": "there",
    }
    assert "fields that kfold set" in found["edited"][1] and "made anew" in found["replaced"][1]
    plain = app.doit("status").succeeded().output
    assert "configmap gone" in plain and "(gone)" in plain and "(changed: somebody else changed fields" in plain, plain


def test_images_and_names_that_were_removed_and_moved(application: ApplicationFactory, base_image: str) -> None:
    app = application()
    app.doit("tag").succeeded()
    first = world(app)
    assert set(first.values()) == {("there", "")} and len(first) > 1, first
    names = sorted(set(first) - {"image"})
    name = names[0]
    docker("tag", base_image, name)
    found = world(app)
    assert found["image"] == ("there", "") and found[name][0] == "changed", found
    (image,) = (item["id"] for item in app.status()["engine"] if item["kind"] == "image")
    docker("rmi", *names)
    docker("rmi", image, check=False)  # it may have gone with its last name
    assert world(app) == dict.fromkeys(first, ("gone", ""))


def test_a_store_that_refuses_or_stays_silent_holds_nothing_up() -> None:
    silent = threading.Event()

    def engine(address: Mapping[str, str]) -> Any:
        silent.wait(30)
        raise ClusterError("too late")

    def cluster(context: str, files: tuple[str, ...]) -> Any:
        raise ClusterError("does not answer: Connection refused")

    details = {"context": "c", "kubeconfig": [], "target": "docker-desktop"}
    image = Effect(store="engine", kind="image", place="e", name="key", config="c")
    thing = Effect(store="cluster", kind="object", place="k", name="v1|ConfigMap|default|it", config="c", details=details)
    records = [Record(number, effect, "done", "id", 0.0, 0.0) for number, effect in enumerate([image, thing])]
    world = cast(World, SimpleNamespace(open_engine=engine, open_cluster=cluster, environment={}))
    began = time.monotonic()
    first, second = look(world, records, seconds=0.3)
    assert time.monotonic() - began < 5
    silent.set()
    assert (first.found, first.why) == ("unknown", "no answer within 0.3 s")
    assert (second.found, second.why) == ("unknown", "does not answer: Connection refused")
