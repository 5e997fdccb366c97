"""Who goes with whom: propagation policies, orphans, finalizers, Namespaces."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.engine import docker, wait_until
from tests.sandbox.pods.conftest import Space


def names(space: Space) -> dict[str, int]:
    return {
        "deployments": len(space.apps.list_namespaced_deployment(space.name).items),
        "replicasets": len(space.apps.list_namespaced_replica_set(space.name).items),
        "pods": len(space.pods()),
    }


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_a_deployment_made_goes_with_it(space: Space, policy: str) -> None:
    space.deployment("web", 2)
    space.available("web", 2)
    assert names(space) == {"deployments": 1, "replicasets": 1, "pods": 2}
    left = space.plain(space.apps.delete_namespaced_deployment("web", space.name, propagation_policy=policy))
    if policy == "Foreground":
        assert left["metadata"]["finalizers"] == ["foregroundDeletion"]
        seen: list[dict[str, int]] = []

        def gone() -> bool:
            seen.append(names(space))
            return seen[-1]["deployments"] == 0

        wait_until(gone, "the Deployment to go")
        # it went last: whenever it was still there its dependents may have been gone, never the other way round
        assert seen[-1] == {"deployments": 0, "replicasets": 0, "pods": 0}
    wait_until(lambda: not any(names(space).values()), "everything to go", tell=lambda: str(names(space)))


def test_orphans_stay_and_are_adopted_again(space: Space) -> None:
    space.deployment("web", 2)
    space.available("web", 2)
    before = {pod["metadata"]["uid"] for pod in space.pods()}
    space.apps.delete_namespaced_deployment("web", space.name, propagation_policy="Orphan")
    wait_until(lambda: names(space)["deployments"] == 0, "the Deployment to go")
    (orphan,) = space.apps.list_namespaced_replica_set(space.name).items
    assert not orphan.metadata.owner_references
    assert {pod["metadata"]["uid"] for pod in space.pods()} == before
    space.deployment("web", 2)
    space.available("web", 2)
    assert {pod["metadata"]["uid"] for pod in space.pods()} == before


def test_a_dependent_goes_only_with_its_last_owner(space: Space) -> None:
    owners = [make_config_map(space, name) for name in ("one", "two")]
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid} for owner in owners
    ]
    make_config_map(space, "child", references)
    space.core.delete_namespaced_config_map("one", space.name)

    def left() -> list[str]:
        found = space.core.read_namespaced_config_map("child", space.name).metadata.owner_references or []
        return [reference.name for reference in found]

    wait_until(lambda: left() == ["two"], "the reference to go")
    space.core.delete_namespaced_config_map("two", space.name)
    wait_until(lambda: "child" not in config_maps(space), "the dependent to go")


def test_a_dependent_of_an_owner_that_never_was_is_collected(space: Space) -> None:
    make_config_map(space, "lost", [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": str(uuid.uuid4())}])
    wait_until(lambda: "lost" not in config_maps(space), "the dependent to go")


def make_config_map(space: Space, name: str, references: list[dict[str, Any]] | None = None) -> Any:
    metadata = {"name": name, "ownerReferences": references or []}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    return space.core.create_namespaced_config_map(space.name, body)


def config_maps(space: Space) -> set[str]:
    return {entry.metadata.name for entry in space.core.list_namespaced_config_map(space.name).items}


def test_a_namespace_takes_everything_along_and_says_what_holds_it_up(space: Space) -> None:
    name = f"{space.name}-inner"
    space.core.create_namespace({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    inner = Space(space.api, space.cluster, name, space.image)
    inner.deployment("web", 1)
    inner.available("web", 1)
    stuck = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stuck", "finalizers": ["example.com/hold"]}}
    inner.core.create_namespaced_config_map(name, stuck)
    inner.core.delete_namespace(name)

    def conditions() -> dict[str, str]:
        status = inner.plain(inner.core.read_namespace(name))["status"]
        assert status["phase"] == "Terminating"
        return {entry["type"]: entry["message"] for entry in status.get("conditions", [])}

    wait_until(lambda: "example.com/hold" in conditions().get("NamespaceFinalizersRemaining", ""), "the reason")
    wait_until(lambda: not inner.pods(), "the Pods to go")
    inner.core.patch_namespaced_config_map("stuck", name, {"metadata": {"finalizers": None}})
    wait_until(lambda: name not in {entry.metadata.name for entry in space.core.list_namespace().items}, "the end")
    assert not docker("ps", "-aq", "--filter", f"label=io.kubernetes.pod.namespace={name}").strip()
